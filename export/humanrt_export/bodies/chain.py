"""BoneChain: rotations relative to parents, composed along the tree of bones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["BoneChain", "ancestors_of", "pick"]


class BoneChain(nn.Module):
    """Compose the transforms of all bones by pointer doubling.

    After round k, a bone's 4 x 4 matrix spans its 2^k nearest ancestors: a tree of 17 levels takes five products of all
    bones at once, where level by level it would take sixteen, each a dozen operators of a graph.

    Args:
        parents: the parent of every bone; -1 for the root.
    """

    corner: Tensor
    above_root: Tensor

    def __init__(self, parents: Sequence[int]) -> None:
        super().__init__()
        self.bones = len(parents)
        rounds = ancestors_of(parents)
        self.rounds = len(rounds)
        arrays = {f"ancestor_{index}": torch.tensor(found) for index, found in enumerate(rounds)}
        arrays |= {"above_root": torch.eye(4)[None, None], "corner": torch.eye(4)[None, None, 3:]}
        for name, array in arrays.items():
            self.register_buffer(name, array, persistent=False)

    def forward(self, local: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Return rotations [N, J, 3, 3] and places [N, J, 3] m of the bones in the world.

        Args:
            local: [N, J, 3, 3], rotations relative to the parent, or to the world for the root.
            offsets: [N, J, 3] m, where a bone begins in its parent's axes, or in the world's for the root.
        """
        people = len(local)
        chain = torch.cat((local, offsets[..., None]), dim=-1)
        chain = torch.cat((chain, self.corner.expand(people, self.bones, 1, 4)), dim=-2)
        chain = torch.cat((chain, self.above_root.expand(people, 1, 4, 4)), dim=1)
        for index in range(self.rounds):
            chain = pick(chain, getattr(self, f"ancestor_{index}")) @ chain
        return chain[:, : self.bones, :3, :3], chain[:, : self.bones, :3, 3]


def ancestors_of(parents: Sequence[int]) -> list[list[int]]:
    """Return for round k = 0, 1, ... the ancestor 2^k generations above each bone; len(parents) is above the root.

    The list of a round has one more entry, for what is above the root, which is above itself. In the last round,
    someone has such an ancestor.
    """
    nothing = len(parents)
    above = [nothing if parent < 0 else parent for parent in parents] + [nothing]
    rounds = []
    while min(above) < nothing:
        rounds.append(above)
        above = [above[bone] for bone in above]
    return rounds


def pick(x: Tensor, indices: Tensor) -> Tensor:
    """Return entries of dimension 1 of ``x``; exports as one `Gather`."""
    return torch.index_select(x, 1, indices)
