"""Fitting `NoiseModel` to pairs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import erf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt_export.data.poses.clips import Clip, load_clips
from humanrt_export.data.poses.kinds import as_seen_by
from humanrt_export.data.poses.noise import (
    SPEEDS,
    SWELLS,
    TAUS,
    NoiseModel,
    Residual,
    pose_features,
    residuals,
    with_speed,
)
from humanrt_export.entry import run_module

__all__ = ["fit", "jerks", "main"]

Array = NDArray[np.float64]

_FOLDS = 5
_LAGS = (1, 2, 3, 4, 6, 8, 12, 20, 30)
_STEADY = (0.025, 0.042)  # s: range of intervals that count as one frame at 30 Hz


def jerks(t: NDArray[Any], e: NDArray[Any]) -> tuple[Array, NDArray[np.int64]]:
    """Return second differences [M, N] of e [T, N] where three frames at about 30 Hz exist, and the middles [M]."""
    step = np.diff(t)
    even = (step > _STEADY[0]) & (step < _STEADY[1])
    there = np.isfinite(e).all(1)
    middles = np.flatnonzero(even[1:] & even[:-1] & there[2:] & there[1:-1] & there[:-2]) + 1
    return e[middles + 1] - 2 * e[middles] + e[middles - 1], middles


def fit(clips: Sequence[Clip]) -> NoiseModel:
    """Fit the noise model to pairs: clips of observation and ground truth, all with the same number of keypoints.

    Raises:
        HumanrtError: there are too few observations, or the clips differ in their number of keypoints.
    """
    if len({clip["keypoints"].shape[1] for clip in clips}) != 1:
        raise HumanrtError("noise: give clips that all have the same number of keypoints")
    seen = [part for part in map(residuals, clips) if part]
    if len(seen) < 2:
        raise HumanrtError("noise: fewer than 2 clips: variation between clips cannot be estimated; make more")
    if sum(int((~part.lost).sum()) for part in seen) < 200:
        raise HumanrtError("noise: fewer than 200 frames; make more pairs")
    rng = np.random.default_rng(0)

    owner = np.concatenate([np.full(len(part.t), k) for k, part in enumerate(seen)])
    there = ~np.concatenate([part.lost for part in seen])
    x = np.concatenate([part.x.reshape(len(part.t), -1) for part in seen])
    e = np.concatenate([part.e.reshape(len(part.t), -1) for part in seen])
    speed = np.concatenate([part.speed for part in seen])
    mean = x.mean(0)
    values, vectors = np.linalg.eigh(np.cov((x - mean).T))
    kept = int(np.searchsorted(np.cumsum(values[::-1]) / values.sum(), 0.985)) + 1
    axes, spread = vectors[:, ::-1][:, :kept], np.sqrt(values[::-1][:kept])
    z = (x - mean) @ axes
    features = pose_features(z / spread)

    # Bias, and the residuals on clips held out of the regression.
    strength = min(
        (10.0, 100.0, 1000.0, 10000.0),
        key=lambda value: np.square(_left(features, e, owner, there, value)[there]).mean(),
    )
    r = _left(features, e, owner, there, strength)
    bias = _ridge(features[there], e[there], strength)

    # Slow: amplitude by pose, covariance, and correlation over poses and time.
    size = np.sqrt(np.square(r).sum(1))
    gain = _ridge(features[there], np.log(size[there] + 1e-4)[:, None], 300.0)[:, 0]
    level = features @ gain
    low, high = np.percentile(level[there], [3, 99.3])
    held = np.exp(np.clip(level, low, high))
    scaled = r / held[:, None]
    limit = np.percentile(np.square(scaled[there]).sum(1), 99)
    scaled = scaled * np.minimum(1, np.sqrt(limit / np.maximum(np.square(scaled).sum(1, keepdims=True), 1e-12)))
    total = float(np.square(scaled[there]).sum(1).mean())
    gain = gain + 0.5 * np.log(total) * (np.arange(len(gain)) == 0)
    limits = np.array([low, high]) + 0.5 * np.log(total)
    lengths, shares, mixture = _variogram(seen, z, scaled / np.sqrt(total), owner)

    # Fast: second differences at rest give its covariance, their size its amplitude.
    rows, middles = [], []
    for k, part in enumerate(seen):
        difference, at = jerks(part.t, e[owner == k])
        rows.append(difference)
        middles.append(at + np.flatnonzero(owner == k)[0])
    second, at = np.concatenate(rows), np.concatenate(middles)
    strength_of = np.sqrt(np.square(second).sum(1)) + 1e-6
    still = speed[at] <= max(np.percentile(speed[at], 40), 0.03)
    fast_gain = _ridge(with_speed(features[at], speed[at]), np.log(strength_of)[:, None], 100.0)[:, 0]
    fast_level = with_speed(features[at], speed[at]) @ fast_gain
    fast_range = np.percentile(fast_level, [2, 98])
    excess = np.log(strength_of) - np.clip(fast_level, *fast_range)
    swell, swell_hold = _swell(_smooth(excess, owner[at], 2), owner[at])
    unit = second[still] / strength_of[still, None]
    # Variance of the mixture's second difference per unit of the noise's own.
    step = 1 / 30
    keep = np.exp(-step / TAUS)
    curvature = 6 * mixture[0] + float(np.sum(mixture[1:] * (6 - 8 * keep + 2 * keep**2)))
    fast_gain[0] -= 0.5 * np.log(curvature)
    fast_range = fast_range - 0.5 * np.log(curvature)

    # Outliers: second differences far larger than those around them; of the three that involve a frame, the largest.
    around = excess - _smooth(excess, owner[at], 5)
    peak = (excess > np.roll(excess, 1)) & (excess > np.roll(excess, -1))
    wild = peak & (around > 1.4)
    outliers = -second[wild] / 2
    model = NoiseModel(
        mean=mean,
        axes=axes,
        spread=spread,
        bias=bias,
        slow_shape=_root(scaled[there]),
        slow_gain=gain,
        slow_range=limits,
        lengths=lengths,
        shares=shares,
        fast_shape=_root(unit),
        fast_gain=fast_gain,
        fast_range=fast_range,
        mixture=mixture,
        gains=np.ones(len(SPEEDS)),
        swell=swell,
        swell_hold=swell_hold,
        slow_swell=_clip_spread(scaled, owner, there),
        outliers=outliers[:500],
        outlier_rate=np.array(wild.mean()),
        scale=_log_normal(np.array([part.scale for part in seen])),
        score=_score(seen, r, owner, there),
        confidence=_confidence(seen),
        steps=_steps(clips),
        **_spans(clips, seen),
    )
    return _balanced(model, seen, rng)


def _ridge(features: Array, target: Array, strength: float) -> Array:
    """Return the ridge weights [F, N]; the constant feature, the first, is not penalised."""
    penalty = np.diag(np.where(np.arange(features.shape[1]) == 0, 1e-6, strength))
    return np.asarray(np.linalg.solve(features.T @ features + penalty, features.T @ target))


def _left(features: Array, e: Array, owner: NDArray[Any], there: NDArray[Any], strength: float) -> Array:
    """Return the residuals [N, 3K] of each clip after a regression on the other clips; NaN where lost."""
    left = np.full_like(e, np.nan)
    for fold in range(_FOLDS):
        mine = owner % _FOLDS == fold
        if (there & ~mine).any():
            weights = _ridge(features[there & ~mine], e[there & ~mine], strength)
            left[mine] = e[mine] - features[mine] @ weights
    return np.where(there[:, None], left, np.nan)


def _root(rows: Array) -> Array:
    """Return A [D, D] with A'A the second moments of rows [N, D], normalised to trace 1."""
    moments = rows.T @ rows
    values, vectors = np.linalg.eigh(moments / np.trace(moments))
    return np.asarray(np.sqrt(np.maximum(values, 0))[:, None] * vectors.T)


