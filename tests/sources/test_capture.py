"""Sources: real files made here, bad files, and a camera that is a stand-in driven by the real thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from humanrt.errors import SourceError
from humanrt.sources import opening as capture
from humanrt.sources.opening import LatestFrame, list_cameras, open_source, source_files

RED = (250, 10, 20)


def picture(width: int = 64, height: int = 48, colour: Sequence[int] = RED) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def write_video(path: Path, frames: int = 60, fps: float = 30.0, size: tuple[int, int] = (160, 120)) -> Path:
    """A video whose frame i has brightness i, with noise so that it has some bytes."""
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, size)
    assert video.isOpened()
    noise = np.random.default_rng(0).integers(0, 60, (size[1], size[0], 3))
    for i in range(frames):
        video.write((noise + i).astype(np.uint8))
    video.release()
    return path


def message(error: pytest.ExceptionInfo[SourceError], *parts: str) -> None:
    """One line that says all of this."""
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


# --- images ---


def test_image_is_rgb_at_time_zero(tmp_path: Path) -> None:
    path = tmp_path / "ünï côdé 手.png"
    path.write_bytes(cv2.imencode(".png", picture()[..., ::-1])[1].tobytes())
    with open_source(path) as source:
        assert (source.size, source.live, source.frame_count, source.fps) == ((64, 48), False, 1, None)
        (frame,) = source
    assert frame.image.dtype == np.uint8
    assert tuple(frame.image[0, 0]) == RED
    assert (frame.t, frame.index) == (0.0, 0)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.full((4, 5), 40000, np.uint16), (156, 156, 156)),
        (np.full((4, 5, 3), 65535, np.uint16), (255, 255, 255)),
        (np.full((4, 5), 7, np.uint8), (7, 7, 7)),
        (np.full((4, 5, 4), (20, 10, 250, 0), np.uint8), RED),
        (np.full((1, 1), 9, np.uint8), (9, 9, 9)),
    ],
    ids=["16 bit grey", "16 bit", "grey", "alpha", "1x1"],
)
def test_image_kinds_become_8_bit_rgb(tmp_path: Path, stored: np.ndarray, expected: tuple[int, ...]) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), stored)
    with open_source(path) as source:
        (frame,) = source
    assert frame.image.shape == (*stored.shape[:2], 3)
    assert frame.image.dtype == np.uint8
    assert tuple(frame.image[0, 0]) == expected


def test_image_with_unknown_range_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    cv2.imwrite(str(path), np.ones((3, 3, 3), np.float32))
    with pytest.raises(SourceError) as error:
        open_source(path)
    message(error, "a.tiff", "float32", "save it as")


def test_damaged_image_is_named_and_nothing_else_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = cv2.imencode(".png", noise)[1].tobytes()
    path = tmp_path / "cut.png"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError) as error:
        open_source(path)
    message(error, "cut.png", "not a readable image", "replace")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (b"hello\n" * 9, "holds text")])
def test_what_is_no_image_or_video(tmp_path: Path, content: bytes, words: str) -> None:
    for name in ("a.png", "a.mp4"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SourceError) as error:
            open_source(path)
        message(error, str(path), words)


def test_folder_in_natural_order_with_mixed_sizes(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"frame{number}.png"), picture(width=number + 5))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._frame1.png").write_bytes(b"what macOS leaves behind")
    with open_source(tmp_path, fps=10) as source:
        frames = list(source)
    assert [frame.image.shape[1] for frame in frames] == [6, 7, 15]
    assert [frame.t for frame in frames] == pytest.approx([0, 0.1, 0.2])
    assert source.frame_count == 3


def test_folder_names_the_unreadable_image_after_the_good_ones(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), picture())
    (tmp_path / "2.png").write_text("no")
    with open_source(tmp_path) as source:
        next(source)
        with pytest.raises(SourceError) as error:
            next(source)
    message(error, str(tmp_path / "2.png"))


def test_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as error:
        open_source(tmp_path)
    message(error, str(tmp_path), "no images", ".png")


# --- video files ---


def test_video_delivers_every_frame_with_its_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=40, fps=25)
    with open_source(str(path)) as source:
        assert (source.size, source.fps, source.frame_count, source.live) == ((160, 120), 25, 40, False)
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(40))
    assert [frame.t for frame in frames] == pytest.approx(np.arange(40) / 25, abs=1e-3)
    means = [float(frame.image.mean()) for frame in frames]
    assert np.polyfit(range(40), means, 1)[0] == pytest.approx(1, abs=0.1)
    assert source.dropped == 0


def test_real_video(hand_video: Path) -> None:
    with open_source(hand_video) as source:
        times = [frame.t for frame in source]
    assert len(times) == source.frame_count
    assert times == pytest.approx(np.arange(len(times)) / 30, abs=1e-3)


def test_rotation_of_the_container_is_applied(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    one, minus = (0x10000).to_bytes(4, "big"), (0xFFFF0000).to_bytes(4, "big")
    zero, unit = bytes(4), (0x40000000).to_bytes(4, "big")
    data[matrix : matrix + 36] = b"".join([zero, one, zero, minus, zero, zero, zero, zero, unit])
    path.write_bytes(data)
    with open_source(path) as source:
        assert source.size == (120, 160)
        assert next(source).image.shape == (160, 120, 3)


class Stamps:
    """A cv2.VideoCapture with given time stamps."""

    def __init__(self, stamps: Sequence[float], announced: float) -> None:
        self.stamps, self.announced, self.at = stamps, announced, -1

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.at += 1
        return (True, picture()) if self.at < len(self.stamps) else (False, None)

    def set(self, key: int, value: float) -> bool:
        return True

    def get(self, property: int) -> float:
        return {
            cv2.CAP_PROP_ORIENTATION_META: 0.0,
            cv2.CAP_PROP_FPS: 10.0,
            cv2.CAP_PROP_FRAME_COUNT: self.announced,
            cv2.CAP_PROP_POS_MSEC: 1000 * self.stamps[min(self.at, len(self.stamps) - 1)],
        }[property]

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def release(self) -> None:
        pass


def test_stamps_of_a_video_are_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stamp twice, then another rate: all stamps after that are the container's."""
    (tmp_path / "a.mkv").touch()
    stamps = [0, 0.1, 0.2, 0.2, 0.3, 0.6, 0.9]
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Stamps(stamps, 10))
    with open_source(tmp_path / "a.mkv") as source:
        frames = list(source)
    assert [frame.t for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.25, 0.3, 0.6, 0.9])
    assert [frame.index for frame in frames] == list(range(7))


