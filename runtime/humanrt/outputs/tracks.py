"""Tracks: the frames of a recording in which an identity appears, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_shapes
from humanrt.errors import SourceError

__all__ = ["HandTrack", "PersonTrack", "Track", "Tracks", "tracks_of"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, repr=False)
class Track:
    """What people and hands have in common: the F frames in which an identity appears.

    Attributes:
        id: identity.
        frames: [F] indices of the frames.
        t: [F] s, time stamps.
        score: [F] 0..1.
        filled: [F] whether it was not found in that frame, and the pose is filled in.
    """

    id: int
    frames: Indices
    t: Array
    score: Array
    filled: Flags

    def __post_init__(self) -> None:
        check_shapes(self, frames="int64 F", t="float64 F", score="float64 F", filled="bool F", **self._arrays())

    def _arrays(self) -> dict[str, str]:
        """Return the specifications of the other arrays, for `check_shapes`."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, repr=False)
class PersonTrack(Track):
    """A person in the F frames in which they appear.

    Attributes:
        head_2d: [F, 2] px.
        translation: [F, 3] m, camera space, the head joint.
        rotations: [F, R, 3] rad, axis-angle: the root's relative to the camera, all others to their parent.
        shape: [F, S].
        expression: [F, E].
        joints: [F, J, 3] m, camera space; J is 0 where the run computed no joints.
    """

    head_2d: Array
    translation: Array
    rotations: Array
    shape: Array
    expression: Array
    joints: Array

    def _arrays(self) -> dict[str, str]:
        return {
            "head_2d": "float64 F 2",
            "translation": "float64 F 3",
            "rotations": "float64 F R 3",
            "shape": "float64 F S",
            "expression": "float64 F E",
            "joints": "float64 F J 3",
        }

    def __repr__(self) -> str:
        return f"<person {self.id} in {len(self)} frames>"


@dataclass(frozen=True, repr=False)
class HandTrack(Track):
    """A hand in the F frames in which it appears.

    Attributes:
        side: ``left`` or ``right``.
        keypoints_2d: [F, 21, 2] px.
        keypoints_3d: [F, 21, 3] m, relative to the hand's own origin.
        robots: robot's name -> [F, dof] rad, NaN where it was not solved.
        wrist: [F, 7] the wrist's pose in camera space, m and a unit quaternion: x, y, z, qx, qy, qz, qw; NaN where it
            is not known. None: the recording has no wrists.
    """

    side: str
    keypoints_2d: Array
    keypoints_3d: Array
    robots: Mapping[str, Array] = field(default_factory=dict)
    wrist: Array | None = None

    def _arrays(self) -> dict[str, str]:
        return {"keypoints_2d": "float64 F 21 2", "keypoints_3d": "float64 F 21 3", "wrist": "float64 F 7"}

    def __repr__(self) -> str:
        return f"<{self.side} hand {self.id} in {len(self)} frames>"


@dataclass(frozen=True)
class Tracks:
    """All identities of a recording.

    Attributes:
        header: the recording's header.
        t: [N] s, time stamps of all its frames.
        people: the people by identity.
        hands: the hands by identity.
    """

    header: Mapping[str, Any]
    t: Array
    people: Mapping[int, PersonTrack]
    hands: Mapping[int, HandTrack]

    @property
    def fps(self) -> float | None:
        """Frames per second: the header's, or those of the median step; None for a single frame."""
        given = self.header.get("fps")
        if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < 1e4:
            return float(given)
        steps = np.diff(self.t)
        steps = steps[steps > 0]
        return float(1 / np.median(steps)) if len(steps) else None