def _variogram(seen: Sequence[Residual], z: Array, scaled: Array, owner: NDArray[Any]) -> tuple[Array, Array, Array]:
    """Fit length scales [2] m and fractions [3] of the slow part, and the mixture [5] of the fast one.

    The semivariance of the residual between two frames of a clip, by distance of the poses and by time
    between them, is a sum of saturating curves with non-negative weights.
    """
    distance, time, change = [], [], []
    for k, part in enumerate(seen):
        own = np.flatnonzero(owner == k)
        for lag in _LAGS:
            a, b = own[:-lag], own[lag:]
            good = np.isfinite(scaled[a]).all(1) & np.isfinite(scaled[b]).all(1)
            distance.append(np.linalg.norm(z[b] - z[a], axis=1)[good])
            time.append((part.t[lag:] - part.t[:-lag])[good])
            change.append(0.5 * np.square(scaled[b] - scaled[a]).sum(1)[good])
    d, tau, gamma = np.concatenate(distance), np.concatenate(time), np.concatenate(change)
    far = np.digitize(d, np.quantile(d, np.linspace(0, 1, 13)[1:-1]))
    late = np.digitize(tau, [0.04, 0.075, 0.11, 0.15, 0.22, 0.3, 0.5, 0.8])
    cells = far * 9 + late
    used = [cell for cell in np.unique(cells) if (cells == cell).sum() > 30]
    point = np.array([(d[cells == c].mean(), tau[cells == c].mean(), gamma[cells == c].mean()) for c in used])
    middle = float(np.median(d))

    best: tuple[float, Array, Array] | None = None
    for first, second in combinations(middle * np.array([0.1, 0.2, 0.4, 0.8, 1.6, 3.2]), 2):
        columns = [np.ones(len(point))]
        columns += [1 - np.exp(-point[:, 1] / s) for s in TAUS]
        columns += [1 - np.exp(-0.5 * np.square(point[:, 0] / s)) for s in (first, second)]
        weights = _not_negative(np.stack(columns, 1) / point[:, 2:], np.ones(len(point)))
        misfit = float(np.square(np.stack(columns, 1) @ weights / point[:, 2] - 1).sum())
        if best is None or misfit < best[0]:
            best = misfit, np.array([first, second]), weights
    assert best is not None
    _, lengths, weights = best
    slow = np.array([*weights[-2:], max(1 - float(weights.sum()), 0.02)])
    fast = weights[:-2] if weights[:-2].sum() > 1e-9 else np.eye(len(weights) - 2)[0]
    return lengths, slow / max(1.0, float(slow.sum())), fast / fast.sum()


