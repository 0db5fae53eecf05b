"""Outputs for pictures: MP4 video and single images.

The video is H.264 where PyAV is installed (`humanrt.outputs.h264`, the extra ``video``). Otherwise it is MPEG-4 Part 2
(`mp4v`), which every OpenCV wheel can write into MP4, and browsers do not play: for licence reasons the wheels have no
H.264 encoder, and their VP9 takes 30 ms per frame.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import cv2
import numpy as np

from humanrt.drawing.draw import fit
from humanrt.errors import HumanrtError, OutputError
from humanrt.outputs.base import Image, Output
from humanrt.outputs.h264 import H264Writer, h264_is_available
from humanrt.outputs.record import check_writable
from humanrt.perception.pipeline import Result
from humanrt.resource import Resource
from humanrt.sources.file_name import name_for_opencv
from humanrt.sources.opening import FALLBACK_FPS

__all__ = ["ImageSink", "Sink", "VideoSink", "open_sink"]

RESERVE = 4 << 20  # bytes of disk space kept free, so that a file can always be finished properly
MAX_GAP = 10.0  # seconds
MIN_FPS = 0.01  # fps, the lowest that the container can hold


Codec = Literal["h264", "mp4v"]

MP4V = cv2.VideoWriter.fourcc(*"mp4v")


def _rates(fps: float) -> Iterator[float]:
    """Yield the requested frame rate, then nearby ones that need a coarser clock.

    MPEG-4 Part 2 counts time in units of 1/65535 s at best. OpenCV writes a frame rate as N / 10^k, to 0.001 fps, and
    refuses one whose N is above 65535 (66.667, 333.33). Pictures keep their time at any frame rate.
    """
    yield fps
    for decimals in (2, 1, 0):
        if round(fps, decimals) > 0:
            yield round(fps, decimals)
    yield MIN_FPS


class Sink(Output, Protocol):
    """Takes pictures, RGB uint8 [H, W, 3], at t seconds on one clock of any origin. Use in `with`, or as an output."""

    def write(self, image: Image, t: float | None = None) -> None:
        """Add a picture. Raises OutputError if it cannot be written."""

    def close(self) -> None:
        """Finish the file. Raises OutputError if it is not complete."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_sink(path: str | Path, fps: float | None = None) -> Sink:
    """Open a VideoSink for .mp4 (fps None: that of the header, or 30), an ImageSink for .png and .jpg.

    Raises:
        OutputError: the suffix is another.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".mp4":
        return VideoSink(path, fps)
    if suffix in (".png", ".jpg", ".jpeg"):
        return ImageSink(path)
    raise OutputError(f"{path}: '{suffix}' cannot be written; name it .mp4, or .png or .jpg for one image")


class _Closing(Resource, Output):
    def write(self, image: Image, t: float | None = None) -> None:
        """Add a picture."""
        raise NotImplementedError

    def put(self, result: Result, picture: Image | None) -> bool:
        """Add the picture of a result, or the frame itself if nothing was drawn."""
        self.write(result.frame.image if picture is None else picture, result.frame.t)
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:  # the first error is the one to report
            with contextlib.suppress(OutputError):
                self.close()


class VideoSink(_Closing):
    """An MP4 file of constant frame rate.

    With time stamps, pictures keep their time: a late picture is preceded by repeats of the previous one, an early one
    is left out. Gaps over 10 s are shortened to 10 s. Without time stamps every picture is written once. The file is
    replaced only when the first picture arrives.

    The first picture sets the size of the video. Pictures of another size (a folder may hold some) are fitted into it
    whole, keeping their aspect ratio, centred, with dark bars around them.

    If the process dies, the file stays playable and lacks at most its last 256 KiB, about a second of camera pictures.
    OpenCV chooses the container only by the name of the file, and its ISM variant of MP4 is the one written in
    fragments, so the writer gets a link with such a name. Where no link can be made (Windows), the MP4 is a plain one,
    readable once closed.

    Args:
        path: the file to write.
        fps: frame rate; None is that of the source, from the header passed to `start`, or 30 if it is unknown.
        codec: ``h264`` (PyAV) or ``mp4v`` (OpenCV); None: H.264 where PyAV is installed. H.264 files get the sound of
            the source that the header names.
    """

    def __init__(self, path: str | Path, fps: float | None = None, *, codec: Codec | None = None) -> None:
        """Take the path, the frame rate and the codec; open nothing yet."""
        self.path = Path(path)
        self.codec: Codec = codec or ("h264" if h264_is_available() else "mp4v")
        self._sound: Path | None = None
        self.fps = fps or FALLBACK_FPS
        self._given = fps is not None
        self.frames = 0
        self._writer: cv2.VideoWriter | H264Writer | None = None
        self._fragmented = False
        self._size = (0, 0)
        self._last: Image | None = None
        self._start: float | None = None
        self._closed = False
        check_writable(self.path)

    def start(self, header: Mapping[str, Any]) -> None:
        """Take the frame rate of the source if none was given."""
        if not self._given:
            self.fps = header.get("fps") or FALLBACK_FPS
        source = header.get("source")
        with contextlib.suppress(OSError, ValueError):  # an address, or no name of a file
            self._sound = Path(source) if isinstance(source, str) and Path(source).is_file() else None

    def write(self, image: Image, t: float | None = None) -> None:
        """Add a picture, RGB uint8 [H, W, 3]; ``t`` is in seconds on one clock of any origin."""
        if self._closed:
            raise ValueError("video is closed")
        height, width = image.shape[:2]
        if self._writer is None:
            self._writer = self._open(width, height)
        turn = self.frames if t is None else self._turn(t)
        if turn < self.frames:
            return
        bgr = np.asarray(cv2.cvtColor(fit(image, *self._size), cv2.COLOR_RGB2BGR), np.uint8)
        while self.frames < turn and self._last is not None:
            self._put(self._writer, self._last)
        self._put(self._writer, bgr)
        self._last = bgr

    def _turn(self, t: float) -> int:
        """Return the index of the video frame that shows time t."""
        if self._start is None:
            self._start = t - self.frames / self.fps
        gap = t - self._start - self.frames / self.fps
        if gap > MAX_GAP:
            self._start += gap - MAX_GAP
        return round((t - self._start) * self.fps)

    def _put(self, writer: cv2.VideoWriter | H264Writer, bgr: Image) -> None:
        # OpenCV does not report failed writes: stop while there is room for the end of the file.
        if shutil.disk_usage(self.path.parent).free < RESERVE:
            self.close()
            raise OutputError(f"{self.path}: disk full after {self.frames} frames; they stay playable, free some space")
        writer.write(bgr)
        self.frames += 1

    def _open(self, width: int, height: int) -> cv2.VideoWriter | H264Writer:
        self._size = (width, height)
        if self.codec == "h264":
            self.fps = max(self.fps, MIN_FPS)
            return H264Writer(self.path, self.fps, self._size, self._sound)
        with ExitStack() as stack:
            try:
                name = stack.enter_context(name_for_opencv(self.path.resolve(), suffix=".ismv"))
                self._fragmented = True
            except HumanrtError:
                name = stack.enter_context(name_for_opencv(self.path))
            for rate in _rates(self.fps):
                writer = cv2.VideoWriter(name, cv2.CAP_FFMPEG, MP4V, rate, self._size)
                if writer.isOpened():
                    self.fps = rate
                    return writer
        raise OutputError(
            f"{self.path}: no {width}x{height} video at {self.fps:g} fps can be written there; "
            "check the folder's permissions, or name another"
        )

    def close(self) -> None:
        """Finish the file. Raises OutputError if not all of it could be written. May be called twice."""
        self._closed = True
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.release()
        if self._fragmented and not self._finish():
            raise OutputError(
                f"{self.path}: not all of its {self.frames} frames could be written; the first ones stay "
                "playable, free some space or choose another disk"
            )

    def _finish(self) -> bool:
        """Return whether the file is complete, ending in an index of its fragments (mfra, closed by mfro)."""
        with self.path.open("r+b") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16))
            complete = file.read(8) == b"\x00\x00\x00\x10mfro"
            if complete:  # label it as MP4, not as Smooth Streaming: some players go by the label
                file.seek(8)
                file.write(b"iso6\x00\x00\x02\x00iso6mp41")
        return complete


class ImageSink(_Closing):
    """Writes one PNG or JPEG atomically."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._written = False
        check_writable(self.path)

    def write(self, image: Image, t: float | None = None) -> None:
        """Write the picture, RGB uint8 [H, W, 3]; ``t`` is not used."""
        if self._written:
            raise OutputError(f"{self.path}: this format holds one image, but there are more; name it .mp4")
        _, data = cv2.imencode(self.path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        part = self.path.with_name(self.path.name + ".part")
        try:
            part.write_bytes(data.tobytes())
            part.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise OutputError(f"{self.path}: cannot be written ({error.strerror}); choose another path") from None
        self._written = True

    def close(self) -> None:
        """Do nothing: `write` has finished the file."""
