"""BodyTurns: the rotations of SMPL-X's body among those of Anny's bones or of SMPL-X, read and replaced.

One network smooths the people of every body model: it takes the 22 rotations that all of them have. What a body has
beside these, fingers, a jaw, the share of each bone in a bend of the spine, stays with the rest of the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.anny import ANNY_BONES, ANNY_PARENTS, anny_from_smpl, part_axes, smpl_from_anny
from humanrt.geometry.bones import SMPLX_BONES, bone_tree
from humanrt.geometry.skeleton import SMPLX_BODY, SMPLX_BODY_PARENTS, world_rotations

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

    def replaced(self, rotations: Floats, body: Floats) -> Array:
        """Return a model's rotations [..., R, 3, 3] with those of the body, [..., 22, 3, 3], in place of its own.

        Toes keep theirs, as Anny has none. Where Anny divides a part, its bones share the change; with a body that was
        read from these very rotations, nothing changes.
        """
        rotations, body = np.asarray(rotations, np.float64), np.asarray(body, np.float64)
        result: Array = np.array(rotations, np.float64)
        if self._smplx:
            turned: Array = np.array(body, np.float64)
            turned[..., _TOES, :, :] = rotations[..., _TOES, :, :]
            result[..., :_BODY, :, :] = turned
            return result
        both = anny_from_smpl(np.stack([smpl_from_anny(rotations)[..., :_BODY, :, :], body]))
        # What of a bone's rotation the body's does not determine goes on top, in the bone's own axes...
        result[..., _CARRIED, :, :] = (both[1] @ np.swapaxes(both[0], -1, -2) @ rotations)[..., _CARRIED, :, :]
        # ... and where a part of the body ends, it turns as it should.
        wanted = world_rotations(body, SMPLX_BODY_PARENTS)
        world: dict[int, Array] = {}
        for bone in _CARRIED:
            parent = ANNY_PARENTS[bone]
            if (joint := _ENDS.get(bone)) is None:
                world[bone] = world[parent] @ result[..., bone, :, :]
                continue
            world[bone] = wanted[..., joint, :, :] @ _AXES[bone]
            above = world[parent] if parent >= 0 else np.eye(3)
            result[..., bone, :, :] = np.swapaxes(above, -1, -2) @ world[bone]
        return result


_ENDS: dict[int, int] = {}
_AXES: dict[int, Array] = {}
for _joint, _name in enumerate(SMPLX_BODY):
    if _joint not in _TOES:
        _bone, _axes = part_axes(_name)
        _ENDS[ANNY_BONES.index(_bone)] = _joint
        _AXES[ANNY_BONES.index(_bone)] = _axes.T
