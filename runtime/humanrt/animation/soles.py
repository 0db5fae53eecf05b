"""Soles: the points of a body with which it stands, found on its own mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from humanrt.animation.take import Take
from humanrt.geometry.bones import to_gltf_axes
from humanrt.geometry.skeleton import Array, SkeletonError, world_rotations
from humanrt.people.rig import BodyRig

__all__ = ["LEGS", "Leg", "Soles", "leg_bones", "soles_of"]

_SOLE = 0.015  # m above a foot's lowest vertex: what counts as its sole
_HEEL, _BALL = (0.05, 0.2), (0.6, 0.8)  # where on the sole, as parts of its length from the back


@dataclass(frozen=True)
class Leg:
    """The bones of a leg by index: where thigh, shank and foot begin."""

    thigh: int
    shank: int
    foot: int


LEGS = (
    (("upperleg01.L", "lowerleg01.L", "foot.L"), ("upperleg01.R", "lowerleg01.R", "foot.R")),
    (("left_hip", "left_knee", "left_ankle"), ("right_hip", "right_knee", "right_ankle")),
)
"""Names of the legs' bones, left and right: of Anny and of SMPL-X."""


@dataclass(frozen=True)
class Soles:
    """Heel and ball of both feet.

    Attributes:
        legs: left and right.
        points: [2, 2, 3] m, heel and ball of each foot at rest, from where its bone begins, in the body's own axes.
    """

    legs: tuple[Leg, Leg]
    points: Array

    def at(self, take: Take) -> Array:
        """Return where they are in a take, [F, 2, 2, 3] m: frames, feet, heel and ball."""
        world = world_rotations(take.local, take.tree.parents)
        return self.placed(world, take.tree.positions(take.rest, world, take.root))

    def placed(self, world: Array, heads: Array) -> Array:
        """Return where they are, likewise, for world rotations [F, R, 3, 3] and beginnings [F, R, 3] of the bones."""
        feet = [leg.foot for leg in self.legs]
        return np.asarray(heads[:, feet, None] + np.einsum("fsij,spj->fspi", world[:, feet], self.points))


def leg_bones(names: Sequence[str]) -> tuple[Leg, Leg]:
    """Return the legs of a body with bones of these names.

    Raises:
        SkeletonError: the bones are not Anny's or SMPL-X's.
    """
    for left, right in LEGS:
        if {*left, *right} <= set(names):
            return Leg(*map(names.index, left)), Leg(*map(names.index, right))
    raise SkeletonError("the body has no legs of a kind that is known: those of Anny or of SMPL-X")


def soles_of(rig: BodyRig, shape: Array) -> Soles:
    """Return the soles of a body of a shape [S].

    Raises:
        SkeletonError: its bones are not Anny's or SMPL-X's.
    """
    legs = leg_bones(rig.bones)
    still = np.broadcast_to(np.eye(3), (len(rig.bones), 3, 3))
    vertices, joints = rig.pose(shape, still)
    heads = rig.bone_heads(joints)
    upright = to_gltf_axes(rig.tree)  # y up, the body facing z
    points = []
    for leg in legs:
        foot = rig.skin.weight * np.isin(rig.skin.index, rig.tree.beyond(leg.foot))
        mesh = (vertices[foot.sum(axis=1) > 0.5] - heads[leg.foot]) @ upright.T
        lowest = float(mesh[:, 1].min())
        sole = mesh[mesh[:, 1] < lowest + _SOLE]
        back, length = float(sole[:, 2].min()), float(np.ptp(sole[:, 2]))
        for start, end in (_HEEL, _BALL):
            along = (sole[:, 2] - back) / max(length, 1e-6)
            part = sole[(along >= start) & (along <= end)]
            # Few vertices on a coarse mesh: then the middle of the stretch, on the foot's middle line.
            x = float(part[:, 0].mean() if len(part) else sole[:, 0].mean())
            points.append((x, lowest, back + (start + end) / 2 * length))
    return Soles(legs, np.array(points).reshape(2, 2, 3) @ upright)
