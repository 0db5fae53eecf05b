"""The body of the published Multi-HMR on Anny: rotations, shape and translation -> vertices and joints.

Rotations use Anny's pose parameterization `local-bone`: each is the bone's rotation relative to its parent, in the
axes of the bone itself at rest. With U the rest orientation, ``X_bone = X_parent U D U^T``, and U depends on the
shape: it is the smallest rotation that aligns the y axis with the bone, after the bone's constant roll about y. The
root's rotation maps Anny's frame (x to the person's left, y backwards, z up) to the camera's. Our own networks' bodies
(`body`) use another parameterization, in axes that do not depend on the shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humanrt.errors import HumanrtError
from humanrt_export.bodies.anny.body import skinned
from humanrt_export.bodies.anny.bones import indices
from humanrt_export.bodies.anny.model import PublishedRig
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES, corner_weights
from humanrt_export.bodies.chain import BoneChain, pick
from humanrt_export.bodies.smplx import BodyOutput

__all__ = ["PublishedBody"]

_EPS = 1e-12


class PublishedBody(nn.Module):
    """Compute `BodyOutput` from parameters of people; joints are the heads of all bones of the rig, in its order.

    Bones that never rotate are rigid with their parents: their weights count for the nearest ancestor that rotates, and
    their heads are points of that ancestor.

    Args:
        rig: the body.
        turning: indices of the bones for which rotations are given, ascending, the root first.
        anchor: the joint that is placed at the translation.
    """

    corners: Tensor
    template: Tensor
    blend: Tensor
    bone_template: Tensor
    bone_blend: Tensor
    rolls: Tensor
    weights: Tensor
    identity: Tensor
    above: Tensor
    joint_order: Tensor

    def __init__(self, rig: PublishedRig, turning: Sequence[int], anchor: str = "head") -> None:
        super().__init__()
        self.bones = tuple(rig.names[bone] for bone in turning)
        self.joint_names = rig.names
        self.anchor = indices([anchor], rig.names)[0]
        owners = _owners(rig, turning)
        place = {bone: k for k, bone in enumerate(turning)}
        still = [bone for bone in range(len(rig.names)) if bone not in place]
        self.points = len(still)
        count = len(rig.corners[0])

        owned = np.zeros((len(rig.names), len(place)), np.float32)  # 1 for the bone that receives the weights
        owned[np.arange(len(owners)), [place[owner] for owner in owners]] = 1
        # Columns of blend shapes: x of all vertices and points, then y, then z.
        surface = np.concatenate((rig.template, rig.head_template[still]))
        blend = np.concatenate((rig.blend, rig.head_blend[:, still]), axis=1)
        bones = np.concatenate((rig.head_template[list(turning)], rig.along_template[list(turning)]))
        bone_blend = np.concatenate((rig.head_blend[:, turning], rig.along_blend[:, turning]), axis=1)
        arrays: dict[str, NDArray[Any]] = {
            "corners": rig.corners,
            "template": surface.T.reshape(-1),
            "blend": blend.transpose(0, 2, 1).reshape(count, -1),
            "bone_template": bones.reshape(-1),
            "bone_blend": bone_blend.reshape(count, -1),
            "rolls": rig.rolls[list(turning)],
            "weights": np.concatenate((rig.weights @ owned, owned[still])).T,
            "identity": np.eye(3)[None, None],
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array, np.float32)))
        # The tree of the bones that rotate, and each rig bone's index among them and the points after them.
        self.parents = tuple(-1 if (up := int(rig.parents[bone])) < 0 else place[owners[up]] for bone in turning)
        self.chain = BoneChain(self.parents)
        above = torch.tensor([max(parent, 0) for parent in self.parents])  # the root's offset from itself is zero
        self.register_buffer("above", above, persistent=False)
        self.register_buffer("joint_order", torch.from_numpy(np.argsort([*turning, *still])))

    def forward(self, rotations: Tensor, shape: Tensor, translation: Tensor) -> BodyOutput:
        """Pose bodies.

        Args:
            rotations: [..., R, 3, 3] of `bones`.
            shape: [..., 11] `published.SHAPE`, of which the first six are used.
            translation: [..., 3] m, camera space: position of ``anchor``.
        """
        people = rotations.shape[:-3]
        turns = rotations.reshape(-1, *rotations.shape[-3:])
        amounts = shape.reshape(-1, shape.shape[-1])[:, : len(PHENOTYPES)]

        coefficients = corner_weights(amounts) @ self.corners
        surface = (self.template + coefficients @ self.blend).unflatten(-1, (3, -1))
        bones = (self.bone_template + coefficients @ self.bone_blend).unflatten(-1, (-1, 3))
        rest_heads, along = bones[:, : len(self.bones)], bones[:, len(self.bones) :]
        axes = _from_y(along) @ self.rolls
        local = axes @ turns @ axes.transpose(-1, -2)
        # The root rotates in world axes.
        local = torch.cat((turns[:, :1], local[:, 1:]), dim=1)
        turned, heads = self.chain(local, rest_heads - pick(rest_heads, self.above))
        skin = skinned(surface, rest_heads, turned, heads, self.weights)
        vertices, points = skin[:, : skin.shape[1] - self.points], skin[:, skin.shape[1] - self.points :]
        joints = pick(torch.cat((heads, points), dim=1), self.joint_order)
        move = translation.reshape(-1, 1, 3) - joints[:, self.anchor : self.anchor + 1]
        return BodyOutput(*((x + move).reshape(*people, x.shape[1], 3) for x in (vertices, joints)))


def _owners(rig: PublishedRig, turning: Sequence[int]) -> list[int]:
    """Return for each bone of the rig itself or the nearest ancestor that rotates."""
    if not turning or turning[0] != 0 or int(rig.parents[0]) >= 0:
        raise HumanrtError("the rig's first bone must be its root, and it must turn")
    owners: list[int] = []
    for bone, parent in enumerate(rig.parents.tolist()):
        owners.append(bone if bone in turning else owners[parent])
    return owners


def _from_y(along: Tensor) -> Tensor:
    """Return the smallest rotation [..., 3, 3] that maps +y to the direction of ``along`` [..., 3] m.

    It uses sine and 1 - cosine: the usual form with 1 / (1 + cosine) loses all digits near -y.
    """
    x, y, z = (along / (along * along).sum(-1, keepdim=True).sqrt().clamp(min=_EPS)).unbind(-1)
    sine = (x * x + z * z).sqrt()
    # The axis is (a, 0, c); if it is undefined, x.
    a, c = torch.where(sine > _EPS, z / sine.clamp(min=_EPS), 1.0), -x / sine.clamp(min=_EPS)
    turned = 1 - y
    rows = (
        *(1 - turned * c * c, -sine * c, turned * a * c),
        *(sine * c, y, -sine * a),
        *(turned * a * c, sine * a, 1 - turned * a * a),
    )
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
