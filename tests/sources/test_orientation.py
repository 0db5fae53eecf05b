"""Turned and mirrored pictures: EXIF in JPEG, PNG, WebP and TIFF, and display matrices."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanrt.sources.opening import open_source
from humanrt.sources.orientation import UPRIGHT, exif_turn, turn_of_matrix, turned

# The letter F, as EXIF's standard draws it; and how a viewer shows what is stored so under each orientation.
F = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]], np.uint8) * 200
SHOWN = {
    1: F,
    2: F[:, ::-1],
    3: F[::-1, ::-1],
    4: F[::-1],
    5: F.T,
    6: F.T[:, ::-1],
    7: F.T[::-1, ::-1],
    8: F.T[::-1],
}


def exif(orientation: int, order: str = "<") -> bytes:
    """An EXIF block with a field before that of the orientation."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    fields = struct.pack(f"{order}HHIHxx", 0x0100, 3, 1, 4) + struct.pack(f"{order}HHIHxx", 0x0112, 3, 1, orientation)
    return head + struct.pack(f"{order}IH", 8, 2) + fields + bytes(4)


def tiff(grey: np.ndarray, orientation: int) -> bytes:
    """An uncompressed grey TIFF; OpenCV writes no orientation."""
    height, width = grey.shape
    fields = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 274: orientation, 277: 1, 278: height}
    fields[279] = grey.size
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(fields.items()))
    head = b"II*\0" + struct.pack("<I", 8 + grey.size)
    return head + grey.tobytes() + struct.pack("<H", len(fields)) + directory + bytes(4)


def encoded(kind: str, orientation: int, order: str = "<") -> bytes:
    """The F, 16 times enlarged, as a file with that orientation."""
    picture = cv2.cvtColor(np.kron(F, np.ones((16, 16), np.uint8)), cv2.COLOR_GRAY2BGR)
    block = exif(orientation, order)
    if kind == ".tif":
        return tiff(picture[..., 0], orientation)
    if kind == ".webp":
        data = cv2.imencode(kind, picture, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
        height, width = picture.shape[:2]
        size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        body = b"WEBP" + struct.pack("<4sIB3x", b"VP8X", 10, 8) + size + data[12:]
        body += struct.pack("<4sI", b"EXIF", len(block)) + block + b"\0" * (len(block) % 2)
        return struct.pack("<4sI", b"RIFF", len(body)) + body
    data = cv2.imencode(kind, picture)[1].tobytes()
    if kind == ".png":
        chunk = b"eXIf" + block
        return data[:33] + struct.pack(">I", len(block)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block + data[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".tif"])
def test_pictures_stand_as_their_exif_says(tmp_path: Path, kind: str, orientation: int) -> None:
    path = tmp_path / f"a{kind}"
    for order in "<>" if kind != ".tif" else "<":
        path.write_bytes(encoded(kind, orientation, order))
        with open_source(path) as source:
            image = next(source).image
        rows, columns = SHOWN[orientation].shape
        assert source.size == (16 * columns, 16 * rows)
        small = image[8::16, 8::16, 0]
        assert (np.abs(small.astype(int) - SHOWN[orientation]) < 40).all()


def test_16_bit_pictures_too(tmp_path: Path) -> None:
    data = cv2.imencode(".png", F.astype(np.uint16) * 257)[1].tobytes()
    chunk = b"eXIf" + exif(6)
    (tmp_path / "a.png").write_bytes(
        data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    )
    with open_source(tmp_path / "a.png") as source:
        assert np.array_equal(next(source).image[..., 1], SHOWN[6])


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(value: int) -> None:
    for kind in (".jpg", ".png", ".webp"):
        assert exif_turn(encoded(kind, value)) == UPRIGHT


@given(st.sampled_from([".jpg", ".png", ".webp"]), st.data())
def test_damaged_exif_turns_somehow_or_not(kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(kind, 6))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, min(120, len(content) - 1)))] = data.draw(st.integers(0, 255))
    assert len(exif_turn(bytes(content[: data.draw(st.integers(0, len(content)))]))) == 4


def test_a_display_matrix_is_where_pixels_go() -> None:
    """Against the definition, (x, y) to (a x + c y, b x + d y), for all eight, also scaled."""
    straight = [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1)]
    for a, b, c, d in [*straight, (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, 1, 0), (0, -1, -1, 0)]:
        shown = turned(F, turn_of_matrix(3 * a, 2 * b, 2 * c, 3 * d))
        height, width = shown.shape
        for y, x in np.ndindex(F.shape):
            column, row = a * x + c * y, b * x + d * y
            assert shown[row if b + d > 0 else row - 1 + height, column if a + c > 0 else column - 1 + width] == F[y, x]
