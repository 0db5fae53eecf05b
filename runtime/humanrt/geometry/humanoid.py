"""Skeletons for animation programs: which joints there are, what they are called, and in which pose they rest.

=========  ===================================================================================================
``body``   the bones of the body as they are, with their own names and rest pose (`SkeletonName` ``anny`` and,
           for SMPL-X, ``smpl``)
``vrm``    the humanoid of VRM 1.0 and, in another spelling, of Unity; rests in a T-pose
``mixamo`` Mixamo's names; rests in a T-pose
``smpl``   the joints of SMPL-X; rests in a T-pose
=========  ===================================================================================================

Anny divides upper arm, forearm, thigh, shank, spine and neck into several bones. The other skeletons have one joint for
each, which turns as the last of these bones. On a limb it lies where the first begins; on the spine and the neck, which
bend evenly, half-way between the first and the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.geometry.anny import ANNY_BONES, anny_from_smpl
from humanrt.geometry.bones import SMPLX_BONES, BoneTree, to_gltf_axes
from humanrt.geometry.skeleton import Array, local_rotations, world_rotations

__all__ = ["CAMERA_TO_GLTF", "SKELETONS", "Skeleton", "SkeletonName", "skeleton_of"]

SkeletonName = Literal["anny", "mixamo", "vrm", "smpl"]
SKELETONS: tuple[SkeletonName, ...] = get_args(SkeletonName)


CAMERA_TO_GLTF: Array = np.diag([1.0, -1.0, -1.0])
"""From the camera's axes (y down, z forward) to glTF's (y up, z backward)."""


@dataclass(frozen=True)
class Skeleton:
    """K joints, parents first, the root first of all.

    Attributes:
        name: whose names the joints have.
        joints: [K] names.
        parents: [K] index of each joint's parent; -1 for the root.
        places: [K] two bones, half-way between whose beginnings each joint lies.
        last: [K] bone with which each joint turns.
        joint_of_bone: [R] the joint that carries each bone.
        tree: the body's bones.
        pose: [R, 3, 3] local rotations of the bones in which the skeleton rests; the root's is the identity.
        axes: [3, 3] rotation from the body's own axes to glTF's.
    """

    name: SkeletonName
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    places: tuple[tuple[int, int], ...]
    last: tuple[int, ...]
    joint_of_bone: NDArray[np.int64]
    tree: BoneTree
    pose: Array
    axes: Array

    @cached_property
    def _at_rest(self) -> Array:
        """The world rotations [R, 3, 3] of the bones in which the skeleton rests."""
        return world_rotations(self.pose, self.tree.parents)

    @cached_property
    def _from_rest(self) -> Array:
        """What takes the joints' rotations since the body's rest to those since the skeleton's, [K, 3, 3]."""
        return np.asarray(np.swapaxes(self._at_rest[list(self.last)], -1, -2) @ self.axes.T)

    def rest(self, rest: Array) -> Array:
        """Return where the joints rest, [K, 3] m, the root at the origin, in glTF's axes.

        Args:
            rest: [R, 3] m, where the bones begin at rest, in the body's own axes.
        """
        heads = self.tree.positions(rest, self._at_rest, np.zeros(3))
        return np.asarray(heads[np.array(self.places)].mean(axis=1) @ self.axes.T)

    def turns(self, local: Array, to_world: Array) -> Array:
        """Return the rotations of the joints since rest, in the world, [..., K, 3, 3].

        Args:
            local: [..., R, 3, 3] rotations of the bones relative to their parents; the root's to the camera.
            to_world: [3, 3] rotation from the camera's axes to the world's.
        """
        posed = to_world @ world_rotations(local, self.tree.parents)
        return np.asarray(posed[..., list(self.last), :, :] @ self._from_rest)

    def local(self, turns: Array) -> Array:
        """Return rotations relative to the parents, [..., K, 3, 3], from those in the world."""
        return local_rotations(turns, self.parents)


# Role (the name in VRM 1.0): parent's role; first and last bone of Anny; SMPL-X's bone; Mixamo's name. Sides: {s} is
# left or right, {e} L or R, {S} Left or Right.
_MIDDLE = {
    "hips": ("", "root", "root", "pelvis", "Hips"),
    "spine": ("hips", "spine05", "spine04", "spine1", "Spine"),
    "chest": ("spine", "spine03", "spine02", "spine2", "Spine1"),
    "upperChest": ("chest", "spine01", "spine01", "spine3", "Spine2"),
    "neck": ("upperChest", "neck01", "neck02", "neck", "Neck"),
    "head": ("neck", "neck03", "head", "head", "Head"),
    "jaw": ("head", "", "", "jaw", ""),
}
_SIDE = {
    "{s}Shoulder": ("upperChest", "clavicle.{e}", "shoulder01.{e}", "{s}_collar", "{S}Shoulder"),
    "{s}UpperArm": ("{s}Shoulder", "upperarm01.{e}", "upperarm02.{e}", "{s}_shoulder", "{S}Arm"),
    "{s}LowerArm": ("{s}UpperArm", "lowerarm01.{e}", "lowerarm02.{e}", "{s}_elbow", "{S}ForeArm"),
    "{s}Hand": ("{s}LowerArm", "wrist.{e}", "wrist.{e}", "{s}_wrist", "{S}Hand"),
    "{s}UpperLeg": ("hips", "upperleg01.{e}", "upperleg02.{e}", "{s}_hip", "{S}UpLeg"),
    "{s}LowerLeg": ("{s}UpperLeg", "lowerleg01.{e}", "lowerleg02.{e}", "{s}_knee", "{S}Leg"),
    "{s}Foot": ("{s}LowerLeg", "foot.{e}", "foot.{e}", "{s}_ankle", "{S}Foot"),
    "{s}Toes": ("{s}Foot", "", "", "{s}_foot", "{S}ToeBase"),
}
_FINGERS = {"Thumb": ("thumb", "Thumb"), "Index": ("index", "Index"), "Middle": ("middle", "Middle")} | {
    "Ring": ("ring", "Ring"),
    "Little": ("pinky", "Pinky"),
}


