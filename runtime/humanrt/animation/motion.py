"""Motions, such as generated ones, as takes of a body with a mesh, and as recordings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from humanrt import __version__
from humanrt.animation.take import Take
from humanrt.errors import HumanrtError, choices
from humanrt.geometry.anny import ANNY_BONES, anny_from_smpl
from humanrt.geometry.camera import field_of_view_intrinsics, project
from humanrt.geometry.rotation import vectors_from_matrices
from humanrt.geometry.skeleton import SMPLX_BODY, Array
from humanrt.motion.motion import Motion
from humanrt.outputs.record import Recorder
from humanrt.people.rig import BodyRig

__all__ = ["record_motion", "take_of_motion"]

_AHEAD = 4.0  # m: how far before the camera a motion is placed
_SIZE = (1280, 720)  # px, of the picture that the camera of a recorded motion would take

# Axis of the motion's world that points up -> rotation from that world to the camera's axes (x right, y down).
_TO_CAMERA: dict[str, Array] = {
    "-y": np.eye(3),
    "y": np.diag([1.0, -1.0, -1.0]),
    "z": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


def take_of_motion(motion: Motion, rig: BodyRig, id: int = 1, *, placed: bool = False) -> Take:
    """Return a motion as a take of Anny's average adult, before a camera that looks horizontally.

    Args:
        motion: with SMPL's joints; fingers and face stay at rest.
        rig: a body of Anny.
        id: identity of the person.
        placed: whether its world is that of a camera already, as of a motion that goes on from what was recorded.
            Otherwise its middle is 4 m before one.

    Raises:
        HumanrtError: the motion's world or its joints are others, or the rig is not Anny's.
    """
    if motion.up not in _TO_CAMERA:
        raise HumanrtError(f"a motion whose up is `{motion.up}` cannot be placed; up is one of: {choices(_TO_CAMERA)}")
    if rig.bones != ANNY_BONES:
        raise HumanrtError("motions are shown on Anny's body; name a bundle on Anny: --bundle holistic")
    to_camera = _TO_CAMERA[motion.up]
    local = motion.with_joints(SMPLX_BODY).astype(np.float64)
    local[:, 0] = to_camera @ local[:, 0]
    path = motion.translation.astype(np.float64) @ to_camera.T
    middle = (path.min(axis=0) + path.max(axis=0)) / 2
    root = path if placed else path - middle + (0.0, 0.0, _AHEAD)
    t = np.arange(len(motion)) / motion.fps
    return Take(
        id=id,
        tree=rig.tree,
        t=t,
        local=anny_from_smpl(local),
        root=root,
        rest=rig.rest(),
        shape=rig.default_shape,
        expression=np.zeros((len(motion), 0)),
        present=np.array([[t[0], t[-1]]]),
    )


def record_motion(
    motion: Motion,
    path: str | Path,
    rig: BodyRig,
    bundle: str,
    about: dict[str, Any] | None = None,
    *,
    placed: bool = False,
) -> None:
    """Write a motion as a recording of one person, which `humanrt convert` and others take.

    Args:
        motion: see `take_of_motion`.
        path: the recording.
        rig: the body.
        bundle: name of the rig's bundle.
        about: more entries of the header: where the motion comes from.
        placed: see `take_of_motion`.

    Raises:
        OutputError: the file cannot be written.
    """
    take = take_of_motion(motion, rig, placed=placed)
    header = {
        "humanrt": __version__,
        "task": "people",
        "robots": {},
        "bundle": {"name": bundle, "version": None},
        "body": "Anny",
        "bones": list(rig.bones),
        "parents": list(rig.parents),
        "rest": rig.rest(),
        "joints": list(rig.joint_names),
        "source": "motion",
        "fps": motion.fps,
        **(about or {}),
    }
    with Recorder(path, header) as recorder:
        for record in _records(take, rig):
            recorder.write(record)


def _records(take: Take, rig: BodyRig) -> Iterator[dict[str, Any]]:
    K = field_of_view_intrinsics(_SIZE, 60.0)
    head = rig.joint_names.index("head")
    vectors = vectors_from_matrices(take.local)
    for k, t in enumerate(take.t):
        joints = rig.pose(take.shape, take.local[k])[1]
        joints = joints + (take.root[k] - rig.bone_heads(joints)[0])
        person = {
            "id": take.id,
            "score": 1.0,
            "head_2d": project(joints[None, head], K)[0],
            "translation": joints[head],
            "rotations": vectors[k],
            "shape": take.shape,
            "expression": [],
            "joints_3d": joints,
        }
        yield {
            "frame": k,
            "t": t,
            "size": _SIZE,
            "intrinsics": K,
            "hands": [],
            "people": [person],
            "ms": {"total": 0.0},
        }