def _not_negative(a: Array, b: Array) -> Array:
    """Solve non-negative least squares by trying all sets of zero weights (there are few)."""
    count = a.shape[1]
    best, answer = np.inf, np.zeros(count)
    for chosen in range(1, 2**count):
        columns = [k for k in range(count) if chosen >> k & 1]
        weights = np.linalg.lstsq(a[:, columns], b, rcond=None)[0]
        misfit = float(np.square(a[:, columns] @ weights - b).sum())
        if weights.min() >= 0 and misfit < best:
            best, answer = misfit, np.zeros(count)
            answer[columns] = weights
    return answer


def _clip_spread(scaled: Array, owner: NDArray[Any], there: NDArray[Any]) -> Array:
    """Return the spread of the clips' log RMS beyond chance (a clip contains few different poses)."""
    logs = [
        0.5 * np.log(np.square(scaled[there & (owner == k)]).sum(1).mean())
        for k in np.unique(owner)
        if (there & (owner == k)).sum() >= 30
    ]
    return np.array(np.sqrt(max(float(np.var(logs)) - 0.04, 0.0)) if len(logs) > 2 else 0.0)


def _smooth(values: Array, owner: NDArray[Any], reach: int) -> Array:
    """Return running medians over ``reach`` values to either side within the same clip."""
    ways = range(-reach, reach + 1)
    beside = [np.where(owner == np.roll(owner, way), np.roll(values, way), np.nan) for way in ways]
    return np.asarray(np.nanmedian(beside, axis=0))


