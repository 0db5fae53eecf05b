"""Poses of files that are put into an index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.coach.poses import body_pose, load_track
from humanrt.errors import InvalidInputError, SourceError
from humanrt.outputs.record import RECORDING_SUFFIX, read_recording
from humanrt.search.store import ROW

__all__ = ["FilePoses", "files_in", "poses_of", "sha256_of"]


@dataclass(frozen=True)
class FilePoses:
    """The poses of a file: each person's one after the other, in time.

    Attributes:
        poses: [N, 22, 3, 3], see `humanrt.coach.poses.body_pose`.
        rows: [N] of `humanrt.search.store.ROW`.
    """

    poses: NDArray[np.float64]
    rows: NDArray[Any]


def poses_of(path: Path) -> FilePoses:
    """Read a recording of people, or a movement (.npz). Frames that were only filled in are left out.

    Raises:
        SourceError: the file cannot be read, or holds no people.
    """
    if path.suffix.lower() != RECORDING_SUFFIX:
        track = load_track(path)
        return FilePoses(track.poses, _rows(np.arange(len(track.poses)), track.times, 0))
    recording = read_recording(path)
    people = recording.tracks().people
    bones, poses, rows = recording.header.get("bones"), [], []
    for identity, person in people.items():
        seen = ~person.filled
        try:
            poses.append(body_pose(person.rotations[seen], bones))
        except InvalidInputError as error:
            raise SourceError(f"{path}: {error}") from None
        rows.append(_rows(person.frames[seen], person.t[seen], identity))
    if not sum(map(len, rows)):
        raise SourceError(f"{path}: no people in any frame; record some with `humanrt run --task people --record`")
    return FilePoses(np.concatenate(poses), np.concatenate(rows))


def files_in(inputs: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that are meant: those that are named, and the recordings of people below folders.

    Damaged ones are among them, so that whoever reads them can say so; files of JSON lines that are something else,
    such as the log of `humanrt batch`, are not.

    Raises:
        SourceError: there is no such file, or no recording below a folder.
    """
    for given in inputs:
        if not given.is_dir():
            if not given.is_file():
                raise SourceError(f"{given}: no such file or folder; check the name")
            yield given
            continue
        found = False
        for path in sorted(given.rglob(f"*{RECORDING_SUFFIX}")):
            if path.is_file() and _is_recording(path):
                found = True
                yield path
        if not found:
            raise SourceError(f"{given}: no recordings below it; make them with `humanrt batch VIDEOS --task people`")


def sha256_of(path: Path) -> str:
    """Return a file's hash. SourceError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check the name") from None


def _is_recording(path: Path) -> bool:
    """Whether a file begins as recordings do, or as nothing that we know: then it is a damaged one."""
    try:
        with path.open("rb") as stream:
            first = stream.readline(1 << 20)
    except OSError:
        return True
    if first[:64].replace(b" ", b"").startswith(b'{"humanrt":'):
        return True
    try:
        return not isinstance(json.loads(first), dict)
    except ValueError:
        return True


def _rows(frames: NDArray[Any], times: NDArray[Any], person: int) -> NDArray[Any]:
    rows = np.zeros(len(frames), ROW)
    rows["frame"], rows["t"], rows["person"] = frames, times, person
    return rows
