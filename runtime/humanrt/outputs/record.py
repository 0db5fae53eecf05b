"""Recordings: a header line, then one JSON line per frame.

Whole lines go straight to the file, so that everything written before a crash, a kill or a full disk stays readable.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from humanrt.errors import OutputError, SourceError
from humanrt.outputs.base import Image, Output
from humanrt.outputs.tracks import Tracks, tracks_of
from humanrt.perception.pipeline import Result
from humanrt.resource import Resource

__all__ = ["RECORDING_SUFFIX", "Recorder", "Recording", "json_line", "read_recording"]

RECORDING_SUFFIX = ".jsonl"

PIXELS = 2  # decimals: 0.01 px
METRES_AND_RADIANS = 5  # decimals: 0.01 mm, 0.0006 degrees


class Recorder(Resource, Output):
    """Writes a recording.

    The file is opened only when the first frame is written: a run that fails earlier leaves an older recording alone.
    Numbers are rounded to 0.01 px for keys ending in ``_2d`` and to 1e-5 (metres, radians, seconds) elsewhere; JSON has
    no NaN or infinity, so those become null.

    Args:
        path: the file to write.
        header: the first line, {"humanrt": VERSION, "robots": {NAME: [joint names]}, ...}; None if `start` supplies it.

    Raises:
        OutputError: the folder is missing or not writable, or the disk is full.
    """

    def __init__(self, path: str | Path, header: Mapping[str, Any] | None = None) -> None:
        """Take the path and the header; open nothing yet."""
        self.path = Path(path)
        self.frames = 0
        self._header = b"" if header is None else json_line(header)
        self._file: int | None = None
        self._bytes = 0
        self._closed = False
        check_writable(self.path)

    def start(self, header: Mapping[str, Any]) -> None:
        """Set the header line, which is written together with the first frame."""
        self._header = json_line(header)

    def put(self, result: Result, picture: Image | None) -> bool:
        """Append a result."""
        self.write(result.record())
        return True

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one frame, whose values are numbers, strings, lists, mappings and arrays."""
        if self._closed:
            raise ValueError("recorder is closed")
        if not self._header:
            raise ValueError("a recording begins with its header: give it to Recorder, or call start(header)")
        line = json_line(record)
        if self._file is None:
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
                self._file = os.open(self.path, flags, 0o666)
            except OSError as error:
                raise OutputError(f"{self.path}: cannot be written ({error.strerror}); choose another path") from None
            line = self._header + line
        self._append(self._file, line)
        self._bytes += len(line)
        self.frames += 1

    def _append(self, file: int, line: bytes) -> None:
        # One write per line, unbuffered: however this process ends, the file ends with a complete line.
        written = 0
        try:
            while written < len(line):
                written += os.write(file, line[written:])
        except OSError as error:
            with contextlib.suppress(OSError):  # pipes cannot do this
                os.ftruncate(file, self._bytes)
            self.close()
            raise OutputError(
                f"{self.path}: writing stopped after {self.frames} frames ({error.strerror}); "
                "they stay readable, free some space or choose another disk"
            ) from None

    def close(self) -> None:
        """End the recording. May be called twice."""
        self._closed = True
        if self._file is not None:
            os.close(self._file)
            self._file = None


def check_writable(path: Path) -> None:
    """Raise OutputError if a file at this path could not be created or replaced; create nothing."""
    folder = path.parent
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file")
    if not folder.is_dir():
        raise OutputError(f"{path}: no folder {folder}; make it first: `mkdir -p {folder}`")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise OutputError(f"{path}: no permission to write there; choose another folder")


def check_apart(outputs: Mapping[str, Path], inputs: Mapping[str, Iterable[Path]]) -> None:
    """Check that no output is also an input or another output, under any name or link.

    Args:
        outputs: the files to be written, by the option that names them.
        inputs: the files to be read, by a description of what they are.

    Raises:
        OutputError: an output is also an input or another output.
    """
    read = [(what, file) for what, files in inputs.items() for file in files]
    for option, path in outputs.items():
        for what, file in read:
            if _same_file(path, file):
                raise OutputError(f"{option} {path}: is {what} ({file}), which it would replace; choose another name")
    named = list(outputs.items())
    for i, (option, path) in enumerate(named):
        for earlier, other in named[:i]:
            if _same_file(path, other):
                raise OutputError(
                    f"{option} {path}: is also the file of {earlier}; choose another name for one of them"
                )


def _same_file(a: Path, b: Path) -> bool:
    """Return whether two paths lead to the same file, which need not exist yet."""
    with contextlib.suppress(OSError, ValueError):
        if os.path.samefile(a, b):  # noqa: PTH121 - Path.samefile raises the same errors
            return True
    try:
        return os.path.normcase(os.path.realpath(a)) == os.path.normcase(os.path.realpath(b))
    except (OSError, ValueError):
        return False


def json_line(record: Mapping[str, Any]) -> bytes:
    """Return a header or a frame as a line of a recording: numbers rounded, arrays as lists, NaN as null."""
    text = json.dumps(_plain(record, METRES_AND_RADIANS), separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def _plain(value: Any, decimals: int) -> Any:
    """Convert a value to what json can write: arrays to lists, numbers rounded, NaN and infinity to None."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v, PIXELS if str(k).endswith("_2d") else decimals) for k, v in value.items()}
    if isinstance(value, str | int | None):  # including bool
        return value
    if isinstance(value, float):
        return round(value, decimals) if np.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(v, decimals) for v in value]
    if isinstance(value, Path):
        return str(value)
    array = np.asarray(value)
    if array.dtype.kind == "f":
        # Round as float64: a rounded float32 would be written with all the digits of its double.
        array = np.round(array.astype(np.float64), decimals)
        if not np.isfinite(array).all():
            array = np.where(np.isfinite(array), array, None)  # type: ignore[call-overload]
    elif array.dtype.kind not in "biu":
        raise TypeError(f"a recording cannot hold {type(value).__name__}")
    return array.tolist()


class Recording:
    """A recording opened for reading: iterate over it, once, for the records of the frames, or take its `tracks`.

    Attributes:
        header: the first line.
        truncated: whether the last line was cut off while being written; known once the end is reached. That line is
            left out.

    Raises:
        SourceError: anything else is wrong; the message names the line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.truncated = False
        self._lines = self._read()
        first = next(self._lines, None)
        if first is None or "humanrt" not in first:
            raise SourceError(f"{path}: not a recording (its first line is not a humanrt header); check the name")
        self.header: dict[str, Any] = first

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._lines

    def tracks(self) -> Tracks:
        """Return the frames that were not iterated over yet as arrays, one track per identity.

        Raises:
            SourceError: a frame is not as recordings have them; the message names it.
        """
        return tracks_of(self.path, self.header, self)

    def _read(self) -> Iterator[dict[str, Any]]:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read ({error.strerror}); check the name") from None
        with file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    self.truncated = True
                    return
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    record = None
                if not isinstance(record, dict):
                    if number == 1:
                        return  # another file: it has no header
                    raise SourceError(f"{self.path}: line {number} is not a JSON object; delete that line")
                yield record


def read_recording(path: str | Path) -> Recording:
    """Open a recording; read `.header`, then iterate over its records, or take all as arrays with `.tracks()`."""
    return Recording(path)
