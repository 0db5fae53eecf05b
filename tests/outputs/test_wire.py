"""Results on the wire, as plain sockets and ZeroMQ subscribers get them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("zmq", reason="pyzmq is not installed: the extra `send`")

import zmq

import humanrt
from command_line import refused
from humanrt.cli import main
from humanrt.data import CLIP
from humanrt.errors import HumanrtError, OutputError
from humanrt.outputs.record import Recorder, json_line
from humanrt.outputs.robot_commands import solved_robots
from humanrt.outputs.senders import open_sender
from humanrt.outputs.wire import UdpSender, messages
from humanrt.tasks import HandOptions, open_hands

HEADER = {"humanrt": "0", "robots": {"toy_right": ["a", "b"]}}


def frame(index: int, hands: bool = True) -> Any:
    hand = {"id": 3, "side": "right", "score": 1.0, "robot": {"toy_right": np.array([0.5, 0.25 * index])}}
    record = {"frame": index, "t": index / 10, "size": [4, 4], "hands": [hand] if hands else [], "people": [], "ms": {}}
    return SimpleNamespace(record=lambda: record)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def subscriber(port: int) -> Iterator[Any]:
    with zmq.Context.instance().socket(zmq.SUB) as listening:
        listening.setsockopt(zmq.LINGER, 0)
        listening.subscribe("")
        listening.connect(f"tcp://127.0.0.1:{port}")
        yield listening


def received(subscriber: Any, wait: float = 1.0) -> list[tuple[str, Any]]:
    found = []
    while subscriber.poll(1000 * wait):
        topic, line = subscriber.recv_multipart()
        found.append((topic.decode(), json.loads(line)))
        wait = 0.1
    return found


def test_topics_have_the_lines_of_a_recording() -> None:
    record = {**frame(4).record(), "people": [{"id": 1}]}
    found = {topic: json.loads(line) for topic, line in messages(record, solved_robots(record, HEADER["robots"]))}
    assert found.keys() == {"hands", "people", "robot.toy_right"}
    assert found["hands"]["people"] == []
    assert found["people"]["hands"] == []
    assert found["hands"]["hands"][0]["robot"] == {"toy_right": [0.5, 1.0]}
    assert found["robot.toy_right"] == {
        "frame": 4,
        "t": 0.4,
        "id": 3,
        "side": "right",
        "joints": ["a", "b"],
        "angles": [0.5, 1.0],
    }
    assert list(messages(frame(1, hands=False).record(), {})) == []


def test_of_two_hands_that_of_the_robots_side_moves_it() -> None:
    record = frame(0).record()
    other = {**record["hands"][0], "id": 9, "side": "left", "robot": {"toy_right": [9.0, 9.0]}}
    for hands in ([other, record["hands"][0]], [record["hands"][0], other]):
        assert solved_robots({**record, "hands": hands}, {})["toy_right"]["id"] == 3


def test_subscribers_get_everything_and_the_header_however_late(port: int, subscriber: Any) -> None:
    with open_sender(f"zmq://127.0.0.1:{port}") as sender:
        sender.start(HEADER)
        end = time.monotonic() + 10
        while not subscriber.poll(50) and time.monotonic() < end:  # subscribing takes a moment
            assert sender.put(frame(1), None)
        received(subscriber, 0.1)
        sender._told = -1e9  # a second later  # type: ignore[attr-defined]
        sender.put(frame(2), None)
        found = dict(received(subscriber))
        assert found["header"] == HEADER
        assert found["hands"]["frame"] == 2
        assert found["robot.toy_right"]["angles"] == [0.5, 0.5]


def test_a_subscriber_that_sleeps_or_dies_holds_nothing_up(port: int, subscriber: Any) -> None:
    with open_sender(f"zmq://127.0.0.1:{port}") as sender:
        sender.start(HEADER)
        time.sleep(0.3)
        start = time.monotonic()
        for k in range(3000):
            sender.put(frame(k), None)
        subscriber.close()
        for k in range(500):
            sender.put(frame(k), None)
        assert time.monotonic() - start < 20


def test_receive_yields_the_newest_of_a_topic(port: int) -> None:
    with open_sender(f"zmq://127.0.0.1:{port}") as sender:
        sender.start(HEADER)
        stream = humanrt.receive(f"zmq://127.0.0.1:{port}", "robot.toy_right", timeout=2.0)
        import threading

        done = threading.Event()

        def send() -> None:
            for k in range(2000):
                sender.put(frame(k), None)
                time.sleep(0.005)
                if done.is_set():
                    return

        sending = threading.Thread(target=send)
        sending.start()
        topic, first = next(stream)
        assert topic == "robot.toy_right"
        time.sleep(0.2)
        _, later = next(stream)
        done.set()
        sending.join()
        assert later["frame"] > first["frame"] + 1
        stream.close()  # type: ignore[attr-defined]
    assert list(humanrt.receive(f"zmq://127.0.0.1:{port}", timeout=0.05)) == []


def test_udp_has_the_angles_of_a_real_run(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(1)
        url = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        options = HandOptions(robots=["allegro_right", "shadow_right"])
        with humanrt.open_source(CLIP) as source, open_hands(options=options) as pipeline:
            humanrt.play(source, pipeline, [Recorder(tmp_path / "a.jsonl"), open_sender(url)], max_frames=3)
        datagrams = [receiver.recv(4096) for _ in range(6)]
    assert max(map(len, datagrams)) < 1400
    found = [json.loads(datagram) for datagram in datagrams]
    lines = list(humanrt.read_recording(tmp_path / "a.jsonl"))
    for one in found:
        assert one["angles"] == lines[one["frame"]]["hands"][0]["robot"][one["name"]]
        assert len(one["joints"]) == len(one["angles"])


def test_run_sends_gentle_commands(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(1)
        url = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        out = str(tmp_path / "a.jsonl")
        run = ["run", str(CLIP), "--robot", "allegro_right", "--headless", "--record", out, "--send", url]
        assert main([*run, "--max-frames", "12", "--max-speed", "1.5", "--max-acceleration", "12"]) == 0
        commands = [json.loads(receiver.recv(4096)) for _ in range(12)]
    angles = np.array([one["angles"] for one in commands])
    dt = np.diff([one["t"] for one in commands])
    speed = np.diff(angles, axis=0) / dt[:, None]
    assert np.abs(speed).max() < 1.5 + 2e-5 / dt.min()  # they are rounded to 1e-5 rad
    assert np.abs(np.diff(speed, axis=0)).max() / dt.mean() < 12 + 4e-5 / dt.min() ** 2
    assert {one["state"] for one in commands} == {"following"}
    solved = [line["hands"][0]["robot"]["allegro_right"] for line in humanrt.read_recording(out)]
    assert np.abs(angles - solved).max() > 0.01  # the recording has what the solver says


def test_mistakes_get_one_line(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    with open_sender(f"zmq://127.0.0.1:{port}"), pytest.raises(OutputError, match="choose another port"):
        open_sender(f"zmq://127.0.0.1:{port}")
    with pytest.raises(HumanrtError, match="no option `x`"):
        open_sender(f"zmq://127.0.0.1:{free_port()}?x=1")  # ZeroMQ frees a port some time after it is closed
    with pytest.raises(HumanrtError, match="not an address"):
        next(humanrt.receive("tcp://a"))
    with UdpSender("127.0.0.1") as sender, pytest.raises(OutputError, match="too many joints"):
        sender.start({"robots": {"giant": [f"joint_{k}" for k in range(200)]}})
    run = ("run", CLIP, "--task", "hands", "--headless", "--max-frames", "1")
    assert "add --robot NAME" in refused(capsys, *run, "--send", "udp://127.0.0.1")
    assert "add --robot NAME" in refused(capsys, *run, "--on-lost", "open", "--send", f"zmq://127.0.0.1:{free_port()}")
    assert "add --send zmq" in refused(capsys, *run, "--robot", "leap_right", "--max-speed", "2")
    assert "max_speed" in refused(capsys, *run, "--max-speed", "-2")
    assert main([*map(str, run), "--send", f"zmq://127.0.0.1:{free_port()}"]) == 0


def test_lines_are_those_of_the_recorder() -> None:
    assert json_line({"a": np.float32(1 / 3), "b": float("nan")}) == b'{"a":0.33333,"b":null}\n'