@pytest.mark.parametrize(
    ("delivered", "announced", "whole"),
    [(100, 100, True), (96, 100, True), (94, 100, False), (990, 1000, True), (970, 1000, False), (50, -1, True)],
)
def test_slightly_wrong_frame_counts_are_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivered: int, announced: int, whole: bool
) -> None:
    """In AVI, whose count is no estimate."""
    (tmp_path / "a.avi").write_bytes(b"RIFF\0\0\0\0AVI " + bytes(100))
    stamps = [i / 10 for i in range(delivered)]
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Stamps(stamps, announced))
    with open_source(tmp_path / "a.avi") as source:
        if whole:
            assert len(list(source)) == delivered
        else:
            with pytest.raises(SourceError, match=f"frame {delivered} of {announced}"):
                list(source)


def test_variable_rate_is_not_taken_for_a_truncated_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 5 of 10 frames a second left out, half of what the duration announces never comes."""
    (tmp_path / "a.avi").write_bytes(b"RIFF\0\0\0\0AVI " + bytes(100))
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Stamps([i / 5 for i in range(50)], 100))
    with open_source(tmp_path / "a.avi") as source:
        assert len(list(source)) == 50


class Server:
    """Stands for an address: opened first it loses its connection after some frames; then it gives so many."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: int, then: int | None) -> None:
        opened = iter([first, then])

        def capture(*_: object) -> Stamps:
            frames = next(opened)
            video = Stamps([i / 10 for i in range(frames or 0)], 100)
            video.grab = lambda: video.read()[0]  # type: ignore[attr-defined]
            if frames is None:
                video.isOpened = lambda: False  # type: ignore[method-assign]
            return video

        monkeypatch.setattr(cv2, "VideoCapture", capture)


