"""The front end's noise: a model of keypoint errors, fitted to pairs of observation and ground truth.

::

    python -m humanrt_export.data.poses.noise_fit --pairs DIR --out noise.npz

An observation is generated as

    y = s * up( x + bias(x) + a(x) * slow + b(x, v) * fast + outlier ),   sides swapped and frames lost in spans

- ``up``: everything happens in a frame in which the hand or person is upright in the picture, because the front-ends
  crop their regions upright.
- ``bias``: the front end's systematic error in this pose, for any person (ridge regression on the pose, linear and
  quadratic).
- ``slow``: its further error, sampled for each clip as a random smooth function of the pose (two length
  scales, and a constant): constant while the hand rests and varying when it moves, like the errors of networks.
- ``fast``: noise in time: white noise and a sum of Ornstein-Uhlenbeck processes (AR(1) for real time stamps), with a
  covariance over all coordinates; its amplitude depends on pose and speed, differs between clips and varies in
  time (bursts).
- ``outlier``: single frames, sampled from observed ones.
- spans: swapped sides and lost frames start at observed rates (losses: by speed) and last as long as observed ones.

Only the tables in `SKELETONS` are specific to hands or bodies; any number of keypoints works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.geometry.skeleton import H36M_17, MEDIAPIPE_33, other_sides
from humanrt_export.data.poses.clips import Clip, save_clip
from humanrt_export.npz import read_npz

__all__ = [
    "SKELETONS",
    "SPEEDS",
    "SWELLS",
    "TAUS",
    "NoiseModel",
    "Residual",
    "Skeleton",
    "pose_features",
    "residuals",
    "wander",
    "with_speed",
]

Array = NDArray[Any]

TAUS = np.array([0.05, 0.2, 0.6, 2.0])
"""Time constants of the fast noise's processes, s; white noise is added."""
_FEATURES = 64  # random Fourier features for each length scale of the slow part
SPEEDS = np.array([0.0, 0.01, 0.03, 0.08, 0.2, 0.5])
"""Speeds of the entries of tables by speed, m/s."""
_QUADRATIC = 8  # leading pose coordinates whose products are features
SWELLS = np.linspace(-3, 3, 41)
"""Standard deviations of the entries of `NoiseModel.swell`."""
_FLOOR = 0.004  # m/s added to a speed before its logarithm is taken


