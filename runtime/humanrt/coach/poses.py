"""Poses of any of our bodies as SMPL's 22 body joints, and the files that they come from.

A pose file is ``NAME.npz`` with ``rotations`` and ``joint_names``, or one person in one frame of a recording,
``RECORDING.jsonl:FRAME[:ID]``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import numbers
from humanrt.errors import InvalidInputError, SourceError, choices
from humanrt.geometry.anny import ANNY_BONES, smpl_from_anny
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.outputs.record import RECORDING_SUFFIX, read_recording

__all__ = ["PoseTrack", "body_pose", "load_pose", "load_track", "reference_file"]

Array = NDArray[np.float64]

_BODY = len(SMPLX_BODY)
_SMPL_COUNTS = (22, 24, 52, 53, 55)
"""Rotations of SMPL's body, SMPL, SMPL-H, SMPL-X (without and with eyes): all begin with the same 22."""
_TOES = ("left_foot", "right_foot")
_LOOSE = 0.02  # of R^T R from the identity; recordings are rounded to 1e-5


def body_pose(rotations: ArrayLike, joint_names: Sequence[str] | None = None) -> Array:
    """Return poses [..., 22, 3, 3] of SMPL's body joints.

    Args:
        rotations: [..., J, 3, 3], each relative to its parent's, the root's to the camera; or [..., J, 3] axis-angle,
            if that is what ``joint_names`` has as many of.
        joint_names: [J] names of SMPL's joints, or of Anny's bones. None: SMPL's order (22, 24, 52, 53 or 55 joints),
            or that of `humanrt.geometry.anny.ANNY_BONES` (74).

    Raises:
        InvalidInputError: wrong shape, unknown joints, or matrices that are not rotations.
    """
    array = np.asarray(numbers(rotations, "rotations"), np.float64)
    if joint_names is None and array.shape[-3 if array.shape[-2:] == (3, 3) else -2 :][:1] == (len(ANNY_BONES),):
        joint_names = ANNY_BONES
    count = None if joint_names is None else len(joint_names)
    if array.ndim >= 2 and array.shape[-1] == 3 and _is_count(array.shape[-2], count):
        array = matrices_from_vectors(array)
    if array.ndim < 3 or array.shape[-2:] != (3, 3) or not _is_count(array.shape[-3], count):
        wanted = 22 if count is None else count
        raise InvalidInputError(f"rotations: expected [{wanted}, 3, 3] rotation matrices, got {list(array.shape)}")
    deviation = abs(np.swapaxes(array, -1, -2) @ array - np.eye(3)).max(initial=0.0)
    if not deviation <= _LOOSE or (array.size and np.linalg.det(array).min() < 0):  # NaN included
        raise InvalidInputError("rotations: these matrices are not rotations; check their order and layout")
    if joint_names is None:
        return array[..., :_BODY, :, :]
    names = [str(name) for name in joint_names]
    if "root" in names:
        return smpl_from_anny(array, names)[..., :_BODY, :, :]
    missing = [name for name in SMPLX_BODY if name not in (*names, *_TOES)]
    if missing:
        raise InvalidInputError(f"joint_names: no {choices(missing)}; give SMPL's joints, or Anny's bones with `root`")
    still = np.broadcast_to(np.eye(3), (*array.shape[:-3], 3, 3))
    return np.stack([array[..., names.index(n), :, :] if n in names else still for n in SMPLX_BODY], axis=-3)


def _is_count(joints: int, named: int | None) -> bool:
    return joints in _SMPL_COUNTS if named is None else joints == named


@dataclass(frozen=True)
class PoseTrack:
    """Poses over time: a movement, or a single pose.

    Attributes:
        poses: [T, 22, 3, 3], as `body_pose` returns them; T is at least 1.
        times: [T] s, rising.
        person: identity in the recording that it is from, or None.
        among: how many people that recording, or its frame, holds.
    """

    poses: Array
    times: Array
    person: int | None = None
    among: int = 1


def load_pose(name: str | Path) -> Array:
    """Load a pose [22, 3, 3] from ``NAME.npz`` or ``RECORDING.jsonl:FRAME[:ID]``.

    Raises:
        SourceError: the file cannot be read, or holds no such frame or person, or more than one pose.
    """
    track = load_track(name)
    if len(track.poses) != 1:
        where = f"{name}:FRAME" if str(name).endswith(RECORDING_SUFFIX) else "a file of one pose"
        raise SourceError(f"{name}: a motion of {len(track.poses)} frames, not a pose; give {where}")
    return np.asarray(track.poses[0])


