"""Read animated WebP and PNG frame by frame, composed as a browser shows them, with their timestamps.

OpenCV reads them from 4.11 on only, and decodes all frames at once. Here each frame is cut out of the file as an image
of its own, decoded, and composed onto the canvas. Sizes and offsets in the file are checked before they are used.

Formats: RFC 9649 (WebP), PNG third edition of the W3C (acTL, fcTL, fdAT).
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Animation", "read_animation", "without_animation"]

MAX_PIXELS = 1 << 26  # max size of a canvas: 8192 x 8192, 256 MB
DEFAULT_DURATION = 0.1  # seconds for which browsers show a frame whose duration is 0

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class _Part:
    """One frame of an animation: its position on the canvas, its duration, and an image file that holds it alone."""

    x: int
    y: int
    width: int
    height: int
    seconds: float
    blend: bool
    dispose: int  # its area afterwards: 0 is kept, 1 cleared, 2 restored
    data: bytes


@dataclass(frozen=True)
class Animation:
    """The frames of an animated file, decoded on demand.

    Attributes:
        width, height: px.
        times: seconds at which each frame begins, from 0.
        seconds: total duration.
        cut: whether the file ends before its last frame.
    """

    width: int
    height: int
    parts: tuple[_Part, ...]
    cut: bool

    @property
    def times(self) -> list[float]:
        """Start of each frame, in seconds."""
        durations = [part.seconds for part in self.parts]
        return [0.0, *np.cumsum(durations[:-1]).tolist()]

    @property
    def seconds(self) -> float:
        """Total duration, in seconds."""
        return sum(part.seconds for part in self.parts)

    def pictures(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield each frame, BGR uint8 [H, W, 3]; stop at one that cannot be decoded."""
        canvas = np.zeros((self.height, self.width, 4), np.uint8)
        for part in self.parts:
            picture = _decode(part.data)
            if picture is None or picture.shape[:2] != (part.height, part.width):
                return
            area = canvas[part.y : part.y + part.height, part.x : part.x + part.width]
            before = area.copy() if part.dispose == 2 else None
            _lay(area, picture, part.blend)
            yield np.ascontiguousarray(canvas[..., :3])
            if part.dispose == 1:
                area[:] = 0
            elif before is not None:
                area[:] = before


def read_animation(data: bytes) -> Animation | None:
    """Read an animated WebP or PNG file; None for any other file, including still images and damaged headers."""
    with contextlib.suppress(struct.error, IndexError, ValueError):
        if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and data[20] & 2:
            return _checked(*_read_webp(data))
        if data[:8] == _PNG:
            return _checked(*_read_png(data))
    return None


def without_animation(png: bytes) -> bytes:
    """Return a PNG file without its animation chunks; any other file as it is.

    OpenCV 4.11 crashes on an animation with a damaged picture, not on a damaged still.
    """
    if png[:8] != _PNG or b"acTL" not in png:
        return png
    kept, at = [_PNG], 8
    while at + 8 <= len(png):
        size, name = struct.unpack_from(">I4s", png, at)
        if name not in (b"acTL", b"fcTL", b"fdAT"):
            kept.append(png[at : at + 12 + size])
        at += 12 + size
    return b"".join(kept)


def _checked(width: int, height: int, parts: list[_Part], cut: bool) -> Animation | None:
    inside = all(
        part.x + part.width <= width and part.y + part.height <= height and part.width and part.height for part in parts
    )
    if not parts or not inside or not 0 < width * height <= MAX_PIXELS:
        return None
    return Animation(width, height, tuple(parts), cut)


def _decode(data: bytes) -> npt.NDArray[np.uint8] | None:
    """Decode one frame as BGRA uint8 [H, W, 4]; None if that fails."""
    picture: npt.NDArray[np.generic] | None = None
    with contextlib.suppress(cv2.error):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        return None
    if picture.dtype == np.uint16:
        picture = (picture.astype(np.uint16) >> 8).astype(np.uint8)
    if picture.dtype != np.uint8:
        return None
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    code = {1: cv2.COLOR_GRAY2BGRA, 3: cv2.COLOR_BGR2BGRA}.get(channels)
    return np.asarray(picture if code is None else cv2.cvtColor(picture, code), np.uint8)


