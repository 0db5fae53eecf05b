"""Sources of frames: cameras, streams, video files, images, folders of images.

A file delivers every frame, in order, with the time stamps of its container. A camera or stream is live: a
thread keeps only its latest frame, so that a slow consumer loses frames (counted in `Source.dropped`) instead
of accumulating delay. Images are RGB from here on: the channel order is converted only here and in the sinks.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

# FFmpeg reads its log level when OpenCV first uses it; errors reach the user as one line of ours instead.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
import numpy.typing as npt

from humanrt.address import is_address, redacted_address
from humanrt.checks import check_kind, check_range
from humanrt.errors import SourceError, choices, printable
from humanrt.resource import Resource
from humanrt.sources.animation import Animation, read_animation, without_animation
from humanrt.sources.container import Container, read_container, read_extent
from humanrt.sources.file_name import name_for_opencv
from humanrt.sources.orientation import Turn, exif_turn, turned
from humanrt.sources.stamps import increasing


def _silence_opencv() -> None:
    opencv: Any = cv2  # versions 4 and 5 have it in different modules, and their stubs know only one
    (getattr(opencv, "setLogLevel", None) or opencv.utils.logging.setLogLevel)(0)


if "OPENCV_LOG_LEVEL" not in os.environ:
    _silence_opencv()

__all__ = [
    "Camera", "Frame", "Grabber", "LatestFrame", "Source", "check_frame", "list_cameras", "open_source", "source_files",
]  # fmt: skip

Image = npt.NDArray[np.uint8]

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp", ".ogv", ".gif"),
)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".apng", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2")

_DEVICE = re.compile(r"(?:/dev/video)?(\d+)")

FALLBACK_FPS = 30.0  # for files that declare no frame rate
CAMERA_MAX_AGE = 2.0  # seconds; slower than any webcam in the dark
STREAM_MAX_AGE = 10.0  # seconds; HLS delivers in bursts of several seconds
MAX_EXIF_BYTES = 1 << 20  # bytes at the beginning of a picture that are searched for EXIF
OPEN_TIMEOUT = 10.0  # seconds within which a live source must deliver its first frame


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        t: seconds on the source's clock, strictly increasing: for files the container's time stamps, from about 0; for
            live sources `time.monotonic()` when the frame was grabbed.
        index: the frame's number in the source, from 0; a live source leaves gaps where frames were dropped.
        cut: the frame is unrelated to those before it: a photograph.
    """

    image: Image = field(repr=False)
    t: float
    index: int
    cut: bool = False


def check_frame(frame: Any) -> None:
    """TypeError where a pipeline is given anything else than a frame."""
    if not isinstance(frame, Frame):
        raise TypeError(f"a pipeline takes frames from `open_source`, or Frame(image, t, index), not {type(frame)}")


class Source(Resource):
    """Iterator over frames in order; use it inside `with`.

    Attributes:
        name: name of the source, for messages and recordings.
        live: frames arrive at the source's pace, not the consumer's.
        size: (width, height) px of the first frame.
        fps: declared frame rate, None if unknown.
        frame_count: declared number of frames, None if unknown or endless.
        dropped: number of frames never delivered so far.
    """

    NEEDS_OPEN = ("__iter__",)  # who is iterating already sees the end
    live = False

    def __init__(self, name: str, size: tuple[int, int], fps: float | None, frame_count: int | None = None) -> None:
        self.name = name
        self.size = size
        self.fps = fps
        self.frame_count = frame_count
        self.dropped = 0

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        """Return the next frame; waits for it if the source is live. Raises SourceError if the source breaks off."""
        raise NotImplementedError

    def skip(self, count: int) -> None:
        """Leave out so many frames; those after it are what they are without skipping, also where the source ends."""
        for _ in range(count):
            if next(self, None) is None:
                return

    def close(self) -> None:
        """Release the device or file. May be called twice."""


