"""A skeleton's motion on SMPL's tree: parts by name, axes and limbs brought together by the two rest poses.

A source gives, per bone, its turn since its own rest pose. Its axes are found from the rest pose (left, up, front).
Limbs then differ by what turns SMPL's T-pose to the source's rest pose: shortest arcs from hip and shoulder outwards,
and where the elbow's hinge is known, the twist that brings the hinges together. Feet stand flat in either rest pose,
or would if its legs were put together; trunk and collar bones take the axes alone. Bone lengths are dropped: motions
become those of one body (`humanrt.geometry.skeleton.SMPL_REST`), and the pelvis's path is scaled with the legs so that
feet still tread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import between, matrices_from_vectors
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS, SMPL_REST, local_rotations, shortest_arc
from humanrt_export.motion.clip import Motion, MotionError

__all__ = ["NAMINGS", "Source", "find_naming", "retarget"]

Array = NDArray[np.float64]
Naming = Mapping[str, tuple[str, ...]]

_SIDES = (("left", 1.0), ("right", -1.0))
_LEGS = ("left_hip", "right_hip", "left_knee", "right_knee")
_FLAT = np.radians(40)  # feet that point further from SMPL's at rest than this do not stand: they are aligned


@dataclass(frozen=True)
class Source:
    """A skeleton and one of its motions as read, in the file's own world frame and units.

    Attributes:
        heads: bone -> [3], its start in the rest pose.
        ends: bone -> [3], its end in the rest pose; required for limbs.
        turns: bone -> [T, 3, 3], rotation from the rest pose.
        joints: bone -> [T, 3], its start.
        hinges: elbow bone -> [3], its hinge axis in the rest pose (either sign).
        title: name for messages.
    """

    heads: Mapping[str, Array]
    ends: Mapping[str, Array]
    turns: Mapping[str, Array]
    joints: Mapping[str, Array]
    hinges: Mapping[str, Array] = field(default_factory=dict)
    title: str = "skeleton"


def _both(names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Expand ``{"hip": "{0}femur/{1}..."}`` to both sides; `{s}` is l or r, `{S}` Left or Right."""
    return {
        f"{side}_{joint}": tuple(name.format(s=side[0], S=side.capitalize()) for name in pattern.split("|"))
        for side, _ in _SIDES
        for joint, pattern in names.items()
    }


_UP = {"hip": "{S}UpLeg", "knee": "{S}Leg", "ankle": "{S}Foot"}
_OUT = {"collar": "{S}Shoulder", "shoulder": "{S}Arm", "elbow": "{S}ForeArm", "wrist": "{S}Hand"}

NAMINGS: dict[str, Naming] = {
    "CMU (ASF)": {
        **{"pelvis": ("root",), "spine1": ("lowerback",), "spine2": ("upperback",), "spine3": ("thorax",)},
        **{"neck": ("lowerneck", "upperneck"), "head": ("head",)},
        **_both({"hip": "{s}femur", "knee": "{s}tibia", "ankle": "{s}foot", "foot": "{s}toes"}),
        **_both({"collar": "{s}clavicle", "shoulder": "{s}humerus", "elbow": "{s}radius", "wrist": "{s}hand"}),
    },
    "CMU (BVH)": {
        **{"pelvis": ("Hips",), "spine1": ("LowerBack",), "spine2": ("Spine",), "spine3": ("Spine1",)},
        **{"neck": ("Neck", "Neck1"), "head": ("Head",)},
        **_both({**_UP, "foot": "{S}ToeBase", **_OUT}),
    },
    "Mixamo": {
        **{"pelvis": ("Hips",), "spine1": ("Spine",), "spine2": ("Spine1",), "spine3": ("Spine2",)},
        **{"neck": ("Neck",), "head": ("Head",)},
        **_both({**_UP, "foot": "{S}ToeBase", **_OUT}),
    },
    "Mixamo (LeftToe)": {
        **{"pelvis": ("Hips",), "spine1": ("Spine",), "spine2": ("Spine1",), "spine3": ("Spine2",)},
        **{"neck": ("Neck",), "head": ("Head",)},
        **_both({**_UP, "foot": "{S}Toe", **_OUT}),
    },
    "Hips-Chest-Collar": {
        **{"pelvis": ("Hips",), "spine3": ("Chest",), "neck": ("Neck",), "head": ("Head",)},
        **_both({"hip": "{S}Hip", "knee": "{S}Knee", "ankle": "{S}Ankle"}),
        **_both({"collar": "{S}Collar", "shoulder": "{S}Shoulder", "elbow": "{S}Elbow", "wrist": "{S}Wrist"}),
    },
}
"""Naming -> SMPL's joint -> bones whose mean turn it takes."""


