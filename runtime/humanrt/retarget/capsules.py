"""Capsules of a robot hand: their radii, and how near two of them are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanrt.retarget.description import HandDescription

__all__ = ["TIP", "capsule_radius", "nearest"]

Array = NDArray[np.float64]

TIP = 2
"""The last of a finger's three segments."""


def capsule_radius(hand: HandDescription, part: int | None) -> float:
    """Return the radius of a finger's segment, m, 0 at the knuckle, or the palm's (None), as they are drawn."""
    return hand.radius * (1.25 if part is None else 1.0 - 0.08 * part)


def nearest(a0: Array, a1: Array, b0: Array, b1: Array) -> tuple[float, float, float]:
    """Return the distance of two segments, and the fractions along each at which they are nearest.

    Ericson 2005, Real-Time Collision Detection, 5.1.9; the twin of ``nearest`` in _native/solver.c.
    """
    u, v, w = a1 - a0, b1 - b0, a0 - b0
    a, e, f, tiny = float(u @ u), float(v @ v), float(v @ w), 1e-12

    def unit(value: float) -> float:
        return min(max(value, 0.0), 1.0)

    if a <= tiny:
        s, t = 0.0, 0.0 if e <= tiny else unit(f / e)
    elif e <= tiny:
        s, t = unit(-float(u @ w) / a), 0.0
    else:
        b, g = float(u @ v), float(u @ w)
        d = a * e - b * b
        s = unit((b * f - g * e) / d) if d > tiny * a * e else 0.0
        t = (b * s + f) / e
        if t < 0.0:
            s, t = unit(-g / a), 0.0
        elif t > 1.0:
            s, t = unit((b - g) / a), 1.0
    return float(np.linalg.norm(b0 + t * v - a0 - s * u)), s, t