def open_source(
    source: str | int | Path,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    max_age: float | None = None,
    realtime: bool = False,
    frames: bool = False,
) -> Source:
    """Open a camera index, stream URL, video file, image, or folder of images.

    Args:
        source: what to open.
        size: (width, height) px requested from a camera; an error if the camera does not comply.
        fps: frame rate requested from a camera likewise; for a folder of images, their frame rate (default 30), which
            implies ``frames``.
        max_age: seconds after which a live source without a new frame counts as stalled (default 2 for cameras, 10 for
            streams).
        realtime: play a file at its own pace through the live path, dropping frames if the consumer is slow.
        frames: the images of a folder are successive frames of one film, as they are with fps or realtime; else they
            are unrelated photographs.

    Raises:
        SourceError: there is nothing that can be read.
    """
    check_kind(source, (str, Path, int, np.integer), "source", "a camera's index, or the name or address of something")
    text = str(source)
    if not text:
        raise SourceError("the source is empty; give a camera index, stream URL, file or folder (. is this one)")
    if fps is not None:
        check_range(fps, "fps", 0.0, 1e4, above=True)
    if max_age is not None:
        check_range(max_age, "max_age (s)", 0.0, above=True)
    device = _DEVICE.fullmatch(text)
    if device:
        camera = _CameraGrabber(int(device[1]), size, fps)
        return LatestFrame(camera, max_age=max_age or CAMERA_MAX_AGE)
    if size is not None:
        raise SourceError(f"{text}: a size can be requested from cameras only; leave it out to use the file's own")
    local = _local_path(text)
    if frames and not (local is not None and local.is_dir()):
        raise SourceError(
            f"{redacted_address(text)}: only the images of a folder can be declared frames of a film; leave it out"
        )
    if local is not None:
        return _paced(_open_path(local, fps, frames or realtime), realtime)
    _keep_quiet_of(text)
    if Path(re.split("[?#]", text, maxsplit=1)[0]).suffix.lower() in VIDEO_SUFFIXES:
        return _paced(_RemoteVideo(text), realtime)
    return LatestFrame(_StreamGrabber(text), max_age=max_age or STREAM_MAX_AGE)


def _local_path(text: str) -> Path | None:
    """Return the path that a source names, also as ``file:///...``; None for another address."""
    if not text.lower().startswith("file://"):
        return None if is_address(text) else Path(text)
    path = Path(text[len("file://") :])
    return path if path.exists() else Path(unquote(os.fspath(path)))  # as file managers write it: `my%20clip.mp4`


def _keep_quiet_of(address: str) -> None:
    """Silence OpenCV's and FFmpeg's logs, which print addresses whole, where this one has secrets.

    This applies even if the user enabled their logs. FFmpeg reads its level once, when it is first used.
    """
    if redacted_address(address) == address:
        return
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
    for variable in ("OPENCV_FFMPEG_DEBUG", "OPENCV_VIDEOIO_DEBUG"):
        os.environ.pop(variable, None)
    _silence_opencv()


def source_files(source: str | int | Path) -> list[Path]:
    """Return the existing files that `open_source` would read; none for cameras and streams. Opens nothing."""
    text = str(source)
    path = _local_path(text)
    if _DEVICE.fullmatch(text) or path is None:
        return []
    return _images_in(path) if path.is_dir() else [path] if path.exists() else []


def _images_in(folder: Path) -> list[Path]:
    try:
        return sorted((path for path in folder.iterdir() if is_image(path)), key=_natural)
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from None


def _open_path(path: Path, fps: float | None, frames: bool) -> Source:
    if path.is_dir():
        images = _images_in(path)
        if not images:
            raise SourceError(f"{path}: no images in this folder; expected {choices(IMAGE_SUFFIXES)}")
        return _Images(printable(str(path)), images, fps or FALLBACK_FPS, film=frames or fps is not None)
    if not path.exists():
        raise SourceError(
            f"{redacted_address(str(path))}: no such file; "
            "give a camera index, stream URL, video file, image or folder of images"
        )
    if is_image(path):
        animation = _read_animation(path)
        _refuse_rate(path, fps)
        if animation is None:
            return _Images(printable(str(path)), [path], FALLBACK_FPS)
        return _AnimatedImage(path, animation)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        _refuse_rate(path, fps)
        return _VideoFile(path)
    container = read_container(path)
    if container is not None and container.video is None and container.sound:
        raise SourceError(f"{path}: no video in this file, only sound ({container.kind}); give a video or an image")
    raise SourceError(
        f"{path}: '{path.suffix}' is not a known video or image format; "
        f"videos: {choices(VIDEO_SUFFIXES)}; images: {choices(IMAGE_SUFFIXES)}"
    )


