"""Means of scores, by strata and joints, with confidence intervals, and paired differences between bundles.

Intervals are bootstrap percentiles of 95 % over units of resampling: a picture, or a second of a film, whose frames are
not independent; of a single unit there is none. Seconds of one film are not quite independent either, and all of it
says nothing of other data sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.evaluation.running import Run
from humanrt.evaluation.scoring import VALUES, Scores
from humanrt.metrics.detection import Detection
from humanrt.metrics.joints import area_under_pck, pck

__all__ = ["STRATA", "UNITS", "compared", "summarised"]

Array = NDArray[Any]

_RESAMPLES = 1000
_BATCH = 100  # resamples whose weights are in memory together
_FAR, _NEAR = 5.0, 2.0  # m
_MILLIMETRES = {
    *("mpjpe", "pa_mpjpe", "pve", "pa_pve", "hands", "pa_hands", "place", "root_error", "w_mpjpe", "wa_mpjpe"),
    *("acceleration_error", "acceleration", "true_acceleration"),
}
UNITS: Mapping[str, str] = {
    **{name: "mm" for name in VALUES if name in _MILLIMETRES},
    **{name: "mm/frame^2" for name in VALUES if "acceleration" in name},
    **{"jitter": "10 m/s^3", "true_jitter": "10 m/s^3", "depth": "%", "iou": "", "rte": "%"},
}
"""Unit of each metric in a summary."""
_FACTORS = dict.fromkeys(_MILLIMETRES, 1000.0) | {"depth": 100.0}

STRATA = (
    *("truncated", "whole", "mostly hidden", "partly hidden", "not hidden"),
    *(f"nearer than {_NEAR:g} m", f"{_NEAR:g} to {_FAR:g} m", f"farther than {_FAR:g} m"),
)
"""Parts of the true people: how much of the limb joints is in the picture; of the person seen; how far away."""


def summarised(run: Run, *, everybody: bool, published: bool = False, seed: int = 0) -> dict[str, Any]:
    """Return what is measured of a bundle on all clips, by name; lengths in mm.

    Args:
        run: its scores.
        everybody: whether a find that is nobody is wrong (`DataSet.everybody`); if not, there is no precision.
        published: F1 is rounded to two decimals before errors are divided by it.
        seed: of the resampling.
    """
    scores = Scores.joined(list(run.clips.values()))
    result: dict[str, Any] = _figures(scores, everybody=everybody, published=published)
    result["interval"] = _intervals(scores, everybody=everybody, seed=seed)
    strata: dict[str, dict[str, float | None]] = {}
    for name, some in _strata(scores).items():
        if some.any():
            strata[name] = {"people": int(some.sum()), "recall": float(scores.found[some].mean())}
            strata[name] |= {key: _mean(scores, key, some) for key in ("mpjpe", "pa_mpjpe", "pve", "place")}
    result["strata"] = strata
    errors = scores.joints[scores.found]
    result["joints"] = {
        name: 1000 * float(errors[:, k].mean()) if len(errors) else None for k, name in enumerate(run.joints.names)
    }
    result["clips"] = {
        name: {"people": len(one.found), "recall": float(one.found.mean()) if len(one.found) else None}
        | {key: _mean(one, key) for key in ("mpjpe", "pa_mpjpe", "place")}
        for name, one in run.clips.items()
    }
    return result


def _figures(scores: Scores, *, everybody: bool, published: bool) -> dict[str, Any]:
    found = int(scores.found.sum())
    detection = Detection(found, int(scores.wrong.sum()) if everybody else 0, len(scores.found) - found)
    figures: dict[str, Any] = {
        "frames": len(scores.wrong),
        "people": len(scores.found),
        "found": found,
        "wrong": detection.wrong if everybody else None,
        "recall": detection.recall,
        "precision": detection.precision if everybody else None,
        "f1": detection.f1 if everybody else None,
        "further_finds_per_frame": float(scores.wrong.mean()) if len(scores.wrong) else 0.0,
    }
    figures |= {name: _mean(scores, name) for name in VALUES}
    for name, error in (("nmje", "mpjpe"), ("nmve", "pve")):
        value = figures[error]
        defined = everybody and value is not None and found
        figures[name] = detection.normalised(value, rounded=published) if defined else None
    errors = scores.joints[scores.found]
    figures |= {"pck_50": pck(errors, 0.05), "pck_150": pck(errors, 0.15), "auc_200": area_under_pck(errors, 0.2)}
    rte = scores.rte[np.isfinite(scores.rte)]
    figures["rte"] = float(rte.mean()) if len(rte) else None
    return {name: value if value is None or np.isfinite(value) else None for name, value in figures.items()}


def _mean(scores: Scores, name: str, some: Array | None = None) -> float | None:
    values = scores.column(name)
    values = values if some is None else values[some]
    values = values[np.isfinite(values)]
    return float(values.mean()) * _FACTORS.get(name, 1.0) if len(values) else None


def _strata(scores: Scores) -> dict[str, Array]:
    inside, visible, distance = scores.inside, scores.visible, scores.distance
    seen = (inside < 1, inside == 1, visible < 0.5, (visible >= 0.5) & (visible < 0.9), visible >= 0.9)
    away = (distance < _NEAR, (distance >= _NEAR) & (distance < _FAR), distance >= _FAR)
    return dict(zip(STRATA, (*seen, *away), strict=True))


def _intervals(scores: Scores, *, everybody: bool, seed: int) -> dict[str, list[float]]:
    columns = {name: scores.column(name) * _FACTORS.get(name, 1.0) for name in VALUES}
    columns["recall"] = scores.found.astype(np.float64)
    count = 1 + int(max(scores.unit.max(initial=-1), scores.wrong_unit.max(initial=-1)))
    means = _resampled({name: (column, scores.unit) for name, column in columns.items()}, count, seed)
    if everybody:
        right = np.concatenate([scores.found.astype(float)[scores.found], np.zeros(int(scores.wrong.sum()))])
        units = np.concatenate([scores.unit[scores.found], np.repeat(scores.wrong_unit, scores.wrong)])
        means |= _resampled({"precision": (right, units)}, count, seed)
    return {name: interval for name, values in means.items() if (interval := _interval(*values)) is not None}


def _interval(means: Array, units: int) -> list[float] | None:
    """Return the 95 % interval of means over resampled units; of less than two units there is none."""
    return np.nanpercentile(means, (2.5, 97.5)).tolist() if units > 1 else None


def _resampled(columns: Mapping[str, tuple[Array, Array]], units: int, seed: int) -> dict[str, tuple[Array, int]]:
    """Return means [resamples] of columns, (values, units), over resampled units, the same for all columns.

    Beside them, how many units have values. Columns without values are left out.
    """
    sums, counts, names = [], [], []
    for name, (values, unit) in columns.items():
        known = np.isfinite(values)
        if known.any():
            names.append(name)
            sums.append(np.bincount(unit[known], values[known], units))
            counts.append(np.bincount(unit[known], minlength=units).astype(np.float64))
    if not names:
        return {}
    generator = np.random.default_rng(seed)
    total, number = np.stack(sums, 1), np.stack(counts, 1)
    parts = []
    for start in range(0, _RESAMPLES, _BATCH):
        weights = generator.multinomial(units, np.full(units, 1 / units), min(_BATCH, _RESAMPLES - start))
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append((weights @ total) / (weights @ number))
    means = np.concatenate(parts)
    return {name: (means[:, k], int((number[:, k] > 0).sum())) for k, name in enumerate(names)}


def compared(runs: Sequence[Run], seed: int = 0) -> list[dict[str, Any]]:
    """Return differences of all pairs of bundles on the people whom both find, and of recall on all people.

    There is none of PVE between different meshes.

    Each is ``{"bundles": [a, b], "people": N, metric: {"difference": b - a, "interval": [low, high]}}``; of a single
    picture or second the interval is None.
    """
    result = []
    for k, one in enumerate(runs):
        for other in runs[k + 1 :]:
            a, b = (Scores.joined(list(some.clips.values())) for some in (one, other))
            same = len(a.found) == len(b.found) and bool((a.person == b.person).all() and (a.frame == b.frame).all())
            if not same or one.joints.names != other.joints.names:
                continue  # of bodies that are compared by other joints, or of data that changed in between
            columns = {
                name: ((b.column(name) - a.column(name)) * _FACTORS.get(name, 1.0), a.unit)
                for name in VALUES
                if not name.startswith("true") and (one.vertices == other.vertices or name not in ("pve", "pa_pve"))
            }
            columns["recall"] = (b.found.astype(float) - a.found.astype(float), a.unit)
            count = 1 + int(a.unit.max(initial=0))
            entry: dict[str, Any] = {"bundles": [one.name, other.name], "people": int((a.found & b.found).sum())}
            for name, (means, units) in _resampled(columns, count, seed).items():
                values = columns[name][0]
                entry[name] = {
                    "difference": float(values[np.isfinite(values)].mean()),
                    "interval": _interval(means, units),
                }
            result.append(entry)
    return result
