"""Joint trees by name, and the one conversion between SMPL's 24 rotations and Anny's bones.

Conventions. A *local* rotation turns a joint against its parent; the root's takes the body's rest frame to the world
(for whoever watches: the camera). All local frames are parallel at rest, so a *world* rotation is the product of the
locals from the root down, and is the turn of a body part since the rest pose.

- SMPL's body: rest is a T-pose, x to the person's left, y up, z to the front.
- Anny (rotations as ``AnnyBody`` takes them, `local-ref`): rest is Anny's reference pose (arms half lowered, elbows
  bent), x to the person's left, y backwards, z up.
- A right hand: x to the thumb's side, y along the hand, z out of the palm; rest is Anny's relaxed hand. A left hand
  is the mirror image (x -> -x) of a right one: x to the little finger's side, and `mirrored` takes one to the other.

How SMPL and Anny are brought together: world rotations of the same body part differ by one constant per part, which
takes Anny's reference pose to the T-pose: limbs turn by the shortest arcs from the hip and the shoulder outwards (so
the elbow unbends about its hinge), hands by the palm's frame, trunk, shoulder blades, head and feet by the axes alone.
Parts that Anny divides share the rotation (see `anny_from_smpl`). Numpy only; nothing of SMPL's data is in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.rotation import between, matrices_from_vectors

__all__ = [
    "ANNY_BONES",
    "ANNY_PARENTS",
    "H36M_17",
    "HAND_16",
    "HAND_16_PARENTS",
    "MEDIAPIPE_33",
    "SMPLX_55",
    "SMPLX_BODY",
    "SMPLX_BODY_PARENTS",
    "SMPL_24",
    "SMPL_PARENTS",
    "SMPL_REST",
    "SkeletonError",
    "anny_from_smpl",
    "hand_from_anny",
    "local_rotations",
    "mirrored",
    "other_sides",
    "shortest_arc",
    "smpl_from_anny",
    "world_rotations",
]

Floats = NDArray[np.floating[Any]]
Array = NDArray[np.float64]
Side = Literal["left", "right"]


class SkeletonError(HumanrtError):
    """Joints are missing or of another number than the tree's."""


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


def _parents(tree: Mapping[str, str | None]) -> tuple[int, ...]:
    places = {name: place for place, name in enumerate(tree)}
    return tuple(-1 if parent is None else places[parent] for parent in tree.values())


SMPL_24 = tuple(_SMPL)
SMPL_PARENTS = _parents(_SMPL)
"""[24] place of each joint's parent, -1 for the root; every parent comes before its children."""

SMPLX_BODY = SMPL_24[:22]
SMPLX_BODY_PARENTS = SMPL_PARENTS[:22]
"""The body part of SMPL-X: SMPL's without the two hands."""

_FINGER_JOINTS = tuple(f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3))

SMPLX_55 = (
    *SMPLX_BODY,
    *("jaw", "left_eye", "right_eye"),
    *(f"{side}_{name}" for side in ("left", "right") for name in _FINGER_JOINTS),
)
"""SMPL-X's rotations in their order: body, face, left hand, right hand."""

HAND_16 = ("wrist", *_FINGER_JOINTS)
HAND_16_PARENTS = (-1, *(0 if place % 3 == 0 else place for place in range(15)))
"""A hand: its wrist, then MANO's order of fingers."""

H36M_17 = (
    *("hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("spine", "thorax", "neck", "head"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"),
)
"""Human3.6M's 17 joints; `neck` is what some call the nose, `head` the top of the head."""

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

_TRUNK = {"spine05": "root", "spine04": "spine05", "spine03": "spine04", "spine02": "spine03", "spine01": "spine02"}
_LEG = ("pelvis", "upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot")
_ARM = ("clavicle", "shoulder01", "upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")
_NECK = ("neck01", "neck02", "neck03", "head")