def _refuse_rate(path: Path, fps: float | None) -> None:
    if fps is not None:
        raise SourceError(f"{path}: a frame rate can be requested from cameras and folders only; leave it out")


def _paced(source: Source, realtime: bool) -> Source:
    return LatestFrame(_PacedGrabber(source), max_age=math.inf) if realtime else source


def is_image(path: Path) -> bool:
    """Return whether a folder's file of this name is read as one of its images."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Return a sort key under which frame2 comes before frame10."""
    return [(0, int(s)) if s.isdigit() else (1, s) for s in re.split(r"([0-9]+)", path.name.lower())]


# --- files ---


class _Images(Source):
    """Source of image files: frames of one film if ``film`` is set, else unrelated photographs."""

    def __init__(self, name: str, paths: list[Path], fps: float, *, film: bool = False) -> None:
        self._paths = paths
        self._film = film
        self._next = 0
        self._first: Image | None = _read_image(paths[0])
        height, width = self._first.shape[:2]
        super().__init__(name, (width, height), fps if film else None, len(paths))
        self._rate = fps

    def __next__(self) -> Frame:
        if self._next == len(self._paths):
            raise StopIteration
        index, self._next = self._next, self._next + 1
        image, self._first = self._first, None
        if image is None:
            image = _read_image(self._paths[index])
        return Frame(image, index / self._rate, index, cut=not self._film)


def _read_file(path: Path) -> npt.NDArray[np.uint8]:
    try:
        return np.fromfile(path, np.uint8)  # cv2.imread cannot open non-ASCII paths on Windows
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _read_image(path: Path) -> Image:
    """Read uint8 [H, W, 3] RGB: grey expanded, alpha dropped, 16 bit scaled to 8, rotated according to its EXIF.

    Of an animation, the first picture is read.
    """
    data = _read_file(path)
    turn = exif_turn(data[:MAX_EXIF_BYTES].tobytes())
    animation = read_animation(data.tobytes()) if _may_move(data) else None
    image: npt.NDArray[np.generic] | None = None
    with contextlib.suppress(cv2.error), _no_stderr():  # libpng writes its warnings there
        if animation is not None:
            image = next(animation.pictures(), None)
        elif len(data):
            # OpenCV applies EXIF in some formats only, depending on its version; a TIFF is always rotated.
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
            still = np.frombuffer(without_animation(data.tobytes()), np.uint8) if _may_move(data) else data
            image = cv2.imdecode(still, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise SourceError(f"{path}: not a readable image ({_looks_like(data)}); replace or remove it")
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise SourceError(f"{path}: holds {image.dtype} pixels whose range is unknown; save it as 8 or 16 bit PNG")
    return np.asarray(turned(_rgb(image), turn), np.uint8)


def _rgb(bgr: npt.NDArray[np.generic]) -> Image:
    if bgr.ndim == 2 or bgr.shape[2] == 1:
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB), np.uint8)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _looks_like(head: npt.NDArray[np.uint8] | bytes) -> str:
    """Describe what a file seems to hold, from its first bytes."""
    start = bytes(head[:256])
    if not start:
        return "it is empty"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return "it holds text"
    return "damaged, truncated, of an unknown format, or of more than 1e9 pixels"


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Discard the process's stderr; for C libraries that write to it directly."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:  # None if the process was started without one
            sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # closed, so writes to it are lost anyway
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


