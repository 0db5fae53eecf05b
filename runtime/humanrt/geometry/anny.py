"""Anny's 74 active bones, and conversion of poses between SMPL's skeleton and Anny's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from humanrt.errors import choices
from humanrt.geometry.rotation import between, matrices_from_vectors
from humanrt.geometry.skeleton import (
    HAND_16,
    HAND_16_PARENTS,
    SMPL_24,
    SMPL_PARENTS,
    SMPL_TO_ANNY,
    Array,
    Floats,
    Side,
    SkeletonError,
    checked_rotations,
    local_rotations,
    normalised,
    parent_indices,
    reference_joint,
    shortest_arc,
    world_rotations,
)

__all__ = [
    "ANNY_BONES",
    "ANNY_PARENTS",
    "PARTS",
    "anny_from_smpl",
    "hand_axes",
    "hand_from_anny",
    "part_axes",
    "smpl_from_anny",
]

_TRUNK = {"spine05": "root", "spine04": "spine05", "spine03": "spine04", "spine02": "spine03", "spine01": "spine02"}
_LEG = ("pelvis", "upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot")
_ARM = ("clavicle", "shoulder01", "upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")
_NECK = ("neck01", "neck02", "neck03", "head")


def _anny_tree() -> dict[str, str | None]:
    """Return the bones whose rotations a network predicts, in its order, and their parents."""

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
"""Anny's 74 active bones in the order of ``humanrt_export.bodies.anny.bones.ACTIVE``."""
ANNY_PARENTS = parent_indices(_ANNY)


def _twist(rotations: Array, axis: Array, amount: float) -> Array:
    """Return the twist of rotations [..., 3, 3] about unit axes [..., 3], before the swing, times ``amount``.

    The twist is not defined where the swing reverses the axis (pi), and fades to zero near there.
    """
    skew = np.stack(
        [
            rotations[..., 2, 1] - rotations[..., 1, 2],
            rotations[..., 0, 2] - rotations[..., 2, 0],
            rotations[..., 1, 0] - rotations[..., 0, 1],
        ],
        axis=-1,
    )
    # With q = (w, v): trace = 4 w^2 - 1 and skew = 4 w v, so the twist is twice the angle of (w, v.axis).
    four_ww = 1 + np.trace(rotations, axis1=-2, axis2=-1)
    angle = 2 * np.arctan2((skew * axis).sum(axis=-1), np.maximum(four_ww, 1e-12))
    swung = 1 + ((rotations @ axis[..., None])[..., 0] * axis).sum(axis=-1)  # 1 + cos(swing)
    fade = np.clip(swung / 0.1, 0.0, 1.0)
    return matrices_from_vectors(np.asarray((amount * fade * angle)[..., None] * axis))


# Part of SMPL's body -> the bone of Anny that has its world rotation. The bases of the hands have no bone of their own.
_BONE_OF_JOINT = {
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
# Further bones that turn with a part.
_SAME_ROTATION = {
    **{f"pelvis.{end}": "root" for end in "LR"},
    **{f"upperleg01.{end}": f"upperleg02.{end}" for end in "LR"},
    **{f"lowerleg02.{end}": f"lowerleg01.{end}" for end in "LR"},
    **{f"clavicle.{end}": f"shoulder01.{end}" for end in "LR"},
    **{f"upperarm01.{end}": f"upperarm02.{end}" for end in "LR"},
}
# Bones whose rotation is half-way between those of two others.
_HALFWAY = {
    "spine05": ("root", "spine04"),
    "spine03": ("spine04", "spine02"),
    "neck01": ("spine01", "neck02"),
    "neck03": ("neck02", "head"),
}


def _alignments() -> dict[str, Array]:
    """Return, by SMPL joint, the rotation from Anny's reference pose to the T-pose, from Anny's axes to SMPL's."""
    result = dict.fromkeys(_BONE_OF_JOINT, SMPL_TO_ANNY.T)
    for side, end, left in (("left", ".L", 1.0), ("right", ".R", -1.0)):
        limbs = {
            ("hip", "knee"): (("upperleg01", "lowerleg01", "foot"), (0.0, -1.0, 0.0)),
            ("shoulder", "elbow"): (("upperarm01", "lowerarm01", "wrist"), (left, 0.0, 0.0)),
        }
        for joints, (bones, target) in limbs.items():
            turn = np.eye(3)
            for joint, start, stop in zip(joints, bones, bones[1:], strict=False):
                along = turn @ (reference_joint(stop + end) - reference_joint(start + end))
                turn = shortest_arc(along, np.array(target)) @ turn
                result[f"{side}_{joint}"] = turn @ SMPL_TO_ANNY.T
        # The hand in the T-pose: along the arm, palm down, thumb to the front.
        hand = np.array([[0.0, left, 0.0], [0.0, 0.0, -1.0], [-left, 0.0, 0.0]])
        result[f"{side}_wrist"] = hand @ _HAND_AXES[side].T
    return result


def _hand_axes(end: str) -> Array:
    """Return the axes of a hand (a left one mirrored back) in Anny's axes and reference pose, as columns [3, 3]."""
    wrist, index, middle, little = (
        reference_joint(f"{name}{end}") @ SMPL_TO_ANNY.T for name in ("wrist", "finger2-1", "finger3-1", "finger5-1")
    )
    along = normalised(middle - wrist)
    thumb = index - little if end == ".R" else little - index
    across = normalised(thumb - along * (along @ thumb))
    return np.stack([across, along, np.cross(across, along)], axis=1)


_HAND_AXES: dict[str, Array] = {"left": _hand_axes(".L"), "right": _hand_axes(".R")}
_ALIGNMENT = _alignments()
_FOREARM = {
    end: normalised(reference_joint(f"wrist.{end}") - reference_joint(f"lowerarm01.{end}")) @ SMPL_TO_ANNY.T
    for end in ("L", "R")
}
_INDEX = {bone: index for index, bone in enumerate(ANNY_BONES)}
_FINGER_NUMBER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}


