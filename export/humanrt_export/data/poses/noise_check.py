"""Compare the noise model's noise with the front end's: the same measurements of both, side by side.

::

    python -m humanrt_export.data.poses.noise_check --noise noise.npz --pairs DIR [--video hand.mp4]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.hand import KNUCKLES, TIPS, WRIST
from humanrt_export.data.poses.clips import Clip, load_clips
from humanrt_export.data.poses.kinds import as_seen_by
from humanrt_export.data.poses.noise import NoiseModel, Residual, residuals
from humanrt_export.data.poses.noise_fit import jerks
from humanrt_export.entry import run_module

__all__ = ["imitation", "main", "measures", "rest_jitter", "video_clip"]

Array = NDArray[np.float64]

_GROUPS: Mapping[int, Mapping[str, tuple[int, ...]]] = {
    21: {
        "palm": (WRIST, *KNUCKLES),
        "middle joints": (2, 6, 10, 14, 18),
        "last joints": (3, 7, 11, 15, 19),
        "tips": TIPS,
    },
    33: {
        "face": tuple(range(11)),
        "trunk": (11, 12, 23, 24),
        "arms": (13, 14, 15, 16),
        "hands": tuple(range(17, 23)),
        "legs": (25, 26, 27, 28),
        "feet": (29, 30, 31, 32),
    },
    17: {"trunk": (0, 7, 8, 9, 10), "arms": (11, 12, 13, 14, 15, 16), "legs": (1, 2, 3, 4, 5, 6)},
}
_PACES = {"rest": (0.0, 0.03), "slow": (0.03, 0.15), "fast": (0.15, np.inf)}  # m/s
_BANDS = (0.0, 1.0, 3.0, 6.0, 10.0, 15.1)  # Hz


def imitation(model: NoiseModel, clip: Clip, rng: np.random.Generator) -> dict[str, Any]:
    """Return the clip with the model's observations instead of the front end's."""
    observed, score, confidence = model(clip["keypoints"], clip["t"], rng)
    made = {"t": clip["t"], "observed": observed, "score": score, "keypoints": clip["keypoints"]}
    return made | ({"confidence": confidence} if "confidence" in clip else {})


def measures(clips: Sequence[Clip]) -> dict[str, float]:
    """Return measurements of the errors of clips by name, in mm unless stated otherwise."""
    parts = [part for part in map(residuals, clips) if part]
    result: dict[str, float] = {}
    error = np.concatenate([np.linalg.norm(part.e[~part.lost], axis=-1) for part in parts]) * 1e3
    groups = _GROUPS.get(error.shape[1], {"all": tuple(range(error.shape[1]))})
    for name, members in groups.items():
        for level in (25, 50, 75, 95, 99):
            result[f"error {name} p{level}"] = float(np.percentile(error[:, list(members)], level))
    each = np.concatenate([np.abs(part.e[~part.lost]).reshape(-1, 3) for part in parts]) * 1e3
    for axis, name in enumerate(("across", "along", "depth")):
        result[f"mean |error| {name}"] = float(each[:, axis].mean())

    for lag in range(1, 9):
        result[f"autocorrelation lag {lag}"] = _autocorrelation(parts, lag)
    power = _spectrum(parts)
    for low, high, share in zip(_BANDS, _BANDS[1:], power, strict=False):
        result[f"power % {low:g}-{min(high, 15):g} Hz"] = 100 * float(share)

    second, speed = _second(parts)
    for name, (low, high) in _PACES.items():
        own = second[(speed >= low) & (speed < high)]
        result[f"acceleration mean {name} mm/frame^2"] = float(own.mean()) if len(own) else np.nan
        result[f"acceleration p95 {name} mm/frame^2"] = float(np.percentile(own, 95)) if len(own) else np.nan
    seconds = sum(float(np.ptp(part.t)) for part in parts)
    lost = np.concatenate([part.lost for part in parts])
    result["lost % of frames"] = 100 * float(lost.mean())
    result["losses per minute"] = 60 * sum(int((np.diff(part.lost.astype(int)) > 0).sum()) for part in parts) / seconds
    result["swapped % of frames"] = 100 * float(np.concatenate([part.swapped for part in parts]).mean())
    score = np.concatenate([part.score[~part.lost] for part in parts])
    for level in (5, 25, 50):
        result[f"score p{level}"] = float(np.percentile(score, level))
    result["scale spread %"] = 100 * float(np.std([part.scale for part in parts]))
    return result


def _even(part: Residual) -> list[Array]:
    """Return spans of the error [T, 3K] of at least 32 frames at about 30 Hz without a lost one."""
    breaks = np.concatenate([[True], np.abs(np.diff(part.t) * 30 - 1) > 0.3])
    breaks |= part.lost | np.concatenate([[False], part.lost[:-1]])
    edges = [*np.flatnonzero(breaks), len(part.t)]
    spans = [part.e[a:b] for a, b in pairwise(edges) if b - a >= 33]
    return [span[np.isfinite(span).all((1, 2))].reshape(-1, span.shape[1] * 3) for span in spans]


def _autocorrelation(parts: Sequence[Residual], lag: int) -> float:
    """Return the autocorrelation of the error minus its mean over a span."""
    product = square = 0.0
    for part in parts:
        for span in _even(part):
            rest = span - span.mean(0)
            product += float((rest[lag:] * rest[:-lag]).mean(1).sum())
            square += float(np.square(rest[lag:]).mean(1).sum() + np.square(rest[:-lag]).mean(1).sum()) / 2
    return product / square if square else float("nan")


def _spectrum(parts: Sequence[Residual]) -> Array:
    """Return the fraction of the error's power, without its mean, in each of `_BANDS`."""
    bands = np.zeros(len(_BANDS) - 1)
    for part in parts:
        for span in _even(part):
            window = np.hanning(32)[:, None]
            for start in range(0, len(span) - 31, 16):
                piece = span[start : start + 32]
                power = np.square(np.abs(np.fft.rfft((piece - piece.mean(0)) * window, axis=0))).sum(1)
                bands += np.histogram(np.fft.rfftfreq(32, 1 / 30), _BANDS, weights=power)[0]
    return bands / max(float(bands.sum()), 1e-12)


