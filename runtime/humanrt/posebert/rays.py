"""Pixels as PoseBERT takes them: rays of the landmarks, in the axes of a camera that looks at the person.

A landmark network sees a crop, as if its camera looked straight at the person; its metres are in that camera's axes,
and so are PoseBERT's answers. `Gaze` follows the direction to the person and turns answers to the camera's real axes:
somebody 25 degrees beside the optical axis is otherwise turned by as much.
"""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.skeleton import shortest_arc

__all__ = ["SETTLE", "Gaze", "directions", "rays", "turn_to"]

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

SETTLE = 0.25
"""s in which a gaze follows a person who moves by 63 %: what jitters in it would jitter in the answers."""
_LEAST = 0.05  # cosine of the angle from the gaze beyond which a ray is held: it would leave the image plane
_AXIS = np.array([0.0, 0.0, 1.0])


def directions(pixels: Floats, K: Floats) -> Array:
    """Return unit vectors [..., 3], camera axes, through pixels [..., 2] of a camera K [3, 3]."""
    points = np.asarray(pixels, np.float64)
    at = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1) @ np.linalg.inv(np.asarray(K, np.float64)).T
    return np.asarray(at / np.linalg.norm(at, axis=-1, keepdims=True))


def turn_to(direction: Floats) -> Array:
    """Return the rotation [3, 3] from camera axes to those of a camera that looks in a unit direction [3]."""
    return np.asarray(shortest_arc(np.asarray(direction, np.float64), _AXIS))


def rays(metres: Floats, looks: Floats, turn: Floats, body: slice | list[int]) -> NDArray[np.float32]:
    """Return what PoseBERT takes of the pixels.

    Args:
        metres: [K, 3] m, keypoints, from the landmark network.
        looks: [K, 3] unit vectors to the keypoints, camera axes: `directions`.
        turn: [3, 3] from camera axes to the gaze's: `turn_to`.
        body: the keypoints whose spread in metres and in the picture is compared.

    Returns:
        float32 [K, 3]: x and y in m of the ray in the plane at the depth at which both spreads agree; third, for every
        keypoint, the inverse of that depth in 1/m. All 0 if the person is behind the camera or a point.
    """
    turned = np.asarray(looks, np.float64) @ np.asarray(turn).T
    flat = turned[:, :2] / np.maximum(turned[:, 2:], _LEAST)
    seen, known = flat[body] - flat[body].mean(axis=0), metres[body, :2] - metres[body, :2].mean(axis=0)
    spread, size = float(np.square(seen).sum()), float(np.square(known).sum())
    out = np.zeros((len(flat), 3), np.float32)
    if spread > 1e-10 and size > 1e-10 and np.isfinite(spread) and np.isfinite(size):
        depth = (size / spread) ** 0.5
        out[:, :2] = depth * flat
        out[:, 2] = 1 / depth
    return out


class Gaze:
    """The direction to one person, smoothed over real time."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self._direction: Array | None = None
        self._t = 0.0

    def follow(self, direction: Floats, t: float) -> Array:
        """Return the turn [3, 3] to the gaze after a look in a direction [3] at time t, s."""
        seen = np.asarray(direction, np.float64)
        if self._direction is None:
            self._direction = seen
        else:
            keep = exp(-max(t - self._t, 0.0) / SETTLE)
            mixed = keep * self._direction + (1 - keep) * seen
            self._direction = mixed / max(float(np.linalg.norm(mixed)), 1e-9)
        self._t = t
        return turn_to(self._direction)
