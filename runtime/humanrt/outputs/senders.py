"""The list of receivers that results are sent to, live, by the scheme of their address (``--send vmc://host:39539``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, parse_qsl, urlsplit

from humanrt.errors import InvalidInputError, choices
from humanrt.outputs.base import Output
from humanrt.outputs.robot_commands import RobotCommands
from humanrt.outputs.vmc import VMC_PORT, VmcSender
from humanrt.outputs.wire import UDP_PORT, ZMQ_PORT, UdpSender, ZmqSender

__all__ = ["SENDERS", "open_sender"]


def _vmc(address: SplitResult, options: dict[str, str], commands: RobotCommands | None) -> Output:
    port = VMC_PORT if address.port is None else address.port
    person = _identity(options.pop("person", None))
    return VmcSender(address.hostname or "", port, person)


def _identity(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0 and len(text) < 10):
        raise InvalidInputError(f"--send: person={text} is not an identity; they count from 1")
    return int(text)


def _zmq(address: SplitResult, options: dict[str, str], commands: RobotCommands | None) -> Output:
    return ZmqSender(address.hostname or "*", ZMQ_PORT if address.port is None else address.port, commands)


def _udp(address: SplitResult, options: dict[str, str], commands: RobotCommands | None) -> Output:
    return UdpSender(address.hostname or "", UDP_PORT if address.port is None else address.port, commands)


_Open = Callable[[SplitResult, dict[str, str], RobotCommands | None], Output]

SENDERS: Mapping[str, _Open] = {"udp": _udp, "vmc": _vmc, "zmq": _zmq}
"""Senders by scheme: each takes from the options those that it has."""


def open_sender(url: str, commands: RobotCommands | None = None) -> Output:
    """Open the sender of an address, such as ``vmc://127.0.0.1:39539?person=2``.

    Args:
        url: the address.
        commands: makes gentle commands of the robots' angles; None: they are sent as solved.

    Raises:
        InvalidInputError: the address is wrong; the message says what an address looks like.
        OutputError: there is no such host.
    """
    try:
        address = urlsplit(url)
        named = bool(address.hostname) and (address.port is None or address.port > 0)
    except ValueError:
        named, address = False, urlsplit("")
    if not named or address.scheme not in SENDERS:
        raise InvalidInputError(
            f"--send {url}: not an address of a receiver, such as vmc://127.0.0.1:{VMC_PORT}; "
            f"schemes: {choices(SENDERS)}"
        )
    options = dict(parse_qsl(address.query, keep_blank_values=True))
    sender = SENDERS[address.scheme](address, options, commands)
    if options:
        sender.close()
        has = "; it has: person" if address.scheme == "vmc" else ""
        raise InvalidInputError(f"--send {url}: {address.scheme} has no option `{next(iter(options))}`{has}")
    return sender