def _swell(level: Array, owner: NDArray[Any]) -> tuple[Array, Array]:
    """Return `NoiseModel.swell` and `swell_hold` from smoothed log amplitudes of frames at 30 Hz."""
    below = np.array([0.5 * (1 + erf(value / sqrt(2))) for value in SWELLS])
    rank = np.empty(len(level))
    rank[np.argsort(level)] = np.interp((np.arange(len(level)) + 0.5) / len(level), below, SWELLS)

    def alike(lag: int) -> float:
        same = owner[lag:] == owner[:-lag]
        return float(np.mean((rank[lag:] * rank[:-lag])[same])) if same.any() else 0.0

    # The part correlated between frames is the amplitude; single second differences scatter in addition.
    share = float(np.clip(alike(30), 0.0, 0.9))
    near, far = (max((alike(lag) - share) / (1 - share), 0.02) for lag in (6, 12))
    decay = float(np.clip(far / near, 0.1, 0.95))
    explained = share + (1 - share) * min(near / decay, 1.0)
    middle = np.median(level)
    table = middle + np.sqrt(explained) * (np.quantile(level, below) - middle)
    return table, np.array([share / explained, (6 / 30) / -np.log(decay)])


def _log_normal(values: Array) -> Array:
    logs = np.log(values)
    middle = float(np.median(logs))
    return np.array([middle, 1.4826 * float(np.median(np.abs(logs - middle)))])


def _logit(p: NDArray[Any]) -> Array:
    p = np.clip(np.asarray(p, np.float64), 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)))


def _score(seen: Sequence[Residual], r: Array, owner: NDArray[Any], there: NDArray[Any]) -> Array:
    score = _logit(np.concatenate([part.score for part in seen])[there])
    error = np.concatenate([part.e for part in seen])[there]
    rms = np.log(np.sqrt(np.square(error).sum(-1).mean(-1)) + 1e-4)
    base, slope = _line(rms, score)
    rest = score - base - slope * rms
    mine = owner[there]
    same = mine[1:] == mine[:-1]
    alike = float(np.clip((rest[1:] * rest[:-1])[same].mean() / max(rest.var(), 1e-9), 0.05, 0.995))
    return np.array([base, slope, rest.std(), (1 / 30) / -np.log(alike)])


