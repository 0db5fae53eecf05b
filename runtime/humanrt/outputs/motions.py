"""Motions as recordings: generated ones written, and those of people that were tracked read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt import __version__
from humanrt.errors import SourceError, choices
from humanrt.geometry.bones import SMPLX_BONES
from humanrt.geometry.camera import field_of_view_intrinsics, project
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPL_24, SMPLX_BODY, SkeletonError
from humanrt.motion.motion import Motion, parents_of
from humanrt.motion.observed import CAMERA_UP, resampled, smpl_rotations
from humanrt.motion.rest import joint_positions, rest_joints
from humanrt.outputs.record import Recorder, read_recording

__all__ = ["CAMERA_UP", "read_motion", "write_motion"]

_SIZE = (1280, 720)  # px, of the camera that a generated motion is seen by
_FIELD_OF_VIEW = 60.0  # degrees over the longer side
_AHEAD = 4.0  # m
_GAP = 0.5  # s without the person, from which another take begins
_BODIES = {len(SMPLX_BONES): SMPLX_BONES, len(SMPL_24): SMPL_24, len(SMPLX_BODY): SMPLX_BODY}
"""Joints of recordings that do not name them, by the number of rotations."""


def write_motion(path: Path, motion: Motion, about: Mapping[str, Any], *, placed: bool) -> int:
    """Write a motion as a recording with SMPL-X's 53 bones; returns the number of frames.

    For one on a body with a mesh see `humanrt.animation.motion.record_motion`.

    Args:
        path: the file.
        motion: of any axis up; it is turned to camera axes. Bones that it does not have do not bend.
        about: entries of the header: what made it.
        placed: whether its world is that of a camera already. Otherwise it begins 4 m before one.
    """
    turned = motion.turned(CAMERA_UP)
    names = SMPLX_BONES
    posed = Motion(turned.with_joints(names), turned.translation, motion.fps, names, parents_of(names), CAMERA_UP)
    rest = rest_joints(names)
    joints = joint_positions(posed, rest)
    if not placed:
        joints += np.array([0.0, 0.0, _AHEAD]) - turned.translation[0].astype(np.float64)
    head = joints[:, names.index("head")]
    vectors = vectors_from_matrices(posed.rotations)
    header = {
        **{"humanrt": __version__, "task": "people", "robots": {}, "fps": motion.fps, "body": "SMPL-X"},
        **{"bones": list(names), "parents": list(posed.parents), "rest": rest, "joints": list(names), **about},
    }
    K = field_of_view_intrinsics(_SIZE, _FIELD_OF_VIEW)
    with Recorder(path, header) as recorder:
        for frame in range(len(motion)):
            before = head[frame, 2] > 0
            person = {
                "id": 1,
                "score": 1.0,
                "head_2d": project(head[frame, None], K)[0] if before else [np.nan, np.nan],
                "translation": head[frame],
                "rotations": vectors[frame],
                "shape": [],
                "expression": [],
                "joints_3d": joints[frame],
            }
            recorder.write(
                {
                    **{"frame": frame, "t": frame / motion.fps, "size": list(_SIZE), "intrinsics": K},
                    **{"hands": [], "people": [person], "ms": {}},
                }
            )
    return len(motion)


def read_motion(path: Path, fps: float, person: int | None = None) -> Motion:
    """Return the last uninterrupted motion of a person in a recording, in camera axes (y down).

    Args:
        path: the recording.
        fps: frames per second of the motion, which is interpolated.
        person: identity; None: the one who is seen longest.

    Raises:
        SourceError: there is no such person, or the rotations are of bones without SMPL's names.
    """
    recording = read_recording(path)
    about = recording.header.get("people")
    about = about if isinstance(about, Mapping) else recording.header
    seen: dict[int, list[tuple[float, Mapping[str, Any]]]] = {}
    for record in recording:
        for one in record.get("people", ()):
            seen.setdefault(one.get("id", 0), []).append((record.get("t", 0.0), one))
    if not seen:
        raise SourceError(
            f"{path}: holds no people; record them with `humanrt run SOURCE --task people --record {path}`"
        )
    if person is None:
        person = max(seen, key=lambda key: len(seen[key]))
    if person not in seen:
        raise SourceError(f"{path}: holds no person {person}; people: {choices(map(str, seen))}")
    rows = seen[person]
    t = np.array([row[0] for row in rows], np.float64)
    first = int(np.flatnonzero(np.diff(t) > _GAP)[-1]) + 1 if (np.diff(t) > _GAP).any() else 0
    rows, t = rows[first:], t[first:]
    try:
        vectors = np.array([row[1]["rotations"] for row in rows], np.float64)
        places = _roots(rows, about)
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{path}: person {person} lacks rotations or joints ({error}); record it again") from None
    if vectors.ndim != 3 or not (np.isfinite(vectors).all() and np.isfinite(places).all() and (np.diff(t) > 0).all()):
        raise SourceError(f"{path}: person {person} has values that are not numbers, or times that do not increase")
    rotations, names, parents = _body(path, about, matrices_from_vectors(vectors))
    return resampled(t, rotations, places, fps, names, parents)


def _roots(rows: list[tuple[float, Mapping[str, Any]]], about: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return where the pelvis is, [T, 3] m: among the joints, if they are named; else the head."""
    joints = about.get("joints")
    root = next((name for name in ("pelvis", "root") if isinstance(joints, list) and name in joints), None)
    if root is not None and isinstance(joints, list):
        index = joints.index(root)
        return np.array([row[1]["joints_3d"][index] for row in rows], np.float64)
    return np.array([row[1]["translation"] for row in rows], np.float64)


def _body(
    path: Path, about: Mapping[str, Any], rotations: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[int, ...]]:
    """Return the rotations of SMPL's joints [T, J, 3, 3], their names and parents."""
    count = rotations.shape[1]
    bones = about.get("bones")
    if not isinstance(bones, list) or len(bones) != count:
        if count not in _BODIES:
            known = ", ".join(map(str, _BODIES))
            raise SourceError(f"{path}: {count} rotations without names; known are {known}: record it again")
        bones = list(_BODIES[count])
    try:
        return smpl_rotations(rotations, bones)
    except SkeletonError as error:
        raise SourceError(f"{path}: {error}; record people with a bundle on Anny or SMPL-X") from None