def find_naming(names: Sequence[str], source: str) -> dict[str, tuple[str, ...]]:
    """Map SMPL's joints to bones as spelled in ``names`` (prefixes such as `mixamorig:` are ignored, case too).

    Raises:
        MotionError: no naming fits; the message lists what the closest one lacks.
    """
    plain = {name.rsplit(":", 1)[-1].lower(): name for name in names}
    lacking: dict[str, list[str]] = {}
    fitting: list[dict[str, tuple[str, ...]]] = []
    for title, naming in NAMINGS.items():
        missing = [bone for bones in naming.values() for bone in bones if bone.lower() not in plain]
        needed = [bone for bone in missing if not any(bone in naming.get(f"{s}_foot", ()) for s, _ in _SIDES)]
        lacking[title] = needed
        if not needed:  # toes are optional
            there = {joint: bones for joint, bones in naming.items() if not set(bones) & set(missing)}
            fitting.append({joint: tuple(plain[bone.lower()] for bone in bones) for joint, bones in there.items()})
    if fitting:
        return max(fitting, key=len)
    wanted = {title: [bone for bones in naming.values() for bone in bones] for title, naming in NAMINGS.items()}
    title = max(lacking, key=lambda key: len(wanted[key]) - len(lacking[key]))  # the most complete one
    everything = ", ".join(wanted[title])
    raise MotionError(
        f"{source}: its bone names match none of the known conventions ({', '.join(NAMINGS)}); the closest, {title}, "
        f"lacks {', '.join(lacking[title])}: rename bones to {everything}"
    )


def retarget(source: Source, naming: Mapping[str, tuple[str, ...]], make: Callable[[Array, Array], Motion]) -> Motion:
    """Compute SMPL's rotations from a source.

    Args:
        source: the skeleton and its motion.
        naming: SMPL's joint -> bones, from `find_naming`.
        make: creates the motion from translation [T, 3] m and rotations [T, 24, 3, 3].
    """
    frame = _frame(source, naming)
    heads = {bone: frame @ place for bone, place in source.heads.items()}
    ends = {bone: frame @ place for bone, place in source.ends.items()}
    offsets = {bone: ends[bone] - heads[bone] for bone in ends}
    aligned = _alignments(offsets, {bone: frame @ hinge for bone, hinge in source.hinges.items()}, naming)
    world: dict[str, Array] = {}
    for joint, bones in naming.items():
        turns = [frame @ source.turns[bone] @ frame.T for bone in bones]
        turn = turns[0] if len(turns) == 1 else between(turns[0], turns[1], 0.5)
        world[joint] = turn @ aligned[joint]
    _fill(world)
    rotations = local_rotations(np.stack([world[joint] for joint in SMPL_24], axis=1), SMPL_PARENTS)
    return make(_path(source, naming, frame, world["pelvis"]), rotations)


def _fill(world: dict[str, Array]) -> None:
    """Fill joints that the source lacks: spine by interpolation, toes and hands fixed to their parents."""
    for joint, amount in (("spine1", 0.4), ("spine2", 0.8)):
        if joint not in world:
            world[joint] = between(world["pelvis"], world["spine3"], amount)
    for side, _ in _SIDES:
        world.setdefault(f"{side}_foot", world[f"{side}_ankle"])
        world.setdefault(f"{side}_hand", world[f"{side}_wrist"])


def _frame(source: Source, naming: Mapping[str, tuple[str, ...]]) -> Array:
    """Return [3, 3] from the file's axes to x left, y up, z front: along the file's own axes where the body is."""

    def head(joint: str) -> Array:
        return np.asarray(source.heads[naming[joint][0]])

    up = _normal(head("neck") - (head("left_hip") + head("right_hip")) / 2)
    left = _normal(head("left_hip") - head("right_hip")) + _normal(head("left_shoulder") - head("right_shoulder"))
    left = _normal(left - up * (left @ up))
    legs = [source.ends[bone] - source.heads[bone] for name in _LEGS for bone in naming[name]]
    if min(map(np.linalg.norm, (up, left, *legs))) < 1e-6:
        raise MotionError(
            f"{source.title}: its rest pose has no trunk, no legs or no sides; export it with its bone lengths"
        )
    if max(float(_normal(leg) @ up) for leg in legs) > -0.5:
        raise MotionError(
            f"{source.title}: its rest pose (all angles 0) does not stand on its legs; export it with a T-pose as rest"
        )
    frame = np.stack([left, up, np.cross(left, up)])
    snapped = np.round(frame)
    whole = np.allclose(snapped @ snapped.T, np.eye(3)) and (frame * snapped).sum() > 2.6
    return snapped if whole else frame


