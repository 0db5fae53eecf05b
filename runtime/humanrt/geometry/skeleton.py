"""Joint trees by name, and the conversion between SMPL's 24 rotations and Anny's bones.

Conventions. A *local* rotation turns a joint relative to its parent; the root's maps the body's rest frame to the world
(for an observer: the camera). All local frames are parallel at rest, so a *world* rotation is the product of the local
ones from the root down, and is the rotation of a body part since the rest pose.

- SMPL's body: rest is a T-pose, x to the person's left, y up, z to the front.
- Anny (rotations as ``AnnyBody`` takes them, `local-ref`): rest is Anny's reference pose (arms half lowered, elbows
  bent), x to the person's left, y backwards, z up.
- A right hand: x to the thumb's side, y along the hand, z out of the palm; rest is Anny's relaxed hand. A left hand
  is the mirror image (x -> -x) of a right one: x to the little finger's side; `mirrored` converts one to the other.

How SMPL and Anny are related: world rotations of the same body part differ by one constant per part, which maps Anny's
reference pose to the T-pose: limbs turn by the shortest arcs from the hip and the shoulder outwards (so the elbow
straightens about its hinge), hands by the frame of the palm, trunk, shoulder blades, head and feet by the axes alone.
Parts that Anny divides share the rotation (see `anny_from_smpl`). Numpy only; contains no SMPL data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.geometry.mirror import MIRROR, MIRROR_ROTATION
from humanrt.geometry.rotation import matrices_from_vectors

__all__ = [
    "COCO_17",
    "H36M_17",
    "HAND_16",
    "HAND_16_PARENTS",
    "MEDIAPIPE_33",
    "MEDIAPIPE_BODY",
    "SMPLX_55",
    "SMPLX_BODY",
    "SMPLX_BODY_PARENTS",
    "SMPL_24",
    "SMPL_PARENTS",
    "SMPL_REST",
    "SkeletonError",
    "local_rotations",
    "mirrored",
    "other_sides",
    "shortest_arc",
    "world_rotations",
]

Floats = NDArray[np.floating[Any]]
Array = NDArray[np.float64]
Side = Literal["left", "right"]


class SkeletonError(HumanrtError):
    """Joints are missing, or their number differs from that of the tree."""


# --------------------------------------------------------------------------------------------- trees

_SMPL: dict[str, str | None] = {
    "pelvis": None,
    "left_hip": "pelvis",
    "right_hip": "pelvis",
    "spine1": "pelvis",
    "left_knee": "left_hip",
    "right_knee": "right_hip",
    "spine2": "spine1",
    "left_ankle": "left_knee",
    "right_ankle": "right_knee",
    "spine3": "spine2",
    "left_foot": "left_ankle",
    "right_foot": "right_ankle",
    "neck": "spine3",
    "left_collar": "spine3",
    "right_collar": "spine3",
    "head": "neck",
    "left_shoulder": "left_collar",
    "right_shoulder": "right_collar",
    "left_elbow": "left_shoulder",
    "right_elbow": "right_shoulder",
    "left_wrist": "left_elbow",
    "right_wrist": "right_elbow",
    "left_hand": "left_wrist",
    "right_hand": "right_wrist",
}


def parent_indices(tree: Mapping[str, str | None]) -> tuple[int, ...]:
    indices = {name: index for index, name in enumerate(tree)}
    return tuple(-1 if parent is None else indices[parent] for parent in tree.values())


SMPL_24 = tuple(_SMPL)
SMPL_PARENTS = parent_indices(_SMPL)
"""[24] index of each joint's parent, -1 for the root; every parent comes before its children."""

SMPLX_BODY = SMPL_24[:22]
SMPLX_BODY_PARENTS = SMPL_PARENTS[:22]
"""The body joints of SMPL-X: those of SMPL without the two hands."""

_FINGER_JOINTS = tuple(f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3))

SMPLX_55 = (
    *SMPLX_BODY,
    *("jaw", "left_eye", "right_eye"),
    *(f"{side}_{name}" for side in ("left", "right") for name in _FINGER_JOINTS),
)
"""The rotations of SMPL-X in order: body, face, left hand, right hand."""

