"""Anny as a small exportable torch module: rotations, phenotypes and translation -> vertices and joints.

It follows Anny's published model (Bregier et al., 2025; Apache-2.0): phenotypes blend a rest shape, every bone's
rest orientation is the rotation nearest to a matrix that is blended in the same way, and bones move vertices linearly
(linear blend skinning). Units: metres. Camera axes: x right, y down, z forward.

Rotations use Anny's pose parameterization `local-ref`: each is the bone's rotation relative to its parent, in axes
that equal the world's in the reference pose, which is the same for all shapes. With U the reference orientations
and X the rotation of a bone from the reference pose, ``X_bone = X_parent D_bone``: no U remains in the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humanrt_export.bodies.anny.bones import ACTIVE, indices
from humanrt_export.bodies.anny.model import AnnyData
from humanrt_export.bodies.anny.phenotypes import corner_weights
from humanrt_export.bodies.chain import BoneChain, pick
from humanrt_export.bodies.smplx import BodyOutput

__all__ = ["AnnyBody", "Rest", "skinned"]

_STEPS = 2


class Rest(NamedTuple):
    """A shape at rest: everything that depends only on the phenotypes.

    Attributes:
        surface: [N, 3, V + P] m, vertices and points in Anny's frame.
        heads: [N, J, 3] m, heads of the bones.
        turns: [N, J, 3, 3], rotations from a bone's rest pose to its reference pose.
    """

    surface: Tensor
    heads: Tensor
    turns: Tensor


class AnnyBody(nn.Module):
    """Compute `BodyOutput` from parameters of people; joints are named by `AnnyData.joint_names`.

    The root's rotation maps Anny's frame to the camera's; then the body is moved so that ``anchor``
    is at the network's translation.

    Args:
        data: the body model, of one topology.
        bones: the bones for which rotations are given, in this order; others do not move relative to their parents.
        anchor: the joint that is placed at the translation.
    """

    corners: Tensor
    template: Tensor
    blend: Tensor
    bone_template: Tensor
    bone_blend: Tensor
    guess: Tensor
    weights: Tensor
    places: Tensor
    identity: Tensor
    above: Tensor
    turned: Tensor

    def __init__(self, data: AnnyData, bones: Sequence[str] = ACTIVE, anchor: str = "head") -> None:
        super().__init__()
        self.bones = tuple(bones)
        self.anchor = indices([anchor], data.joint_names)[0]
        self.points, self.joints = len(data.point_names), len(data.names)
        count = len(data.corners[0])
        # Columns of blend shapes: x of all vertices and points, then y, then z.
        surface = np.concatenate((data.template, data.point_template))
        blend = np.concatenate((data.blend, data.point_blend), axis=1)
        bone_blend = np.concatenate((data.head_blend.reshape(count, -1), data.turn_blend.reshape(count, -1)), axis=1)
        arrays: dict[str, NDArray[Any]] = {
            "corners": data.corners,
            "template": surface.T.reshape(-1),
            "blend": blend.transpose(0, 2, 1).reshape(count, -1),
            "bone_template": np.concatenate((data.head_template.reshape(-1), data.turn_template.reshape(-1))),
            "bone_blend": bone_blend,
            "guess": data.turn_guess.reshape(1 + count, -1),
            "weights": np.concatenate((data.weights, data.point_weights)).T,
            "identity": np.eye(3)[None, None],
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array, np.float32)))
        # Index of each rig bone's rotation among those given; the identity is appended to them.
        given = {bone: index for index, bone in enumerate(self.bones)}
        indices(self.bones, data.names)
        parents = data.parents.tolist()
        self.chain = BoneChain(parents)
        # The root stands for its own parent: its offset is zero. Whoever hangs on the root is placed without its turn.
        above = [max(parent, 0) for parent in parents]
        self.register_buffer("places", torch.tensor([given.get(name, len(given)) for name in data.names]))
        self.register_buffer("above", torch.tensor(above), persistent=False)
        self.register_buffer("turned", torch.tensor([bone or self.joints for bone in above]), persistent=False)

    def forward(self, rotations: Tensor, shape: Tensor, translation: Tensor) -> BodyOutput:
        """Pose bodies.

        Args:
            rotations: [..., R, 3, 3] of `bones`: the root's from Anny's frame to the camera's, others relative to their
                parents.
            shape: [..., 6] `phenotypes.PHENOTYPES`.
            translation: [..., 3] m, camera space: position of ``anchor``.
        """
        people = rotations.shape[:-3]
        rest = self.rest(shape.reshape(-1, shape.shape[-1]))
        posed = self.pose(rest, rotations.reshape(-1, *rotations.shape[-3:]), translation.reshape(-1, 3))
        return BodyOutput(*(value.reshape(*people, -1 if len(value) else value.shape[1], 3) for value in posed))

    def rest(self, shape: Tensor) -> Rest:
        """Return the bodies at rest for phenotypes [N, 6]."""
        surface = self.template + corner_weights(shape) @ self.corners @ self.blend
        return Rest(surface.unflatten(-1, (3, -1)), *self.bones_at_rest(shape))

    def bones_at_rest(self, shape: Tensor) -> tuple[Tensor, Tensor]:
        """Return heads [N, J, 3] m and turns [N, J, 3, 3] of `Rest` for phenotypes [N, 6]."""
        coefficients = corner_weights(shape) @ self.corners
        bones = self.bone_template + coefficients @ self.bone_blend
        heads, turns = bones[:, : 3 * self.joints], bones[:, 3 * self.joints :]
        guess = (self.guess[0] + coefficients @ self.guess[1:]).unflatten(-1, (self.joints, 4))
        turns = _nearest_rotations(turns.unflatten(-1, (self.joints, 3, 3)), _from_quaternions(guess))
        return heads.unflatten(-1, (self.joints, 3)), turns

    def pose(self, rest: Rest, rotations: Tensor, translation: Tensor) -> BodyOutput:
        """Rotate the bones of ``rest`` by rotations [N, R, 3, 3], and move ``anchor`` to translation [N, 3] m."""
        still = self.identity.expand(len(rotations), 1, 3, 3)
        local = pick(torch.cat((rotations, still), dim=1), self.places)
        turns, heads = self._chain(local, rest)
        skin = skinned(rest.surface, rest.heads, turns @ rest.turns, heads, self.weights)
        vertices, points = skin[:, : skin.shape[1] - self.points], skin[:, skin.shape[1] - self.points :]
        joints = torch.cat((heads, points), dim=1)
        move = translation[:, None] - joints[:, self.anchor : self.anchor + 1]
        return BodyOutput(vertices + move, joints + move)

    def moves(self, rest: Rest, rotations: Tensor, translation: Tensor) -> Tensor:
        """Return [N, 3, 4, J]: by which every bone moves points from ``rest``, as `pose` moves the skin; see there."""
        still = self.identity.expand(len(rotations), 1, 3, 3)
        turns, heads = self._chain(pick(torch.cat((rotations, still), dim=1), self.places), rest)
        turns = turns @ rest.turns
        anchor = heads[:, self.anchor : self.anchor + 1]
        shifts = heads + translation[:, None] - anchor - (turns @ rest.heads[..., None])[..., 0]
        return torch.cat((turns, shifts[..., None]), dim=-1).permute(0, 2, 3, 1)

    def _chain(self, local: Tensor, rest: Rest) -> tuple[Tensor, Tensor]:
        """Compose rotations [N, J, 3, 3] relative to parents: rotations from the reference pose, and heads [N, J, 3] m.

        The root is at the origin.
        """
        still = self.identity.expand(len(local), 1, 3, 3)
        offsets = (rest.heads - pick(rest.heads, self.above))[..., None]
        # The root's rotation does not move the heads of its children: Anny defines its reference pose so.
        offsets = pick(torch.cat((rest.turns, still), dim=1), self.turned) @ offsets
        turns, heads = self.chain(local, offsets[..., 0])
        return turns, heads


def skinned(surface: Tensor, rest_heads: Tensor, turns: Tensor, heads: Tensor, weights: Tensor) -> Tensor:
    """Apply linear blend skinning: a point x of a bone moves to ``turns (x - rest head) + head``.

    Args:
        surface: [N, 3, V] m, points at rest.
        rest_heads, heads: [N, J, 3] m, heads of the bones, at rest and posed.
        turns: [N, J, 3, 3], rotations of the bones from rest.
        weights: [J, V], skinning weights.

    Returns:
        [N, V, 3] m.
    """
    # Every bone's 3 x 4 matrix, flattened and blended per point.
    moves = heads[..., None] - turns @ rest_heads[..., None]
    transforms = torch.cat((turns, moves), dim=-1).flatten(2).transpose(1, 2)
    blended = (transforms @ weights).unflatten(1, (3, 4))
    x, y, z = surface[:, None, 0], surface[:, None, 1], surface[:, None, 2]
    return (blended[:, :, 0] * x + blended[:, :, 1] * y + blended[:, :, 2] * z + blended[:, :, 3]).transpose(1, 2)


def _nearest_rotations(matrices: Tensor, rotations: Tensor, steps: int = _STEPS) -> Tensor:
    """Return the rotation R that maximises trace(R^T M), without a singular value decomposition.

    Newton's method on the rotations: with S = R^T M, rotate R by (trace(S) I - S)^-1 (S - S^T)^v. It converges if
    ``rotations`` [..., 3, 3] are close (from 0.2 rad to 1e-10 in 2 steps), for either sign of M's determinant, and its
    rounding error is that of the problem itself.
    """
    identity = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    for _ in range(steps):
        skewed = rotations.transpose(-1, -2) @ matrices
        diagonal = (skewed * identity).sum(dim=(-2, -1), keepdim=True)
        slope = _axis(skewed - skewed.transpose(-1, -2))
        a, b, c = (diagonal * identity - (skewed + skewed.transpose(-1, -2)) / 2).unbind(-2)
        first = _cross(b, c)
        solved = torch.stack(
            ((first * slope).sum(-1), (_cross(c, a) * slope).sum(-1), (_cross(a, b) * slope).sum(-1)), -1
        )
        rotations = rotations @ _cayley(solved / (a * first).sum(-1, keepdim=True))
    return rotations


def _axis(skew: Tensor) -> Tensor:
    """Return the vector [..., 3] of the skew-symmetric part: A [..., 3, 3] minus its transpose."""
    return torch.stack((skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]), dim=-1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Compute the cross product as one matrix product: exporters lack the operator or write it as fifteen."""
    products = (a[..., :, None] * b[..., None, :]).flatten(-2)
    return products @ products.new_tensor(_CROSS)