@dataclass(frozen=True)
class _Role:
    parent: str
    first: str
    last: str
    smplx: str
    mixamo: str


def _roles() -> Mapping[str, _Role]:
    roles = {name: _Role(*values) for name, values in _MIDDLE.items()}
    for side, end in (("left", "L"), ("right", "R")):
        names = {"s": side, "e": end, "S": side.capitalize()}
        for name, values in _SIDE.items():
            roles[name.format(**names)] = _Role(*(value.format(**names) for value in values))
        for number, (finger, (smplx, mixamo)) in enumerate(_FINGERS.items(), 1):
            parts = ("Metacarpal" if finger == "Thumb" else "Proximal", "Proximal", "Distal")
            if finger != "Thumb":
                parts = ("Proximal", "Intermediate", "Distal")
            parent = f"{side}Hand"
            for k, part in enumerate(parts, 1):
                bone = f"finger{number}-{k}.{end}"
                role = f"{side}{finger}{part}"
                name = f"{side.capitalize()}Hand{mixamo}{k}"
                roles[role] = _Role(parent, bone, bone, f"{side}_{smplx}{k}", name)
                parent = role
    return roles


_ROLES = _roles()
_BENDING = ("spine", "chest", "neck", "head")


def skeleton_of(tree: BoneTree, name: SkeletonName | None = None) -> Skeleton:
    """Return a skeleton for a body's bones.

    Args:
        tree: the bones.
        name: one of `SKELETONS`; None: the body's own.

    Raises:
        HumanrtError: there is no such skeleton, or the body has no such bones.
    """
    own: SkeletonName = "smpl" if tree.names == SMPLX_BONES else "anny"
    name = name or own
    if name not in SKELETONS:
        raise HumanrtError(f"names: no `{name}`; choose one of: {', '.join(SKELETONS)}")
    if name == own:
        bones = tuple(range(len(tree.names)))
        still = np.broadcast_to(np.eye(3), (len(bones), 3, 3)).copy()
        return Skeleton(
            name,
            tree.names,
            tree.parents,
            tuple((bone, bone) for bone in bones),
            bones,
            np.arange(len(bones)),
            tree,
            still,
            to_gltf_axes(tree),
        )
    if name == "anny":
        raise HumanrtError("names: this body is SMPL-X, which has no bones of Anny; choose one of: mixamo, smpl, vrm")
    return _humanoid(tree, name)


def _humanoid(tree: BoneTree, name: SkeletonName) -> Skeleton:
    smplx = tree.names == SMPLX_BONES
    index = {bone: k for k, bone in enumerate(tree.names)}
    found = {role: (about.smplx, about.smplx) if smplx else (about.first, about.last) for role, about in _ROLES.items()}
    roles = [role for role, (first, _) in found.items() if first in index and _name(role, name)]
    roles.sort(key=lambda role: index[found[role][0]])  # parents first, as bones are
    parents = tuple(roles.index(_ROLES[role].parent) if _ROLES[role].parent else -1 for role in roles)
    first, last = (tuple(index[found[role][end]] for role in roles) for end in (0, 1))
    carriers = np.zeros(len(tree.names), np.int64)
    for bone, parent in enumerate(tree.parents):
        # A joint carries the bones that it stands for, and those beyond that no joint stands for.
        carriers[bone] = carriers[parent] if parent >= 0 else 0
        if bone in first:
            carriers[bone] = first.index(bone)
    return Skeleton(
        name,
        tuple(_name(role, name) for role in roles),
        parents,
        tuple((a, b if role in _BENDING else a) for role, a, b in zip(roles, first, last, strict=True)),
        last,
        carriers,
        tree,
        _t_pose(smplx, len(tree.names)),
        to_gltf_axes(tree),
    )


def _name(role: str, skeleton: SkeletonName) -> str:
    """Return what a skeleton calls a role; empty if it has none."""
    if skeleton == "vrm":
        return role
    if skeleton == "smpl":
        return _ROLES[role].smplx
    return f"mixamorig:{_ROLES[role].mixamo}" if _ROLES[role].mixamo else ""


def _t_pose(smplx: bool, bones: int) -> Array:
    if smplx:
        return np.broadcast_to(np.eye(3), (bones, 3, 3)).copy()
    pose = anny_from_smpl(np.broadcast_to(np.eye(3), (22, 3, 3)))
    assert len(pose) == len(ANNY_BONES)
    pose[0] = np.eye(3)
    return pose