def _parts() -> dict[str, tuple[str, str]]:
    joint = {bone: part for part, bone in _BONE_OF_JOINT.items()}
    whole = joint | {bone: joint[other] for bone, other in _SAME_ROTATION.items()}
    whole |= {f"lowerarm02.{end}": joint[f"lowerarm01.{end}"] for end in "LR"}
    parts = {bone: (part, part) for bone, part in whole.items()}
    return parts | {bone: (joint[a], joint[b]) for bone, (a, b) in _HALFWAY.items()}


PARTS: Mapping[str, tuple[str, str]] = _parts()
"""By bone of the body (all but fingers), the joints of SMPL's body half-way between whose rotations it turns."""


# `anny_from_smpl` as indices of bones: those that turn with a joint of SMPL's body, by which joint, and how it lies ...
_WITH_JOINT = {bone: first for bone, (first, second) in PARTS.items() if first == second and "lowerarm02" not in bone}
_TURNED = [_INDEX[bone] for bone in _WITH_JOINT]
_TURNED_BY = [SMPL_24.index(joint) for joint in _WITH_JOINT.values()]
_TURNED_ALIGNMENT = np.stack([_ALIGNMENT[joint] for joint in _WITH_JOINT.values()])
# ... those half-way between two, which may be `_TURNED` only; the two halves of the forearms; all but the root.
_BETWEEN = [_INDEX[bone] for bone in _HALFWAY]
_BETWEEN_FROM, _BETWEEN_TO = ([_INDEX[pair[k]] for pair in _HALFWAY.values()] for k in (0, 1))
_FOREARM_UPPER, _FOREARM_LOWER, _FOREARM_WRIST = (
    [_INDEX[f"{bone}.{end}"] for end in _FOREARM] for bone in ("lowerarm01", "lowerarm02", "wrist")
)
_FOREARM_AXES = np.stack(list(_FOREARM.values()))
_POSED = sorted({*_TURNED, *_BETWEEN, *_FOREARM_LOWER} - {0})
_POSED_PARENTS = [ANNY_PARENTS[bone] for bone in _POSED]
_FINGERS = {
    side: [_INDEX[f"finger{_FINGER_NUMBER[name[:-1]]}-{name[-1]}.{side[0].upper()}"] for name in HAND_16[1:]]
    for side in _HAND_AXES
}


def part_axes(part: str) -> tuple[str, Array]:
    """Return the bone that turns with a joint of SMPL's body, and the part's axes (T-pose) in Anny's at rest."""
    return _BONE_OF_JOINT[part], _ALIGNMENT[part].T


def hand_axes(side: Side) -> Array:
    """Return the axes of a hand (a left one mirrored back) in Anny's axes at rest, as columns [3, 3]."""
    return _HAND_AXES[side]