def _confidence(seen: Sequence[Residual]) -> Array:
    rows = []
    for part in seen:
        if part.confidence is None:
            return np.zeros((0, 3))
        rows.append((np.linalg.norm(part.e, axis=-1)[~part.lost], part.confidence[~part.lost]))
    error = np.log(np.concatenate([row[0] for row in rows]) + 1e-4)
    logit = _logit(np.concatenate([row[1] for row in rows]))
    lines = [_line(error[:, k], logit[:, k]) for k in range(error.shape[1])]
    return np.array([(a, b, np.std(logit[:, k] - a - b * error[:, k])) for k, (a, b) in enumerate(lines)])


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Fit y = a + b x by least squares with b <= 0: a larger error never gives a better score."""
    b = min(float(np.cov(x, y)[0, 1] / max(x.var(), 1e-9)), 0.0)
    return float(y.mean() - b * x.mean()), b


def _steps(clips: Sequence[Clip]) -> Array:
    ratios = [np.diff(clip["t"]) / np.median(np.diff(clip["t"])) for clip in clips if len(clip["t"]) > 4]
    return np.asarray(np.quantile(np.concatenate(ratios), np.linspace(0.002, 0.998, 101)))


def _runs(flags: NDArray[Any], t: NDArray[Any]) -> list[tuple[int, float, bool]]:
    """Return the start, duration in s, and whether the end was observed, of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    step = float(np.median(np.diff(t)))
    return [(a, float(t[b - 1] - t[a] + step), b < len(t)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _spans(clips: Sequence[Clip], seen: Sequence[Residual]) -> dict[str, Array]:
    """Fit the rates and durations of lost frames and swapped sides."""
    starts, seconds = np.zeros(len(SPEEDS)), np.full(len(SPEEDS), 1e-3)
    lost_spans, swap_spans, swaps, begun, time = [], [], 0, 0, 0.0
    for part in seen:
        step = np.diff(part.t, append=part.t[-1] + np.median(np.diff(part.t)))
        column = np.abs(part.speed[:, None] - SPEEDS).argmin(1)
        np.add.at(seconds, column, np.where(part.lost, 0, step))
        for at, length, _ in _runs(part.lost, part.t):
            if at:  # frames before the first detection do not count as lost
                starts[column[at - 1]] += 1
                lost_spans.append(length)
        # A wrong side stays wrong during lost frames.
        for at, length, _ in _runs(part.swapped, part.t):
            swap_spans.append(length)
            first = at == 0 or bool(part.lost[:at].all())
            swaps, begun = swaps + (not first), begun + first
        time += float(step.sum())
    # Add half of the mean rate to each speed's: few events must not give a rate of 0 or 1.
    rate = (starts + 0.5 * starts.sum() * seconds / seconds.sum()) / (1.5 * seconds)
    return {
        "lost_rate": rate,
        "lost_spans": np.array(lost_spans),
        "swap_rate": np.array([swaps / max(time, 1e-3), begun / max(len(clips), 1)]),
        "swap_spans": np.array(swap_spans),
    }


def _balanced(model: NoiseModel, seen: Sequence[Residual], rng: np.random.Generator) -> NoiseModel:
    """Adjust the slow part's amplitude, and the fast one's by speed, so that errors and their second differences are as
    large as the observed ones, since the parts add up."""
    column = [np.abs(part.speed[:, None] - SPEEDS).argmin(1) for part in seen]
    speed_bins = range(len(SPEEDS))

    def sizes(errors: Sequence[Array]) -> tuple[float, Array]:
        """Return the mean log size of errors, and of their second differences by speed; NaN if there are few."""
        log_sizes, bins, logs = [], [], []
        for part, error, own in zip(seen, errors, column, strict=True):
            second, at = jerks(part.t, np.where(part.lost[:, None], np.nan, error))
            log_sizes.append(np.log(np.sqrt(np.square(second).sum(1)) + 1e-6))
            bins.append(own[at])
            logs.append(np.log(np.sqrt(np.square(error[~part.lost]).sum(1)) + 1e-6))
        values, speeds = np.concatenate(log_sizes), np.concatenate(bins)
        mean = [values[speeds == k].mean() if (speeds == k).sum() > 30 else np.nan for k in speed_bins]
        return float(np.concatenate(logs).mean()), np.array(mean)

    error, change = sizes([part.e.reshape(len(part.t), -1) for part in seen])
    for _ in range(6):
        error_made, change_made = sizes([model.residual(part.x, part.t, part.speed, rng) for part in seen])
        factor = np.exp(1.3 * np.clip(change - change_made, -1, 1))
        known = np.isfinite(factor)
        factor = np.interp(SPEEDS, SPEEDS[known], factor[known]) if known.any() else np.ones(len(SPEEDS))
        shift = float(np.clip(1.3 * (error - error_made), -0.3, 0.3))
        model = replace(
            model,
            gains=np.clip(model.gains * factor, 0.05, 10.0),
            slow_gain=model.slow_gain + shift * (np.arange(len(model.slow_gain)) == 0),
            slow_range=model.slow_range + shift,
        )
    # Errors change a clip's apparent size too: s covers the rest of the spread.
    sizes_of = []
    for part in seen:
        wrong = model.residual(part.x, part.t, part.speed, rng).reshape(part.x.shape)[~part.lost, :, :2]
        flat = part.x[~part.lost, :, :2]
        sizes_of.append(1 + float(np.sum(wrong * flat) / np.sum(flat**2)))
    made = _log_normal(np.clip(sizes_of, 0.5, 2.0))
    own = max(float(model.scale[1] ** 2 - made[1] ** 2), 0.02**2)
    return replace(model, scale=np.array([model.scale[0] - made[0], np.sqrt(own)]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m humanrt_export.data.poses.noise_fit",
        description="fit a model of a front end's noise to pairs",
    )
    parser.add_argument("--pairs", type=Path, required=True, help="folder of clips (.npz)")
    parser.add_argument("--out", type=Path, required=True, help="the model (.npz)")
    parser.add_argument("--input", metavar="KIND", help="as this network of `train posebert` gets them, such as h36m17")
    options = parser.parse_args(arguments)
    clips = as_seen_by(options.input, load_clips(options.pairs))
    fit(clips).save(options.out)
    print(f"{options.out}: fitted to {len(clips)} clips, {sum(len(clip['t']) for clip in clips)} frames")
    return 0


if __name__ == "__main__":
    run_module(main)