def _anny_tree() -> dict[str, str | None]:
    """The bones that a network turns, in its order, and their parents."""

    def chain(start: str, names: Sequence[str], end: str = "") -> dict[str, str | None]:
        full = [f"{name}{end}" for name in names]
        return dict(zip(full, (start, *full), strict=False))

    def hand(end: str) -> dict[str, str | None]:
        bones = chain(f"wrist{end}", [f"finger1-{k}" for k in (1, 2, 3)], end)
        for finger in (2, 3, 4, 5):
            names = [f"metacarpal{finger - 1}", *(f"finger{finger}-{k}" for k in (1, 2, 3))]
            bones |= chain(f"wrist{end}", names, end)
        return bones

    tree: dict[str, str | None] = {"root": None}
    for end in (".L", ".R"):
        tree |= chain("root", _LEG, end)
    tree |= _TRUNK
    for end in (".L", ".R"):
        tree |= chain("spine01", _ARM, end)
    for end in (".L", ".R"):
        tree |= hand(end)
    return tree | chain("spine01", _NECK)


_ANNY = _anny_tree()
ANNY_BONES = tuple(_ANNY)
"""Anny's 74 active bones in the order of ``humanrt_export.anny.bones.ACTIVE``."""
ANNY_PARENTS = _parents(_ANNY)

# Where joints of an average young adult (all phenotypes in their middle) lie in Anny's reference pose: m, x to the
# person's left, y backwards, z up, from the root. Computed with `AnnyBody` (Anny's data is CC0); the right side is the
# mirror image. Only directions and the T-pose's bone lengths are taken from it.
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
_TO_ANNY: Array = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
_MIRROR: Array = np.array([-1.0, 1.0, 1.0])


def _reference(name: str) -> Array:
    """A joint of the reference pose in SMPL's axes, m; the right side mirrored from the left."""
    right = name.endswith(".R")
    place = np.array(_REFERENCE[f"{name[:-1]}L" if right else name])
    return (place * _MIRROR if right else place) @ _TO_ANNY


