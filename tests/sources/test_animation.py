"""Animated WebP and PNG, made here of pictures that OpenCV encodes."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanrt.errors import SourceError
from humanrt.sources.animation import read_animation
from humanrt.sources.opening import open_source

RED, GREEN, BLUE, CLEAR = (0, 0, 250, 255), (0, 250, 0, 255), (250, 0, 0, 255), (0, 0, 0, 0)
HALF = (250, 250, 250, 128)

# x, y, width, height, colour, milliseconds, blend, dispose (1: the area is cleared afterwards)
Part = tuple[int, int, int, int, tuple[int, int, int, int], int, bool, int]
PARTS: list[Part] = [
    (0, 0, 16, 12, RED, 100, False, 0),
    (4, 4, 6, 4, GREEN, 50, True, 1),
    (2, 2, 6, 6, BLUE, 0, False, 0),
    (0, 0, 16, 12, HALF, 200, True, 0),
]


def picture(part: Part) -> np.ndarray:
    return np.full((part[3], part[2], 4), part[4], np.uint8)


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def apng(parts: Sequence[Part], *, still: bool = False) -> bytes:
    """still: the file begins with a picture, of the first part's size, that is not of the animation."""
    number = 0

    def stream(part: Part) -> bytes:
        data, at = cv2.imencode(".png", picture(part))[1].tobytes(), 8
        pieces = b""
        while at < len(data):
            size, name = struct.unpack_from(">I4s", data, at)
            pieces += data[at + 8 : at + 8 + size] if name == b"IDAT" else b""
            at += 12 + size
        return pieces

    out = [b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", struct.pack(">IIBBBBB", *parts[0][2:4], 8, 6, 0, 0, 0))]
    out.append(png_chunk(b"acTL", struct.pack(">II", len(parts), 0)))
    if still:
        out.append(png_chunk(b"IDAT", stream((0, 0, *parts[0][2:4], HALF, 0, False, 0))))
    for index, part in enumerate(parts):
        x, y, width, height, _, ms, blend, dispose = part
        out.append(png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, x, y, ms, 1000, dispose, blend)))
        number += 1
        if index == 0 and not still:
            out.append(png_chunk(b"IDAT", stream(part)))
        else:
            out.append(png_chunk(b"fdAT", struct.pack(">I", number) + stream(part)))
            number += 1
    return b"".join([*out, png_chunk(b"IEND", b"")])