def _second(parts: Sequence[Residual]) -> tuple[Array, Array]:
    """Return the mean norm over the keypoints of the error's second differences, mm, and the speeds there."""
    sizes, speeds = [], []
    for part in parts:
        second, at = jerks(part.t, part.e.reshape(len(part.t), -1))
        sizes.append(1e3 * np.linalg.norm(second.reshape(len(second), part.e.shape[1], 3), axis=-1).mean(1))
        speeds.append(part.speed[at])
    return np.concatenate(sizes), np.concatenate(speeds)


def rest_jitter(t: NDArray[Any], observed: NDArray[Any], span: float = 0.3) -> Array:
    """Return the mean |second difference| over the keypoints, mm/frame^2, of observed frames [T, K, 3] at rest.

    Rest is determined from the observation only, so that recordings without ground truth can be compared: the means
    over ``span`` seconds before and after a frame differ by less than 3 % of the hand's size.
    """
    flat = observed.reshape(len(observed), -1)
    second, at = jerks(t, flat)
    reach = max(2, round(span / float(np.median(np.diff(t)))))
    result = []
    for difference, k in zip(second, at, strict=True):
        before, after = observed[max(k - reach, 0) : k], observed[k + 1 : k + 1 + reach]
        if len(before) < reach or len(after) < reach or not (np.isfinite(before).all() and np.isfinite(after).all()):
            continue
        size = np.sqrt(np.square(observed[k]).sum(-1).mean())
        if np.linalg.norm(after.mean(0) - before.mean(0), axis=-1).mean() < 0.03 * size:
            result.append(1e3 * np.linalg.norm(difference.reshape(-1, 3), axis=-1).mean())
    return np.array(result)


def video_clip(path: Path) -> dict[int, tuple[Array, Array]]:
    """Return the hands of a recording by identity: t [T] s and observed [T, 21, 3] m relative to the mean of the 21."""
    import cv2

    from humanrt.hands.tracker import HandTracker

    capture, tracker = cv2.VideoCapture(str(path)), HandTracker(threads=1)
    rate = capture.get(cv2.CAP_PROP_FPS) or 30.0
    rows_by_identity: dict[int, list[tuple[float, Array]]] = {}
    frame = 0
    while True:
        good, picture = capture.read()
        if not good:
            break
        for hand in tracker(np.ascontiguousarray(picture[..., ::-1]), frame / rate):
            points = hand.keypoints_3d.astype(np.float64)
            rows_by_identity.setdefault(hand.id, []).append((frame / rate, points - points.mean(0)))
        frame += 1
    return {
        number: (np.array([t for t, _ in rows]), np.array([points for _, points in rows]))
        for number, rows in rows_by_identity.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m humanrt_export.data.poses.noise_check", description="compare a noise model with pairs"
    )
    parser.add_argument("--noise", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True, help="pairs that the model was not fitted to")
    parser.add_argument("--video", type=Path, help="recording of a hand at rest, to measure jitter")
    parser.add_argument("--input", metavar="KIND", help="as for posebert.noise")
    parser.add_argument("--draws", type=int, default=4)
    options = parser.parse_args(arguments)
    model, clips = NoiseModel.load(options.noise), as_seen_by(options.input, load_clips(options.pairs))
    rng = np.random.default_rng(1)
    made = [imitation(model, clip, rng) for _ in range(options.draws) for clip in clips]
    real, model_s = measures(clips), measures(made)
    print("| measure | front-end | model |\n| --- | --- | --- |")
    for name, value in real.items():
        print(f"| {name} | {value:.3g} | {model_s[name]:.3g} |")
    if options.video:
        rows: Mapping[str, Sequence[Clip]] = {"pairs": clips, "model": made}
        jitter = {
            name: np.concatenate([rest_jitter(clip["t"], clip["observed"]) for clip in part])
            for name, part in rows.items()
        }
        hands = [rest_jitter(t, points) for t, points in video_clip(options.video).values() if len(t) > 30]
        jitter[options.video.name] = np.concatenate(hands)
        print("\n| observed at rest, mm/frame^2 | frames | mean | p50 | p95 |\n| --- | --- | --- | --- | --- |")
        for name, values in jitter.items():
            quantiles = np.percentile(values, [50, 95]) if len(values) else (np.nan, np.nan)
            print(f"| {name} | {len(values)} | {values.mean():.3g} | {quantiles[0]:.3g} | {quantiles[1]:.3g} |")
    return 0


if __name__ == "__main__":
    run_module(main)
