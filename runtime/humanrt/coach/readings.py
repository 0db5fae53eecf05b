"""What a coach reads off a posed body: joint angles, directions of limbs, inclination of the trunk, turns.

Everything is measured on one skeleton (`humanrt.geometry.skeleton.SMPL_REST`), so that two people of different size
in the same pose read alike, and in axes that words refer to; each direction is (out, up, front):

- **chest**: up from the middle of the hips to the neck, sideways along the shoulders. Arms and head.
- **level**: up against gravity (the camera is held level), sideways along the hips. Legs, and how the trunk leans.
- **pelvis**: the axes of the pelvis. Legs, where the hips' line is closer than 30 degrees to upright (somebody who lies
  on their side), so that level axes have no front.

``out`` is away from the middle of the body: to the left for left limbs, to the right for right ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, atan2, cos, degrees, hypot, radians
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.skeleton import SMPL_REST, SMPLX_BODY, SMPLX_BODY_PARENTS, normalised, world_rotations

__all__ = ["Limbs", "Readings", "read_pose"]

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

_INDEX = {name: index for index, name in enumerate(SMPLX_BODY)}
_OFFSETS: Array = np.stack(
    [SMPL_REST[joint] - SMPL_REST[max(parent, 0)] for joint, parent in enumerate(SMPLX_BODY_PARENTS)]
)
_LEVEL_FROM_CAMERA: Array = np.diag([1.0, -1.0, -1.0])  # y down, z forward -> y up, z towards the camera
_SIDES = ("left", "right")
_OUT = np.array([[1.0, 1, 1], [-1, 1, 1]])  # (left, up, front) -> (out, up, front), of left and right limbs
_HEADING_LIMIT = cos(radians(60))  # of the hips' line: its least horizontal part
_FACE_LIMIT = 60.0  # degrees; a face that looks further up or down has no direction to a side


@dataclass(frozen=True)
class Limbs:
    """Both arms, or both legs; index 0 is left. Directions and positions are (out, up, front).

    Attributes:
        upper: [2, 3] unit vectors, shoulder to elbow, or hip to knee.
        lower: [2, 3] unit vectors, elbow to wrist, or knee to ankle.
        ends: [2, 3] m, wrists from the middle of the shoulders, or ankles from the middle of the hips.
        bends: [2] degrees, 0 is straight.
        length: m, of the lower part.
    """

    upper: Array
    lower: Array
    ends: Array
    bends: Array
    length: float


@dataclass(frozen=True)
class Readings:
    """Readings of one pose. Angles are in degrees; those to a side are positive to the person's left.

    Attributes:
        arms: in the chest's axes.
        legs: in level axes; None where those have no front.
        pelvis_legs: in the pelvis's axes.
        lean: forward, -180..180; None where level axes have no front.
        side_lean: None likewise.
        incline: angle between trunk and upright, 0..180.
        twist: of the shoulders against the hips, about the trunk.
        head_turn: None where the face looks nearly straight up or down.
        head_nod: positive where the chin is lifted.
        head_tilt: positive where the left ear is the lower one.
        heading: of the hips, about the vertical; None where level axes have no front.
        height: m, of the pelvis above the lower ankle.
        stance: m, between the ankles.
    """

    arms: Limbs
    legs: Limbs | None
    pelvis_legs: Limbs
    lean: float | None
    side_lean: float | None
    incline: float
    twist: float
    head_turn: float | None
    head_nod: float
    head_tilt: float
    heading: float | None
    height: float
    stance: float


def read_pose(rotations: Floats) -> Readings:
    """Read a pose.

    Args:
        rotations: [22, 3, 3] local rotations of SMPL's body joints, the root's from the body to the camera (y down).
    """
    world = world_rotations(rotations, SMPLX_BODY_PARENTS)
    world = _LEVEL_FROM_CAMERA @ world
    joints = np.zeros((len(SMPLX_BODY), 3))
    for joint, parent in enumerate(SMPLX_BODY_PARENTS[1:], start=1):
        joints[joint] = joints[parent] + world[parent] @ _OFFSETS[joint]
    at = {name: joints[index] for name, index in _INDEX.items()}
    hips = (at["left_hip"] + at["right_hip"]) / 2
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    trunk = normalised(at["neck"] - hips)
    hip_line, shoulder_line = (normalised(at[f"left_{part}"] - at[f"right_{part}"]) for part in ("hip", "shoulder"))
    chest = _axes(trunk, shoulder_line)
    pelvis = world[0].T
    level = None
    if hypot(hip_line[0], hip_line[2]) > _HEADING_LIMIT:
        level = _axes(np.array([0.0, 1.0, 0.0]), hip_line)
    leaning = level @ trunk if level is not None else None  # (left, up, front)
    facing = chest @ world[_INDEX["head"]]  # columns: the head's left, up and front in the chest's axes
    nod = _asin(facing[1, 2])
    about_trunk = _axes(trunk, hip_line) @ shoulder_line
    left, front = (None, None) if level is None else (level[0], level[2])
    return Readings(
        arms=_limbs(at, ("shoulder", "elbow", "wrist"), shoulders, chest),
        legs=None if level is None else _limbs(at, ("hip", "knee", "ankle"), hips, level),
        pelvis_legs=_limbs(at, ("hip", "knee", "ankle"), hips, pelvis),
        lean=None if leaning is None else degrees(atan2(leaning[2], leaning[1])),
        side_lean=None if leaning is None else _asin(leaning[0]),
        incline=degrees(atan2(hypot(trunk[0], trunk[2]), trunk[1])),
        twist=degrees(atan2(-about_trunk[2], about_trunk[0])),
        head_turn=None if abs(nod) > _FACE_LIMIT else degrees(atan2(facing[0, 2], facing[2, 2])),
        head_nod=nod,
        head_tilt=-_asin(facing[1, 0]),
        heading=None if left is None or front is None else degrees(atan2(front[0], front[2])),
        height=float(at["pelvis"][1] - min(at[f"{side}_ankle"][1] for side in _SIDES)),
        stance=float(np.linalg.norm(at["left_ankle"] - at["right_ankle"])),
    )


def _axes(up: Array, sideways: Array) -> Array:
    """Return the matrix [3, 3] to (left, up, front), with ``up`` kept and ``sideways`` made perpendicular to it."""
    left = normalised(sideways - up * (sideways @ up))
    (a, b, c), (d, e, f) = left.tolist(), up.tolist()
    return np.array([left, up, (b * f - c * e, c * d - a * f, a * e - b * d)])


def _limbs(at: dict[str, Array], parts: tuple[str, str, str], origin: Array, axes: Array) -> Limbs:
    starts, middles, ends = (np.stack([at[f"{side}_{part}"] for side in _SIDES]) for part in parts)
    upper, lower = normalised(middles - starts), normalised(ends - middles)
    apart = upper - lower
    return Limbs(
        upper @ axes.T * _OUT,
        lower @ axes.T * _OUT,
        (ends - origin) @ axes.T * _OUT,
        np.degrees(2 * np.arcsin(np.minimum(1.0, np.sqrt((apart * apart).sum(axis=1)) / 2))),
        hypot(*(ends[0] - middles[0])),
    )


def _asin(sine: float) -> float:
    return degrees(asin(min(max(float(sine), -1.0), 1.0)))
