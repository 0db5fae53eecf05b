"""Error and jitter of a method's output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import vectors_from_matrices
from humanrt_export.evaluation.batch import STEP, Batch, whole

__all__ = ["Score", "degrees", "differences", "factors", "mean_length", "score"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Score:
    """Error mm; error of change mm/frame; acceleration mm/frame^2; jerk mm/frame^3; number of frames in the error."""

    error: float
    change: float
    acceleration: float
    jerk: float
    frames: int

    def as_dict(self) -> dict[str, float]:
        return dict(self.__dict__)


def differences(t: Array, points: Array, where: Array) -> tuple[Array, Array, Array]:
    """Return first, second and third differences, each [N, K, 3], at real times, in point units per (1/30 s)^1, ^2, ^3.

    Frames are thinned to about 30 per second; no difference spans a gap of more than two frames.

    Args:
        t: [T] s.
        points: [T, K, 3].
        where: [T], mask of frames that count and have points.
    """
    kept: list[int] = []
    for i in np.flatnonzero(where):
        if not kept or t[i] - t[kept[-1]] > 0.8 * STEP:
            kept.append(int(i))
    rows = np.array(kept, int)
    level, times = points[rows].astype(float), t[rows] / STEP
    steps = np.diff(times)
    found: list[Array] = []
    for degree in (1, 2, 3):
        span = times[degree:] - times[:-degree]
        level = degree * np.diff(level, axis=0) / np.maximum(span, 1e-6)[:, None, None]
        whole = [steps[i : i + degree].max(initial=0) <= 2.1 for i in range(len(span))]
        found.append(level[np.array(whole, bool)])
    return found[0], found[1], found[2]


def score(batch: Batch, points: Array, shift: float = 0.0, where: Array | None = None) -> Score:
    """Score a method's output.

    Args:
        points: [C, T, K, 3] m, NaN where there is no output.
        shift: s from a frame's time stamp to the time that its output is for: -lag, or the prediction time.
        where: [C, T], mask of frames that count, by the frame in which the output was given; None: all.
    """
    points, truth = batch.about(points), batch.about(batch.truth_at(shift))
    on = whole(points) & whole(truth)
    if where is not None:
        on &= where
    factor = factors(batch, points, truth, on)
    points = points * factor[:, None, None, None]
    parts: list[list[Array]] = [[], [], []]
    for t, found, true, where_in_clip in zip(batch.t, points, truth, on, strict=True):
        first, second, third = differences(t, found, where_in_clip)
        for part, values in zip(parts, (first - differences(t, true, where_in_clip)[0], second, third), strict=True):
            part.append(values)
    change, acceleration, jerk = (mean_length(np.concatenate(part)) for part in parts)
    return Score(mean_length(points[on] - truth[on]), change, acceleration, jerk, int(on.sum()))


def factors(batch: Batch, points: Array, truth: Array, on: Array) -> Array:
    """Return factors [C] that scale points to the ground truth's size, one per clip; 1 where there are no frames."""
    sizes = []
    for values in (truth, points):
        total = np.where(on, np.nan_to_num(batch.span(values)), 0).sum(axis=1)
        sizes.append(total / np.maximum(on.sum(axis=1), 1))
    return np.where(on.any(axis=1), sizes[0] / np.maximum(sizes[1], 1e-9), 1.0)


def mean_length(vectors: Array) -> float:
    """Return the mean length in mm of vectors [..., 3] in m."""
    return float(np.linalg.norm(vectors, axis=-1).mean() * 1e3) if vectors.size else float("nan")


def degrees(a: Array, b: Array) -> Array:
    """Return the angles between rotations [..., 3, 3], degrees."""
    return np.asarray(np.degrees(np.linalg.norm(vectors_from_matrices(np.swapaxes(a, -1, -2) @ b), axis=-1)))
