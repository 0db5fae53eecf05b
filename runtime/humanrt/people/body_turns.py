"""BodyTurns: the rotations of SMPL-X's body among those of Anny's bones or of SMPL-X, read and replaced.

One network smooths the people of every body model: it takes the 22 rotations that all of them have. What a body has
beside these, fingers, a jaw, the share of each bone in a bend of the spine, stays with the rest of the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.anny import ANNY_BONES, ANNY_PARENTS, PARTS, part_axes, smpl_from_anny
from humanrt.geometry.bones import SMPLX_BONES, bone_tree
from humanrt.geometry.rotation import between
from humanrt.geometry.skeleton import SMPLX_BODY, SMPLX_BODY_PARENTS, local_rotations, world_rotations

__all__ = ["BodyTurns"]

Floats = NDArray[np.floating[Any]]
Array = NDArray[np.float64]

_BODY = len(SMPLX_BODY)
_TOES = [SMPLX_BODY.index(f"{side}_foot") for side in ("left", "right")]
_CARRIED = [k for k, bone in enumerate(ANNY_BONES) if not bone.startswith(("finger", "metacarpal"))]


class BodyTurns:
    """Read and replace the body's rotations of people.

    Args:
        bones: names of the model's rotations; None: SMPL-X's.
        count: how many there are.

    Raises:
        SkeletonError: they are neither Anny's nor SMPL-X's.
    """

    def __init__(self, bones: Sequence[str] | None, count: int) -> None:
        self._smplx = bone_tree(bones, count).names == SMPLX_BONES

    def read(self, rotations: Floats) -> Array:
        """Return the 22 rotations of SMPL-X's body, [..., 22, 3, 3], of a model's [..., R, 3, 3]."""
        rotations = np.asarray(rotations, np.float64)
        whole = rotations if self._smplx else smpl_from_anny(rotations)
        return np.asarray(whole[..., :_BODY, :, :], np.float64)

    def replaced(self, rotations: Floats, body: Floats, share: float = 1.0) -> Array:
        """Return a model's rotations [..., R, 3, 3] with those of the body, [..., 22, 3, 3], in place of its own.

        With a ``share`` below 1 they are turned towards those of the body by this part of the way.

        Toes keep theirs, as Anny has none. Where Anny divides a part, its bones turn by the part's change, those of
        spine and neck half-way between those of two; with a body read from these very rotations nothing changes.
        """
        rotations, body = np.asarray(rotations, np.float64), np.asarray(body, np.float64)
        if share < 1:
            body = between(self.read(rotations), body, share)
        result: Array = np.array(rotations, np.float64)
        if self._smplx:
            turned: Array = np.array(body, np.float64)
            turned[..., _TOES, :, :] = rotations[..., _TOES, :, :]
            result[..., :_BODY, :, :] = turned
            return result
        world = world_rotations(rotations[..., _CARRIED, :, :], _PARENTS)
        wanted = world_rotations(body, SMPLX_BODY_PARENTS)[..., _JOINTS, :, :]
        changes = wanted @ _AXES @ np.swapaxes(world[..., _ENDS, :, :], -1, -2)  # of the body's parts, in the world
        first, second = changes[..., _FIRST, :, :], changes[..., _SECOND, :, :]
        first[..., _SHARED, :, :] = between(first[..., _SHARED, :, :], second[..., _SHARED, :, :])
        result[..., _CARRIED, :, :] = local_rotations(first @ world, _PARENTS)
        return result


_PARENTS = tuple(-1 if (parent := ANNY_PARENTS[bone]) < 0 else _CARRIED.index(parent) for bone in _CARRIED)
_JOINTS = [k for k in range(_BODY) if k not in _TOES]
_NAMES = [SMPLX_BODY[joint] for joint in _JOINTS]
# Of each joint: the place of the bone that turns as it does, and the part's axes in those of the bone at rest.
_ENDS = [_CARRIED.index(ANNY_BONES.index(part_axes(name)[0])) for name in _NAMES]
_AXES = np.stack([part_axes(name)[1].T for name in _NAMES])
_FIRST, _SECOND = ([_NAMES.index(PARTS[ANNY_BONES[bone]][end]) for bone in _CARRIED] for end in (0, 1))
_SHARED = [k for k, (a, b) in enumerate(zip(_FIRST, _SECOND, strict=True)) if a != b]
