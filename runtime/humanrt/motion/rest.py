"""Where the joints of a motion are: our rest skeleton for joints by SMPL's names, and its forward kinematics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from humanrt.errors import InvalidInputError, choices
from humanrt.geometry.skeleton import SMPL_24, SMPL_REST, Array, world_rotations
from humanrt.motion.motion import Motion

__all__ = ["joint_positions", "rest_joints"]

_FACE = {"jaw": (0.0, 0.0, 0.02), "left_eye": (0.03, 0.07, 0.08), "right_eye": (-0.03, 0.07, 0.08)}
"""m from the head joint: left, up, ahead."""
_FINGERS = {"index": 0.025, "middle": 0.003, "ring": -0.018, "pinky": -0.038, "thumb": 0.03}
"""m of a finger's base beside the middle of the palm, towards the thumb."""
_KNUCKLES = {"index": (0.095, 0.13, 0.155), "middle": (0.1, 0.14, 0.168), "ring": (0.095, 0.13, 0.156)} | {
    "pinky": (0.085, 0.11, 0.13),
    "thumb": (0.03, 0.065, 0.095),
}
"""m of a finger's three joints from the wrist, along the arm."""


def rest_joints(joint_names: Sequence[str]) -> Array:
    """Return where joints are at rest, [J, 3] m from the pelvis: a T-pose, x to the body's left, y up, z ahead.

    Of the body it is `SMPL_REST`, of hands and face an average adult's in round numbers.

    Raises:
        InvalidInputError: a joint has none of SMPL's or SMPL-X's names.
    """
    known = dict(zip(SMPL_24, SMPL_REST, strict=True))
    known |= {name: known["head"] + np.array(place) for name, place in _FACE.items()}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for finger, beside in _FINGERS.items():
            for joint, along in enumerate(_KNUCKLES[finger], start=1):
                known[f"{side}_{finger}{joint}"] = known[f"{side}_wrist"] + np.array([sign * along, 0.0, beside])
    if unknown := [name for name in joint_names if name not in known]:
        raise InvalidInputError(f"no rest pose for joints {choices(unknown)}; their names must be SMPL's or SMPL-X's")
    return np.stack([known[name] for name in joint_names])


def joint_positions(motion: Motion, rest: Array | None = None) -> Array:
    """Return where the joints are, [T, J, 3] m in the motion's world; ``rest`` [J, 3]: by default `rest_joints`."""
    rest = rest_joints(motion.joint_names) if rest is None else rest
    world = world_rotations(motion.rotations, motion.parents)
    places = np.empty((*motion.rotations.shape[:2], 3))
    for joint, parent in enumerate(motion.parents):
        if parent < 0:
            places[:, joint] = motion.translation
        else:
            places[:, joint] = places[:, parent] + world[:, parent] @ (rest[joint] - rest[parent])
    return places