class _AnimatedImage(Source):
    """An animated WebP or PNG, played once with its own times."""

    def __init__(self, path: Path, animation: Animation) -> None:
        self._animation = animation
        self._times = animation.times
        self._turn = exif_turn(_read_file(path).tobytes())
        self._pictures = animation.pictures()
        self._index = 0
        self._ahead = self._read()
        if self._ahead is None:
            raise SourceError(f"{path}: its first picture cannot be decoded; replace it")
        height, width = self._ahead.image.shape[:2]
        count = len(self._times)
        super().__init__(printable(str(path)), (width, height), round(count / animation.seconds, 6), count)

    def _read(self) -> Frame | None:
        with _no_stderr():
            image = next(self._pictures, None)
        if image is None:
            return None
        frame = Frame(np.asarray(turned(_rgb(image), self._turn), np.uint8), self._times[self._index], self._index)
        self._index += 1
        return frame

    def __next__(self) -> Frame:
        frame, self._ahead = self._ahead, None
        if frame is None:
            frame = self._read()
        if frame is None:
            if self._animation.cut or self._index < len(self._times):
                raise SourceError(
                    f"{self.name}: truncated after picture {self._index}; the pictures before it were used, "
                    "copy the file again to get the rest"
                )
            raise StopIteration
        return frame


def _read_animation(path: Path) -> Animation | None:
    data = _read_file(path)
    animation = read_animation(data.tobytes()) if _may_move(data) else None
    return animation if animation is not None and len(animation.parts) > 1 else None


def _may_move(data: npt.NDArray[np.uint8]) -> bool:
    """Return whether a file may be an animation, by its first bytes."""
    start = data[:16].tobytes()
    return start[:8] == b"\x89PNG\r\n\x1a\n" or start[8:] == b"WEBPVP8X"


class _Video(Source):
    """Every frame of a video, read by FFmpeg.

    Time stamps are the container's; where they do not increase, `humanrt.sources.stamps` repairs them.
    """

    def __init__(self, name: str, opened: str) -> None:
        """Open the video.

        Args:
            name: name for messages and recordings.
            opened: what FFmpeg opens.
        """
        self._opened = opened
        self._video = cv2.VideoCapture(opened, cv2.CAP_FFMPEG)
        self._turn = self._turn_of_container()
        # Phone videos are shown upright here; not every OpenCV does that, and none handles mirrored ones.
        self._video.set(cv2.CAP_PROP_ORIENTATION_AUTO, float(self._turn is None))
        fps = float(self._video.get(cv2.CAP_PROP_FPS))
        fps = fps if 0 < fps <= 1000 else math.nan
        count = self._video.get(cv2.CAP_PROP_FRAME_COUNT)
        super().__init__(name, (0, 0), None if math.isnan(fps) else fps, int(count) if 0 < count < 1e9 else None)
        self._step = 1.0 / (self.fps or FALLBACK_FPS)
        self._stamp = -math.inf
        self._t = 0.0
        self._index = 0
        self._pictures = increasing(self._read(), self._step)
        self._ahead = self._deliver()  # read now, so that a bad file fails at opening and the size is correct
        if self._ahead is None:
            self.close()
            raise SourceError(f"{name}: {self._why_nothing()}")
        height, width = self._ahead.image.shape[:2]
        self.size = (width, height)

    def __next__(self) -> Frame:
        frame, self._ahead = self._ahead, None
        if frame is None:
            frame = self._deliver()
        if frame is None:
            if self._video.isOpened():
                self._check_complete()
            raise StopIteration
        return frame

    def skip(self, count: int) -> None:
        # Decoded one by one: seeking is not exact in every container, nor are the time stamps after it.
        if count > 0 and self._ahead is not None:
            self._ahead, count = None, count - 1
        for _ in range(count):
            picture = next(self._pictures, None)
            if picture is None:
                return
            self._t = picture[1]
            self._index += 1

    def _deliver(self) -> Frame | None:
        picture = next(self._pictures, None)
        if picture is None:
            return None
        bgr, self._t = picture
        image = _rgb(bgr)
        frame = Frame(
            image if self._turn is None else np.asarray(turned(image, self._turn), np.uint8), self._t, self._index
        )
        self._index += 1
        return frame

    def _read(self) -> Iterator[tuple[npt.NDArray[np.generic], float]]:
        """Yield pictures as they are stored, and the container's time stamps in seconds."""
        while True:
            ok, image = self._video.read()
            if not ok:
                return
            stamp = float(self._video.get(cv2.CAP_PROP_POS_MSEC)) / 1000
            if stamp > self._stamp:
                self._stamp = stamp
            yield image, stamp

    def _turn_of_container(self) -> Turn | None:
        """Return the display orientation; None leaves it to FFmpeg, which does not handle mirroring."""
        raise NotImplementedError

    def _why_nothing(self) -> str:
        """Return the message for a video that yields no picture."""
        raise NotImplementedError

    def _check_complete(self) -> None:
        """Raise SourceError if the video ended too early."""
        raise NotImplementedError

    def _lacks(self, frames: int | None, seconds: float | None = None) -> bool:
        """Return whether too few of the declared frames were read, both by their number and by their time.

        Either alone occurs in intact files: a frame or two that cannot be decoded without others, or a variable frame
        rate with which the declared duration is not exact.
        """
        if frames is None:
            return False
        seconds = frames * self._step if seconds is None else seconds
        late = seconds - (self._t + self._step)
        return frames - self._index > max(5, 0.02 * frames) and late > max(0.25, 0.02 * seconds)

    def _breaks_off(self, frames: int | None) -> SourceError:
        of, of_seconds = "", ""
        if frames is not None and frames > self._index:
            of, of_seconds = f" of {frames}", f" of {frames * self._step:.1f} s"
        return SourceError(
            f"{self.name}: truncated after frame {self._index}{of} "
            f"({self._t + self._step:.1f} s{of_seconds}); the frames before it were used, "
            "copy the file again to get the rest"
        )

    def close(self) -> None:
        self._video.release()
        self._ahead = None


