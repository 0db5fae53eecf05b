"""The body that is fitted: a tree of links with the joints of `anatomy`, the points that landmarks show, and its shape.

Each bone that a joint turns is a link (a wrist, which takes its half of the forearm's twist first, is two); the other
bones are part of the link that carries them. Links and points lie where Anny's rest joints lie, which depend on the
shape: to first order around a reference shape (`RigShape`), exactly at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt import native
from humanrt.errors import HumanrtError
from humanrt.fitting.anatomy import Joint, body_joints, finger_joints
from humanrt.geometry.anny import ANNY_BONES, ANNY_PARENTS
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices

__all__ = ["STATURE", "Attached", "Rest", "Rig", "RigShape"]

Array = NDArray[np.float64]
Indices = NDArray[np.int32]
Floats = NDArray[np.floating[Any]]

STATURE = 1.7
"""m: offsets of attached points are those of a person this tall."""

_PARENTS = np.array(ANNY_PARENTS, np.int32)

Rest = Callable[[Array], tuple[Array, float]]
"""Phenotypes [6] -> joints [J, 3] m at rest (every rotation the identity), and the stature, m."""


@dataclass(frozen=True)
class Attached:
    """A point on the body, by which it is seen.

    Attributes:
        name: for people to read.
        joint: the joint near which it lies.
        bone: the bone with which it turns.
        offset: [3] m from the joint, at rest, in Anny's axes, of a person `STATURE` tall; grows with stature.
    """

    name: str
    joint: str
    bone: str
    offset: tuple[float, float, float]


@dataclass(frozen=True)
class RigShape:
    """Where links and points lie, to first order in the S phenotypes that are solved for.

    Attributes:
        reference: [6] the phenotypes at which it is exact.
        stature: m.
        offset, offset_by: [L, 3] m, [L, 3, S]: origin of each link in its parent; of the root: the pivot in it.
        point, point_by: [P, 3] m, [P, 3, S], each in its link.
        joint, joint_by: [J, 3] m, [J, 3, S]: all joints, each in its link.
        stature_by: [S] m.
    """

    reference: Array
    stature: float
    offset: Array
    offset_by: Array
    point: Array
    point_by: Array
    joint: Array
    joint_by: Array
    stature_by: Array


@dataclass(frozen=True)
class Rig:
    """L links, parents first, the root first of all; V variables; P points; J joints.

    Attributes:
        joints: the joints of `anatomy`, in the order of their variables.
        joint_names: [J] names of the body's joints.
        points: the points, kind by kind.
        kinds: where the points of each kind lie: ``body``, ``left_hand``, and so on.
        parent, first, count: [L] parent link; first variable; number of variables.
        axes: [L, 3, 3] rotation vector per unit of each variable.
        before: [L, 3, 3] rotation of a link when its variables are 0.
        lower, upper, rest, spread: [V] rad.
        point_link, joint_link: [P], [J].
        turns: [74, V] squares of how far each variable turns each bone relative to its parent.
        bone_link, link_bone: [74] the link that turns with each of Anny's bones; [L] the bone of each link.
        pivot: the points whose middle is the body's position.
    """

    joints: tuple[Joint, ...]
    joint_names: tuple[str, ...]
    points: tuple[Attached, ...]
    kinds: Mapping[str, slice]
    parent: Indices
    first: Indices
    count: Indices
    axes: Array
    before: Array
    lower: Array
    upper: Array
    rest: Array
    spread: Array
    point_link: Indices
    joint_link: Indices
    turns: Array
    bone_link: Indices
    link_bone: Indices
    pivot: tuple[int, ...]

    @classmethod
    def of(
        cls,
        joint_names: Sequence[str],
        rest: Array,
        points: Mapping[str, Sequence[Attached]],
        pivot: Sequence[str],
        *,
        fingers: bool = False,
    ) -> Rig:
        """Create the rig.

        Args:
            joint_names: [J] names of the body's joints, Anny's.
            rest: [J, 3] m, joints of an average adult at rest.
            points: the points that landmarks show, by kind, in the order in which they are observed.
            pivot: names of the points whose middle is the body's position: those of the hips.
            fingers: also solve for the fingers.

        Raises:
            HumanrtError: a point's joint, a point's bone or a pivot is not among those that exist.
        """
        at = dict(zip(joint_names, np.asarray(rest, np.float64), strict=True))
        every = tuple(point for some in points.values() for point in some)
        _check(every, pivot, at)
        ends = np.cumsum([0, *(len(some) for some in points.values())]).tolist()
        joints = body_joints(at) + (finger_joints(at) if fingers else [])
        firsts = np.cumsum([0, *(len(joint.axes) for joint in joints)])
        acting: dict[str, list[int]] = {}
        for number, joint in enumerate(joints):
            for bone, _ in joint.bones:
                acting.setdefault(bone, []).append(number)
        parent, link_bone, first, count, axes, before = [-1], [0], [0], [0], [np.zeros((3, 3))], [np.eye(3)]
        bone_link = np.zeros(len(ANNY_BONES), np.int32)
        for place, bone in enumerate(ANNY_BONES):
            link = 0 if ANNY_PARENTS[place] < 0 else int(bone_link[ANNY_PARENTS[place]])
            for number in acting.get(bone, []):
                joint = joints[number]
                part = dict(joint.bones)[bone]
                parent.append(link)
                link_bone.append(place)
                first.append(int(firsts[number]))
                count.append(len(joint.axes))
                axes.append(np.zeros((3, 3)))
                axes[-1][: count[-1]] = part * joint.axes
                before.append(joint.neutral)
                link = len(parent) - 1
            bone_link[place] = link
        by_name = {bone: int(link) for bone, link in zip(ANNY_BONES, bone_link, strict=True)}
        rigid = [by_name[_carrier(name, at)] for name in joint_names]
        return cls(
            joints=tuple(joints),
            joint_names=tuple(joint_names),
            points=every,
            kinds={kind: slice(*pair) for kind, pair in zip(points, pairwise(ends), strict=True)},
            parent=np.array(parent, np.int32),
            first=np.array(first, np.int32),
            count=np.array(count, np.int32),
            axes=np.array(axes),
            before=np.array(before),
            lower=np.concatenate([joint.lower for joint in joints]),
            upper=np.concatenate([joint.upper for joint in joints]),
            rest=np.concatenate([joint.rest for joint in joints]),
            spread=np.concatenate([joint.spread for joint in joints]),
            point_link=np.array([by_name[point.bone] for point in every], np.int32),
            joint_link=np.array(rigid, np.int32),
            turns=_turns(joints, firsts),
            bone_link=bone_link,
            link_bone=np.array(link_bone, np.int32),
            pivot=tuple([point.name for point in every].index(name) for name in pivot),
        )

    def shape(
        self, phenotypes: Floats, rest: Rest, solved: Sequence[int] | NDArray[np.intp], step: float = 0.02
    ) -> RigShape:
        """Return where everything lies for a shape, and how it moves with the ``solved`` phenotypes.

        Args:
            phenotypes: [6].
            rest: the body's joints at rest, by its shape.
            solved: the phenotypes by which derivatives are taken, one-sided towards the middle of their range, and away
                from it where the step would cross it: Anny's bodies have a kink there.
            step: of the derivatives.
        """
        reference = np.asarray(phenotypes, np.float64)
        joints, stature = rest(reference)
        offset, point, joint = self._placed(joints, stature)
        by: list[tuple[Array, Array, Array, float]] = []
        for place in solved:
            moved = reference.copy()
            near = 0 < abs(reference[place] - 0.5) < step
            moved[place] += step if (reference[place] < 0.5) != near else -step
            size = moved[place] - reference[place]
            others, taller = rest(moved)
            there = self._placed(others, taller)
            slopes = [(a - b) / size for a, b in zip(there, (offset, point, joint), strict=True)]
            by.append((*slopes, (taller - stature) / size))

        def stacked(which: int, like: Array) -> Array:
            found = [slopes[which] for slopes in by]
            return np.ascontiguousarray(np.stack(found, axis=-1) if found else np.zeros((*like.shape, 0)))

        return RigShape(
            reference,
            stature,
            offset,
            stacked(0, offset),
            point,
            stacked(1, point),
            joint,
            stacked(2, joint),
            np.array([slopes[3] for slopes in by]),
        )

    def moved(self, shape: RigShape, phenotypes: Floats, rest: Rest) -> RigShape:
        """Return a shape exact at other ``phenotypes`` [6], with the slopes of ``shape``."""
        joints, stature = rest(np.asarray(phenotypes, np.float64))
        offset, point, joint = self._placed(joints, stature)
        reference = np.array(phenotypes, np.float64)
        return replace(shape, reference=reference, stature=stature, offset=offset, point=point, joint=joint)

    def _placed(self, joints: Array, stature: float) -> tuple[Array, Array, Array]:
        """Return the places of links, points and joints in their links, [., 3] m, from the joints at rest [J, 3]."""
        place = {name: np.asarray(at, np.float64) for name, at in zip(self.joint_names, joints, strict=True)}
        origin = np.stack([place[ANNY_BONES[bone]] for bone in self.link_bone])
        offset = origin - origin[np.maximum(self.parent, 0)]
        grown = stature / STATURE
        points = np.stack([place[point.joint] + grown * np.array(point.offset) for point in self.points])
        offset[0] = points[list(self.pivot)].mean(axis=0) - origin[0]
        return offset, points - origin[self.point_link], np.asarray(joints, np.float64) - origin[self.joint_link]

    def variables(self, rotations: Floats) -> Array:
        """Return the variables [V] that come nearest to a pose, within the limits.

        From the root outwards each joint takes what it can of the rotation that its last bone should have in the world;
        what it cannot take is left for the joints beyond.

        Args:
            rotations: [74, 3, 3] of Anny's bones, each relative to its parent.
        """
        given = np.ascontiguousarray(rotations, np.float64)
        if native.problem() is None:
            x = np.zeros(len(self.rest))
            library = native.library()
            library.humanrt_fit_variables(
                len(given), _PARENTS.ctypes.data, given.ctypes.data, len(self.parent), *self._tree, x.ctypes.data
            )
            return x
        return self._variables(given)

    @cached_property
    def _joints_of_links(self) -> tuple[Indices, Array]:
        """Return by link the bone [L] whose rotation its joint takes there (-1: none), and its axes [L, 3, 3]."""
        end, unit = np.full(len(self.parent), -1, np.int32), np.zeros_like(self.axes)
        firsts = np.cumsum([0, *(len(joint.axes) for joint in self.joints)])
        for joint, first in zip(self.joints, firsts, strict=False):
            link = int(np.flatnonzero((self.first == first) & (self.count > 0))[0])
            end[link] = ANNY_BONES.index(joint.bones[-1][0])
            unit[link, : len(joint.axes)] = joint.axes
        return end, unit

    @cached_property
    def _tree(self) -> list[int]:
        """Return the addresses that the compiled library takes."""
        end, unit = self._joints_of_links
        indices = (self.parent, self.first, self.count, end)
        numbers = (self.axes, unit, self.before, self.lower, self.upper)
        return [native.address(a, np.int32) for a in indices] + [native.address(a, np.float64) for a in numbers]

    def _variables(self, given: Array) -> Array:
        """Return the variables as `variables` does, in numpy."""
        wanted, world = np.empty_like(given), np.empty_like(given)
        x = np.zeros(len(self.rest))
        firsts = np.cumsum([0, *(len(joint.axes) for joint in self.joints)])
        for k, parent in enumerate(ANNY_PARENTS):
            wanted[k] = given[k] if parent < 0 else wanted[parent] @ given[k]
        for k, (bone, parent) in enumerate(zip(ANNY_BONES, ANNY_PARENTS, strict=True)):
            world[k] = given[k] if parent < 0 else world[parent]
            for number, joint in enumerate(self.joints):
                parts = dict(joint.bones)
                if bone not in parts:
                    continue
                values = x[firsts[number] : firsts[number + 1]]
                if bone == joint.bones[0][0]:
                    end = ANNY_BONES.index(joint.bones[-1][0])
                    left = joint.neutral.T @ world[k].T @ wanted[end]
                    values[...] = np.clip(_along(left, joint.axes), joint.lower, joint.upper)
                world[k] = world[k] @ joint.neutral @ matrices_from_vectors(parts[bone] * values @ joint.axes)
        return x

    def rotations(self, world: Array) -> Array:
        """Return the rotations [74, 3, 3] of Anny's bones from those of the links in the world [L, 3, 3]."""
        bones = world[self.bone_link]
        above = bones[np.maximum(ANNY_PARENTS, 0)]
        above[0] = np.eye(3)
        return np.asarray(np.swapaxes(above, -1, -2) @ bones)

    def joints_of(self, rotations: Floats, rest: Array) -> Array:
        """Return the joints [J, 3] m, from the root, of any pose [74, 3, 3], from those at rest [J, 3]."""
        place = dict(zip(self.joint_names, rest - rest[self.joint_names.index("root")], strict=True))
        world, origin = np.empty((len(ANNY_BONES), 3, 3)), np.zeros((len(ANNY_BONES), 3))
        for k, (bone, parent) in enumerate(zip(ANNY_BONES, ANNY_PARENTS, strict=True)):
            world[k] = rotations[k] if parent < 0 else world[parent] @ rotations[k]
            if parent >= 0:
                origin[k] = origin[parent] + world[parent] @ (place[bone] - place[ANNY_BONES[parent]])
        joints = []
        for name in self.joint_names:
            if name in ANNY_BONES:
                joints.append(origin[ANNY_BONES.index(name)])
            else:
                k = ANNY_BONES.index(_carrier(name, place))
                joints.append(origin[k] + world[k] @ (place[name] - place[ANNY_BONES[k]]))
        return np.array(joints)

    def bone_spread(self, variance: Array) -> Array:
        """Return the standard deviation [74] rad of each bone's rotation from the variances [V] of the variables."""
        return np.asarray(np.sqrt(self.turns @ variance))