def _lay(area: npt.NDArray[np.uint8], picture: npt.NDArray[np.uint8], blend: bool) -> None:
    """Blend a frame over an area of the canvas, or replace the area; both BGRA with straight alpha."""
    alpha = picture[..., 3]
    if not blend or alpha.min() == 255:
        area[:] = picture
        return
    over = alpha[..., None].astype(np.float32) / 255
    under = area[..., 3:].astype(np.float32) / 255 * (1 - over)
    total = over + under
    colour = (picture[..., :3] * over + area[..., :3] * under) / np.maximum(total, 1e-6)
    area[..., :3] = np.where(total > 0, np.rint(colour), 0).astype(np.uint8)
    area[..., 3] = np.rint(total[..., 0] * 255).astype(np.uint8)


# --- WebP ---


def _three(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def _riff(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and announced end of each chunk's content."""
    while at + 8 <= end:
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, at + 8, at + 8 + size
        at += 8 + size + size % 2


def _read_webp(data: bytes) -> tuple[int, int, list[_Part], bool]:
    width, height = 1 + _three(data, 24), 1 + _three(data, 27)
    parts = []
    end = 8 + int.from_bytes(data[4:8], "little")
    cut = end > len(data)
    for name, start, stop in _riff(data, 12, min(end, len(data))):
        if name != b"ANMF":
            continue
        if stop > len(data):
            cut = True
            break
        x, y, w, h, ms = (_three(data, start + 3 * field) for field in range(5))
        flags = data[start + 15]
        alone = _webp_alone(data[start + 16 : stop], w, h)
        parts.append(_Part(2 * x, 2 * y, w + 1, h + 1, ms / 1000 or DEFAULT_DURATION, not flags & 2, flags & 1, alone))
    return width, height, parts, cut


def _webp_alone(chunks: bytes, width: int, height: int) -> bytes:
    """Return a WebP file of the one frame in these chunks; width and height are stored minus one."""
    wanted = (b"ALPH", b"VP8 ", b"VP8L")
    pieces = [(name, start, end) for name, start, end in _riff(chunks, 0, len(chunks)) if name in wanted]
    kept = [chunks[start - 8 : end + (end - start) % 2] for _, start, end in pieces]
    if any(name == b"ALPH" for name, _, _ in pieces):  # needs the extended header, which repeats the size
        size = width.to_bytes(3, "little") + height.to_bytes(3, "little")
        kept.insert(0, struct.pack("<4sIB3x", b"VP8X", 10, 0x10) + size)
    body = b"WEBP" + b"".join(kept)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


# --- PNG ---


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _read_png(data: bytes) -> tuple[int, int, list[_Part], bool]:
    width, height = struct.unpack_from(">II", data, 16)
    shape = data[24:29]
    palette: dict[bytes, bytes] = {}
    parts: list[_Part] = []
    control: tuple[int, ...] | None = None
    stream: list[bytes] = []
    animated = ended = False
    at = 8

    def finish() -> None:
        if control is None or not stream:
            return
        _, w, h, x, y, number, unit, dispose, blend = control
        alone = [_PNG, _png_chunk(b"IHDR", struct.pack(">II", w, h) + shape), *palette.values()]
        alone += [_png_chunk(b"IDAT", b"".join(stream)), _png_chunk(b"IEND", b"")]
        parts.append(
            _Part(x, y, w, h, number / (unit or 100) or DEFAULT_DURATION, blend == 1, dispose, b"".join(alone))
        )

    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        start, end = at + 8, at + 8 + size
        if end + 4 > len(data):
            break
        if name == b"IDAT" and not animated:
            return width, height, [], False  # a still image: acTL would precede the image data
        if name == b"acTL":
            animated = True
        elif name in (b"PLTE", b"tRNS") and size <= 768:
            palette[name] = data[at : end + 4]
        elif name == b"fcTL":
            finish()
            control, stream = struct.unpack_from(">IIIIIHHBB", data, start), []
        elif name == b"IDAT" and control is not None:  # else it is the fallback image of readers without animation
            stream.append(data[start:end])
        elif name == b"fdAT":
            stream.append(data[start + 4 : end])
        elif name == b"IEND":
            ended = True
            break
        at = end + 4
    if ended:
        finish()
    return width, height, parts, not ended