class _VideoFile(_Video):
    """A video file.

    It counts as truncated, and a SourceError follows its last readable frame, if its container ends in the middle of an
    element, or declares an exact number of frames and clearly fewer are read. Most containers only allow an estimate,
    which includes sound that continues after the picture: it is not used for this.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container = read_container(path)
        name = printable(str(path))
        if self._container is not None and self._container.kind in _TRACKS_KNOWN and self._container.video is None:
            raise SourceError(f"{name}: {_why_no_video(path, self._container)}")
        with name_for_opencv(path) as opened:
            super().__init__(name, opened)

    def _turn_of_container(self) -> Turn | None:
        return self._container.turn if self._container else None

    def _why_nothing(self) -> str:
        return _why_no_video(self._path, self._container)

    def _check_complete(self) -> None:
        extent = read_extent(self._path)
        exact = extent.frames
        if exact is None and self._container is not None and self._container.kind == "AVI":
            exact = self.frame_count
        if extent.cut and (exact is None or self._index < exact):
            raise self._breaks_off(exact or self.frame_count)
        if self._lacks(exact, extent.seconds):
            raise self._breaks_off(exact)


class _RemoteVideo(_Video):
    """A video file at an address.

    Its container is read only if FFmpeg does not tell enough: the display orientation of rotated videos, why no frame
    was read, and whether all frames were.
    """

    def __init__(self, address: str) -> None:
        super().__init__(redacted_address(address), address)

    def _turn_of_container(self) -> Turn | None:
        """Return the display orientation, only if FFmpeg finds a rotation: it mistakes mirroring for half a turn."""
        if not self._video.get(cv2.CAP_PROP_ORIENTATION_META):
            return None
        container = read_container(self._opened)
        return container.turn if container else None

    def _why_nothing(self) -> str:
        container = read_container(self._opened)
        if container is None or not container.index:
            return "this address delivers no video; check it with `ffprobe`"
        return _why_not_decoded(container)

    def _check_complete(self) -> None:
        if not self._lacks(self.frame_count):
            return
        extent = read_extent(self._opened)
        cut = extent.cut and (extent.frames is None or self._index < extent.frames)
        if cut or self._lacks(extent.frames, extent.seconds) or self._goes_on():
            raise self._breaks_off(extent.frames or self.frame_count)

    def _goes_on(self) -> bool:
        """Return whether the address, opened again, has a frame after the last one, or cannot be read any more."""
        again = cv2.VideoCapture(self._opened, cv2.CAP_FFMPEG)
        try:
            if not again.isOpened():
                return True
            again.set(cv2.CAP_PROP_POS_MSEC, (self._stamp + self._step) * 1000)
            for _ in range(self._index + 10):  # the whole file again, if the server does not support ranges
                if not again.grab():
                    return False
                if float(again.get(cv2.CAP_PROP_POS_MSEC)) / 1000 > self._stamp + self._step / 2:
                    return True
        finally:
            again.release()
        return False


# Containers that tell whether they contain video before FFmpeg opens them; FFmpeg mistakes cover art for video.
_TRACKS_KNOWN = frozenset(
    ("MP4", "Matroska", "ASF", "Ogg", "WAV", "MP3", "MPEG audio", "FLAC", "AIFF", "AMR", "CAF", "MIDI")
)


def _why_no_video(path: Path, container: Container | None) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        return f"cannot be read ({error.strerror}); check its permissions"
    if container is None:
        return f"not a readable video ({_looks_like(head)}); copy it again or convert it with `ffmpeg`"
    if not container.index:
        if head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"):
            return "a picture (HEIF or AVIF), not a video; convert it to JPEG or PNG"
        return "a truncated MP4: its index is missing; copy it again or repair it with `untrunc`"
    return _why_not_decoded(container)


def _why_not_decoded(container: Container) -> str:
    if container.video is None:
        only = ", only sound" if container.sound else ""
        return f"no video in this file{only} ({container.kind}); give a video or an image"
    if container.video == "encrypted":
        return "its video is encrypted; give a copy that is not"
    codec = "" if container.video == "unknown" else f" ({container.video})"
    return f"its codec{codec} cannot be decoded here; convert it: `ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4`"


# --- live sources ---


class Grabber(Protocol):
    """Device driven by the thread of `LatestFrame`: a camera, a stream, or a test double."""

    name: str
    size: tuple[int, int]
    fps: float | None

    def open(self) -> None:
        """Open the device and set size and fps. Raises SourceError."""

    def read(self) -> tuple[Image, float] | None:
        """Wait for the next image: RGB uint8 [H, W, 3] and its `time.monotonic()`; None at the regular end.

        Raises:
            SourceError: the device is gone.
        """

    def stop(self) -> None:
        """Make a waiting read return early, if possible. Called from another thread."""

    def close(self) -> None:
        """Release the device. Called from the thread that reads."""


class LatestFrame(Source):
    """Live source: a thread grabs frames, only the latest is kept, those overwritten unread are counted."""

    live = True

    def __init__(self, grabber: Grabber, *, max_age: float = CAMERA_MAX_AGE) -> None:
        """Open the grabber and wait for its first frame.

        Args:
            grabber: the device.
            max_age: seconds; a frame older than that, or none for that long, is an error and never silently used.
        """
        self._grabber = grabber
        self._max_age = max_age
        self._changed = threading.Condition()
        self._slot: Frame | None = None
        self._end: BaseException | None = None  # why the thread stopped; StopIteration at the regular end
        self._stop = False
        grabber.open()
        super().__init__(grabber.name, grabber.size, grabber.fps)
        self._thread = threading.Thread(target=self._grab, name=f"capture {self.name}", daemon=True)
        self._thread.start()
        self._await_first()

    def _await_first(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._slot or self._end, OPEN_TIMEOUT)
            first, end = self._slot, self._end
        if first is not None:
            height, width = first.image.shape[:2]
            self.size = (width, height)
        elif isinstance(end, SourceError):
            raise end
        else:
            self.close()
            raise SourceError(
                f"{self.name}: opened but delivered no frame for {OPEN_TIMEOUT:.0f} s; check that no other program "
                "uses it"
            )

    def _grab(self) -> None:
        end: BaseException = StopIteration()
        index = 0
        try:
            while (got := self._grabber.read()) is not None:
                with self._changed:
                    if self._stop:
                        break
                    self.dropped += self._slot is not None
                    self._slot = Frame(*got, index)
                    self._changed.notify_all()
                index += 1
        except BaseException as error:  # handed over to the consumer
            end = error
        finally:
            self._grabber.close()
            with self._changed:
                self._end = end
                self._changed.notify_all()

    def __next__(self) -> Frame:
        with self._changed:
            timeout = None if math.isinf(self._max_age) else self._max_age
            self._changed.wait_for(lambda: self._slot or self._end or self._stop, timeout)
            if self._stop:
                raise StopIteration
            frame, self._slot = self._slot, None
            if frame is None and self._end is not None:
                raise self._end
        if frame is None or time.monotonic() - frame.t > self._max_age:
            raise SourceError(
                f"{self.name}: stalled, no new frame for {self._max_age:g} s; "
                "check its cable or network, then start again"
            )
        return frame

    def close(self) -> None:
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        self._grabber.stop()
        # A read that blocks in a driver returns later; the thread then closes the device.
        self._thread.join(timeout=2.0)


class _PacedGrabber:
    """A file played at its own pace, with time stamps like a camera's."""

    def __init__(self, source: Source) -> None:
        self.name, self.size, self.fps = source.name, source.size, source.fps
        self._stop = threading.Event()
        self._source = source
        self._start: float | None = None

    def open(self) -> None:
        pass

    def read(self) -> tuple[Image, float] | None:
        frame = next(self._source, None)
        if frame is None:
            return None
        if self._start is None:
            self._start = time.monotonic() - frame.t
        due = self._start + frame.t
        self._stop.wait(max(0.0, due - time.monotonic()))
        return frame.image, due

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self._source.close()


