"""One-Euro filter on every clip at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from humanrt_export.evaluation.batch import HAND_LENGTHS, Batch

__all__ = ["Setting", "one_euro"]

Array = NDArray[Any]

DERIVATIVE_CUTOFF = 3.0


class Setting(NamedTuple):
    """Settings of One-Euro: cut-off at rest (Hz), its increase with speed, and delay of its output in frames."""

    min_cutoff: float
    beta: float
    late: int = 0

    def __str__(self) -> str:
        return f"One-Euro({self.min_cutoff:g} Hz, {self.beta:g})" + (f" + {self.late}" if self.late else "")


def one_euro(batch: Batch, min_cutoff: float, beta: float, *, velocities: bool = False) -> Any:
    """Apply `humanrt.smoothing.one_euro.OneEuro` to all clips: float32 [C, T, K, 3] m, NaN where nothing was observed.

    As in `HandSmoother`, the unit of speed is the size of the hand in the frame, and a new identity resets the filter.

    Args:
        velocities: also return the filter's smoothed velocities, [C, T, K, 3] m/s.
    """
    x, seen = batch.observed, batch.seen
    size = batch.span(np.nan_to_num(x)).astype(np.float32)
    if batch.lengths == HAND_LENGTHS:  # wrist to middle knuckle, as humanrt.smoothing.one_euro has it
        size = np.linalg.norm(np.nan_to_num(x[..., 9, :] - x[..., 0, :]), axis=-1)
    out = np.full_like(x, np.nan)
    speeds = np.full_like(x, np.nan) if velocities else None
    clips = len(x)
    raw = np.zeros_like(x[:, 0])
    smooth, velocity = raw.copy(), raw.copy()
    last, owner = np.full(clips, -np.inf), np.zeros(clips, int)
    for i in range(x.shape[1]):
        on = np.flatnonzero(seen[:, i])
        if not len(on):
            continue
        points, t, identity = x[on, i], batch.t[on, i], batch.identity[on, i]
        fresh = ~np.isfinite(last[on]) | (identity != owner[on])
        dt = np.where(fresh, 1.0, t - np.where(fresh, 0, last[on])).astype(np.float32)[:, None, None]
        before = np.where(fresh[:, None, None], points, raw[on])
        step = points - before
        keep = np.exp(-2 * np.pi * DERIVATIVE_CUTOFF * dt)
        v = np.where(fresh[:, None, None], 0, keep * velocity[on] + (1 - keep) * step / dt)
        speed = np.sqrt(np.einsum("ckd,ckd->ck", v, v))[..., None] / np.maximum(size[on, i], 1e-9)[:, None, None]
        fall = 2 * np.pi * dt * (min_cutoff + beta * speed)
        gone = -np.expm1(-fall)
        y = points - step * gone / fall + (np.where(fresh[:, None, None], points, smooth[on]) - before) * (1 - gone)
        raw[on], smooth[on], velocity[on], last[on], owner[on] = points, y, v, t, identity
        out[on, i] = y
        if speeds is not None:
            speeds[on, i] = v
    return out if speeds is None else (out, speeds)
