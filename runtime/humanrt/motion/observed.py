"""Motions of people as a camera saw them: from any body's bones, at any times, with the floor at any height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import choices
from humanrt.geometry.anny import ANNY_BONES, smpl_from_anny
from humanrt.geometry.rotation import between
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS, SMPLX_55, SMPLX_BODY, SkeletonError
from humanrt.motion.motion import Motion, parents_of
from humanrt.motion.rest import joint_positions

__all__ = ["CAMERA_UP", "on_floor", "resampled", "smpl_rotations"]

Array = NDArray[np.float64]

CAMERA_UP = "-y"
"""What a camera sees is in its axes: y down."""
_MORE = {*SMPLX_55, *SMPL_24} - set(SMPLX_BODY)
"""Joints of hands and face that may be there too."""
_TOES = [SMPLX_BODY.index(f"{side}_foot") for side in ("left", "right")]
_SOLE = 0.025
"""m, height of the lower toe joint of our rest skeleton when it stands: the median of recorded motion is 2.8."""
_MOSTLY = 0.2
"""Share of the frames in which the lower toe may be below the floor: who hops or is seen badly is not lowered by it."""


def smpl_rotations(
    rotations: NDArray[np.floating], bones: Sequence[str]
) -> tuple[Array, tuple[str, ...], tuple[int, ...]]:
    """Return the rotations of SMPL's joints [T, J, 3, 3] of a body's bones, their names and parents.

    Args:
        rotations: [T, R, 3, 3] of the bones.
        bones: their names: Anny's, SMPL's or SMPL-X's.

    Raises:
        SkeletonError: they are of another skeleton.
    """
    if set(bones) <= set(ANNY_BONES):
        return smpl_from_anny(rotations, bones), SMPL_24, SMPL_PARENTS
    if missing := [name for name in SMPLX_BODY if name not in bones]:
        raise SkeletonError(f"its bones are neither SMPL's nor Anny's (no {choices(missing[:4])}, ...)")
    names = (*SMPLX_BODY, *(name for name in bones if name in _MORE))
    index = [list(bones).index(name) for name in names]
    return np.asarray(rotations[:, index], np.float64), names, parents_of(names)


def resampled(
    t: Array, rotations: Array, places: Array, fps: float, names: tuple[str, ...], parents: tuple[int, ...]
) -> Motion:
    """Return a motion in camera axes at a frame rate, interpolated; its last frame is the last that was seen.

    Args:
        t: [N] s, increasing.
        rotations: [N, J, 3, 3].
        places: [N, 3] m, of the root.
        fps: frames per second.
        names, parents: of the joints.
    """
    at = t[-1] - np.arange(int(np.floor((t[-1] - t[0]) * fps + 1e-6)), -1, -1) / fps
    after = np.clip(np.searchsorted(t, at, side="left"), min(1, len(t) - 1), len(t) - 1)
    before = np.maximum(after - 1, 0)
    span = t[after] - t[before]
    part = np.clip((at - t[before]) / np.where(span > 0, span, 1.0), 0.0, 1.0)[:, None]
    turned = between(rotations[before], rotations[after], part[..., None])
    moved = places[before] + part * (places[after] - places[before])
    return Motion(turned.astype(np.float32), moved.astype(np.float32), fps, names, parents, CAMERA_UP)


def on_floor(motion: Motion) -> tuple[Motion, float]:
    """Return a motion raised so that its feet stand at height 0, and by how much, m.

    A camera does not know where the floor is, and motion capture has it at 0. The feet are those of our rest
    skeleton; whoever is on no floor in the whole motion, as in a climb, is put onto it.

    Args:
        motion: with y up.
    """
    joints = joint_positions(
        replace(motion, rotations=motion.with_joints(SMPLX_BODY), joint_names=SMPLX_BODY, parents=())
    )
    lowest = float(np.quantile(joints[:, _TOES, 1].min(1), _MOSTLY))
    lift = _SOLE - lowest
    return replace(motion, translation=motion.translation + np.array([0, lift, 0], np.float32)), lift
