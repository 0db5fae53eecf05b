"""UDP: datagrams to a receiver of whom nothing is known."""

from __future__ import annotations

import socket
from typing import Any

from humanrt.errors import OutputError
from humanrt.resource import Resource

__all__ = ["MAX_DATAGRAM", "Datagrams"]

MAX_DATAGRAM = 1400
"""Bytes: larger datagrams are split up on their way."""


class Datagrams(Resource):
    """Sends datagrams to an address; whether anybody listens is not known, nor needed.

    Args:
        scheme: of the receiver's address, for messages.
        host: name or number of the receiver's machine.
        port: its UDP port.

    Raises:
        OutputError: there is no such host.
    """

    def __init__(self, scheme: str, host: str, port: int) -> None:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise OutputError(f"{scheme}://{host}:{port}: no such host ({error.strerror}); check the name") from None
        self._address: Any = address
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)

    def send(self, datagram: bytes) -> bool:
        """Send a datagram; False if nobody listens or the network is down."""
        try:
            self._socket.sendto(datagram, self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket. May be called twice."""
        self._socket.close()