HAND_16 = ("wrist", *_FINGER_JOINTS)
HAND_16_PARENTS = (-1, *(0 if index % 3 == 0 else index for index in range(15)))
"""A hand: its wrist, then the fingers in MANO's order."""

H36M_17 = (
    *("hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("spine", "thorax", "neck", "head"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"),
)
"""Human3.6M's 17 joints; `neck` is what some call the nose, `head` the top of the head."""

COCO_17 = (
    "nose",
    *(
        f"{side}_{name}"
        for name in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
)
"""COCO's 17 keypoints; all are among `MEDIAPIPE_33`."""

MEDIAPIPE_33 = (
    "nose",
    *(f"{side}_eye{part}" for side in ("left", "right") for part in ("_inner", "", "_outer")),
    *(f"{side}_ear" for side in ("left", "right")),
    *("mouth_left", "mouth_right"),
    *(
        f"{side}_{name}"
        for name in (
            *("shoulder", "elbow", "wrist", "pinky", "index", "thumb"),
            *("hip", "knee", "ankle", "heel", "foot_index"),
        )
        for side in ("left", "right")
    ),
)
"""MediaPipe's pose landmarks."""

MEDIAPIPE_BODY = slice(MEDIAPIPE_33.index("left_shoulder"), len(MEDIAPIPE_33))
"""Those below the head: a third of all are of the face."""


# Joint positions of an average young adult (all phenotypes at their mid value) in Anny's reference pose: m, x to the
# person's left, y backwards, z up, relative to the root. Computed with `AnnyBody` (Anny's data is CC0); the right side
# is the mirror image. Only directions and the T-pose's bone lengths are taken from it.
_REFERENCE = {
    "root": (0.0, 0.0, 0.0),
    "upperleg01.L": (0.1145, 0.0081, -0.0091),
    "lowerleg01.L": (0.1520, -0.0267, -0.4538),
    "foot.L": (0.1954, 0.0034, -0.9052),
    "toe2-1.L": (0.1926, -0.1541, -0.9573),
    "spine04": (0.0, 0.0397, 0.0854),
    "spine02": (0.0, 0.0226, 0.2472),
    "spine01": (0.0, 0.0356, 0.3924),
    "clavicle.L": (0.0247, -0.0130, 0.5081),
    "upperarm01.L": (0.1870, -0.0089, 0.4844),
    "lowerarm01.L": (0.3776, -0.0159, 0.2695),
    "wrist.L": (0.5097, -0.1920, 0.1347),
    "finger2-1.L": (0.5402, -0.2982, 0.0892),
    "finger3-1.L": (0.5578, -0.2784, 0.0765),
    "finger5-1.L": (0.5685, -0.2377, 0.0584),
    "neck01": (0.0, 0.0052, 0.5861),
    "head": (0.0, -0.0330, 0.6952),
}

# SMPL's body frame in Anny's: x left, y up, z front -> x left, y back, z up.
SMPL_TO_ANNY: Array = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def reference_joint(name: str) -> Array:
    """Return a joint of the reference pose in SMPL's axes, m; the right side is mirrored from the left."""
    right = name.endswith(".R")
    position = np.array(_REFERENCE[f"{name[:-1]}L" if right else name])
    return (position * MIRROR if right else position) @ SMPL_TO_ANNY


def _rest() -> Array:
    """Return the joints [24, 3] m, from the pelvis, of the T-pose with the bone lengths of Anny's reference pose."""
    centre = {"pelvis": "root", "spine1": "spine04", "spine2": "spine02", "spine3": "spine01", "neck": "neck01"}
    rest = {name: reference_joint(bone) for name, bone in (centre | {"head": "head"}).items()}
    for side, end, left in (("left", ".L", 1.0), ("right", ".R", -1.0)):

        def length(start: str, stop: str, end: str = end) -> float:
            return float(np.linalg.norm(reference_joint(stop + end) - reference_joint(start + end)))

        out, down = np.array([left, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
        rest[f"{side}_hip"] = hip = reference_joint(f"upperleg01{end}")
        rest[f"{side}_knee"] = knee = hip + down * length("upperleg01", "lowerleg01")
        rest[f"{side}_ankle"] = ankle = knee + down * length("lowerleg01", "foot")
        ball = reference_joint(f"toe2-1{end}") - reference_joint(f"foot{end}")
        rest[f"{side}_foot"] = ankle + ball * (0.0, 1.0, 1.0)
        rest[f"{side}_collar"] = reference_joint(f"clavicle{end}")
        rest[f"{side}_shoulder"] = shoulder = reference_joint(f"upperarm01{end}")
        rest[f"{side}_elbow"] = elbow = shoulder + out * length("upperarm01", "lowerarm01")
        rest[f"{side}_wrist"] = wrist = elbow + out * length("lowerarm01", "wrist")
        rest[f"{side}_hand"] = wrist + out * length("wrist", "finger3-1")
    return np.stack([rest[name] for name in SMPL_24])


SMPL_REST: Array = _rest()
"""[24, 3] m: our rest skeleton, a symmetric T-pose with Anny's bone lengths (1.7 m tall); pelvis at the origin."""
SMPL_REST.setflags(write=False)


# --------------------------------------------------------------------------------------------- rotations


def world_rotations(local: Floats, parents: Sequence[int]) -> Array:
    """Convert local rotations [..., J, 3, 3] to world rotations. Parents must come before their children."""
    local = checked_rotations(local, len(parents), "rotations")
    world = np.empty_like(local)
    for joint, parent in enumerate(parents):
        world[..., joint, :, :] = (
            local[..., joint, :, :] if parent < 0 else world[..., parent, :, :] @ local[..., joint, :, :]
        )
    return world


def local_rotations(world: Floats, parents: Sequence[int]) -> Array:
    """Convert world rotations to local ones; the inverse of `world_rotations`."""
    world = checked_rotations(world, len(parents), "rotations")
    above = world[..., [max(parent, 0) for parent in parents], :, :]
    local: Array = np.swapaxes(above, -1, -2) @ world
    for joint, parent in enumerate(parents):
        if parent < 0:
            local[..., joint, :, :] = world[..., joint, :, :]
    return local


def mirrored(rotations: Floats) -> Array:
    """Return the rotations [..., 3, 3] as seen in a mirror (x -> -x): F R F. Left and right joints are not swapped."""
    return np.asarray(rotations, np.float64) * MIRROR_ROTATION


def other_sides(names: Sequence[str]) -> tuple[int, ...]:
    """Return the index of each name's other side: ``points[..., other_sides(names), :]`` swaps `left` and `right`."""
    swap = {"left": "right", "right": "left"}
    return tuple(names.index("_".join(swap.get(part, part) for part in name.split("_"))) for name in names)


def shortest_arc(start: Floats, end: Floats) -> Array:
    """Return the smallest rotation [..., 3, 3] that turns vectors ``start`` to the direction of ``end``, both [..., 3].

    Opposite vectors get half a turn about some perpendicular axis.
    """
    start, end = normalised(start), normalised(end)
    cross = np.cross(start, end)
    cosine = (start * end).sum(-1, keepdims=True)
    # Nearly opposite: any perpendicular axis will do.
    other = np.cross(start, np.eye(3)[np.abs(start).argmin(axis=-1)])
    sine = np.linalg.norm(cross, axis=-1, keepdims=True)
    axis = np.where(sine > 1e-9, cross / np.maximum(sine, 1e-12), normalised(other))
    return matrices_from_vectors(np.asarray(axis * np.arctan2(sine, cosine)))


def normalised(vectors: Floats) -> Array:
    vectors = np.asarray(vectors, np.float64)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def checked_rotations(rotations: Floats, count: int, what: str) -> Array:
    matrices = np.asarray(rotations, np.float64)
    if matrices.ndim < 3 or matrices.shape[-3:] != (count, 3, 3):
        raise SkeletonError(f"{what}: expected [..., {count}, 3, 3] rotation matrices, got {list(matrices.shape)}")
    return matrices


# --------------------------------------------------------------------------------------------- SMPL <-> Anny
