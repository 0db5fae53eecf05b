"""Compare all methods on the same clips: at equal lag, in gaps and in prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt_export.evaluation.answers import Answers, bursts, extrapolated, held, simulate
from humanrt_export.evaluation.batch import STEP, Batch, nearest, shifted, whole
from humanrt_export.evaluation.one_euro import Setting, one_euro
from humanrt_export.evaluation.score import degrees, score
from humanrt_export.evaluation.search import LAGS, grid

__all__ = ["evaluate"]

Array = NDArray[Any]

PREDICTIONS = (0.05, 0.1)


def evaluate(
    val: Batch,
    train: Batch,
    model: Any = None,
    *,
    lags: Sequence[int] = LAGS,
    predictions: Sequence[float] = PREDICTIONS,
    progress: Callable[[str], object] = lambda line: None,
    **options: Any,
) -> dict[str, Any]:
    """Compute all tables.

    Args:
        val: clips to measure on; train: clips to tune One-Euro on.
        model: bundle or PoseBERT; None: One-Euro alone.
        options: options of the stream (backend, threads).
    """
    tuned_on, oracle_on = grid(train, progress=progress), grid(val, progress=progress)
    report: dict[str, Any] = {
        "clips": {"val": len(val.t), "train": len(train.t), "frames": int(val.seen.sum())},
        "lags": {},
        "grid": {
            name: {
                "settings": g.settings,
                "errors_mm_by_delay": g.errors.round(3).tolist(),
                "accelerations": g.accelerations.round(4).tolist(),
            }
            for name, g in (("train", tuned_on), ("val", oracle_on))
        },
    }
    speed = val.speed()
    answers: dict[int, Answers] = {}
    for lag in lags:
        progress(f"lag {lag}")
        shift = -lag * STEP
        # The frames in which all have an answer: the frame of the answer and that of the question were both seen.
        asked = shifted(val.t, val.seen[..., None, None].astype(np.float32), shift)[..., 0, 0] > 0.999
        where = val.seen & asked & (speed >= 0)
        methods: dict[str, Array] = {"raw": _delayed(val, val.observed, lag)}
        names: dict[str, str] = {}
        calmness = np.inf
        if model is not None:
            answers[lag] = simulate(val, model, lag=lag, **options)
            methods["posebert"] = answers[lag].keypoints
            where &= whole(answers[lag].keypoints)
            calmness = score(val, methods["posebert"], shift, where).acceleration
        chosen = {
            "oneeuro": tuned_on.best(lag),
            "oneeuro_oracle": oracle_on.best(lag),
            "oneeuro_as_calm": oracle_on.best(lag, calmness) if model is not None else None,
        }
        for name, setting in chosen.items():
            if setting is not None:
                methods[name] = _delayed(val, one_euro(val, *setting[:2]), setting.late)
                names[name] = str(setting)
        truth = val.truth_at(shift)
        # Held back over a gap, One-Euro has no answer; then none counts.
        for points in methods.values():
            where &= whole(points)
        table: dict[str, Any] = {name: score(val, points, shift, where).as_dict() for name, points in methods.items()}
        table["truth"] = score(val, truth, shift, where).as_dict()
        for name, text in names.items():
            table[name]["setting"] = text
        if model is not None:
            angle = degrees(answers[lag].rotations[where], nearest(val, val.rotations, shift)[where])
            table["posebert"] |= {"degrees": float(angle.mean()), "root_degrees": float(angle[:, 0].mean())}
        curve = oracle_on.curve(lag)
        by_speed = {}
        at_speed = np.nan_to_num(shifted(val.t, speed[..., None, None], shift)[..., 0, 0], nan=-1)
        for name, low, high in (("rest", 0.0, 0.02), ("slow", 0.02, 0.15), ("fast", 0.15, np.inf)):
            part = where & (at_speed >= low) & (at_speed < high)
            by_speed[name] = {
                method: score(val, points, shift, part).as_dict()
                for method, points in (*methods.items(), ("truth", truth))
            }
        report["lags"][str(lag)] = {
            "methods": table,
            "by_speed": by_speed,
            "curve": [{"acceleration": a, "error": e, "setting": str(s)} for a, e, s in curve],
        }
    setting = tuned_on.best(0) or Setting(1.2, 12.0)
    report["gaps"] = _gaps(val, setting, model, progress, options)
    report["prediction"] = {
        str(ahead): _prediction(val, setting, model, ahead, progress, options) for ahead in predictions
    }
    return report


def _delayed(batch: Batch, points: Array, frames: int) -> Array:
    """Delay the output by ``frames`` frames."""
    return shifted(batch.t, points, -frames * STEP)


def _gaps(
    batch: Batch, setting: Setting, model: Any, progress: Callable[[str], object], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return errors on a fifth of the frames, removed in bursts."""
    progress("gaps")
    missing = bursts(batch)
    left = batch.without(missing)
    smooth = one_euro(left, *setting[:2])
    methods = {
        "hold last": held(left, left.observed),
        "hold last One-Euro": held(left, smooth),
        "extrapolate": extrapolated(left, left.observed),
        "extrapolate One-Euro": extrapolated(left, smooth),
    }
    if model is not None:
        methods["posebert"] = simulate(left, model, fill=0.5, **options).keypoints
    where = missing.copy()
    for points in methods.values():
        where &= whole(points)
    table = {name: score(batch, points, 0.0, where).as_dict() for name, points in methods.items()}
    after = _since(batch, left.seen)
    spans = {"1-2 frames": (0.5, 2.5), "3-5 frames": (2.5, 5.5), "6-10 frames": (5.5, 10.5)}
    by_age = {
        name: {m: score(batch, p, 0.0, where & (after > low) & (after <= high)).as_dict() for m, p in methods.items()}
        for name, (low, high) in spans.items()
    }
    share = float(missing.sum() / max(int(batch.seen.sum()), 1))
    return {
        "missing": share,
        "answered": float(where.sum() / max(int(missing.sum()), 1)),
        "methods": table,
        "by_age": by_age,
    }


def _since(batch: Batch, seen: Array) -> Array:
    """Return the number of frames [C, T], of 1/30 s, since the last observed frame."""
    last = np.maximum.accumulate(np.where(seen & np.isfinite(batch.t), batch.t, -np.inf), axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((batch.t - last) / STEP)


def _prediction(
    batch: Batch,
    setting: Setting,
    model: Any,
    ahead: float,
    progress: Callable[[str], object],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return errors of the predictions for the time ``ahead`` s after each frame."""
    progress(f"prediction {ahead} s")
    smooth, speed = one_euro(batch, *setting[:2], velocities=True)
    methods = {
        "constant pose": batch.observed,
        "constant pose One-Euro": smooth,
        "constant velocity": extrapolated(batch, batch.observed, ahead),
        "constant velocity One-Euro": smooth + np.float32(ahead) * speed,
    }
    if model is not None:
        methods["posebert"] = simulate(batch, model, predict=ahead, **options).keypoints
    where = batch.seen.copy()
    for points in methods.values():
        where &= whole(points)
    return {name: score(batch, points, ahead, where).as_dict() for name, points in methods.items()}
