"""Clips with ground truth as one batch, and interpolation between their frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.mirror import MIRROR

__all__ = ["HAND_LENGTHS", "STEP", "Batch", "nearest", "shifted", "whole"]

Array = NDArray[Any]

STEP = 1 / 30
"""s: a frame."""

HAND_LENGTHS = ((0, 5), (0, 9), (0, 13), (0, 17))


@dataclass(frozen=True)
class Batch:
    """Clips as one batch, padded to the longest.

    Attributes:
        t: [C, T] s.
        observed: [C, T, K, 3] m in camera axes, as a user gets them (not as the network does); NaN where lost.
        confidence: [C, T, K].
        left: [C, T], whether the front-end labelled it a left hand.
        identity: [C, T] of the front-end, 0 where lost.
        truth: [C, T, K, 3] m, ground truth, NaN after the clip's end.
        rotations: [C, T, J, 3, 3], ground truth.
        lengths: pairs of keypoints whose mean distance is the size.
        origin: keypoints whose mean is the origin.
        names: of the clips.
    """

    t: Array
    observed: Array
    confidence: Array
    left: Array
    identity: Array
    truth: Array
    rotations: Array
    lengths: tuple[tuple[int, int], ...]
    origin: tuple[int, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        clips: Sequence[Mapping[str, Array]],
        *,
        lengths: Sequence[tuple[int, int]] = HAND_LENGTHS,
        origin: Sequence[int] = tuple(range(21)),
    ) -> Batch:
        """Create a batch from clips as stored on disk (see `humanrt_export.data.poses.dataset`). ValueError if none."""
        if not clips:
            raise ValueError("no clips to evaluate on")
        longest = max(len(clip["t"]) for clip in clips)

        def stack(arrays: Iterable[Array], fill: float | bool) -> Array:
            padded = []
            for array in arrays:
                pad = np.full((longest - len(array), *array.shape[1:]), fill, array.dtype)
                padded.append(np.concatenate([array, pad]))
            return np.stack(padded)

        seen = [np.isfinite(clip["observed"]).all(axis=(1, 2)) for clip in clips]
        wrong = [np.asarray(clip.get("wrong_side", np.zeros(len(clip["t"]), bool)), bool) for clip in clips]
        # A hand labelled as the wrong side is mirrored in the clip, as the network sees it; the user sees it as is
        observed = [
            np.where(w[:, None, None], clip["observed"] * MIRROR, clip["observed"]).astype(np.float32)
            for clip, w in zip(clips, wrong, strict=True)
        ]
        confidence = []
        for clip, points in zip(clips, observed, strict=True):
            given = clip.get("confidence", np.repeat(clip["score"][:, None], points.shape[1], axis=1))
            confidence.append(np.asarray(given, np.float32))
        identity = [np.asarray(clip.get("identity", s.astype(int)), int) for clip, s in zip(clips, seen, strict=True)]
        return cls(
            t=stack([np.asarray(clip["t"], float) for clip in clips], np.inf),
            observed=stack(observed, np.nan),
            confidence=stack(confidence, 0.0),
            left=stack(wrong, False),
            identity=stack(identity, 0),
            truth=stack([np.asarray(clip["keypoints"], np.float32) for clip in clips], np.nan),
            rotations=stack([np.asarray(clip["rotations"], np.float32) for clip in clips], np.nan),
            lengths=tuple(lengths),
            origin=tuple(origin),
            names=tuple(str(clip.get("source", i)) for i, clip in enumerate(clips)),
        )

    @property
    def seen(self) -> Array:
        """Mask [C, T] of frames in which something was observed."""
        return whole(self.observed)

    def without(self, missing: Array) -> Batch:
        """Return the same clips with the frames ``missing`` [C, T] removed from the front-end's output."""
        observed = np.where(missing[..., None, None], np.nan, self.observed).astype(np.float32)
        return Batch(**{**self.__dict__, "observed": observed})

    def about(self, points: Array) -> Array:
        """Return points [..., K, 3] relative to their origin."""
        return np.asarray(points - points[..., list(self.origin), :].mean(axis=-2, keepdims=True))

    def span(self, points: Array) -> Array:
        """Return the mean of the lengths, [...], of points [..., K, 3]."""
        ends = np.array(self.lengths).T
        return np.asarray(np.linalg.norm(points[..., ends[0], :] - points[..., ends[1], :], axis=-1).mean(axis=-1))

    def truth_at(self, shift: float) -> Array:
        """Return the ground truth [C, T, K, 3] m at ``shift`` s from each frame, linear between frames; NaN outside."""
        return shifted(self.t, self.truth, shift)

    def speed(self) -> Array:
        """Return the speed [C, T] m/s of the true points relative to their origin, smoothed over a few frames."""
        span = 2 * STEP
        ahead, behind = (self.about(self.truth_at(s)) for s in (span, -span))
        here = self.about(self.truth)
        ahead, behind = (np.where(np.isfinite(a), a, here) for a in (ahead, behind))
        return np.asarray(np.linalg.norm(ahead - behind, axis=-1).mean(axis=-1) / (2 * span))


def whole(points: Array) -> Array:
    """Return the mask [C, T] of frames of [C, T, K, 3] without NaN."""
    return np.asarray(np.isfinite(points).all(axis=(2, 3)))


def shifted(t: Array, values: Array, shift: float) -> Array:
    """Interpolate values [C, T, ...] at t + shift, linear between frames, NaN outside."""
    if shift == 0:
        return values
    out = np.full_like(values, np.nan)
    for clip, (times, rows) in enumerate(zip(t, values, strict=True)):
        count = int(np.isfinite(times).sum())
        at = times[:count] + shift
        inside = (at >= times[0] - 1e-6) & (at <= times[count - 1] + 1e-6)
        after = np.clip(np.searchsorted(times[:count], at - 1e-9), 1, count - 1)
        gap = times[after] - times[after - 1]
        share = np.clip((at - times[after - 1]) / np.maximum(gap, 1e-9), 0, 1).astype(values.dtype)
        share = share.reshape(-1, *[1] * (values.ndim - 2))
        mixed = rows[after - 1] * (1 - share) + rows[after] * share
        # Exactly at a frame its neighbour must not count, as it may be missing.
        mixed = np.where(share < 1e-4, rows[after - 1], np.where(share > 1 - 1e-4, rows[after], mixed))
        out[clip, :count][inside] = mixed[inside]
    return out


def nearest(batch: Batch, values: Array, shift: float) -> Array:
    """Return values [C, T, ...] of the frame nearest to t + shift; for rotations, which cannot be averaged."""
    out = np.full_like(values, np.nan)
    for clip, times in enumerate(batch.t):
        count = int(np.isfinite(times).sum())
        at = times[:count] + shift
        after = np.clip(np.searchsorted(times[:count], at), 1, count - 1)
        rows = np.where(at - times[after - 1] < times[after] - at, after - 1, after)
        out[clip, :count] = values[clip, rows]
    return out