class _StreamGrabber:
    """A network stream, read by FFmpeg."""

    def __init__(self, url: str) -> None:
        self.name = redacted_address(url)  # no password in messages and recordings
        self.size = (0, 0)
        self.fps: float | None = None
        self._url = url
        self._index = 0
        self._video = cv2.VideoCapture()

    def open(self) -> None:
        limit = int(OPEN_TIMEOUT * 1000)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
        if not self._video.open(self._url, cv2.CAP_FFMPEG, limits):
            raise SourceError(f"{self.name}: this address delivers no video; check it with `ffprobe`")
        fps = self._video.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else None

    def read(self) -> tuple[Image, float] | None:
        image = _grab(self._video)
        if image is None:
            raise SourceError(
                f"{self.name}: the stream ended after frame {self._index}; check its sender and the network"
            )
        self._index += 1
        return image

    def stop(self) -> None:
        pass  # OpenCV cannot be interrupted

    def close(self) -> None:
        self._video.release()


class _CameraGrabber:
    """A local camera."""

    def __init__(self, index: int, size: tuple[int, int] | None, fps: float | None) -> None:
        self.name = f"camera {index}"
        self.size = (0, 0)
        self.fps: float | None = None
        self._device = index
        self._asked = (size, fps)
        self._index = 0
        self._video = cv2.VideoCapture()

    def open(self) -> None:
        linux = sys.platform == "linux"
        path = DEVICES / f"video{self._device}"
        if linux and not path.exists():
            raise SourceError(f"{self.name}: {path} does not exist; {_present()}")
        if linux and not os.access(path, os.R_OK | os.W_OK):
            raise SourceError(f"{self.name}: no permission for {path}; {_JOIN_VIDEO}")
        if not self._video.open(self._device, cv2.CAP_V4L2 if linux else cv2.CAP_ANY):
            raise SourceError(
                f"{self.name}: cannot be opened; see whether another program uses it (`fuser {path}`); " + _present()
            )
        size, fps = self._asked
        if size is not None or fps is not None:
            # Uncompressed, USB 2 cameras reach only a few frames a second at large sizes.
            self._video.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        if size is not None:
            self._video.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            self._video.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        if fps is not None:
            self._video.set(cv2.CAP_PROP_FPS, fps)
        # Two, not one: with a single buffer the driver has nowhere to write while we decode, and halves its
        # rate. This adds no delay, because the thread takes each frame as soon as it arrives.
        self._video.set(cv2.CAP_PROP_BUFFERSIZE, 2)
        self.size = (
            int(self._video.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._video.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        rate = float(self._video.get(cv2.CAP_PROP_FPS))
        self.fps = rate if 0 < rate <= 1000 else None
        try:
            check_mode(self.name, path, asked=self._asked, given=(self.size, self.fps))
        except SourceError:
            self.close()
            raise

    def read(self) -> tuple[Image, float] | None:
        image = _grab(self._video)
        if image is None:
            raise SourceError(f"{self.name}: disconnected after frame {self._index}; plug it in and start again")
        self._index += 1
        return image

    def stop(self) -> None:
        pass  # OpenCV cannot be interrupted

    def close(self) -> None:
        self._video.release()


def _grab(video: cv2.VideoCapture) -> tuple[Image, float] | None:
    """Return the next image that can be decoded, and its arrival time; None if there are no more."""
    while video.grab():
        arrived = time.monotonic()
        ok, image = video.retrieve()
        if ok:  # a single damaged frame is a dropped frame, not the end
            return _rgb(image), arrived
    return None


def check_mode(
    name: str,
    path: Path,
    *,
    asked: tuple[tuple[int, int] | None, float | None],
    given: tuple[tuple[int, int], float | None],
) -> None:
    """Raise SourceError if a camera was asked for a (size, fps) and silently chose another."""
    (size, fps), (got_size, got_fps) = asked, given
    if (size is None or size == got_size) and (fps is None or got_fps is None or abs(fps - got_fps) < 0.5):
        return
    wanted = [f"{size[0]}x{size[1]}"] if size else []
    wanted += [f"{fps:g} fps"] if fps else []
    got = f"{got_size[0]}x{got_size[1]} at {got_fps or 0:g} fps"
    raise SourceError(
        f"{name}: delivers {got} instead of the requested {' at '.join(wanted)}; "
        f"`v4l2-ctl --device {path} --list-formats-ext` lists its modes"
    )


# --- which cameras there are ---

DEVICES = Path("/dev")
_JOIN_VIDEO = "`sudo usermod -aG video $USER`, then log in again"


@dataclass(frozen=True)
class Camera:
    """A camera of this machine; ``problem``: why it cannot be used and the command that fixes it, or None."""

    index: int
    path: Path
    name: str
    problem: str | None = None


def list_cameras() -> list[Camera]:
    """Return the cameras of a Linux machine, by index; elsewhere empty, since OpenCV cannot list them there."""
    cameras = []
    for path in sorted(DEVICES.glob("video[0-9]*"), key=_natural):
        index = int(path.name[len("video") :])
        with contextlib.suppress(OSError):
            name_file = Path("/sys/class/video4linux", path.name, "name")
            name = name_file.read_text().strip() if name_file.exists() else path.name
            if not os.access(path, os.R_OK | os.W_OK):
                cameras.append(Camera(index, path, name, f"no permission; {_JOIN_VIDEO}"))
            elif _captures(path):
                cameras.append(Camera(index, path, name))
    return cameras


def _captures(path: Path) -> bool:
    """Return whether a video device delivers images: a webcam has a second device, for metadata."""
    import fcntl  # Linux only, as are these devices

    capability = bytearray(104)  # struct v4l2_capability; its device_caps are at 88
    with path.open("rb", buffering=0) as device:
        fcntl.ioctl(device, 0x80685600, capability)  # VIDIOC_QUERYCAP
    return bool(int.from_bytes(capability[88:92], sys.byteorder) & 0x1001)  # CAPTURE, or CAPTURE_MPLANE


def _present() -> str:
    cameras = list_cameras()
    if not cameras:
        return "no camera is present: plug one in, or give a video file"
    return "cameras present: " + ", ".join(f"{c.index} ({c.name})" for c in cameras)
