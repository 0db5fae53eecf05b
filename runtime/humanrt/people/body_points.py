"""MediaPipe's 33 landmarks on a posed Anny body: each at a constant offset from a joint.

MediaPipe's landmarks are points of a picture, not of a skeleton: "hip" is not the joint of the same name. The offsets
were fitted on rendered bodies (`humanrt_export.synthetic.body_align`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.fitting.rig import STATURE, Attached
from humanrt.geometry.anny import part_axes
from humanrt.geometry.skeleton import MEDIAPIPE_33, SMPL_24, SMPL_PARENTS, world_rotations

__all__ = [
    "HIPS",
    "OFFSETS_MM",
    "STATURE",
    "LandmarkPoints",
    "anchor_of",
    "attached_landmarks",
    "plain_name",
    "rest_landmarks",
]

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

HIPS = [MEDIAPIPE_33.index(f"{side}_hip") for side in ("left", "right")]
"""The landmarks whose midpoint is the origin of a body's landmarks in metres."""

_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")

# Landmark -> the nearby joint of Anny, and the SMPL joint it rotates with. `{s}` is L or R.
_ANCHORS = {
    "shoulder": ("upperarm01.{s}", "collar"),
    "elbow": ("lowerarm01.{s}", "shoulder"),
    "wrist": ("wrist.{s}", "elbow"),
    "pinky": ("finger5-1.{s}", "wrist"),
    "index": ("finger2-1.{s}", "wrist"),
    "thumb": ("finger1-2.{s}", "wrist"),
    "hip": ("upperleg01.{s}", ""),
    "knee": ("lowerleg01.{s}", "hip"),
    "ankle": ("foot.{s}", "knee"),
    "heel": ("foot.{s}", "ankle"),
    "foot_index": ("big-toe-tip.{s}", "ankle"),
}

# Offsets of the left (or middle) landmarks from their anchors in the axes of SMPL's body at rest (T-pose; x to the
# person's left, y up, z to the front), mm of a person 1.7 m tall; right ones are mirrored. Fitted with
# `humanrt_export.synthetic.body_align`.
OFFSETS_MM: dict[str, tuple[float, float, float]] = {
    "nose": (0.0, 24.9, 102.8),
    "eye_inner": (15.7, 51.8, 80.0),
    "eye": (26.5, 51.5, 76.1),
    "eye_outer": (37.5, 51.1, 72.2),
    "ear": (53.1, 31.5, 32.0),
    "mouth": (18.9, -11.1, 88.1),
    "shoulder": (-19.5, 34.8, -2.8),
    "elbow": (-26.3, 4.8, 10.5),
    "wrist": (4.3, 10.0, 3.8),
    "pinky": (-14.3, -11.3, 25.4),
    "index": (-20.5, -8.7, -17.9),
    "thumb": (8.0, 14.9, -25.6),
    "hip": (-13.1, -21.8, 39.0),
    "knee": (-2.3, 3.3, -8.4),
    "ankle": (4.1, 29.6, 10.7),
    "heel": (-1.3, -39.2, -30.8),
    "foot_index": (6.2, -2.1, -36.9),
}


_REST_MM: dict[str, tuple[float, float, float]] = {
    "nose": (0.0, 722.0, 143.9),
    "eye_inner": (16.9, 751.1, 119.3),
    "eye": (28.6, 750.7, 115.1),
    "eye_outer": (40.5, 750.3, 110.9),
    "ear": (57.3, 729.2, 67.5),
    "mouth": (20.4, 683.2, 128.1),
    "shoulder": (165.9, 522.0, 5.8),
    "elbow": (445.9, 489.6, 20.2),
    "wrist": (737.1, 495.3, 13.0),
    "pinky": (814.8, 467.7, -6.0),
    "index": (826.2, 470.5, 18.6),
    "thumb": (796.3, 473.3, 30.1),
    "hip": (100.4, -32.6, 34.0),
    "knee": (112.1, -453.2, -17.2),
    "ankle": (118.9, -879.3, 3.5),
    "heel": (113.1, -953.5, -41.3),
    "foot_index": (102.4, -977.1, 167.4),
}


