"""H.264 in MP4, which plays everywhere: browsers, chats, notebooks. By PyAV, the extra ``video``.

While it is written the file is fragmented, so that what was written is playable whatever happens. When it is finished
it becomes a plain MP4 with its index in front (faststart), and gets the sound of the source.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import OutputError

__all__ = ["H264Writer", "h264_is_available"]

_ENCODERS = ("libx264", "libopenh264")
_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
_FASTSTART = {"movflags": "faststart"}
# The fastest of its settings: films as large as MPEG-4 Part 2 makes them, for 1.4 times its processor time.
_X264 = {"preset": "ultrafast", "crf": "23"}
_SECONDS_PER_FRAGMENT = 1.0


def h264_is_available() -> bool:
    """Return whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


class H264Writer:
    """Writes pictures of one size at a constant rate. Has the methods of `cv2.VideoWriter` that `VideoSink` uses.

    Args:
        path: the file, which is replaced.
        fps: frames per second.
        size: (width, height) px.
        sound: a media file whose first sound track goes with the pictures, from its beginning; None: none.

    Raises:
        OutputError: the file cannot be written, or PyAV has no encoder for H.264.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int], sound: Path | None = None) -> None:
        import av

        self._av: Any = av
        self._path, self._sound = path, sound
        self._rate = Fraction(fps).limit_denominator(10_000)
        self._frames = 0
        try:
            path.open("wb").close()  # PyAV opens the file only with the first picture
            self._file = av.open(str(path), "w", format="mp4", options=_FRAGMENTED)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror}); check the folder's permissions, or name another"
            ) from None
        self._stream = self._add_stream(size)

    def _add_stream(self, size: tuple[int, int]) -> Any:
        for name in _ENCODERS:
            try:
                stream = self._file.add_stream(name, rate=self._rate)
            except (ValueError, LookupError):  # not in this build of PyAV
                continue
            # Colours are stored at half the resolution: sizes are even.
            stream.width, stream.height = (side + side % 2 for side in size)
            stream.pix_fmt = "yuv420p"
            stream.codec_context.gop_size = max(1, round(float(self._rate) * _SECONDS_PER_FRAGMENT))
            if name == "libx264":
                stream.options = dict(_X264)
            return stream
        self._file.close()
        raise OutputError(f"{self._path}: this build of PyAV has no encoder for H.264; pip install --upgrade av")

    def write(self, bgr: NDArray[np.uint8]) -> None:
        """Add a picture, BGR uint8 [H, W, 3]. OutputError if it cannot be written."""
        height, width = bgr.shape[:2]
        if height % 2 or width % 2:
            bgr = np.pad(bgr, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(bgr), format="bgr24")
        frame.pts, frame.time_base = self._frames, 1 / self._rate
        self._frames += 1
        with self._writing():
            self._file.mux(self._stream.encode(frame))

    def release(self) -> None:
        """Finish the file. OutputError if it is not complete."""
        with self._writing():
            self._file.mux(self._stream.encode(None))
            self._file.close()
        part = self._path.with_name(f".{self._path.stem}-{os.getpid()}.part.mp4")
        try:
            self._rewrite(part)
            part.replace(self._path)
        except (OSError, self._av.error.FFmpegError):
            pass  # no room for a second copy: the fragmented file plays too
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Any:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self._path}: writing stopped after {self._frames} frames ({error.strerror}); the first ones stay "
                "playable, free some space or choose another disk"
            ) from None

    def _rewrite(self, part: Path) -> None:
        """Write the file anew, with its index in front and the source's sound; nothing is encoded again."""
        with contextlib.ExitStack() as stack:
            pictures = stack.enter_context(self._av.open(str(self._path)))
            result = stack.enter_context(self._av.open(str(part), "w", format="mp4", options=_FASTSTART))
            video = pictures.streams.video[0]
            sound = self._open_sound(stack)
            outputs = {video: result.add_stream_from_template(video)}
            if sound is not None:
                outputs[sound.streams.audio[0]] = result.add_stream_from_template(sound.streams.audio[0])
            end = self._frames / self._rate
            for container in (pictures, *([sound] if sound is not None else [])):
                for packet in container.demux(*(stream for stream in container.streams if stream in outputs)):
                    if packet.dts is None or (container is sound and packet.pts * packet.time_base > end):
                        continue
                    packet.stream = outputs[packet.stream]
                    result.mux(packet)

    def _open_sound(self, stack: contextlib.ExitStack) -> Any:
        """Return the source with its sound track open, if MP4 can hold that; None without one."""
        if self._sound is None:
            return None
        try:
            source = stack.enter_context(self._av.open(str(self._sound)))
        except (OSError, self._av.error.FFmpegError):
            return None
        tracks = source.streams.audio
        return source if tracks and tracks[0].codec_context.name in ("aac", "mp3", "ac3", "opus", "flac") else None
