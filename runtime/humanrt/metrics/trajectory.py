"""Errors of people over time: place in the world, acceleration, jitter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.similarity import best_similarity
from humanrt.metrics.joints import distances

__all__ = ["CHUNK", "bends", "jerks", "root_translation_error", "runs", "world_distances"]

Array = NDArray[Any]

CHUNK = 100
"""Frames that are aligned together for W- and WA-MPJPE."""
_STILL = 0.05  # m, the shortest path of which a fraction means something


def world_distances(points: Array, truth: Array, *, whole: bool, chunk: int = CHUNK) -> Array:
    """Return the distances [T, J] of joints [T, J, 3] in the world, aligned by one similarity per chunk of frames.

    Chunks follow each other; the last may be shorter, as in published code.

    Args:
        points, truth: m, in any two worlds.
        whole: align on all frames of the chunk (WA-MPJPE), not on its first two (W-MPJPE).
        chunk: number of frames.
    """
    errors = []
    for start in range(0, len(points), chunk):
        some, true = points[start : start + chunk], truth[start : start + chunk]
        first, true_first = (some, true) if whole else (some[:2], true[:2])
        fit = best_similarity(first.reshape(-1, 3), true_first.reshape(-1, 3))
        errors.append(distances(fit(some), true))
    return np.concatenate(errors) if errors else np.zeros(points.shape[:2])


def root_translation_error(path: Array, truth: Array) -> float:
    """Return RTE in %: mean distance of the root's path [T, 3] m, moved rigidly onto the true one, over its length.

    NaN for people who stay where they are (a path shorter than 5 cm): it has no meaning then.
    """
    length = float(np.linalg.norm(np.diff(truth, axis=0), axis=1).sum())
    if length < _STILL:
        return float("nan")
    fit = best_similarity(path, truth, scale=False)
    return 100 * float(distances(fit(path), truth).mean()) / length


def bends(points: Array) -> Array:
    """Return the size [T - 2, J] of second differences in time of points [T, J, 3], in their unit per frame^2.

    Of a difference of two motions it is the acceleration error. NaN in frames without points spreads to the
    differences that need them.
    """
    return np.asarray(np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1))


def jerks(points: Array, fps: float) -> Array:
    """Return the size [T - 3, J] of third differences in time of points [T, J, 3] m, times fps^3 / 10: in 10 m/s^3.

    That is the unit of published tables of jitter.
    """
    third = points[3:] - 3 * points[2:-1] + 3 * points[1:-2] - points[:-3]
    return np.asarray(np.linalg.norm(third, axis=-1) * fps**3 / 10)


def runs(there: Array) -> Iterator[slice]:
    """Yield the runs of True in ``there`` [T] bool: frames that follow each other without a gap."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8)))
    for start, end in edges.reshape(-1, 2):
        yield slice(int(start), int(end))
