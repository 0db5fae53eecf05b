"""The tree of bones whose rotations a people model gives, by the name of its body model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.anny import ANNY_BONES, ANNY_PARENTS
from humanrt.geometry.skeleton import (
    SMPL_TO_ANNY,
    SMPLX_55,
    SMPLX_BODY,
    SMPLX_BODY_PARENTS,
    Array,
    SkeletonError,
    world_rotations,
)

__all__ = ["SMPLX_BONES", "BoneTree", "bone_tree", "to_gltf_axes"]

_HANDS = tuple(name for name in SMPLX_55[len(SMPLX_BODY) :] if name[-1].isdigit())
SMPLX_BONES = (*SMPLX_BODY, *_HANDS, "jaw")
"""The 53 rotations of Multi-HMR on SMPL-X, in its order: body, left hand, right hand, jaw."""


@dataclass(frozen=True)
class BoneTree:
    """R bones, parents first, the root first of all.

    Attributes:
        names: [R].
        parents: [R] index of each bone's parent; -1 for the root.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]

    def beyond(self, bone: int) -> list[int]:
        """Return the index of a bone and those of all bones that it carries."""
        found = [bone]
        for k, parent in enumerate(self.parents):
            if parent in found:
                found.append(k)
        return found

    def positions(self, rest: Array, world: Array, root: Array) -> Array:
        """Return where bones begin in a pose, [..., R, 3] m.

        Args:
            rest: [..., R, 3] m, where they begin at rest.
            world: [..., R, 3, 3] world rotations (`world_rotations`).
            root: [..., 3] m, where the root is.
        """
        result = np.empty((*np.broadcast_shapes(rest.shape[:-2], world.shape[:-3]), len(self.names), 3))
        for bone, parent in enumerate(self.parents):
            if parent < 0:
                result[..., bone, :] = root
            else:
                offset = rest[..., bone, :] - rest[..., parent, :]
                result[..., bone, :] = result[..., parent, :] + np.einsum(
                    "...ij,...j", world[..., parent, :, :], offset
                )
        return result

    def offsets(self, local: Array, positions: Array) -> Array:
        """Return each bone's offset from its parent at rest, [..., R, 3] m (the root's is 0), from a pose.

        Args:
            local: [..., R, 3, 3] rotations relative to the parent.
            positions: [..., R, 3] m, where bones begin in this pose.
        """
        world = world_rotations(local, self.parents)
        parents = list(self.parents[1:])
        apart = positions[..., 1:, :] - positions[..., parents, :]
        result = np.zeros(positions.shape)
        result[..., 1:, :] = np.einsum("...ji,...j->...i", world[..., parents, :, :], apart)
        return result

    def rest(self, offsets: Array) -> Array:
        """Return where bones begin at rest, [R, 3] m from the root, from their offsets [R, 3]."""
        result = np.zeros(offsets.shape)
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                result[bone] = result[parent] + offsets[bone]
        return result


_ANNY_TREE = BoneTree(ANNY_BONES, ANNY_PARENTS)


def _smplx_tree() -> BoneTree:
    index = {name: k for k, name in enumerate(SMPLX_BONES)}
    parents = list(SMPLX_BODY_PARENTS)
    for name in SMPLX_BONES[len(SMPLX_BODY) :]:
        if name == "jaw":
            parents.append(index["head"])
        else:
            before = f"{name[:-1]}{int(name[-1]) - 1}"
            parents.append(index[before] if before in index else index[f"{name.split('_')[0]}_wrist"])
    return BoneTree(SMPLX_BONES, tuple(parents))


_SMPLX_TREE = _smplx_tree()


def bone_tree(names: Sequence[str] | None, count: int) -> BoneTree:
    """Return the tree of a body's bones.

    Args:
        names: names of the bones, Anny's or SMPL-X's; None: SMPL-X's, which older bundles and recordings do not name.
        count: number of rotations.

    Raises:
        SkeletonError: these are the bones of neither.
    """
    for tree in (_ANNY_TREE, _SMPLX_TREE):
        if tuple(names or SMPLX_BONES) == tree.names and count == len(tree.names):
            return tree
    raise SkeletonError(
        f"{count} rotations {'without names' if not names else f'of bones such as `{names[0]}`'} are neither the "
        f"{len(ANNY_BONES)} of Anny nor the {len(SMPLX_BONES)} of SMPL-X"
    )


def to_gltf_axes(tree: BoneTree) -> NDArray[np.float64]:
    """Return the rotation [3, 3] from a body's own axes at rest to glTF's: x to its left, y up, z to the front."""
    return np.eye(3) if tree.names == SMPLX_BONES else SMPL_TO_ANNY.T
