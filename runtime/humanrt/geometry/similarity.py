"""The best similarity between two sets of points (least squares; Umeyama 1991)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Similarity", "aligned", "best_similarity"]

Array = NDArray[Any]


class Similarity(NamedTuple):
    """Maps points p to ``scale * p @ rotation + shift``.

    Attributes:
        scale: [...].
        rotation: [..., 3, 3], applied from the right.
        shift: [..., 3].
    """

    scale: Array
    rotation: Array
    shift: Array

    def __call__(self, points: Array) -> Array:
        """Map points [..., K, 3]."""
        return np.asarray(self.scale[..., None, None] * (points @ self.rotation) + self.shift[..., None, :])


def best_similarity(points: Array, truth: Array, *, scale: bool = True) -> Similarity:
    """Return the proper rotation, shift and scale that bring ``points`` [..., K, 3] nearest to ``truth``.

    Without ``scale`` it is a rigid motion. Points that all coincide keep their orientation and size.
    """
    middle, true_middle = points.mean(-2, keepdims=True), truth.mean(-2, keepdims=True)
    a, b = points - middle, truth - true_middle
    u, s, vt = np.linalg.svd(np.swapaxes(a, -1, -2) @ b)
    signs = np.ones_like(s)
    signs[..., -1] = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    turn = (u * signs[..., None, :]) @ vt
    factor = np.ones(s.shape[:-1])
    if scale:
        factor = (s * signs).sum(-1) / np.maximum((a * a).sum((-2, -1)), 1e-12)
    shift = true_middle - factor[..., None, None] * (middle @ turn)
    return Similarity(np.asarray(factor), np.asarray(turn), np.asarray(shift[..., 0, :]))


def aligned(points: Array, truth: Array, *, scale: bool = True) -> Array:
    """Align ``points`` [..., K, 3] with ``truth`` by the best similarity, or rigid motion without ``scale``."""
    return best_similarity(points, truth, scale=scale)(points)