def _rest() -> Array:
    """[24, 3] m: the T-pose, with bone lengths of Anny's reference pose; from the pelvis."""
    centre = {"pelvis": "root", "spine1": "spine04", "spine2": "spine02", "spine3": "spine01", "neck": "neck01"}
    rest = {name: _reference(bone) for name, bone in (centre | {"head": "head"}).items()}
    for side, end, left in (("left", ".L", 1.0), ("right", ".R", -1.0)):

        def length(start: str, stop: str, end: str = end) -> float:
            return float(np.linalg.norm(_reference(stop + end) - _reference(start + end)))

        out, down = np.array([left, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
        rest[f"{side}_hip"] = hip = _reference(f"upperleg01{end}")
        rest[f"{side}_knee"] = knee = hip + down * length("upperleg01", "lowerleg01")
        rest[f"{side}_ankle"] = ankle = knee + down * length("lowerleg01", "foot")
        ball = _reference(f"toe2-1{end}") - _reference(f"foot{end}")
        rest[f"{side}_foot"] = ankle + ball * (0.0, 1.0, 1.0)
        rest[f"{side}_collar"] = _reference(f"clavicle{end}")
        rest[f"{side}_shoulder"] = shoulder = _reference(f"upperarm01{end}")
        rest[f"{side}_elbow"] = elbow = shoulder + out * length("upperarm01", "lowerarm01")
        rest[f"{side}_wrist"] = wrist = elbow + out * length("lowerarm01", "wrist")
        rest[f"{side}_hand"] = wrist + out * length("wrist", "finger3-1")
    return np.stack([rest[name] for name in SMPL_24])


SMPL_REST: Array = _rest()
"""[24, 3] m: our rest skeleton, a symmetric T-pose with Anny's bone lengths (1.7 m tall); pelvis in the origin."""
SMPL_REST.setflags(write=False)


# --------------------------------------------------------------------------------------------- rotations


def world_rotations(local: Floats, parents: Sequence[int]) -> Array:
    """Rotations [..., J, 3, 3] against the parents -> against the rest pose. Parents come before their children."""
    local = _of_length(local, len(parents), "rotations")
    world = np.empty_like(local)
    for joint, parent in enumerate(parents):
        world[..., joint, :, :] = (
            local[..., joint, :, :] if parent < 0 else world[..., parent, :, :] @ local[..., joint, :, :]
        )
    return world


def local_rotations(world: Floats, parents: Sequence[int]) -> Array:
    """The inverse of `world_rotations`."""
    world = _of_length(world, len(parents), "rotations")
    above = world[..., [max(parent, 0) for parent in parents], :, :]
    local: Array = np.swapaxes(above, -1, -2) @ world
    for joint, parent in enumerate(parents):
        if parent < 0:
            local[..., joint, :, :] = world[..., joint, :, :]
    return local


def mirrored(rotations: Floats) -> Array:
    """The same turns [..., 3, 3] seen in a mirror (x -> -x): F R F. Joints of two sides are not swapped."""
    return np.asarray(rotations, np.float64) * np.outer(_MIRROR, _MIRROR)


def other_sides(names: Sequence[str]) -> tuple[int, ...]:
    """Where each name's other side is, so that ``points[..., other_sides(names), :]`` swaps `left` and `right`."""
    swap = {"left": "right", "right": "left"}
    return tuple(names.index("_".join(swap.get(part, part) for part in name.split("_"))) for name in names)


def shortest_arc(start: Floats, end: Floats) -> Array:
    """The smallest rotation [..., 3, 3] that turns vectors ``start`` [..., 3] to the direction of ``end`` [..., 3].

    Opposite vectors turn by half a turn about some axis across.
    """
    start, end = _unit(start), _unit(end)
    cross = np.cross(start, end)
    cosine = (start * end).sum(-1, keepdims=True)
    # Nearly opposite: the axis is any that is across.
    other = np.cross(start, np.eye(3)[np.abs(start).argmin(axis=-1)])
    sine = np.linalg.norm(cross, axis=-1, keepdims=True)
    axis = np.where(sine > 1e-9, cross / np.maximum(sine, 1e-12), _unit(other))
    return matrices_from_vectors(np.asarray(axis * np.arctan2(sine, cosine)))


def _unit(vectors: Floats) -> Array:
    vectors = np.asarray(vectors, np.float64)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _twist(rotations: Array, axis: Array, amount: float) -> Array:
    """The part of rotations [..., 3, 3] that turns about the unit ``axis`` [3] before they swing it, times ``amount``.

    Near where the axis is turned round (pi) the part is not defined, and fades to none.
    """
    skew = np.stack(
        [
            rotations[..., 2, 1] - rotations[..., 1, 2],
            rotations[..., 0, 2] - rotations[..., 2, 0],
            rotations[..., 1, 0] - rotations[..., 0, 1],
        ],
        axis=-1,
    )
    # With q = (w, v): trace = 4 w^2 - 1 and skew = 4 w v, so the angle of (w, v.axis) doubled is the twist's.
    four_ww = 1 + np.trace(rotations, axis1=-2, axis2=-1)
    angle = 2 * np.arctan2(skew @ axis, np.maximum(four_ww, 1e-12))
    swung = 1 + rotations @ axis @ axis  # 1 + cos(swing)
    fade = np.clip(swung / 0.1, 0.0, 1.0)
    return matrices_from_vectors(np.asarray((amount * fade * angle)[..., None] * axis))


def _of_length(rotations: Floats, count: int, what: str) -> Array:
    matrices = np.asarray(rotations, np.float64)
    if matrices.ndim < 3 or matrices.shape[-3:] != (count, 3, 3):
        raise SkeletonError(f"{what}: expected [..., {count}, 3, 3] rotation matrices, got {list(matrices.shape)}")
    return matrices


# --------------------------------------------------------------------------------------------- SMPL <-> Anny

# Part of SMPL's body -> the bone of Anny that shows its world rotation. The hands' bases have none of their own.
_SHOWN = {
    "pelvis": "root",
    "spine1": "spine04",
    "spine2": "spine02",
    "spine3": "spine01",
    "neck": "neck02",
    "head": "head",
    **{
        f"{side}_{joint}": f"{bone}.{end}"
        for side, end in (("left", "L"), ("right", "R"))
        for joint, bone in {
            "hip": "upperleg02",
            "knee": "lowerleg01",
            "ankle": "foot",
            "collar": "shoulder01",
            "shoulder": "upperarm02",
            "elbow": "lowerarm01",
            "wrist": "wrist",
        }.items()
    },
}
# Bones that turn with a part, besides the one that shows it.
_WITH = {
    **{f"pelvis.{end}": "root" for end in "LR"},
    **{f"upperleg01.{end}": f"upperleg02.{end}" for end in "LR"},
    **{f"lowerleg02.{end}": f"lowerleg01.{end}" for end in "LR"},
    **{f"clavicle.{end}": f"shoulder01.{end}" for end in "LR"},
    **{f"upperarm01.{end}": f"upperarm02.{end}" for end in "LR"},
}
# Bones half-way between two others.
_HALFWAY = {
    "spine05": ("root", "spine04"),
    "spine03": ("spine04", "spine02"),
    "neck01": ("spine01", "neck02"),
    "neck03": ("neck02", "head"),
}


def _alignments() -> dict[str, Array]:
    """Joint of SMPL -> what turns Anny's reference pose into the T-pose there, from Anny's axes to SMPL's."""
    result = dict.fromkeys(_SHOWN, _TO_ANNY.T)
    for side, end, left in (("left", ".L", 1.0), ("right", ".R", -1.0)):
        limbs = {
            ("hip", "knee"): (("upperleg01", "lowerleg01", "foot"), (0.0, -1.0, 0.0)),
            ("shoulder", "elbow"): (("upperarm01", "lowerarm01", "wrist"), (left, 0.0, 0.0)),
        }
        for joints, (bones, target) in limbs.items():
            turn = np.eye(3)
            for joint, start, stop in zip(joints, bones, bones[1:], strict=False):
                along = turn @ (_reference(stop + end) - _reference(start + end))
                turn = shortest_arc(along, np.array(target)) @ turn
                result[f"{side}_{joint}"] = turn @ _TO_ANNY.T
        # The T-pose's hand: along the arm, palm down, thumb to the front.
        hand = np.array([[0.0, left, 0.0], [0.0, 0.0, -1.0], [-left, 0.0, 0.0]])
        result[f"{side}_wrist"] = hand @ _HAND_AXES[side].T
    return result


def _hand_axes(end: str) -> Array:
    """[3, 3] columns: axes of a hand (of a left hand: mirrored back) in Anny's axes, reference pose."""
    wrist, index, middle, little = (
        _reference(f"{name}{end}") @ _TO_ANNY.T for name in ("wrist", "finger2-1", "finger3-1", "finger5-1")
    )
    along = _unit(middle - wrist)
    thumb = index - little if end == ".R" else little - index
    across = _unit(thumb - along * (along @ thumb))
    return np.stack([across, along, np.cross(across, along)], axis=1)


_HAND_AXES: dict[str, Array] = {"left": _hand_axes(".L"), "right": _hand_axes(".R")}
_ALIGNMENT = _alignments()
_FOREARM = {end: _unit(_reference(f"wrist.{end}") - _reference(f"lowerarm01.{end}")) @ _TO_ANNY.T for end in ("L", "R")}
_PLACE = {bone: place for place, bone in enumerate(ANNY_BONES)}
_ANNY_NUMBER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}


def anny_from_smpl(rotations: Floats, hands: Mapping[Side, Floats] | None = None) -> Array:
    """Rotations of Anny's active bones that put the body where SMPL's would be.

    Shared parts: spine and neck bones between two of SMPL's joints turn half-way between them; both halves of thigh,
    shank and upper arm turn alike, collar bone and shoulder likewise; the lower half of the forearm takes half of the
    hand's turn about it. Toes keep still.

    Args:
        rotations: [..., 22 or 24, 3, 3] local, SMPL's order, the root's from the body's frame to the world (camera).
        hands: side -> [..., 16, 3, 3] (wrist from the hand's frame to the world, then fingers) or [..., 15, 3, 3]
            (fingers; the wrist is the body's), a left hand mirrored back. Without it, hands keep relaxed.

    Returns:
        [..., 74, 3, 3] in the order of `ANNY_BONES`, as ``AnnyBody`` takes them: the root's from Anny's frame to the
        world, others against their parents in the axes of the reference pose.
    """
    rotations = np.asarray(rotations, np.float64)
    joints = 22 if rotations.ndim >= 3 and rotations.shape[-3] == 22 else 24
    body = world_rotations(rotations, SMPL_PARENTS[:joints])
    world = {bone: body[..., SMPL_24.index(joint), :, :] @ _ALIGNMENT[joint] for joint, bone in _SHOWN.items()}
    given = {side: _fingers(side, hand, rotations.shape[:-3]) for side, hand in (hands or {}).items()}
    for side, (wrist, _) in given.items():
        if wrist is not None:
            world[f"wrist.{side[0].upper()}"] = wrist @ _HAND_AXES[side].T
    world |= {bone: world[other] for bone, other in _WITH.items()}
    world |= {bone: between(world[a], world[b]) for bone, (a, b) in _HALFWAY.items()}
    for end, axis in _FOREARM.items():
        forearm = world[f"lowerarm01.{end}"]
        turn = np.swapaxes(forearm, -1, -2) @ world[f"wrist.{end}"]
        world[f"lowerarm02.{end}"] = forearm @ _twist(turn, axis, 0.5)
    result = np.broadcast_to(np.eye(3), (*rotations.shape[:-3], len(ANNY_BONES), 3, 3)).copy()
    for bone, turn in world.items():
        parent = _ANNY[bone]
        result[..., _PLACE[bone], :, :] = turn if parent is None else np.swapaxes(world[parent], -1, -2) @ turn
    for side, (_, fingers) in given.items():
        axes = _HAND_AXES[side]
        for place, name in enumerate(HAND_16[1:]):
            bone = f"finger{_ANNY_NUMBER[name[:-1]]}-{name[-1]}.{side[0].upper()}"
            result[..., _PLACE[bone], :, :] = axes @ fingers[..., place, :, :] @ axes.T
    return result


def _fingers(side: str, hand: Floats, leading: tuple[int, ...]) -> tuple[Array | None, Array]:
    """The wrist's world rotation where it is given, and the fingers' [..., 15, 3, 3]."""
    if side not in _HAND_AXES:
        raise SkeletonError(f"no hand `{side}`; there are: {choices(_HAND_AXES)}")
    hand = np.asarray(hand, np.float64)
    if hand.shape not in ((*leading, 15, 3, 3), (*leading, 16, 3, 3)):
        wanted = ", ".join(str(count) for count in leading)
        raise SkeletonError(
            f"{side} hand: expected rotations [{wanted}{', ' if wanted else ''}15 or 16, 3, 3], got {list(hand.shape)}"
        )
    wrist = None if hand.shape[-3] == 15 else np.asarray(hand[..., 0, :, :], np.float64)
    return wrist, np.asarray(hand[..., -15:, :, :], np.float64)


def smpl_from_anny(rotations: Floats, bones: Iterable[str] = ANNY_BONES) -> Array:
    """SMPL's 24 local rotations of a body that is posed as Anny; the inverse of `anny_from_smpl`.

    Args:
        rotations: [..., R, 3, 3] of ``bones``, as ``AnnyBody`` takes them; bones left out keep still in their parents.

    Returns:
        [..., 24, 3, 3]; toes and hands' bases do not turn.
    """
    world = _anny_world(rotations, bones)
    body = {joint: world[bone] @ _ALIGNMENT[joint].T for joint, bone in _SHOWN.items()}
    for side in ("left", "right"):
        body[f"{side}_foot"], body[f"{side}_hand"] = body[f"{side}_ankle"], body[f"{side}_wrist"]
    return local_rotations(np.stack([body[joint] for joint in SMPL_24], axis=-3), SMPL_PARENTS)


def hand_from_anny(rotations: Floats, side: Side, bones: Iterable[str] = ANNY_BONES) -> Array:
    """A hand's 16 rotations [..., 16, 3, 3] (the wrist's in the world) of a body that is posed as Anny.

    A left hand comes mirrored back. What metacarpals do is given to the knuckles.
    """
    if side not in _HAND_AXES:
        raise SkeletonError(f"no hand `{side}`; there are: {choices(_HAND_AXES)}")
    world = _anny_world(rotations, bones)
    end = side[0].upper()
    wanted = [f"wrist.{end}", *(f"finger{_ANNY_NUMBER[name[:-1]]}-{name[-1]}.{end}" for name in HAND_16[1:])]
    turns = np.stack([world[bone] for bone in wanted], axis=-3) @ _HAND_AXES[side]
    return local_rotations(turns, HAND_16_PARENTS)


def _anny_world(rotations: Floats, bones: Iterable[str]) -> dict[str, Array]:
    """Bone -> turn since the reference pose [..., 3, 3]; bones that are not given keep still in their parents."""
    bones = tuple(bones)
    rotations = _of_length(rotations, len(bones), "Anny's rotations")
    given = {bone: rotations[..., place, :, :] for place, bone in enumerate(bones)}
    if "root" not in given:
        raise SkeletonError(f"Anny's rotations need `root` among their bones; got: {choices(bones)}")
    world: dict[str, Array] = {}
    for bone, parent in _ANNY.items():
        if parent is None:
            world[bone] = given[bone]
        else:
            world[bone] = world[parent] @ given[bone] if bone in given else world[parent]
    return world
