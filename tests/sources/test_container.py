"""Containers: counts, cuts, edit lists, display matrices and codecs of real files, changed here byte by byte."""

from __future__ import annotations

import struct
import time
import wave
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_capture import write_video

from humanrt.errors import SourceError
from humanrt.sources.container import MAX_SAMPLES, read_container, read_extent
from humanrt.sources.opening import open_source


def film(folder: Path, name: str = "a.mp4", frames: int = 60) -> Path:
    return write_video(folder / name, frames)


def change(path: Path, edit: Callable[[bytearray], None]) -> Path:
    data = bytearray(path.read_bytes())
    edit(data)
    path.write_bytes(data)
    return path


def after(data: bytearray, mark: bytes, offset: int) -> int:
    """Where the field lies that is so many bytes behind a box's name."""
    at = data.find(mark)
    assert at >= 0
    return at + len(mark) + offset


def read(path: Path) -> tuple[int, float]:
    """How many frames come, and the time of the last; SourceError where the video breaks off."""
    with open_source(path) as source:
        frames = [frame.t for frame in source]
    return len(frames), frames[-1]


def test_a_count_that_the_sound_makes_too_large_is_no_cut(tmp_path: Path) -> None:
    """Matroska says how long the longest track is, from which FFmpeg estimates a count of frames."""

    def longer(data: bytearray) -> None:
        at = after(data, b"\x44\x89\x88", 0)  # Duration, a double
        data[at : at + 8] = struct.pack(">d", 2.5 * struct.unpack_from(">d", data, at)[0])

    path = change(film(tmp_path, "a.mkv"), longer)
    with open_source(path) as source:
        assert source.frame_count == 150
    assert read(path) == (60, pytest.approx(59 / 30, abs=2e-3))