@pytest.mark.parametrize(
    ("then", "whole"), [(60, True), (100, False), (None, False)], ids=["as long", "longer", "gone"]
)
def test_an_address_that_gives_less_than_announced_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, then: int | None, whole: bool
) -> None:
    Server(monkeypatch, 60, then)
    with open_source("http://127.0.0.1:9/a.mkv") as source:
        if whole:
            assert len(list(source)) == 60
        else:
            with pytest.raises(SourceError, match="truncated after frame 60 of 100"):
                list(source)


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_truncated_video_gives_its_frames_then_one_line(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_video(tmp_path / f"a{suffix}", frames=90)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    frames = 0
    with open_source(path) as source, pytest.raises(SourceError) as error:  # noqa: PT012
        for _ in source:
            frames += 1
    assert 40 < frames < 65
    message(error, str(path), f"truncated after frame {frames} of 90", "copy the file again")
    assert capfd.readouterr().err == ""


def test_truncated_mp4_without_its_index(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_video(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError) as error:
        open_source(path)
    message(error, str(path), "truncated MP4", "copy it again")
    assert capfd.readouterr().err == ""


# --- what cannot be opened ---


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as error:
        open_source(tmp_path / "none.mp4")
    message(error, str(tmp_path / "none.mp4"), "no such file", "give a camera index")


def test_unknown_suffix(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x")
    with pytest.raises(SourceError) as error:
        open_source(path)
    message(error, str(path), "'.onnx'", ".mp4", ".png")


def test_address_without_video(capfd: pytest.CaptureFixture[str]) -> None:
    for url in ("rtsp://user:secret@127.0.0.1:9/live", "http://127.0.0.1:9/a.mp4"):
        with pytest.raises(SourceError) as error:
            open_source(url)
        message(error, "127.0.0.1:9", "this address delivers no video")
        assert "secret" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_size_is_for_cameras(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cameras only"):
        open_source(tmp_path / "a.mp4", size=(640, 480))


@pytest.mark.skipif(not Path("/dev").is_dir(), reason="needs the device folder of Linux")
@pytest.mark.parametrize("source", [7, "7", "/dev/video7"])
def test_absent_camera_lists_those_present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | int) -> None:
    monkeypatch.setattr(capture, "DEVICES", tmp_path)
    with pytest.raises(SourceError) as error:
        open_source(source)
    message(error, "camera 7", "video7 does not exist", "no camera is present")

    (tmp_path / "video0").touch()
    monkeypatch.setattr(capture, "_captures", lambda path: True)
    with pytest.raises(SourceError) as error:
        open_source(source)
    message(error, "cameras present: 0 (video0)")


def test_camera_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "video3").touch()
    monkeypatch.setattr(capture, "DEVICES", tmp_path)
    assert list_cameras() == []  # a plain file answers no camera's questions
    with pytest.raises(SourceError, match="camera 3"):
        open_source(3)


def test_camera_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "video0").touch()
    monkeypatch.setattr(capture, "DEVICES", tmp_path)
    monkeypatch.setattr(capture.os, "access", lambda *_: False)
    with pytest.raises(SourceError) as error:
        open_source(0)
    message(error, "no permission", "usermod -aG video")
    (camera,) = list_cameras()
    assert camera.index == 0
    assert "usermod" in (camera.problem or "")


@pytest.mark.parametrize(
    ("asked", "given", "fine"),
    [
        ((None, None), ((640, 480), 30.0), True),
        (((640, 480), 30.0), ((640, 480), 29.97), True),
        (((640, 480), 30.0), ((640, 480), None), True),
        (((1920, 1080), None), ((640, 480), 30.0), False),
        ((None, 60.0), ((640, 480), 30.0), False),
    ],
)
def test_camera_mode_is_checked(
    asked: tuple[tuple[int, int] | None, float | None],
    given: tuple[tuple[int, int], float | None],
    fine: bool,
) -> None:
    def check() -> None:
        capture.check_mode("camera 0", Path("/dev/video0"), asked=asked, given=given)

    if fine:
        check()
    else:
        with pytest.raises(SourceError) as error:
            check()
        message(error, "delivers 640x480 at 30 fps", "v4l2-ctl --device /dev/video0 --list-formats-ext")


# --- the live thread ---


class Camera:
    """A stand-in camera: gives a frame whenever `step` is called, and whatever `end` says after that."""

    def __init__(self, end: Callable[[], None] | None = None, frames: int = 10**9) -> None:
        self.name, self.size, self.fps = "camera 0", (64, 48), 30.0
        self.closed = threading.Event()
        self._go = threading.Semaphore(1)  # the first frame comes by itself
        self._left, self._end = frames, end

    def step(self, frames: int = 1) -> None:
        self._go.release(frames)

    def open(self) -> None:
        pass

    def stop(self) -> None:
        self._go.release()

    def read(self) -> tuple[np.ndarray, float] | None:
        self._go.acquire()
        if self._left == 0:
            if self._end:
                self._end()
            return None
        self._left -= 1
        return picture(), time.monotonic()

    def close(self) -> None:
        self.closed.set()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_only_the_latest_frame_is_kept_and_drops_are_counted() -> None:
    camera = Camera()
    before = time.monotonic()
    with LatestFrame(camera) as source:
        assert source.live
        assert source.size == (64, 48)
        camera.step(4)
        wait_until(lambda: source.dropped == 4)
        frame = next(source)
        assert frame.index == 4
        assert before <= frame.t <= time.monotonic()
        camera.step()
        assert next(source).index == 5
        assert source.dropped == 4
    assert camera.closed.wait(5)


def test_a_frame_is_waited_for() -> None:
    camera = Camera()
    with LatestFrame(camera) as source:
        next(source)
        threading.Timer(0.05, camera.step).start()
        assert next(source).index == 1


@pytest.mark.parametrize("frames", [1, 2], ids=["none new", "one too old"])
def test_stalled_camera(frames: int) -> None:
    camera = Camera()
    with LatestFrame(camera, max_age=0.05) as source:
        next(source)
        if frames == 2:
            camera.step()
            time.sleep(0.1)
        with pytest.raises(SourceError) as error:
            next(source)
        message(error, "camera 0", "stalled", "0.05 s", "check its cable")


def test_unplugged_camera_gives_its_last_frame_first() -> None:
    def gone() -> None:
        raise SourceError("camera 0: gone")

    camera = Camera(gone, frames=2)
    with LatestFrame(camera) as source:
        next(source)
        camera.step(2)
        assert camera.closed.wait(5)
        assert next(source).index == 1
        for _ in range(2):  # and it stays gone
            with pytest.raises(SourceError, match="gone"):
                next(source)


def test_camera_that_fails_at_once() -> None:
    def gone() -> None:
        raise SourceError("camera 0: gone")

    camera = Camera(gone, frames=0)
    with pytest.raises(SourceError, match="gone"):
        LatestFrame(camera)
    assert camera.closed.wait(5)


def test_camera_that_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "OPEN_TIMEOUT", 0.05)
    camera = Camera()
    camera._go.acquire()
    with pytest.raises(SourceError) as error:
        LatestFrame(camera)
    message(error, "camera 0", "delivered no frame")


