"""A file at an http address, read in pieces: what its container says is in a few of them."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote, urlsplit, urlunsplit

__all__ = ["RemoteFile"]

BLOCK = 1 << 16  # bytes that are fetched at least
MOST_REQUESTS = 64
TIMEOUT = 5.0  # seconds


class RemoteFile:
    """A file of a server that gives ranges.

    size: bytes. Raises OSError where the address is of another protocol, does not answer, gives no ranges, or where
    too many pieces are asked for.
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
        """Nothing is held open."""

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
        from http.client import HTTPException  # half of what `import humanrt` takes, for addresses only
        from urllib.request import Request, urlopen

        self._requests += 1
        if self._requests > MOST_REQUESTS:
            raise OSError("too many pieces")
        request = Request(self._address, headers={"Range": f"bytes={offset}-{offset + count - 1}"})
        if self._login:
            request.add_unredirected_header("Authorization", f"Basic {self._login}")  # for this server and no other
        try:
            with urlopen(request, timeout=TIMEOUT) as answer:
                place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range") or "")
                if answer.status != 206 or place is None or int(place[1]) != offset:
                    raise OSError("the server gives no ranges")
                self.size = int(place[2])
                self._start, self._block = offset, answer.read(count)
        except HTTPException as error:
            raise OSError("no answer of HTTP") from error