def _normal(vector: Array) -> Array:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))


def _alignments(
    offsets: Mapping[str, Array], hinges: Mapping[str, Array], naming: Mapping[str, tuple[str, ...]]
) -> dict[str, Array]:
    """Return SMPL's joint -> the rotation from SMPL's rest pose to the source's at that joint."""
    aligned = {joint: np.eye(3) for joint in naming}

    def align(joint: str, target: Array, above: Array) -> Array:
        along = offsets[naming[joint][0]]
        if np.linalg.norm(along) < 1e-6:
            return above
        return shortest_arc(above @ target, along) @ above

    for side, left in _SIDES:
        turn = np.eye(3)
        for joint in ("hip", "knee"):
            aligned[f"{side}_{joint}"] = turn = align(f"{side}_{joint}", np.array([0.0, -1.0, 0.0]), turn)
        # Where the rest pose stands astride, the foot belongs to a leg that stands straight: its sole tilts with it.
        leg = offsets[naming[f"{side}_hip"][0]] + offsets[naming[f"{side}_knee"][0]]
        down = np.array([0.0, -1.0, 0.0])
        foot = shortest_arc(down, leg * (1.0, 1.0, 0.0)) if np.linalg.norm(leg[:2]) > 1e-6 else np.eye(3)
        ball = SMPL_REST[SMPL_24.index(f"{side}_foot")] - SMPL_REST[SMPL_24.index(f"{side}_ankle")]
        tilted = align(f"{side}_ankle", ball, foot)
        if np.trace(tilted @ foot.T) < 1 + 2 * np.cos(_FLAT):
            foot = tilted
        aligned[f"{side}_ankle"] = foot
        if f"{side}_foot" in aligned:
            aligned[f"{side}_foot"] = foot
        out = np.array([left, 0.0, 0.0])
        aligned[f"{side}_wrist"] = align(f"{side}_wrist", out, np.eye(3))
        turn = align(f"{side}_shoulder", out, np.eye(3))
        if (hinge := hinges.get(naming[f"{side}_elbow"][0])) is not None:
            turn = turn @ _hinge_twist(turn, hinge, offsets[naming[f"{side}_elbow"][0]], out)
        aligned[f"{side}_shoulder"] = turn
        aligned[f"{side}_elbow"] = align(f"{side}_elbow", out, turn)
    return aligned


def _hinge_twist(turn: Array, hinge: Array, forearm: Array, out: Array) -> Array:
    """Return the twist about ``out`` that takes the T-pose's hinge (the forearm folds to the front) to ``hinge``."""
    if np.cross(hinge, forearm)[2] < 0:  # folding is to the front
        hinge = -hinge
    wanted = turn.T @ hinge
    wanted = wanted - out * (wanted @ out)
    own = np.array([0.0, -out[0], 0.0])
    angle = np.arctan2(np.cross(own, wanted) @ out, own @ wanted)
    return np.asarray(matrices_from_vectors(angle * out))


def _path(source: Source, naming: Mapping[str, tuple[str, ...]], frame: Array, pelvis: Array) -> Array:
    """Return SMPL's pelvis [T, 3] m such that its hips coincide with the source's, scaled by the legs."""
    hips = [naming[f"{side}_hip"][0] for side, _ in _SIDES]
    knees = [naming[f"{side}_knee"][0] for side, _ in _SIDES]
    legs = np.mean([np.linalg.norm(source.ends[bone] - source.heads[bone]) for bone in (*hips, *knees)])
    places = {name: SMPL_REST[SMPL_24.index(name)] for name in ("left_hip", "left_knee", "left_ankle", "right_hip")}
    ours = (places["left_hip"] - places["left_ankle"])[1] / 2
    middle = sum(source.joints[bone] for bone in hips) / 2 @ frame.T * (ours / legs)
    return np.asarray(middle - pelvis @ ((places["left_hip"] + places["right_hip"]) / 2))