def test_an_edit_list_hides_frames(tmp_path: Path) -> None:
    def trim(data: bytearray) -> None:
        scale = struct.unpack_from(">I", data, after(data, b"mdhd", 12))[0]
        struct.pack_into(">Ii", data, after(data, b"elst", 8), 1500, scale // 2)  # 1.5 s from 0.5 s on

    path = change(film(tmp_path), trim)
    assert read_extent(path).frames == 45
    frames, last = read(path)
    assert frames == pytest.approx(45, abs=1)
    assert last == pytest.approx(44 / 30, abs=0.04)


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_an_edit_list_does_not_hide_a_cut(tmp_path: Path) -> None:
    """In an MP4 written in fragments, whose index comes first; its own count is of the fragments that are there."""
    path = tmp_path / "a.ismv"
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 30, (160, 120))
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    for i in range(200):
        video.write(np.roll(noise, i, 1))
    video.release()
    path = path.rename(tmp_path / "a.mp4")
    assert read_extent(path).frames == 200
    assert read(path)[0] == 200
    cut(path, 0.6)
    with pytest.raises(SourceError, match=r"truncated after frame 1\d\d of \d+ .*copy the file again"):
        read(path)


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".avi", ".flv", ".wmv", ".ogv", ".ts", ".mpg"])
def test_what_is_whole_is_whole_and_what_is_cut_is_cut(tmp_path: Path, suffix: str) -> None:
    codec = {".webm": "VP80", ".flv": "FLV1", ".wmv": "WMV2", ".ts": "mpg2", ".mpg": "PIM1", ".avi": "MJPG"}
    path = tmp_path / f"a{suffix}"
    fourcc = cv2.VideoWriter.fourcc(*codec.get(suffix, "mp4v"))
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, 25, (160, 120))
    if not video.isOpened():
        pytest.skip(f"this OpenCV writes no {suffix}")
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    for i in range(90):
        video.write(np.roll(noise, 3 * i, 1))
    video.release()
    frames, _ = read(path)
    assert frames >= 88  # some encoders keep the last ones
    cut(path, 0.612)
    seen = 0
    with pytest.raises(SourceError, match="truncated after frame") as error, open_source(path) as source:  # noqa: PT012
        for _ in source:
            seen += 1
    assert 25 < seen < 70
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), "ABCD"),
        ((-1, 0, 0, 1), "BADC"),
        ((1, 0, 0, -1), "CDAB"),
        ((-1, 0, 0, -1), "DCBA"),
        ((0, 1, 1, 0), "ACBD"),
        ((0, 1, -1, 0), "CADB"),
        ((0, -1, 1, 0), "BDAC"),
        ((0, -1, -1, 0), "DBCA"),
    ],
    ids=["upright", "mirrored", "upside down mirrored", "180", "transposed", "90", "270", "transposed mirrored"],
)
def test_all_display_matrices_are_applied(tmp_path: Path, matrix: tuple[int, int, int, int], expected: str) -> None:
    """The corners A B / C D, each of its own grey, as a player shows them."""
    levels = {"A": 30, "B": 90, "C": 150, "D": 210}
    corners = np.array([[levels["A"], levels["B"]], [levels["C"], levels["D"]]], np.uint8)
    path = tmp_path / "a.mp4"
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 30, (128, 96))
    for _ in range(3):
        video.write(cv2.cvtColor(np.kron(corners, np.ones((48, 64), np.uint8)), cv2.COLOR_GRAY2BGR))
    video.release()

    def turn(data: bytearray) -> None:
        a, b, c, d = (value << 16 for value in matrix)
        struct.pack_into(">9i", data, after(data, b"tkhd", 40), a, b, 0, c, d, 0, 0, 0, 1 << 30)

    with open_source(change(path, turn)) as source:
        image = next(source).image[..., 0].astype(int)
    height, width = image.shape
    assert (width, height) == ((128, 96) if matrix[0] else (96, 128))
    points = [image[y * height // 4, x * width // 4] for y in (1, 3) for x in (1, 3)]
    shown = "".join(min(levels, key=lambda name: abs(levels[name] - value)) for value in points)
    assert shown == expected


def test_a_codec_that_cannot_be_decoded_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def av1(data: bytearray) -> None:
        at = data.rfind(b"mp4v")
        data[at : at + 4] = b"av01"
        at = data.rfind(b"esds")  # or FFmpeg goes by what it says of the codec
        data[at : at + 4] = b"av1C"

    path = change(film(tmp_path), av1)
    with pytest.raises(SourceError, match=r"codec \(AV1\) cannot be decoded here; convert it: `ffmpeg") as error:
        open_source(path)
    assert "cut" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_the_codec_of_a_matroska_is_named(tmp_path: Path) -> None:
    def av1(data: bytearray) -> None:
        at = after(data, b"V_MPEG4/ISO/ASP", -15)
        data[at : at + 15] = b"V_AV1".ljust(15, b"\0")

    with pytest.raises(SourceError, match=r"codec \(AV1\) cannot be decoded here"):
        open_source(change(film(tmp_path, "a.mkv"), av1))


def test_sound_alone_is_called_sound(tmp_path: Path) -> None:
    def sound(data: bytearray) -> None:
        at = after(data, b"hdlr", 8)
        data[at : at + 4] = b"soun"

    only_sound = r"no video in this file, only sound \(%s\)"
    with pytest.raises(SourceError, match=only_sound % "MP4"):
        open_source(change(film(tmp_path), sound))
    for name in ("a.wav", "b.mp4"):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(1600))
        with pytest.raises(SourceError, match=only_sound % "WAV"):
            open_source(tmp_path / name)
    for name, start in (("a.mp3", b"ID3\x03"), ("b.mov", b"fLaC"), ("a.amr", b"#!AMR\n")):
        (tmp_path / name).write_bytes(start + bytes(2000))
        with pytest.raises(SourceError, match=only_sound % "[A-Z0-9]+"):
            open_source(tmp_path / name)


def test_a_picture_that_calls_itself_mp4(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(SourceError, match=r"a picture .*, not a video"):
        open_source(tmp_path / "a.mp4")


def test_tables_that_announce_more_than_there_is_are_not_believed(tmp_path: Path) -> None:
    """4 billion samples in one entry: nothing of that size is allocated."""

    def swollen(data: bytearray) -> None:
        struct.pack_into(">I", data, after(data, b"stts", 8), 0xFFFFFFFF)
        struct.pack_into(">I", data, after(data, b"stsz", 8), MAX_SAMPLES - 1)

    path = change(film(tmp_path), swollen)
    begin = time.monotonic()
    assert read_extent(path).frames is None
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm", ".flv", ".gif", ".ogg"])
def test_damaged_containers_leave_the_answer_open(tmp_path: Path, suffix: str) -> None:
    """300 random changes of each: no error, no hang."""
    path = tmp_path / f"a{suffix}"
    if suffix == ".gif":
        content = (
            b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6) + b"\x2c" + bytes(9) + b"\x02\x01\x44\0;"
        )
    elif suffix == ".ogg":
        content = (b"OggS\0\x02" + bytes(20) + b"\x01\x1e\x80theora" + bytes(23)) * 3
    else:
        codec = {".webm": "VP80", ".avi": "MJPG", ".flv": "FLV1"}.get(suffix, "mp4v")
        video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 30, (32, 32))
        for i in range(5):
            video.write(np.full((32, 32, 3), 40 * i, np.uint8))
        video.release()
        content = path.read_bytes()
    assert read_container(path) is not None or suffix in (".gif", ".ogg")
    rng = np.random.default_rng(0)
    begin = time.monotonic()
    for _ in range(300):
        data = np.frombuffer(content, np.uint8).copy()
        where = rng.integers(0, len(data), rng.integers(1, 20))
        data[where] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, *rng.integers(0, 256, 5)], len(where))
        path.write_bytes(data[: rng.integers(1, len(data) + 1)].tobytes())
        read_container(path)
        read_extent(path)
    assert time.monotonic() - begin < 20