def webp(parts: Sequence[Part]) -> bytes:
    def three(value: int) -> bytes:
        return struct.pack("<I", value)[:3]

    _, _, width, height, *_ = parts[0]
    body = b"WEBP" + struct.pack("<4sIB3x", b"VP8X", 10, 0x12) + three(width - 1) + three(height - 1)
    body += struct.pack("<4sIIH", b"ANIM", 6, 0, 0)
    for part in parts:
        x, y, w, h, _, ms, blend, dispose = part
        inner = cv2.imencode(".webp", picture(part), [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()[12:]
        head = three(x // 2) + three(y // 2) + three(w - 1) + three(h - 1) + three(ms)
        content = head + bytes([(not blend) << 1 | dispose]) + inner
        body += struct.pack("<4sI", b"ANMF", len(content)) + content + b"\0" * (len(content) % 2)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def composed() -> list[np.ndarray]:
    """The pictures of PARTS, RGB, by hand."""
    first = np.full((12, 16, 3), (250, 0, 0), np.uint8)
    second, third = first.copy(), first.copy()
    second[4:8, 4:10] = (0, 250, 0)
    third[4:8, 4:10] = 0  # cleared, and nothing behind it
    third[2:8, 2:8] = (0, 0, 250)
    fourth = np.rint(third * (127 / 255) + 250 * (128 / 255)).astype(np.uint8)
    fourth[4:8, 8:10] = 250  # half transparent white over nothing: its colour, half transparent
    return [first, second, third, fourth]


@pytest.mark.parametrize("kind", ["png", "apng", "webp", "png after a still"])
def test_an_animation_is_a_film(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind.split()[0]}"
    path.write_bytes(webp(PARTS) if kind == "webp" else apng(PARTS, still="still" in kind))
    with open_source(path) as source:
        assert (source.size, source.frame_count, source.live) == ((16, 12), 4, False)
        assert source.fps == pytest.approx(4 / 0.45)
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.t for frame in frames] == pytest.approx([0, 0.1, 0.15, 0.25])  # 0 ms: as browsers do, 100
    for frame, expected in zip(frames, composed(), strict=True):
        assert np.abs(frame.image.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("make", [apng, webp])
def test_in_a_folder_its_first_picture_counts(tmp_path: Path, make: object) -> None:
    (tmp_path / f"a.{make.__name__.removeprefix('a')}").write_bytes(make(PARTS))  # type: ignore[attr-defined, operator]
    with open_source(tmp_path) as source:
        (frame,) = source
    assert tuple(frame.image[0, 0]) == (250, 0, 0)


@pytest.mark.parametrize("make", [apng, webp])
def test_one_that_is_cut_short_breaks_off(tmp_path: Path, make: object) -> None:
    data = make([PARTS[0]] * 9)  # type: ignore[operator]
    path = tmp_path / f"a.{make.__name__.removeprefix('a')}"  # type: ignore[attr-defined]
    path.write_bytes(data[: len(data) * 2 // 3])
    with open_source(path) as source, pytest.raises(SourceError, match=r"truncated after picture [56]; ") as error:
        list(source)
    assert "\n" not in str(error.value)


def test_a_still_is_a_still(tmp_path: Path) -> None:
    for name in ("a.png", "a.webp"):
        cv2.imwrite(str(tmp_path / name), picture(PARTS[0]))
        assert read_animation((tmp_path / name).read_bytes()) is None
    assert read_animation(b"") is None


def test_no_rate_is_asked_of_an_animation(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(apng(PARTS))
    with pytest.raises(SourceError, match="cameras and folders only"):
        open_source(tmp_path / "a.png", fps=10)


def test_absurd_sizes_are_not_allocated() -> None:
    huge = apng([(0, 0, 4, 4, RED, 100, False, 0), (0, 0, 4, 4, RED, 100, False, 0)])
    huge = huge.replace(struct.pack(">II", 4, 4), struct.pack(">II", 1 << 30, 1 << 30))
    assert read_animation(huge) is None
    outside = apng([(0, 0, 4, 4, RED, 100, False, 0), (3, 3, 4, 4, RED, 100, False, 0)])
    assert read_animation(outside) is None


@given(st.sampled_from([apng(PARTS), webp(PARTS)]), st.data())
def test_damaged_files_end_early(content: bytes, data: st.DataObject) -> None:
    broken = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    animation = read_animation(bytes(broken))
    if animation is not None and animation.width * animation.height < 1 << 16:
        for image in animation.pictures():
            assert image.shape == (animation.height, animation.width, 3)


def test_a_damaged_animation_is_no_crash(tmp_path: Path) -> None:
    """OpenCV 4.11 dies of an animated PNG whose still cannot be decoded; run apart, so that this can be told."""
    data = bytearray(apng(PARTS, still=True))
    struct.pack_into(">I", data, data.find(b"fcTL") + 8, 1 << 16)  # a picture outside its canvas: not an animation
    data[data.find(b"IDAT") + 24] = 0
    (tmp_path / "a.png").write_bytes(data)
    command = [sys.executable, "-m", "humanrt", "run", str(tmp_path / "a.png"), "--headless"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not a readable image" in done.stderr


def test_the_still_of_a_damaged_animation_is_read(tmp_path: Path) -> None:
    data = bytearray(apng(PARTS, still=True))
    struct.pack_into(">I", data, data.find(b"fcTL") + 8, 1 << 16)
    (tmp_path / "a.png").write_bytes(data)
    with open_source(tmp_path / "a.png") as source:
        assert next(source).image.shape == (12, 16, 3)
