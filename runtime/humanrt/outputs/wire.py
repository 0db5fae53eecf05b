"""Results for other programs: JSON by ZeroMQ (everything) or UDP (joint angles of robots)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from humanrt.errors import MissingDependencyError, OutputError
from humanrt.outputs.base import Image, Output
from humanrt.outputs.datagrams import MAX_DATAGRAM, Datagrams
from humanrt.outputs.record import json_line
from humanrt.outputs.robot_commands import RobotCommands, solved_robots
from humanrt.perception.pipeline import Result
from humanrt.resource import Resource

__all__ = ["UDP_PORT", "ZMQ_PORT", "UdpSender", "ZmqSender", "messages", "receive"]

ZMQ_PORT = 5556
UDP_PORT = 9870

_HEADER_EVERY = 1.0  # s: for subscribers that come later
_LONGEST_QUEUE = 1  # messages: a receiver that is too slow loses frames instead of falling behind


def messages(record: Mapping[str, Any], robots: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Yield a frame's messages: topic and JSON.

    ``hands`` and ``people`` have the line of a recording, without the other's entries; ``robot.NAME`` has what a robot
    does: frame, t, id and side of the hand that moves it, joints (their names), angles (rad), and state if gentle.

    Args:
        record: the frame as a recording has it.
        robots: robot's name -> what it does, as `RobotCommands` returns it.
    """
    for topic, other in (("hands", "people"), ("people", "hands")):
        if record[topic]:
            yield topic, json_line({**record, other: []})
    for name, entry in robots.items():
        yield f"robot.{name}", json_line(entry)


class ZmqSender(Resource, Output):
    """Publishes results with ZeroMQ (PUB): two parts a message, topic and JSON.

    Topics: ``header`` (the first line of a recording; at the start and then once a second, for those who come later),
    ``hands``, ``people`` and ``robot.NAME``; see `messages`. A subscriber that is slow, asleep or gone holds nothing
    up: what it does not take is dropped.

    Args:
        host, port: address on which subscribers connect; ``*``: all of this machine's.
        commands: makes gentle commands of the robots' angles; None: they are sent as solved.

    Raises:
        MissingDependencyError: pyzmq is not installed.
        OutputError: the address cannot be used.
    """

    def __init__(self, host: str, port: int = ZMQ_PORT, commands: RobotCommands | None = None) -> None:
        zmq = _import_zmq()
        self._commands = commands
        self._zmq = zmq
        self._socket = zmq.Context.instance().socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, 8 * _LONGEST_QUEUE)  # a frame has several messages
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.bind(f"tcp://{host}:{port}")
        except zmq.ZMQError as error:
            self._socket.close()
            raise OutputError(f"zmq://{host}:{port}: cannot be used ({error.strerror}); choose another port") from None
        self._header = b"{}"
        self._joints: Mapping[str, Any] = {}
        self._told = -_HEADER_EVERY

    def start(self, header: Mapping[str, Any]) -> None:
        """Take the header, which is sent again and again."""
        self._header = json_line(header)
        self._joints = header.get("robots") or {}

    def put(self, result: Result, picture: Image | None) -> bool:
        """Publish a result."""
        now = monotonic()
        if now - self._told >= _HEADER_EVERY:
            self._told = now
            self._send("header", self._header)
        record = result.record()
        for topic, line in messages(record, _robots(record, self._joints, self._commands)):
            self._send(topic, line)
        return True

    def close(self) -> None:
        """Stop publishing. May be called twice."""
        self._socket.close()

    def _send(self, topic: str, line: bytes) -> None:
        with suppress(self._zmq.Again):
            self._socket.send_multipart([topic.encode(), line], flags=self._zmq.NOBLOCK)


class UdpSender(Resource, Output):
    """Sends the joint angles of robots as JSON, a datagram a robot and frame: see ``robot.NAME`` of `messages`.

    The datagram has the robot's ``name`` too. Whether anybody listens is not known, nor needed.

    Args:
        host, port: the receiver.
        commands: makes gentle commands of the robots' angles; None: they are sent as solved.

    Raises:
        OutputError: there is no such host.
    """

    def __init__(self, host: str, port: int = UDP_PORT, commands: RobotCommands | None = None) -> None:
        self._commands = commands
        self._datagrams = Datagrams("udp", host, port)
        self._joints: Mapping[str, Any] = {}

    def start(self, header: Mapping[str, Any]) -> None:
        """Take the robots' joint names. OutputError if no robot moves in this run, or one has too many joints."""
        self._joints = header.get("robots") or {}
        if not self._joints:
            raise OutputError("--send udp: sends joint angles of robots, and none moves; add --robot NAME, or take zmq")
        for name, joints in self._joints.items():
            size = len(json_line({"name": name, "joints": joints, "angles": [-1.23456] * len(joints)})) + 100
            if size > MAX_DATAGRAM:
                raise OutputError(f"--send udp: {name} has too many joints for a datagram; take zmq")

    def put(self, result: Result, picture: Image | None) -> bool:
        """Send the angles of each robot that moves in this frame."""
        for name, entry in _robots(result.record(), self._joints, self._commands).items():
            self._datagrams.send(json_line({"name": name, **entry}).rstrip(b"\n"))
        return True

    def close(self) -> None:
        """Close the socket. May be called twice."""
        self._datagrams.close()


def receive(url: str, *topics: str, timeout: float | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what a run with ``--send zmq://...`` publishes: topic and object, the newest of each topic.

    >>> for topic, message in humanrt.receive("zmq://robot.local:5556", "robot.allegro_right"):
    ...     print(message["angles"])

    Args:
        url: ``zmq://HOST[:PORT]``.
        topics: those that are wanted; none: all.
        timeout: end after so many seconds without a message; None: wait for ever.

    Raises:
        MissingDependencyError: pyzmq is not installed.
        OutputError: the address is wrong.
    """
    zmq = _import_zmq()
    address = url.removeprefix("zmq://")
    if address == url or not address:
        raise OutputError(f"receive: {url} is not an address such as zmq://127.0.0.1:{ZMQ_PORT}")
    host, _, port = address.partition(":")
    subscriber = zmq.Context.instance().socket(zmq.SUB)
    try:
        subscriber.setsockopt(zmq.LINGER, 0)
        for topic in topics or ("",):
            subscriber.subscribe(topic)
        try:
            subscriber.connect(f"tcp://{host}:{port or ZMQ_PORT}")
        except zmq.ZMQError as error:
            raise OutputError(f"receive: {url}: {error.strerror}; check the address") from None
        while subscriber.poll(None if timeout is None else 1000 * timeout):
            newest: dict[str, bytes] = {}
            while subscriber.poll(0):
                topic, line = subscriber.recv_multipart()
                newest.pop(topic.decode(), None)
                newest[topic.decode()] = line
            for name, text in newest.items():
                yield name, json.loads(text)
    finally:
        subscriber.close()


def _robots(
    record: Mapping[str, Any], joints: Mapping[str, Any], commands: RobotCommands | None
) -> dict[str, dict[str, Any]]:
    return solved_robots(record, joints) if commands is None else commands(record)


def _import_zmq() -> Any:
    try:
        import zmq
    except ImportError:
        raise MissingDependencyError("zmq: pyzmq is not installed; run: pip install 'humanrt[send]'") from None
    return zmq
