"""A posed body that can be measured and turned part by part: the quantities that words are about.

Axes, each (left, up, front):

- **chest**: up from the middle of the hips to the neck, sideways along the shoulders. Arms and head.
- **level**: up against gravity (the camera is held level), sideways along the hips; the pelvis's axes where the hips'
  line is steeper than 60 degrees. Legs and trunk.

All on one skeleton (`humanrt.geometry.skeleton.SMPL_REST`): the shape of a body does not count.
"""

from __future__ import annotations

from math import asin, atan2, cos, degrees, radians
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.editing.changes import ANGLES, CHANNELS, DIRECTIONS, POINTS, SCALES
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import (
    SMPL_REST,
    SMPLX_BODY,
    SMPLX_BODY_PARENTS,
    local_rotations,
    mirrored,
    normalised,
    other_sides,
    world_rotations,
)

__all__ = ["Body", "about", "readings"]

Array = NDArray[np.float64]

JOINTS = {name: index for index, name in enumerate(SMPLX_BODY)}
_LEVEL_FROM_CAMERA: Array = np.diag([1.0, -1.0, -1.0])  # y down, z forward -> y up, z towards the camera
_OFFSETS: Array = np.stack(
    [SMPL_REST[joint] - SMPL_REST[max(parent, 0)] for joint, parent in enumerate(SMPLX_BODY_PARENTS)]
)
_HEADING_LIMIT = cos(radians(60))  # of the hips' line: its least horizontal part
_OTHER_SIDES = list(other_sides(SMPLX_BODY))
LIMBS = {
    "arm": ("shoulder", "elbow", "wrist"),
    "thigh": ("hip", "knee", "ankle"),
}


def _below(joint: int) -> tuple[int, ...]:
    """Return a joint and all that hang on it."""
    found = [joint]
    for child, parent in enumerate(SMPLX_BODY_PARENTS):
        if parent in found:
            found.append(child)
    return tuple(found)


BELOW = {name: _below(index) for name, index in JOINTS.items()}


def about(axis: Array, angle: float) -> Array:
    """Return the rotation [3, 3] about a unit vector by an angle, degrees."""
    return np.asarray(matrices_from_vectors(axis * radians(angle)))


def side_of(channel: str) -> tuple[str, str]:
    """Return the side of a channel, or nothing, and its part."""
    side, _, part = channel.partition("_")
    return (side, part) if side in ("left", "right") else ("", channel)