def rest_landmarks() -> Array:
    """Return MediaPipe's landmarks [33, 3] m of an average adult of Anny's in the T-pose; x left, y up, z front."""
    return np.array([_of_side(_REST_MM, landmark) for landmark in MEDIAPIPE_33])


def _of_side(table: Mapping[str, tuple[float, float, float]], landmark: str) -> Array:
    """Return a landmark's entry [3] m of a table in mm that holds the left side and the middle, mirrored if needed."""
    side, plain = plain_name(landmark)
    return np.array(table[plain]) * (-1.0 if side == "right" else 1.0, 1.0, 1.0) / 1000


def anchor_of(landmark: str) -> tuple[str, str]:
    """Return the joint of Anny by which a landmark lies, and the part of SMPL's body that it rotates with."""
    side, plain = plain_name(landmark)
    joint, part = _ANCHORS.get(plain, ("head", "head"))
    part = part or "pelvis"
    return joint.format(s=side[:1].upper()), part if part in ("head", "pelvis") else f"{side}_{part}"


def plain_name(landmark: str) -> tuple[str, str]:
    """Return the side (left, right, or empty) of one of MediaPipe's landmarks, and its name without the side."""
    if landmark.startswith("mouth_"):
        return landmark.removeprefix("mouth_"), "mouth"
    side, _, plain = landmark.partition("_")
    return (side, plain) if plain else ("", landmark)


def attached_landmarks() -> list[Attached]:
    """Return the 33 landmarks as points of Anny's body, in MediaPipe's order, for fitting.

    Those of limbs are the joints themselves. The network's landmarks lie up to a few centimetres from the joints of
    rendered bodies (`OFFSETS_MM`), but not of real people: fitted with a quarter of these offsets, meshes cover no more
    of the silhouettes of walk.mp4 (mean IoU 0.736, and 0.733 without).
    """
    result = []
    for landmark in MEDIAPIPE_33:
        joint, part = anchor_of(landmark)
        bone, axes = part_axes(part)
        offset = (0.0 if plain_name(landmark)[1] in _LIMBS else 1.0) * _of_side(OFFSETS_MM, landmark)
        x, y, z = (axes @ offset).tolist()
        result.append(Attached(landmark, joint, bone, (x, y, z)))
    return result


class LandmarkPoints:
    """Map joints of Anny and rotations of SMPL's body to the 33 landmarks, in the frame of the joints.

    Args:
        joint_names: names of the joints, in the order of the call's.
    """

    def __init__(self, joint_names: Sequence[str]) -> None:
        joint_index = {name: k for k, name in enumerate(joint_names)}
        part_index = {name: k for k, name in enumerate(SMPL_24)}
        anchors = [anchor_of(landmark) for landmark in MEDIAPIPE_33]
        self._anchors = [joint_index[joint] for joint, _ in anchors]
        self._parts = [part_index[part] for _, part in anchors]
        self._offsets: Array = np.array([_of_side(OFFSETS_MM, landmark) for landmark in MEDIAPIPE_33])

    def anchors(self, joints: Floats, rotations: Floats) -> tuple[Array, Array]:
        """Return the anchors [..., 33, 3] m to which offsets are added, and the offsets' rotations [..., 33, 3, 3]."""
        world = world_rotations(np.asarray(rotations, np.float64), SMPL_PARENTS)
        return np.asarray(joints[..., self._anchors, :], np.float64), world[..., self._parts, :, :]

    def __call__(self, joints: Floats, rotations: Floats, stature: float = STATURE) -> Array:
        """Return the landmarks [..., 33, 3] m.

        Args:
            joints: [..., J, 3] m.
            rotations: [..., 24, 3, 3] of SMPL's joints, the root's to the frame of the joints.
            stature: height of the person, m.
        """
        anchors, turns = self.anchors(joints, rotations)
        return np.asarray(anchors + (turns @ self._offsets[:, :, None])[..., 0] * (stature / STATURE))