def tracks_of(path: Path, header: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> Tracks:
    """Return the tracks of a recording's frames.

    Args:
        path: the recording's file, for messages.
        header: its header.
        records: its frames.

    Raises:
        SourceError: a frame is not as recordings have them; the message names it.
    """
    stamps: list[float] = []
    people: dict[int, list[tuple[int, Mapping[str, Any]]]] = {}
    hands: dict[int, list[tuple[int, Mapping[str, Any]]]] = {}
    indices: list[int] = []
    for row, record in enumerate(records):
        try:
            stamps.append(float(record["t"]))
            indices.append(int(record["frame"]))
            for found, key in ((people, "people"), (hands, "hands")):
                for one in record[key]:
                    found.setdefault(int(one["id"]), []).append((row, one))
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(
                f"{path}: frame {row} (line {row + 2}) is not a frame of a recording ({_brief(error)}); record it again"
            ) from None
    t, frames = np.array(stamps, np.float64), np.array(indices, np.int64)
    if any(not later > earlier for earlier, later in pairwise(stamps)):
        raise SourceError(f"{path}: the time stamps do not increase; record it again")
    return Tracks(
        header,
        t,
        {id: _person(path, id, rows, t, frames) for id, rows in sorted(people.items())},
        {id: _hand(path, id, rows, t, frames) for id, rows in sorted(hands.items())},
    )


_Rows = Sequence[tuple[int, Mapping[str, Any]]]


def _person(path: Path, id: int, rows: _Rows, t: Array, frames: Indices) -> PersonTrack:
    places = np.array([row for row, _ in rows])
    column = _Columns(path, f"person {id}", rows, frames)
    return PersonTrack(
        id=id,
        frames=frames[places],
        t=t[places],
        score=column("score"),
        filled=_filled(rows),
        head_2d=column("head_2d", 2),
        translation=column("translation", 3),
        rotations=column("rotations", None, 3),
        shape=column("shape", None),
        expression=column("expression", None),
        joints=column("joints_3d", None, 3),
    )


def _hand(path: Path, id: int, rows: _Rows, t: Array, frames: Indices) -> HandTrack:
    places = np.array([row for row, _ in rows])
    column = _Columns(path, f"hand {id}", rows, frames)
    names = dict.fromkeys(name for _, one in rows for name in one.get("robot", {}))
    return HandTrack(
        id=id,
        side=str(rows[0][1].get("side")),
        frames=frames[places],
        t=t[places],
        score=column("score"),
        filled=_filled(rows),
        keypoints_2d=column("keypoints_2d", 21, 2),
        keypoints_3d=column("keypoints_3d", 21, 3),
        robots={name: _robot(name, rows) for name in names},
        wrist=_wrist(path, id, rows, frames),
    )


def _filled(rows: _Rows) -> Flags:
    return np.array([one.get("filled") is True for _, one in rows])


def _wrist(path: Path, id: int, rows: _Rows, frames: Indices) -> Array | None:
    """Return the wrist's pose [F, 7], NaN where there is none; None if there is none anywhere."""
    if not any("wrist" in one for _, one in rows):
        return None
    completed = [(row, {"wrist": [np.nan] * 7, **one}) for row, one in rows]
    return _Columns(path, f"hand {id}", completed, frames)("wrist", 7)


def _robot(name: str, rows: _Rows) -> Array:
    """Return the joint angles [F, dof] of a robot, NaN where it was not solved."""
    angles = [one.get("robot", {}).get(name) for _, one in rows]
    count = max(len(one) for one in angles if one)
    return np.array([one if one else [np.nan] * count for one in angles], np.float64)


class _Columns:
    """Reads the values that an identity has in all its frames. SourceError names the frame where they are wrong."""

    def __init__(self, path: Path, who: str, rows: _Rows, frames: Indices) -> None:
        self._path, self._who, self._rows, self._frames = path, who, rows, frames

    def __call__(self, key: str, *shape: int | None) -> Array:
        """Return ``key`` of all frames, [F, *shape]; None in the shape is any size, the same in all frames."""
        wanted: tuple[int | None, ...] | None = None
        values = []
        for row, one in self._rows:
            try:
                # JSON has no NaN: the recorder writes null.
                array = np.asarray(one[key], np.float64)
            except (KeyError, TypeError, ValueError):
                raise self._error(key, row, "is missing or not numbers") from None
            if array.size == 0:  # [] has one dimension, whatever it is empty of
                array = array.reshape([0 if size is None else size for size in shape])
            expected = shape if wanted is None else wanted
            if len(array.shape) != len(expected) or any(
                size is not None and size != there for size, there in zip(expected, array.shape, strict=True)
            ):
                raise self._error(key, row, f"has the sizes {list(array.shape)}, not {_sizes(expected)}")
            wanted = array.shape
            values.append(array)
        return np.array(values)

    def _error(self, key: str, row: int, problem: str) -> SourceError:
        where = f"`{key}` of {self._who} in frame {self._frames[row]} (line {row + 2})"
        return SourceError(f"{self._path}: {where} {problem}; record it again")


def _sizes(shape: Iterable[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


def _brief(error: Exception) -> str:
    return f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else "a value is not as it should be"