def _cayley(vectors: Tensor) -> Tensor:
    """Convert small rotations [..., 3] rad to matrices, accurate to the third order and always orthonormal."""
    ones = torch.ones_like(vectors[..., :1])
    return _from_quaternions(torch.cat((vectors / 2, ones), dim=-1))


def _from_quaternions(quaternions: Tensor) -> Tensor:
    """Convert quaternions x, y, z, w [..., 4] of any length to rotation matrices [..., 3, 3]."""
    products = (quaternions[..., :, None] * quaternions[..., None, :]).flatten(-2)
    squared = (quaternions * quaternions).sum(-1, keepdim=True)
    return (products @ products.new_tensor(_ROTATE) / squared).unflatten(-1, (3, 3))


# Products a_i b_j (row 3 i + j) -> a x b.
_CROSS = [[0, 0, 0], [0, 0, 1], [0, -1, 0], [0, 0, -1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 0, 0]]

# Products q_i q_j of x, y, z, w (row 4 i + j) -> the nine entries of the rotation matrix, row by row.
_ROTATE = [
    *([1, 0, 0, 0, -1, 0, 0, 0, -1], [0, 1, 0, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 1, 0, 0]),
    *([0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 1, 0, 1, 0, 0, 0, 0, 0], [-1, 0, 0, 0, 1, 0, 0, 0, -1]),
    *([0, 0, 0, 0, 0, 1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, 0, 1, 0, 0, 0, 1, 0, 0]),
    *([0, 0, 0, 0, 0, 1, 0, 1, 0], [-1, 0, 0, 0, -1, 0, 0, 0, 1], [0, -1, 0, 1, 0, 0, 0, 0, 0]),
    *([0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]),
    [1, 0, 0, 0, 1, 0, 0, 0, 1],
]