def _turns(joints: Sequence[Joint], firsts: NDArray[np.int_]) -> Array:
    """Return the squared part [74, V] of each variable in each bone's rotation."""
    turns = np.zeros((len(ANNY_BONES), firsts[-1]))
    for joint, first, end in zip(joints, firsts, firsts[1:], strict=False):
        for bone, part in joint.bones:
            turns[ANNY_BONES.index(bone), first:end] = part**2
    return turns


def _along(rotation: Array, axes: Array) -> Array:
    """Return the components [K] rad of a rotation about axes [K, 3]; of a single one the twist about it."""
    vector = vectors_from_matrices(rotation)
    if len(axes) > 1:
        return np.asarray(axes @ vector)
    angle = np.linalg.norm(vector)
    share = axes @ vector / max(float(angle), 1e-12)
    return np.asarray(2 * np.arctan2(share * np.sin(angle / 2), np.cos(angle / 2)))


_CARRIERS = {"toe": "foot", "big-toe": "foot", "eye": "head"}


def _carrier(name: str, at: dict[str, Array]) -> str:
    """Return the bone with which a joint's place moves: its parent."""
    if name in ANNY_BONES:
        parent = ANNY_PARENTS[ANNY_BONES.index(name)]
        return ANNY_BONES[max(parent, 0)]
    stem, _, end = name.partition(".")
    if stem.startswith("finger") and stem.endswith("-tip"):
        return f"{stem.removesuffix('tip')}3.{end}"
    for start, bone in _CARRIERS.items():
        if stem.startswith(start):
            return f"{bone}.{end}" if bone != "head" else bone
    raise HumanrtError(f"joint {name} of the body is on no bone that is known; the joints must be Anny's")


def _check(points: Sequence[Attached], pivot: Sequence[str], at: dict[str, Array]) -> None:
    for point in points:
        if point.joint not in at:
            raise HumanrtError(f"point {point.name}: the body has no joint {point.joint}")
        if point.bone not in ANNY_BONES:
            raise HumanrtError(f"point {point.name}: Anny has no bone {point.bone}")
    names = {point.name for point in points}
    if not pivot or not names.issuperset(pivot):
        raise HumanrtError(f"the pivot {', '.join(pivot) or '(none)'} is not made of the rig's points")
