"""A file at an http address, read in pieces: a few of them are enough to read its container.

Servers without range requests, such as Python's own, send the whole file; it is kept in memory if it is small.
"""

from __future__ import annotations

import base64
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["RemoteFile"]

BLOCK = 1 << 16  # bytes, min size of a request
MAX_REQUESTS = 64
MAX_WHOLE_BYTES = 64 << 20  # bytes of a file that is sent whole
TIMEOUT = 5.0  # seconds without any byte
DEADLINE = 20.0  # seconds an answer may take


class RemoteFile:
    """A file on an http server.

    Attributes:
        size: bytes.

    Raises:
        OSError: the address is of another protocol, the server does not answer, a response is truncated or takes too
            long, a large file is not sent in ranges, or too many pieces are requested.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme.lower() not in ("http", "https"):
            raise OSError("only http and https can be read in pieces")
        userinfo, _, host = parts.netloc.rpartition("@")
        self._address = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
        self._login = base64.b64encode(unquote(userinfo).encode()).decode() if userinfo else ""
        self._requests = 0
        self._start = 0
        self._block = b""
        self.size = 0
        self._fetch(0, BLOCK)

    def __enter__(self) -> RemoteFile:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no connection is kept open."""

    def at(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from an offset on; fewer at the end of the file."""
        count = min(count, self.size - offset)
        if count <= 0:
            return b""
        if not self._start <= offset <= offset + count <= self._start + len(self._block):
            self._fetch(offset, max(count, BLOCK))
        begin = offset - self._start
        return self._block[begin : begin + count]

    def _fetch(self, offset: int, count: int) -> None:
        from http.client import HTTPException  # half the time of `import humanrt`, for addresses only
        from urllib.request import Request, urlopen

        self._requests += 1
        if self._requests > MAX_REQUESTS:
            raise OSError("too many pieces")
        request = Request(self._address, headers={"Range": f"bytes={offset}-{offset + count - 1}"})
        if self._login:
            request.add_unredirected_header("Authorization", f"Basic {self._login}")  # for this server and no other
        try:
            with urlopen(request, timeout=TIMEOUT) as answer:
                content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range") or "")
                announced = answer.headers.get("Content-Length") or ""
                if answer.status == 206 and content_range is not None and int(content_range[1]) == offset:
                    self.size, self._start = int(content_range[2]), offset
                elif answer.status == 200 and announced.isdecimal() and int(announced) <= MAX_WHOLE_BYTES:
                    self.size, self._start = int(announced), 0
                    count = self.size
                else:
                    raise OSError("the server does not support range requests")
                self._block = _read(answer, min(count, self.size - self._start))
        except HTTPException as error:
            raise OSError("not an HTTP response") from error


def _read(answer: HTTPResponse, count: int) -> bytes:
    """Read exactly ``count`` bytes of an answer. OSError if fewer come, or if they come too slowly."""
    begun = time.monotonic()
    block = bytearray()
    while len(block) < count:
        piece = answer.read1(min(count - len(block), BLOCK))
        if not piece:
            raise OSError("the response is truncated")
        if time.monotonic() - begun > DEADLINE:
            raise OSError("the response takes too long")
        block += piece
    return bytes(block)