def load_track(name: str | Path) -> PoseTrack:
    """Load a movement, or a pose.

    It is ``NAME.npz``, or ``RECORDING.jsonl`` with ``:FRAME``, ``:FRAME:ID``, ``::ID`` or neither. Of a recording it is
    the person ``ID``; else of a frame the nearest to the camera, and of all frames whoever is in most, of several the
    nearest. A ``.npz`` has ``rotations`` [J, 3, 3] or [T, J, 3, 3] (or axis-angle without the last dimension),
    ``joint_names`` [J] (None: SMPL's order), and for a movement ``fps``.

    Raises:
        SourceError: the file cannot be read, or holds no such frame or person.
    """
    path, frame, person = _parts(str(name))
    if path.suffix.lower() == ".npz":
        if frame is not None:
            raise SourceError(f"{name}: only recordings ({RECORDING_SUFFIX}) have frames; leave the number out")
        return _from_npz(path)
    if path.suffix.lower() != RECORDING_SUFFIX:
        raise SourceError(f"{name}: a pose is a .npz file, or RECORDING{RECORDING_SUFFIX}[:FRAME[:ID]|::ID]")
    return _from_recording(path, frame, person)


def reference_file(name: str | Path) -> Path:
    """Return the file of a pose or movement, without the frame and the identity."""
    return _parts(str(name))[0]


def _parts(name: str) -> tuple[Path, int | None, int | None]:
    """Return file, frame and identity of ``FILE[:FRAME[:ID]]``."""
    found = re.fullmatch(r"(.+?)(?::(\d+)(?::(\d+))?|::(\d+))?", name, re.ASCII)
    if found is None or Path(name).is_file():
        return Path(name), None, None
    path, frame, *persons = found.groups()
    person = persons[0] or persons[1]
    return Path(path), None if frame is None else int(frame), None if person is None else int(person)


def _from_npz(path: Path) -> PoseTrack:
    try:
        with np.load(path, allow_pickle=False) as file:
            entries: dict[str, Any] = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "not a .npz file of arrays"
        raise SourceError(f"{path}: cannot be read ({reason}); check the name") from None
    if "rotations" not in entries:
        raise SourceError(f"{path}: no array `rotations`; it holds {choices(entries) or 'nothing'}")
    names = entries.get("joint_names")
    try:
        poses = body_pose(entries["rotations"], None if names is None else [str(name) for name in names.ravel()])
    except InvalidInputError as error:
        raise SourceError(f"{path}: {error}") from None
    poses = poses.reshape(-1, _BODY, 3, 3)
    if not len(poses):
        raise SourceError(f"{path}: holds no pose")
    if len(poses) > 1 and not float(entries.get("fps", 0)) > 0:
        raise SourceError(f"{path}: {len(poses)} poses without `fps`, frames per second; add that array")
    return PoseTrack(poses, np.arange(len(poses)) / float(entries.get("fps", 1)))


def _from_recording(path: Path, frame: int | None, person: int | None) -> PoseTrack:
    recording = read_recording(path)
    people = recording.tracks().people
    if frame is not None:
        people = {identity: track for identity, track in people.items() if frame in track.frames}
    if not people:
        where = "in any frame" if frame is None else f"in frame {frame}"
        raise SourceError(f"{path}: no people {where}; record some with `humanrt run --task people --record`")
    chosen = person
    if chosen is None:
        rows_of = {one: slice(None) if frame is None else track.frames == frame for one, track in people.items()}
        depths = {one: float(np.median(track.translation[rows_of[one], 2])) for one, track in people.items()}
        seen = {one: len(track) if frame is None else 1 for one, track in people.items()}
        chosen = min(people, key=lambda one: (-seen[one], depths[one]))
    if chosen not in people:
        raise SourceError(f"{path}: no person {chosen}; there are {choices(str(one) for one in people)}")
    track = people[chosen]
    rows = np.arange(len(track)) if frame is None else np.flatnonzero(track.frames == frame)[:1]
    try:
        poses = body_pose(track.rotations[rows], recording.header.get("bones"))
    except InvalidInputError as error:
        raise SourceError(f"{path}: {error}") from None
    return PoseTrack(poses, track.t[rows], chosen, len(people))
