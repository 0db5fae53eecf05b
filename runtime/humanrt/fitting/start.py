"""Where to begin: the body's position and rotation from one frame, of which nothing is known yet."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.camera import directions

__all__ = ["aligned", "along_ray", "depth_by_size", "fronts", "pivot_at"]

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

NEAREST = 0.3
"""m, least depth of a body's position."""


def depth_by_size(metres: Array, pixels: Array, K: Array) -> float:
    """Return the depth, m, at which points [N, 3] m, camera axes, spread as their pixels [N, 2] do."""
    size = np.sqrt(((metres[:, :2] - metres[:, :2].mean(axis=0)) ** 2).sum(axis=1).mean())
    seen = np.sqrt(((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1).mean())
    return max(float((K[0, 0] + K[1, 1]) / 2 * size / max(seen, 1e-9)), NEAREST)


def pivot_at(depth: float, pixel: Array, K: Array) -> Array:
    """Return the point [3] m, camera axes, at a depth behind a pixel [2]."""
    return np.append(directions(pixel, K), 1.0) * depth


def along_ray(metres: Array, pixel: Array, K: Array) -> Array:
    """Turn points [N, 3] from axes that look at a pixel [2] to those of the camera.

    A landmark network sees a crop, as if the camera looked at its middle.
    """
    x, _ = directions(pixel, K).tolist()
    length = sqrt(x * x + 1.0)
    sine, cosine = x / length, 1.0 / length
    turn = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    return np.asarray(metres @ turn.T)


def aligned(points: Array, seen: Array) -> Array:
    """Return the rotation [3, 3] that turns points [N, 3] to those seen [N, 3], both about their means (Kabsch)."""
    a, b = points - points.mean(axis=0), seen - seen.mean(axis=0)
    u, _, vt = np.linalg.svd(a.T @ b)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return np.asarray((u * signs @ vt).T)


def fronts() -> list[Array]:
    """Return rotations of an upright body that faces the camera, and of one that looks away."""
    facing = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # Anny's x left, y back, z up
    return [facing, facing @ np.diag([-1.0, -1.0, 1.0])]
