"""Errors of a person's twelve limb joints, as arrays: what `people_views.py` and its peers measure.

The joints are `humanrt.geometry.limbs.LIMBS`: of Anny its own joints, which the ``joints_3d`` of a recording hold; of
landmark networks MediaPipe's landmarks of those names (`MEDIAPIPE`). Metres; camera space, x right, y down, z forward.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.limbs import HIPS, limb_indices
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.metrics.joints import procrustes_distances
from humanrt.metrics.trajectory import bends

__all__ = ["MEDIAPIPE", "acceleration", "beside", "hips_aligned", "similarity"]

Array = NDArray[Any]

MEDIAPIPE = tuple(limb_indices(MEDIAPIPE_33))
"""Indices of MediaPipe's landmarks that stand for them."""


def beside(joints: Array, truth: Array) -> Array:
    """Return distances [...] m from the lines of sight on which the true joints lie.

    The line of sight runs from the camera through the true joint; of the error only the part orthogonal to it counts.

    Args:
        joints, truth: [..., 3] m, camera space.
    """
    line = truth / np.linalg.norm(truth, axis=-1, keepdims=True)
    error = joints - truth
    return np.asarray(np.linalg.norm(error - (error * line).sum(-1, keepdims=True) * line, axis=-1))


def hips_aligned(joints: Array, truth: Array) -> Array:
    """Return distances [..., 12] m once the midpoints of the hips coincide; ``joints``, ``truth`` [..., 12, 3]."""
    return np.asarray(np.linalg.norm(_centred(joints) - _centred(truth), axis=-1))


def similarity(joints: Array, truth: Array) -> Array:
    """Return distances [N, 12] m after the best similarity: rotation, scale and translation; both [N, 12, 3]."""
    return procrustes_distances(joints, truth)


def acceleration(joints: Array) -> Array:
    """Return the size [T - 2, 12] m / frame^2 of second differences in time of the hips-aligned joints.

    Args:
        joints: [T, 12, 3] m, NaN in frames without them: differences that need these are NaN.
    """
    return bends(_centred(joints))


def _centred(joints: Array) -> Array:
    return np.asarray(joints - joints[..., HIPS, :].mean(-2, keepdims=True))
