"""Other methods compared: the stream as it runs live, and simple fill-ins for missing frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.posebert.stream import Observation, PoseBERTStream, PoseState
from humanrt_export.evaluation.batch import STEP, Batch, whole

__all__ = ["Answers", "bursts", "extrapolated", "held", "simulate"]

Array = NDArray[Any]


@dataclass
class Answers:
    """Output of a stream: keypoints [C, T, K, 3] m, rotations [C, T, J, 3, 3], NaN where none; filled [C, T]."""

    keypoints: Array
    rotations: Array
    filled: Array


def simulate(batch: Batch, model: Any, **options: Any) -> Answers:
    """Run `PoseBERTStream` on every clip, frame by frame, as it would run live; options are the stream's."""
    stream = PoseBERTStream(model, **options)
    keypoints = np.full_like(batch.observed, np.nan)
    rotations = np.full(batch.rotations.shape, np.nan, np.float32)
    filled = np.zeros(batch.t.shape, bool)
    seen = batch.seen
    for clip, times in enumerate(batch.t):
        stream.reset()
        owner = 0
        for i in range(int(np.isfinite(times).sum())):
            lost: tuple[int, ...] = ()
            observations: dict[int, Observation] = {}
            if seen[clip, i]:
                identity = int(batch.identity[clip, i])
                if owner and identity != owner:
                    lost = (owner,)
                owner = identity
                side = "left" if batch.left[clip, i] else "right"
                points = batch.observed[clip, i]
                observations[identity] = Observation(points, batch.confidence[clip, i], side)
            state: PoseState | None = stream.update(float(times[i]), observations, lost).get(owner)
            if state is not None:
                keypoints[clip, i], rotations[clip, i] = state.keypoints, state.rotations
                filled[clip, i] = state.filled
    return Answers(keypoints, rotations, filled)


def held(batch: Batch, points: Array) -> Array:
    """Fill each gap of points [C, T, K, 3] with the last value before it."""
    out = points.copy()
    there = whole(points)
    for i in range(1, points.shape[1]):
        out[:, i] = np.where(there[:, i, None, None], points[:, i], out[:, i - 1])
    return np.where(np.isfinite(batch.t)[..., None, None], out, np.nan)


def extrapolated(batch: Batch, points: Array, ahead: float = 0.0) -> Array:
    """Extrapolate points [C, T, K, 3] linearly from the last two observed, to ``ahead`` s after each frame."""
    out = np.full_like(points, np.nan)
    there = whole(points)
    for clip, times in enumerate(batch.t):
        last: list[int] = []
        for i in range(int(np.isfinite(times).sum())):
            if there[clip, i]:
                last = [*last[-1:], i]
            if len(last) == 2:
                a, b = last
                speed = (points[clip, b] - points[clip, a]) / max(times[b] - times[a], 1e-3)
                out[clip, i] = points[clip, b] + speed * (times[i] + ahead - times[b])
            elif last:
                out[clip, i] = points[clip, last[-1]]
    return out


def bursts(batch: Batch, share: float = 0.2, longest: int = 10, seed: int = 0) -> Array:
    """Choose frames [C, T] to remove: ``share`` of those observed, in bursts of 1 to ``longest`` frames of 1/30 s.

    The first ten frames of a clip are kept, so that every method has a history to start from.
    """
    random = np.random.default_rng(seed)
    missing = np.zeros(batch.t.shape, bool)
    for clip, times in enumerate(batch.t):
        count = int(np.isfinite(times).sum())
        wanted = share * count
        for _ in range(50 * count):
            if missing[clip].sum() >= wanted or count < 15:
                break
            start = int(random.integers(10, count))
            end = times[start] + random.integers(1, longest + 1) * STEP - 1e-6
            span = slice(start, int(np.searchsorted(times[:count], end)))
            # At least one frame between two bursts, or they would form a longer one.
            if span.stop > start and not missing[clip, start - 1 : span.stop + 1].any():
                missing[clip, span] = True
    return np.asarray(missing & batch.seen)