def test_our_own_mistakes_are_not_dressed_up() -> None:
    def bug() -> None:
        raise ZeroDivisionError

    camera = Camera(bug, frames=1)
    with LatestFrame(camera) as source:
        next(source)
        camera.step()
        with pytest.raises(ZeroDivisionError):
            next(source)


def test_file_at_its_own_pace(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=12, fps=60)
    start = time.monotonic()
    with open_source(path, realtime=True) as source:
        assert source.live
        frames = list(source)
    assert time.monotonic() - start >= 11 / 60
    assert frames[-1].index == 11
    assert len(frames) + source.dropped == 12
    assert frames[-1].t - frames[0].t == pytest.approx((frames[-1].index - frames[0].index) / 60, abs=1e-3)


def test_slow_consumer_of_a_file_at_its_own_pace_loses_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=30, fps=100)
    with open_source(path, realtime=True) as source:
        seen = 0
        for _ in source:
            seen += 1
            time.sleep(0.05)
    assert seen < 15
    assert seen + source.dropped == 30


def test_closing_ends_a_paced_file_at_once(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=3, fps=0.1)
    start = time.monotonic()
    with open_source(path, realtime=True) as source:
        next(source)
    assert time.monotonic() - start < 2
    assert next(source, None) is None


# --- what a source reads ---


def test_the_files_of_a_source(tmp_path: Path) -> None:
    for name in ("b10.png", "b9.png", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in source_files(tmp_path)] == ["b9.png", "b10.png"]
    assert source_files(tmp_path / "b9.png") == source_files(f"file://{tmp_path}/b9.png") == [tmp_path / "b9.png"]
    (tmp_path / "a b.png").touch()
    assert source_files(f"file://{tmp_path}/a%20b.png") == [tmp_path / "a b.png"]
    for other in (0, "0", "/dev/video0", "rtsp://host/a.mp4", tmp_path / "missing.mp4"):
        assert source_files(other) == []


def test_an_image_is_read_without_a_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    monkeypatch.setattr("sys.stderr", None)
    dup = os.dup

    def closed(descriptor: int) -> int:
        if descriptor == 2:
            raise OSError(9, "Bad file descriptor")
        return dup(descriptor)

    monkeypatch.setattr("os.dup", closed)
    with open_source(path) as source:
        assert len(list(source)) == 1


def test_images_of_a_folder_are_photographs_unless_they_are_said_to_be_frames(tmp_path: Path) -> None:
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.zeros((4, 6, 3), np.uint8))
    for options, cut, fps in (({}, True, None), ({"frames": True}, False, 30.0), ({"fps": 5.0}, False, 5.0)):
        with open_source(tmp_path, **options) as source:
            assert source.fps == fps
            assert [frame.cut for frame in source] == [cut, cut]
    with pytest.raises(SourceError, match="only the images of a folder"):
        open_source(tmp_path / "0.png", frames=True)