class Body:
    """A pose while it is changed.

    Args:
        rotations: [22, 3, 3] local rotations of SMPL's body joints, the root's from the body to the camera (y down).

    Attributes:
        world: [22, 3, 3] rotations of the parts, y up.
        at: [22, 3] m, joints from the pelvis.
    """

    def __init__(self, rotations: ArrayLike) -> None:
        world = world_rotations(np.asarray(rotations, np.float64), SMPLX_BODY_PARENTS)
        self.world: Array = _LEVEL_FROM_CAMERA @ world
        self.at: Array = np.zeros((len(JOINTS), 3))
        self._place()

    def rotations(self) -> Array:
        """Return the pose as it is given."""
        return local_rotations(_LEVEL_FROM_CAMERA @ self.world, SMPLX_BODY_PARENTS)

    def _place(self) -> None:
        for joint, parent in enumerate(SMPLX_BODY_PARENTS):
            if parent >= 0:
                self.at[joint] = self.at[parent] + self.world[parent] @ _OFFSETS[joint]

    def joint(self, name: str) -> Array:
        """Return a joint's place [3], m from the pelvis."""
        return np.asarray(self.at[JOINTS[name]])

    def turn(self, joints: tuple[int, ...], rotation: Array) -> None:
        """Turn parts by a world rotation about their own joints."""
        index = list(joints)
        self.world[index] = rotation @ self.world[index]
        self._place()

    def mirror(self) -> None:
        """Swap left and right; the heading and the axes of the world stay."""
        local = local_rotations(self.world, SMPLX_BODY_PARENTS)
        local = mirrored(local)[_OTHER_SIDES]
        self.world = world_rotations(local, SMPLX_BODY_PARENTS)
        self._place()

    # -------------------------------------------------------------------------------------------- axes

    @property
    def hips(self) -> Array:
        """Middle of the hips [3]."""
        return np.asarray((self.joint("left_hip") + self.joint("right_hip")) / 2)

    @property
    def trunk(self) -> Array:
        """Unit vector [3] from the hips to the neck."""
        return np.asarray(normalised(self.joint("neck") - self.hips))

    def chest(self) -> Array:
        """Axes [3, 3] of the chest, rows (left, up, front)."""
        return _axes(self.trunk, self.joint("left_shoulder") - self.joint("right_shoulder"))

    def level(self) -> Array:
        """Level axes [3, 3], rows (left, up, front)."""
        line = normalised(self.joint("left_hip") - self.joint("right_hip"))
        if np.hypot(line[0], line[2]) <= _HEADING_LIMIT:
            return np.asarray(self.world[0].T)
        return _axes(np.array([0.0, 1.0, 0.0]), line)

    def axes_of(self, channel: str) -> Array:
        """Return the axes [3, 3] of a direction or a point, rows (out, up, front)."""
        side, part = side_of(channel)
        axes = self.chest() if part in ("arm", "hand") else self.level()
        return np.asarray(axes * np.array([[1.0 if side == "left" else -1.0], [1.0], [1.0]]))

    # -------------------------------------------------------------------------------------------- measures

    def direction(self, channel: str) -> Array:
        """Return where an arm or a thigh points [3], (out, up, front)."""
        side, part = side_of(channel)
        start, middle, _ = LIMBS[part]
        towards = normalised(self.joint(f"{side}_{middle}") - self.joint(f"{side}_{start}"))
        return np.asarray(self.axes_of(channel) @ towards)

    def point(self, channel: str) -> Array:
        """Return where a hand or foot is [3] m, (out, up, front) from the middle of the shoulders or hips."""
        side, part = side_of(channel)
        if part == "hand":
            origin = (self.joint("left_shoulder") + self.joint("right_shoulder")) / 2
            return np.asarray(self.axes_of(channel) @ (self.joint(f"{side}_wrist") - origin))
        return np.asarray(self.axes_of(channel) @ (self.joint(f"{side}_ankle") - self.hips))

    def angle(self, channel: str) -> float:
        """Return a number of `ANGLES`, degrees or m."""
        side, part = side_of(channel)
        if part in ("elbow", "knee"):
            start, middle, end = LIMBS["arm" if part == "elbow" else "thigh"]
            upper = self.joint(f"{side}_{middle}") - self.joint(f"{side}_{start}")
            lower = self.joint(f"{side}_{end}") - self.joint(f"{side}_{middle}")
            return degrees(atan2(float(np.linalg.norm(np.cross(upper, lower))), float(upper @ lower)))
        if part == "ankle":
            foot = self.world[JOINTS[f"{side}_knee"]].T @ self.world[JOINTS[f"{side}_ankle"]]
            return degrees(atan2(foot[2, 1], foot[1, 1]))
        if part in ("lean", "side_lean", "facing"):
            level = self.level()
            leaning = level @ self.trunk
            if part == "lean":
                return degrees(atan2(leaning[2], leaning[1]))
            return _asin(leaning[0]) if part == "side_lean" else degrees(atan2(level[2, 0], level[2, 2]))
        if part == "twist":
            line = self.joint("left_hip") - self.joint("right_hip")
            along = _axes(self.trunk, line) @ normalised(self.joint("left_shoulder") - self.joint("right_shoulder"))
            return degrees(atan2(-along[2], along[0]))
        if part.startswith("head"):
            facing = self.chest() @ self.world[JOINTS["head"]]
            if part == "head_turn":
                return degrees(atan2(facing[0, 2], facing[2, 2]))
            return _asin(facing[1, 2]) if part == "head_nod" else -_asin(facing[1, 0])
        ankles = self.joint("left_ankle"), self.joint("right_ankle")
        if part == "stance":
            return float(np.linalg.norm(ankles[0] - ankles[1]))
        return -float(min(ankle[1] for ankle in ankles))


def readings(body: Body) -> NDArray[np.float32]:
    """Return what a network sees of a pose [C, 3]: of each channel where it is, in the network's units."""
    found = np.zeros((len(CHANNELS), 3), np.float32)
    for index, channel in enumerate(CHANNELS):
        if channel in DIRECTIONS:
            found[index] = body.direction(channel)
        elif channel in POINTS:
            found[index] = body.point(channel) / SCALES[index]
        elif channel in ANGLES and channel != "facing":
            found[index, 0] = body.angle(channel) / SCALES[index]
    return found


def _axes(up: Array, sideways: Array) -> Array:
    """Return the axes (left, up, front), with ``up`` kept and ``sideways`` made perpendicular to it."""
    left = normalised(sideways - up * (sideways @ up))
    return np.stack([left, up, np.cross(left, up)])


def _asin(sine: Any) -> float:
    return degrees(asin(min(max(float(sine), -1.0), 1.0)))
