"""A pose as numbers whose distance says how far two bodies are apart, whoever they are and wherever they face.

`POINTS` are placed on one skeleton (`humanrt.geometry.skeleton.SMPL_REST`), so that people of different size in the
same pose are alike, relative to the pelvis, and turned by the body's heading: the part of the pelvis's rotation that is
about the vertical (swing and twist; the camera is held level). It needs no weights. What is not seen: fingers, the
face, how a limb is twisted about its own axis, and where the body is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.skeleton import SMPL_REST, SMPLX_BODY, SMPLX_BODY_PARENTS

__all__ = ["GROUPS", "NAME", "POINTS", "describe", "points_of", "without_heading"]

Floats = NDArray[np.float32]

NAME = "points-1"
"""Of this way; an index says by which it was made."""

_SIDED = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
_JOINTS = ("neck", "head", *(f"{side}_{name}" for side in ("left", "right") for name in _SIDED))
_BEYOND = {"face": ("head", (0.0, 0.05, 0.15)), "left_hand": ("left_wrist", (0.12, 0.0, 0.0)),
           "right_hand": ("right_wrist", (-0.12, 0.0, 0.0))}  # fmt: skip
"""Point -> its joint and where it is from there, m in the T-pose: x to the body's left, y up, z to the front."""

POINTS = (*_JOINTS, *_BEYOND)
_GROUPS = (
    ("left_elbow", "left_wrist", "left_hand"),
    ("right_elbow", "right_wrist", "right_hand"),
    ("left_knee", "left_ankle", "left_foot"),
    ("right_knee", "right_ankle", "right_foot"),
    ("neck", "head", "face"),
)
GROUPS = tuple(
    next((3 * group + axis for group, names in enumerate(_GROUPS) if name in names), -1)
    for name in POINTS
    for axis in range(3)
)
"""Of the numbers, by limb and axis: what moves together (`humanrt.search.coarse`)."""

_INDEX = {name: index for index, name in enumerate(SMPLX_BODY)}
_OFFSETS = np.stack([SMPL_REST[joint] - SMPL_REST[max(parent, 0)] for joint, parent in enumerate(SMPLX_BODY_PARENTS)])
_LEVEL_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])  # y down, z forward -> y up, z towards the camera


def points_of(poses: NDArray[Any]) -> Floats:
    """Return the points [..., P, 3] m of poses: x to the body's left, y up, z ahead, from the pelvis.

    Args:
        poses: [..., 22, 3, 3] of SMPL's body joints, the root's to the camera (y down), as
            `humanrt.coach.poses.body_pose` returns them.
    """
    local = np.array(poses, np.float64)
    local[..., 0, :, :] = without_heading(local[..., 0, :, :])
    world, places = np.empty_like(local), np.zeros(local.shape[:-1])
    for joint, parent in enumerate(SMPLX_BODY_PARENTS):
        if parent < 0:
            world[..., joint, :, :] = local[..., joint, :, :]
            continue
        world[..., joint, :, :] = world[..., parent, :, :] @ local[..., joint, :, :]
        places[..., joint, :] = places[..., parent, :] + world[..., parent, :, :] @ _OFFSETS[joint]
    beyond = [
        places[..., _INDEX[joint], :] + world[..., _INDEX[joint], :, :] @ np.array(offset)
        for joint, offset in _BEYOND.values()
    ]
    points = [places[..., _INDEX[name], :] for name in _JOINTS]
    return np.stack([*points, *beyond], axis=-2).astype(np.float32)


def describe(poses: NDArray[Any]) -> Floats:
    """Return the descriptors [..., D]; two are as far apart as their poses' points are in the root mean square, in m.

    Args:
        poses: as for `points_of`.
    """
    points = points_of(poses)
    return points.reshape(*points.shape[:-2], -1) / np.float32(np.sqrt(len(POINTS)))


def without_heading(root: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return root rotations [..., 3, 3] to level axes (y up, facing along z), without the part that is about y.

    Args:
        root: to the camera (y down), which is held level.
    """
    root = _LEVEL_FROM_CAMERA @ root
    angle = np.arctan2(root[..., 0, 2] - root[..., 2, 0], root[..., 0, 0] + root[..., 2, 2])
    cosine, sine = np.cos(angle), np.sin(angle)
    back = np.zeros_like(root)
    back[..., 0, 0] = back[..., 2, 2] = cosine
    back[..., 0, 2], back[..., 2, 0], back[..., 1, 1] = -sine, sine, 1
    return back @ root
