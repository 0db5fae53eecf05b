"""Smoothing of whole recordings: each moment from what was before and after it, so nothing lags.

A line is fitted to the values around each moment, with weights that fall as a Gaussian of the time between, and read at
the moment itself. So a steady motion stays exactly what it is, at the ends of a recording too, at any frame rate and
across missing frames. For rotations the line is one of rotation vectors from the moment's own rotation, on SO(3).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_points, check_range, numbers
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import Floats, matrices_from_vectors, vectors_from_matrices

__all__ = ["two_sided_points", "two_sided_rotations"]

Array = NDArray[np.float64]

_REACH = 3.0  # standard deviations: beyond it weights are 0
_TURNS = 2  # the mean of rotations is found again from where it was found


def two_sided_points(points: Floats, times: Floats, seconds: float) -> Array:
    """Return points [T, ...] smoothed over time, without lag.

    Args:
        points: values that may be averaged: coordinates, logarithms of sizes.
        times: [T] s, strictly increasing.
        seconds: standard deviation of the weights; noise shorter than about twice that falls.

    Raises:
        ValueError: shapes do not fit, times do not increase, or a number is not finite.
    """
    points, times = _checked(points, times, seconds)
    if points.ndim < 1:
        raise InvalidInputError("points must be [T, ...]")
    check_points(points, "points")
    result = np.empty_like(points)
    for k, near, weights in _weights(times, seconds):
        result[k] = np.tensordot(weights, points[near], axes=1)
    return result


def two_sided_rotations(rotations: Floats, times: Floats, seconds: float) -> Array:
    """Return rotations [T, ..., 3, 3] smoothed over time, without lag. Arguments as of `two_sided_points`."""
    rotations, times = _checked(rotations, times, seconds)
    if rotations.ndim < 3 or rotations.shape[-2:] != (3, 3):
        raise InvalidInputError(f"rotations must be [T, ..., 3, 3], not {list(rotations.shape)}")
    check_points(rotations, "rotations")
    result = rotations.copy()
    for k, near, weights in _weights(times, seconds):
        for _ in range(_TURNS):
            vectors = vectors_from_matrices(np.swapaxes(result[k], -1, -2) @ rotations[near])
            result[k] = result[k] @ matrices_from_vectors(np.tensordot(weights, vectors, axes=1))
    return result


def _weights(times: Array, seconds: float) -> Iterator[tuple[int, slice, Array]]:
    """Yield each moment, its neighbours, and their weights [N] in the value of the fitted line at that moment."""
    first = np.searchsorted(times, times - _REACH * seconds, "left")
    last = np.searchsorted(times, times + _REACH * seconds, "right")
    for k, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        gap = (times[a:b] - times[k]) / seconds
        weight = np.exp(-0.5 * gap * gap)
        total, mean, spread = (float((weight * gap**power).sum()) for power in range(3))
        # Least squares of a line, at gap 0. One moment alone, or all that are near at one time, have no slope.
        slack = total * spread - mean * mean
        line = weight * (spread - mean * gap) / slack if slack > 1e-12 * total * total else weight / total
        yield k, slice(a, b), line


def _checked(values: Floats, times: Floats, seconds: float) -> tuple[Array, Array]:
    check_range(seconds, "seconds", 0.0, above=True)
    values, times = numbers(values, "values"), numbers(times, "times")
    if times.ndim != 1 or values.ndim < 1 or len(values) != len(times):
        raise InvalidInputError(f"{list(np.shape(values))} values do not have one time each: {list(times.shape)}")
    check_points(times, "times")
    if (np.diff(times) <= 0).any():
        raise InvalidInputError("times must increase")
    return values, times