@dataclass(frozen=True)
class Skeleton:
    """The required facts about K keypoints.

    Attributes:
        low, high: in an upright crop, the mean of ``high`` lies above that of ``low``.
        order, sign: swapping the sides is ``y[order] * sign``.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    order: tuple[int, ...]
    sign: tuple[int, int, int]


_SIDES = other_sides(MEDIAPIPE_33)
SKELETONS: Mapping[int, Skeleton] = {
    21: Skeleton((0,), (9,), tuple(range(21)), (-1, 1, 1)),  # a hand whose side is wrong is observed mirrored
    33: Skeleton((23, 24), (11, 12), other_sides(MEDIAPIPE_33), (1, 1, 1)),
    17: Skeleton((0,), (8,), other_sides(H36M_17), (1, 1, 1)),
    66: Skeleton((23, 24), (11, 12), (*_SIDES, *(33 + index for index in _SIDES)), (1, 1, 1)),
}
"""Skeletons by number of keypoints: 21 of a hand, MediaPipe's 33 landmarks, Human3.6M's 17 joints; the 33 and their
rays, as points of depth 0 (`sight.stacked`)."""


def _skeleton(count: int) -> Skeleton:
    return SKELETONS.get(count, Skeleton((0,), (0,), tuple(range(count)), (1, 1, 1)))


def _upright(x: Array, skeleton: Skeleton) -> NDArray[np.float64]:
    """Return slowly changing rotations [T, 3, 3] about the optical axis that turn ground truth x [T, K, 3] upright."""
    way = (x[:, list(skeleton.high)].mean(1) - x[:, list(skeleton.low)].mean(1))[:, :2]
    # A hand that points at the camera has no direction in the picture: use the frames around it.
    summed = np.concatenate([np.zeros((1, 2)), np.cumsum(way, axis=0)])
    index = np.arange(len(x))
    way = summed[np.minimum(index + 8, len(x))] - summed[np.maximum(index - 7, 0)]
    length = np.linalg.norm(way, axis=1)
    up = np.where(length[:, None] > 1e-9, -way / np.maximum(length, 1e-9)[:, None], (0.0, 1.0))
    R = np.zeros((len(x), 3, 3))  # takes (-up) to the picture's top, (0, -1)
    R[:, 0, 0], R[:, 0, 1] = up[:, 1], -up[:, 0]
    R[:, 1, 0], R[:, 1, 1] = up[:, 0], up[:, 1]
    R[:, 2, 2] = 1
    return R


def _speed(x: Array, t: Array) -> NDArray[np.float64]:
    """Return the speed [T] m/s, root mean square over the keypoints."""
    if len(t) < 2:
        return np.zeros(len(t))
    steps = np.linalg.norm(np.diff(x, axis=0), axis=-1) / np.maximum(np.diff(t), 1e-3)[:, None]
    between = np.sqrt((steps**2).mean(1))
    return np.asarray(np.concatenate([between[:1], 0.5 * (between[1:] + between[:-1]), between[-1:]]))


@dataclass(frozen=True)
class Residual:
    """One clip, upright: ground truth x, residual e (observation / scale - ground truth; NaN where lost), and more."""

    t: NDArray[np.float64]
    x: NDArray[np.float64]
    e: NDArray[np.float64]
    speed: NDArray[np.float64]
    scale: float
    swapped: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    score: NDArray[np.float64]
    confidence: NDArray[np.float64] | None


def residuals(clip: Clip) -> Residual | None:
    """Return the front end's errors; None if it observed fewer than eight frames of the clip."""
    t = np.asarray(clip["t"], np.float64)
    x, y = np.asarray(clip["keypoints"], np.float64), np.array(clip["observed"], np.float64)
    skeleton = _skeleton(x.shape[1])
    lost = np.asarray(np.isnan(y).any(axis=(1, 2)), dtype=np.bool_)
    if (~lost).sum() < 8:
        return None
    other = y[:, list(skeleton.order)] * skeleton.sign
    if "wrong_side" in clip:
        swapped = np.asarray(clip["wrong_side"], bool) & ~lost
    else:
        here, there = (np.linalg.norm(value - x, axis=-1).mean(1) for value in (y, other))
        swapped = ~lost & (there < 0.6 * here)
    y = np.where(swapped[:, None, None], other, y)
    R = _upright(x, skeleton)
    up, seen = np.einsum("tij,tkj->tki", R, x), np.einsum("tij,tkj->tki", R, y)
    # Depth is the least accurate for a single camera: the scale is that in the picture.
    scale = float(np.nansum(seen[..., :2] * up[..., :2]) / np.sum(up[~lost][..., :2] ** 2))
    scale = float(np.clip(scale, 0.5, 2.0))
    confidence = np.asarray(clip["confidence"], np.float64) if "confidence" in clip else None
    return Residual(
        t, up, seen / scale - up, _speed(x, t), scale, swapped, lost, np.asarray(clip["score"], float), confidence
    )


