"""Grid search for One-Euro's best setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt_export.evaluation.batch import STEP, Batch, whole
from humanrt_export.evaluation.one_euro import Setting, one_euro
from humanrt_export.evaluation.score import differences, factors, mean_length

__all__ = ["BETAS", "CUTOFFS", "LAGS", "Grid", "grid"]

Array = NDArray[Any]

LAGS = (0, 1, 2, 4, 8)
CUTOFFS = (0.15, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0, 8.0, 15.0)
BETAS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 20.0, 40.0)


@dataclass(frozen=True)
class Grid:
    """Results of every setting of One-Euro on some clips.

    Attributes:
        settings: [P] cut-off at rest and its increase with speed.
        errors: [P, E] mm, by the delay of the output, 0..8 frames.
        accelerations: [P] mm/frame^2.
    """

    settings: tuple[tuple[float, float], ...]
    errors: Array
    accelerations: Array

    def best(self, lag: int, most: float = np.inf) -> Setting | None:
        """Return the setting with the lowest error at a lag and at most ``most`` acceleration, or None if none.

        At its own delay e the filter's output is delayed by another ``lag`` - e frames.
        """
        errors = np.where(self.accelerations[:, None] <= most, self.errors[:, : lag + 1], np.inf)
        place, delay = np.unravel_index(int(np.argmin(errors)), errors.shape)
        if not np.isfinite(errors[place, delay]):
            return None
        return Setting(*self.settings[int(place)], lag - int(delay))

    def curve(self, lag: int) -> list[tuple[float, float, Setting]]:
        """Return the Pareto front as (acceleration, error, setting), lowest acceleration first."""
        errors = self.errors[:, : lag + 1]
        best = errors.min(axis=1)
        points = sorted(zip(self.accelerations.tolist(), best.tolist(), range(len(best)), strict=True))
        front: list[tuple[float, float, Setting]] = []
        for acceleration, error, place in points:
            if not front or error < front[-1][1]:
                late = lag - int(errors[place].argmin())
                front.append((acceleration, error, Setting(*self.settings[place], late)))
        return front


def grid(
    batch: Batch,
    cutoffs: Sequence[float] = CUTOFFS,
    betas: Sequence[float] = BETAS,
    *,
    where: Array | None = None,
    progress: Callable[[str], object] = lambda line: None,
) -> Grid:
    """Evaluate every setting on every clip. ``where`` [C, T]: mask of frames that count."""
    seen = batch.seen if where is None else where & batch.seen
    truths = [batch.about(batch.truth_at(-delay * STEP)) for delay in range(max(LAGS) + 1)]
    there = [whole(truth) & seen for truth in truths]
    factor = factors(batch, np.nan_to_num(batch.about(batch.observed)), truths[0], there[0])[:, None, None, None]
    settings = [(cutoff, beta) for cutoff in cutoffs for beta in betas]
    errors, calm = np.zeros((len(settings), len(truths))), np.zeros(len(settings))
    for place, (cutoff, beta) in enumerate(settings):
        points = batch.about(one_euro(batch, cutoff, beta)) * factor.astype(np.float32)
        for delay, (truth, on) in enumerate(zip(truths, there, strict=True)):
            errors[place, delay] = mean_length(points[on] - truth[on])
        seconds = [differences(t, clip, on)[1] for t, clip, on in zip(batch.t, points, seen, strict=True)]
        calm[place] = mean_length(np.concatenate(seconds))
        progress(f"One-Euro {place + 1}/{len(settings)}")
    return Grid(tuple(settings), errors, calm)
