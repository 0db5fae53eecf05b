"""Analytic inverse kinematics from one frame's 33 landmarks: the baseline for PoseBERT, and its fallback.

Directions of limbs give their swing, the plane of a bent elbow or knee their twist; pelvis, chest, head, hands and
feet have their own frames. Rotations that landmarks do not determine (collar bones, the bend of the spine) are
distributed over the chain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import between
from humanrt.geometry.skeleton import MEDIAPIPE_33, SMPL_24, SMPL_PARENTS, local_rotations, shortest_arc

__all__ = ["LandmarkIK"]

Array = NDArray[np.float64]

_BEND_RANGE = (0.15, 0.5)  # sine of a joint's bend: below the first its plane is unknown; above the second it is known
_LANDMARK = {name: index for index, name in enumerate(MEDIAPIPE_33)}
_JOINT = {name: index for index, name in enumerate(SMPL_24)}


class LandmarkIK:
    """Compute local rotations of SMPL's body from landmarks.

    Args:
        rest: [33, 3] m, landmarks of a T-pose: x to the person's left, y up, z to the front.
    """

    def __init__(self, rest: NDArray[np.floating[Any]]) -> None:
        self._rest = np.asarray(rest, np.float64)
        self._frames = _frames(self._rest)

    def __call__(self, landmarks: NDArray[np.floating[Any]]) -> Array:
        """Return rotations [24, 3, 3] from landmarks [33, 3] m, camera axes, any origin; the root's to camera axes."""
        points = np.asarray(landmarks, np.float64)
        turned = {name: frame @ self._frames[name].T for name, frame in _frames(points).items()}
        world = np.tile(np.eye(3), (len(SMPL_24), 1, 1))
        pelvis, chest, head = turned["pelvis"], turned["chest"], turned["head"]
        for name, turn in (
            *(
                ("pelvis", pelvis),
                ("spine1", between(pelvis, chest, 1 / 3)),
                ("spine2", between(pelvis, chest, 2 / 3)),
            ),
            *(("spine3", chest), ("neck", between(chest, head, 0.5)), ("head", head)),
        ):
            world[_JOINT[name]] = turn
        for side, left in (("left", 1.0), ("right", -1.0)):
            world[_JOINT[f"{side}_collar"]] = chest
            arm, leg = (f"{side}_{name}" for name in ("arm", "leg"))
            # In the T-pose an elbow bends to the front, a knee to the back.
            world[_JOINT[f"{side}_shoulder"]], world[_JOINT[f"{side}_elbow"]] = self._limb(
                points, side, ("shoulder", "elbow", "wrist"), np.array([0.0, -left, 0.0]), chest
            )
            world[_JOINT[f"{side}_hip"]], world[_JOINT[f"{side}_knee"]] = self._limb(
                points, side, ("hip", "knee", "ankle"), np.array([1.0, 0.0, 0.0]), pelvis
            )
            world[_JOINT[f"{side}_wrist"]] = world[_JOINT[f"{side}_hand"]] = turned[arm]
            world[_JOINT[f"{side}_ankle"]] = world[_JOINT[f"{side}_foot"]] = turned[leg]
        return local_rotations(world, SMPL_PARENTS)

    def _limb(
        self, points: Array, side: str, names: tuple[str, str, str], hinge: Array, above: Array
    ) -> tuple[Array, Array]:
        """Return the world rotations [3, 3] of a limb's two parts, which share the hinge between them."""
        indices = [_LANDMARK[f"{side}_{name}"] for name in names]
        rest_bones, bones = (np.diff(which[indices], axis=0) for which in (self._rest, points))
        upper, lower = bones
        across = np.cross(upper, lower)
        lengths = float(np.linalg.norm(upper) * np.linalg.norm(lower))
        sine = float(np.linalg.norm(across)) / max(lengths, 1e-9)
        known = float(np.clip((sine - _BEND_RANGE[0]) / (_BEND_RANGE[1] - _BEND_RANGE[0]), 0, 1))
        # Nearly straight: as little twist as possible.
        swung = shortest_arc(above @ rest_bones[0], upper) @ above @ hinge
        axis = known * across / max(float(np.linalg.norm(across)), 1e-9) + (1 - known) * swung
        first, second = (
            _frame(part, axis) @ _frame(rest, hinge).T for part, rest in zip(bones, rest_bones, strict=True)
        )
        return first, second


def _frames(points: Array) -> dict[str, Array]:
    """Return the axes [3, 3] of the body parts that have three landmarks."""

    def at(*names: str) -> Array:
        return np.asarray(points[[_LANDMARK[name] for name in names]].mean(axis=0))

    up = at("left_shoulder", "right_shoulder") - at("left_hip", "right_hip")
    ears = at("left_ear") - at("right_ear")
    frames = {
        "pelvis": _frame(at("left_hip") - at("right_hip"), up),
        "chest": _frame(up, at("left_shoulder") - at("right_shoulder")),
        "head": _frame(ears, at("nose", "left_eye", "right_eye") - at("left_ear", "right_ear")),
    }
    for side in ("left", "right"):
        knuckles = at(f"{side}_index", f"{side}_pinky")
        frames[f"{side}_arm"] = _frame(knuckles - at(f"{side}_wrist"), at(f"{side}_index") - at(f"{side}_pinky"))
        foot = at(f"{side}_foot_index") - at(f"{side}_heel")
        frames[f"{side}_leg"] = _frame(foot, at(f"{side}_knee") - at(f"{side}_ankle"))
    return frames


def _frame(first: Array, second: Array) -> Array:
    """Return a frame [3, 3] with columns along ``first``, the part of ``second`` orthogonal to it, and their normal."""
    a = first / max(float(np.linalg.norm(first)), 1e-9)
    b = second - a * (a @ second)
    size = float(np.linalg.norm(b))
    if size < 1e-9:  # parallel: any orthogonal direction
        b = np.cross(a, np.eye(3)[np.abs(a).argmin()])
        size = float(np.linalg.norm(b))
    b = b / size
    return np.stack([a, b, np.cross(a, b)], axis=1)