@dataclass(frozen=True)
class NoiseModel:
    """The noise model described in this module, created by `fit`; all attributes are arrays, stored as they are.

    Attributes:
        mean [3K] m, axes [3K, m]: pose coordinates z = (x - mean) @ axes; spread [m] their standard deviations.
        bias [F, 3K] m: weights of the features of z.
        slow_shape, fast_shape [3K, 3K]: square roots of covariances of trace 1.
        slow_gain [F]: log of the slow part's amplitude; slow_range [2]: its limits.
        lengths [2] m: length scales; shares [3]: fractions of the slow variance in these and in a constant.
        fast_gain [F + 2]: log amplitude of the fast part by features and log speed; fast_range [2]: its limits.
        mixture [5]: fractions of the fast variance, white and `TAUS`; gains [6]: factor by speed (`SPEEDS`).
        swell [S]: additional log amplitude of the fast part, at `SWELLS` standard deviations: it has a long tail
        (bursts); swell_hold [2]: fraction of the variance between clips, and time constant of the rest, s.
        slow_swell: spread of the slow part's log amplitude between clips.
        outliers [N, 3K] m; outlier_rate: per frame.
        scale [2]: mean and spread of log s.
        lost_rate [6]: 1/s by speed, lost_spans [L] s; swap_rate [2]: 1/s, and probability that a clip starts swapped;
        swap_spans [S] s.
        score [4]: logit = a + b log(rms error in m) + OU(spread, s).
        confidence [K, 3]: logit per keypoint = a + b log(error in m) + noise of spread c; empty: that of the score.
        steps [Q]: quantiles of the time between frames over its median.
    """

    mean: Array
    axes: Array
    spread: Array
    bias: Array
    slow_shape: Array
    slow_gain: Array
    slow_range: Array
    lengths: Array
    shares: Array
    fast_shape: Array
    fast_gain: Array
    fast_range: Array
    mixture: Array
    gains: Array
    swell: Array
    swell_hold: Array
    slow_swell: Array
    outliers: Array
    outlier_rate: Array
    scale: Array
    lost_rate: Array
    lost_spans: Array
    swap_rate: Array
    swap_spans: Array
    score: Array
    confidence: Array
    steps: Array

    def save(self, path: Path) -> None:
        """Write a .npz, atomically."""
        save_clip(path, {item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def load(cls, path: Path) -> NoiseModel:
        """Read what `save` wrote.

        Raises:
            HumanrtError: the file does not exist or is not a noise model.
        """
        try:
            stored = read_npz(path)
            return cls(**{item.name: stored[item.name] for item in fields(cls)})
        except (OSError, ValueError, KeyError) as error:
            raise HumanrtError(
                f"{path}: not a noise model ({error}); make one with python -m humanrt_export.data.poses.noise_fit"
            ) from error

    @property
    def points(self) -> int:
        """Number of keypoints K."""
        return len(self.mean) // 3

    def times(self, seconds: float, rate: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Sample time stamps [T] s, as uneven as those of the pairs, at ``rate`` frames per second."""
        steps = np.interp(rng.uniform(size=round(seconds * rate)), np.linspace(0, 1, len(self.steps)), self.steps)
        t = np.concatenate([[0.0], np.cumsum(steps / rate)])
        return np.asarray(t[t < seconds])

    def features(self, x: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return coordinates z [T, m] m and features [T, F] of upright poses [T, K, 3]."""
        z = (x.reshape(len(x), -1) - self.mean) @ self.axes
        return z, pose_features(z / self.spread)

    def residual(
        self, x: Array, t: Array, speed: Array, rng: np.random.Generator, *, parts: str = "bsfo", fast: float = 1.0
    ) -> NDArray[np.float64]:
        """Sample errors [T, 3K] m of upright poses x [T, K, 3]; ``parts``: bias, slow, fast (its amplitude times
        ``fast``), outliers."""
        z, features = self.features(x)
        count, size = len(x), len(self.mean)
        error = np.zeros((count, size))
        if "b" in parts:
            error += np.asarray(features @ self.bias)
        if "s" in parts:
            slow = np.sqrt(self.shares[2]) * np.repeat(rng.normal(size=(1, size)), count, axis=0)
            for length, share in zip(self.lengths, self.shares[:2], strict=True):
                waves = z @ (rng.normal(size=(z.shape[1], _FEATURES)) / length) + rng.uniform(0, 2 * np.pi, _FEATURES)
                slow += np.cos(waves) @ rng.normal(0, np.sqrt(2 * share / _FEATURES), (_FEATURES, size))
            own = self.slow_swell * rng.normal() - 0.5 * self.slow_swell**2
            gain = np.exp(np.clip(features @ self.slow_gain, *self.slow_range) + own)
            error += gain[:, None] * (slow @ self.slow_shape)
        if "f" in parts:
            noise = np.sqrt(self.mixture[0]) * rng.normal(size=(count, size))
            for share, tau in zip(self.mixture[1:], TAUS, strict=True):
                if share > 1e-3:
                    noise += np.sqrt(share) * wander(t, float(tau), size, rng)
            level = np.clip(with_speed(features, speed) @ self.fast_gain, *self.fast_range)
            share, hold = self.swell_hold
            rank = np.sqrt(share) * rng.normal() + np.sqrt(1 - share) * wander(t, float(hold), 1, rng)[:, 0]
            level = level + np.interp(rank, SWELLS, self.swell)
            gain = fast * np.exp(level) * np.interp(speed, SPEEDS, self.gains)
            error += gain[:, None] * (noise @ self.fast_shape)
        if "o" in parts and len(self.outliers):
            for frame in np.flatnonzero(rng.uniform(size=count) < self.outlier_rate):
                error[frame] += self.outliers[rng.integers(len(self.outliers))]
        return error

    def __call__(
        self, truth: Array, t: Array, rng: np.random.Generator, *, fast: float = 1.0, strength: float = 1.0
    ) -> tuple[Array, Array, Array]:
        """Sample observed [T, K, 3], score [T], confidence [T, K]; NaN, 0, 0 where lost. truth: [T, K, 3] m; t: [T] s.

        ``fast`` is a factor on the fast part: a better or worse camera than that of the pairs; ``strength`` one on all
        errors: a person who is easier or harder for the front end than those of the pairs.
        """
        truth, t = np.asarray(truth, np.float64), np.asarray(t, np.float64)
        count, keypoints = truth.shape[:2]
        if keypoints != self.points:
            raise ValueError(f"the noise model is for {self.points} keypoints, not {keypoints}")
        skeleton = _skeleton(keypoints)
        R, speed = _upright(truth, skeleton), _speed(truth, t)
        x = np.einsum("tij,tkj->tki", R, truth)
        error = strength * self.residual(x, t, speed, rng, fast=fast).reshape(count, keypoints, 3)
        size = np.exp(self.scale[0] + self.scale[1] * rng.normal())
        y = size * np.einsum("tji,tkj->tki", R, x + error)

        distance = np.linalg.norm(error, axis=-1)
        base, slope, spread, hold = self.score
        rms = np.sqrt((distance**2).mean(1))
        logit = base + slope * np.log(rms + 1e-4) + spread * wander(t, float(hold), 1, rng)[:, 0]
        score = 1 / (1 + np.exp(-logit))
        if len(self.confidence):
            a, b, c = self.confidence.T
            own = wander(t, 0.5, keypoints, rng)
            confidence = 1 / (1 + np.exp(-(a + b * np.log(distance + 1e-4) + c * own)))
        else:
            confidence = np.repeat(score[:, None], keypoints, axis=1)

        swapped = self._spans(
            t, np.full(count, self.swap_rate[0]), self.swap_spans, rng, bool(rng.uniform() < self.swap_rate[1])
        )
        y[swapped] = y[swapped][:, list(skeleton.order)] * skeleton.sign
        lost = self._spans(t, np.interp(speed, SPEEDS, self.lost_rate), self.lost_spans, rng, False)
        y[lost], score[lost], confidence[lost] = np.nan, 0, 0
        return y.astype(np.float32), score.astype(np.float32), confidence.astype(np.float32)

    @staticmethod
    def _spans(t: Array, rate: Array, spans: Array, rng: np.random.Generator, begun: bool) -> NDArray[np.bool_]:
        """Sample the frames within spans that start at ``rate`` [T] 1/s."""
        inside = np.zeros(len(t), bool)
        if not len(spans):
            return inside
        step = np.diff(t, append=t[-1] + (t[-1] - t[0]) / max(len(t) - 1, 1))
        starts = np.flatnonzero(rng.uniform(size=len(t)) < rate * step)
        for start in [0, *starts] if begun else starts:
            inside |= (t >= t[start]) & (t < t[start] + spans[rng.integers(len(spans))])
        return inside


def pose_features(z: Array) -> NDArray[np.float64]:
    """Return features [T, F] of coordinates with spread 1 [T, m]: 1, themselves, products of the first; clipped."""
    z = 3 * np.tanh(z / 3)  # no growth beyond the observed range
    rows, columns = np.triu_indices(min(_QUADRATIC, z.shape[1]))
    return np.concatenate([np.ones((len(z), 1)), z, z[:, rows] * z[:, columns]], axis=1)


def with_speed(features: Array, speed: Array) -> NDArray[np.float64]:
    """Append speed features to [T, F]: [T, F + 2], for speeds [T] m/s."""
    level = np.log(np.asarray(speed) + _FLOOR)
    return np.column_stack([features, level, level**2])


def wander(t: Array, tau: float, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Sample Ornstein-Uhlenbeck processes of variance 1 [T, size] at times t [T] s."""
    values = rng.normal(size=(len(t), size))
    keep = np.exp(-np.maximum(np.diff(t), 0) / max(tau, 1e-6))
    fresh = np.sqrt(1 - keep**2)
    for k in range(1, len(t)):
        values[k] = keep[k - 1] * values[k - 1] + fresh[k - 1] * values[k]
    return values
