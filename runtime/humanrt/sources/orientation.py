"""Display orientation of stored images: EXIF's eight orientations, and the display matrices of videos."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["UPRIGHT", "Turn", "exif_turn", "turn_of_matrix", "turned"]

# (a, b, c, d), each -1, 0 or 1: the pixel stored at (x, y) is shown at (a x + c y, b x + d y), shifted into view.
Turn = tuple[int, int, int, int]

UPRIGHT: Turn = (1, 0, 0, 1)

# Exif 2.32, tag 0x0112: where the stored rows and columns belong.
_EXIF: dict[int, Turn] = {
    1: UPRIGHT,
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def turned(image: npt.NDArray[Any], turn: Turn) -> npt.NDArray[Any]:
    """Return the image, [H, W] or [H, W, C], in display orientation; the same array if it is upright already."""
    a, b, c, d = turn
    if turn == UPRIGHT:
        return image
    if a == 0:  # columns become rows
        image, a, d = np.asarray(cv2.transpose(image)), c, b
    if a < 0 or d < 0:
        image = np.asarray(cv2.flip(image, -1 if a < 0 and d < 0 else 1 if a < 0 else 0))
    return image


def turn_of_matrix(a: float, b: float, c: float, d: float) -> Turn:
    """Return the turn nearest to a display matrix, of any scale: (x, y) is shown at (a x + c y, b x + d y)."""
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1, 0, 0, -1 if d < 0 else 1)
    return (0, -1 if b < 0 else 1, -1 if c < 0 else 1, 0)


def exif_turn(data: bytes) -> Turn:
    """Return the display orientation from the EXIF of a JPEG, PNG or WebP file; upright if it has none.

    The file is not trusted: damaged EXIF counts as absent.
    """
    try:
        return _EXIF.get(_orientation(_exif(data)), UPRIGHT)
    except (struct.error, IndexError, ValueError):
        return UPRIGHT


def _exif(data: bytes) -> bytes:
    """Return the EXIF block of an image file, from its byte order mark on; empty if there is none."""
    if data[:2] == b"\xff\xd8":
        return _exif_of_jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _chunk(data, 8, b"eXIf", ">I4s", after=4)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _chunk(data, 12, b"EXIF", "<4sI", after=0).removeprefix(b"Exif\0\0")
    return b""


def _exif_of_jpeg(data: bytes) -> bytes:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in (0xDA, 0xD9):  # the image data, the end
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return data[at + 10 : at + 2 + length]
        at += 2 + length
    return b""


def _chunk(data: bytes, at: int, wanted: bytes, head: str, after: int) -> bytes:
    """Return the content of the first chunk called `wanted`, after its 8-byte header; empty if there is none."""
    while at + 8 <= len(data):
        first, second = struct.unpack_from(head, data, at)
        name, length = (first, second) if isinstance(first, bytes) else (second, first)
        if name == wanted:
            return data[at + 8 : at + 8 + length]
        at += 8 + length + after + (length % 2 if not after else 0)  # chunks of RIFF are padded to even lengths
    return b""


def _orientation(exif: bytes) -> int:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    (at,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", exif, entry)
        if tag == 0x0112:
            value: int = struct.unpack_from(f"{order}{'I' if kind == 4 else 'H'}", exif, entry + 8)[0]
            return value
    return 1