def anny_from_smpl(rotations: Floats, hands: Mapping[Side, Floats] | None = None) -> Array:
    """Convert SMPL rotations to rotations of Anny's active bones that give the same pose.

    Shared parts: spine and neck bones between two SMPL joints turn half-way between them; both halves of thigh, shank
    and upper arm turn alike, collar bone and shoulder likewise; the lower half of the forearm takes half of the hand's
    twist about it. Toes do not move.

    Args:
        rotations: [..., 22 or 24, 3, 3] local, SMPL's order, the root's from the body's frame to the world (camera).
        hands: side -> [..., 16, 3, 3] (wrist from the hand's frame to the world, then fingers) or [..., 15, 3, 3]
            (fingers; the wrist is the body's), a left hand mirrored back. Without it, hands stay relaxed.

    Returns:
        [..., 74, 3, 3] in the order of `ANNY_BONES`, as ``AnnyBody`` takes them: the root's from Anny's frame to the
        world, others relative to their parents in the axes of the reference pose.
    """
    rotations = np.asarray(rotations, np.float64)
    leading = rotations.shape[:-3]
    joints = 22 if rotations.ndim >= 3 and rotations.shape[-3] == 22 else 24
    body = world_rotations(rotations, SMPL_PARENTS[:joints])
    given = {side: _fingers(side, hand, leading) for side, hand in (hands or {}).items()}
    world = np.empty((*leading, len(ANNY_BONES), 3, 3))
    world[..., _TURNED, :, :] = body[..., _TURNED_BY, :, :] @ _TURNED_ALIGNMENT
    for side, (wrist, _) in given.items():
        if wrist is not None:
            world[..., _INDEX[f"wrist.{side[0].upper()}"], :, :] = wrist @ _HAND_AXES[side].T
    world[..., _BETWEEN, :, :] = between(world[..., _BETWEEN_FROM, :, :], world[..., _BETWEEN_TO, :, :])
    forearm = world[..., _FOREARM_UPPER, :, :]
    turn = np.swapaxes(forearm, -1, -2) @ world[..., _FOREARM_WRIST, :, :]
    world[..., _FOREARM_LOWER, :, :] = forearm @ _twist(turn, _FOREARM_AXES, 0.5)
    result = np.broadcast_to(np.eye(3), world.shape).copy()
    result[..., 0, :, :] = world[..., 0, :, :]
    result[..., _POSED, :, :] = np.swapaxes(world[..., _POSED_PARENTS, :, :], -1, -2) @ world[..., _POSED, :, :]
    for side, (_, fingers) in given.items():
        axes = _HAND_AXES[side]
        result[..., _FINGERS[side], :, :] = axes @ fingers @ axes.T
    return result


def _fingers(side: str, hand: Floats, leading: tuple[int, ...]) -> tuple[Array | None, Array]:
    """Return the world rotation of the wrist, None if not given, and the rotations of the fingers [..., 15, 3, 3]."""
    if side not in _HAND_AXES:
        raise SkeletonError(f"unknown hand `{side}`; choose one of: {choices(_HAND_AXES)}")
    hand = np.asarray(hand, np.float64)
    if hand.shape not in ((*leading, 15, 3, 3), (*leading, 16, 3, 3)):
        wanted = ", ".join(str(count) for count in leading)
        raise SkeletonError(
            f"{side} hand: expected rotations [{wanted}{', ' if wanted else ''}15 or 16, 3, 3], got {list(hand.shape)}"
        )
    wrist = None if hand.shape[-3] == 15 else np.asarray(hand[..., 0, :, :], np.float64)
    return wrist, np.asarray(hand[..., -15:, :, :], np.float64)


def smpl_from_anny(rotations: Floats, bones: Iterable[str] = ANNY_BONES) -> Array:
    """Convert Anny rotations to SMPL's 24 local rotations; the inverse of `anny_from_smpl`.

    Args:
        rotations: [..., R, 3, 3] of ``bones``, as ``AnnyBody`` takes them.
        bones: names of the R bones; bones left out do not move relative to their parents.

    Returns:
        [..., 24, 3, 3]; toes and bases of the hands do not turn.
    """
    world = _anny_world(rotations, bones)
    body = {joint: world[bone] @ _ALIGNMENT[joint].T for joint, bone in _BONE_OF_JOINT.items()}
    for side in ("left", "right"):
        body[f"{side}_foot"], body[f"{side}_hand"] = body[f"{side}_ankle"], body[f"{side}_wrist"]
    return local_rotations(np.stack([body[joint] for joint in SMPL_24], axis=-3), SMPL_PARENTS)


def hand_from_anny(rotations: Floats, side: Side, bones: Iterable[str] = ANNY_BONES) -> Array:
    """Convert Anny rotations to the 16 rotations [..., 16, 3, 3] of a hand, the wrist's in the world.

    A left hand is mirrored back. The rotations of the metacarpals are passed on to the knuckles.
    """
    if side not in _HAND_AXES:
        raise SkeletonError(f"unknown hand `{side}`; choose one of: {choices(_HAND_AXES)}")
    world = _anny_world(rotations, bones)
    end = side[0].upper()
    wanted = [f"wrist.{end}", *(f"finger{_FINGER_NUMBER[name[:-1]]}-{name[-1]}.{end}" for name in HAND_16[1:])]
    turns = np.stack([world[bone] for bone in wanted], axis=-3) @ _HAND_AXES[side]
    return local_rotations(turns, HAND_16_PARENTS)


def _anny_world(rotations: Floats, bones: Iterable[str]) -> dict[str, Array]:
    """Return, by bone, the rotation since the reference pose [..., 3, 3]; bones not given move with their parents."""
    bones = tuple(bones)
    rotations = checked_rotations(rotations, len(bones), "Anny's rotations")
    given = {bone: rotations[..., index, :, :] for index, bone in enumerate(bones)}
    if "root" not in given:
        raise SkeletonError(f"Anny's rotations need `root` among their bones; got: {choices(bones)}")
    world: dict[str, Array] = {}
    for bone, parent in _ANNY.items():
        if parent is None:
            world[bone] = given[bone]
        else:
            world[bone] = world[parent] @ given[bone] if bone in given else world[parent]
    return world
