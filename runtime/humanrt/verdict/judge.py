"""The verdict on outputs: distances compared with their limits, and the inputs that they were measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from humanrt import __version__
from humanrt.backends import Array, open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle
from humanrt.errors import BundleError
from humanrt.verdict.limits import DETECTIONS, Limit, limits_of
from humanrt.verdict.measures import Case, Comparison, compare

__all__ = ["case_of", "feeds_sha256", "judge", "reference"]

Feeds = Sequence[Mapping[str, Array]]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]


def reference(bundle: Bundle, graph: str, feeds: Feeds, *, threads: int = 0) -> list[dict[str, Array]]:
    """Compute the FP32 graph's outputs with ONNX Runtime on the CPU."""
    with open_backend("cpu", BackendOptions(threads=threads)) as cpu, cpu.open(bundle.graph(graph)) as opened:
        return [opened.run(feed) for feed in feeds]


def case_of(bundle: Bundle, graph: str, feeds: Feeds, run: Run, references: Feeds | None = None) -> Case:
    """Return the outputs of ``run`` together with those of the FP32 graph called ``graph``."""
    references = reference(bundle, graph, feeds) if references is None else references
    return Case(bundle, bundle.graph(graph), feeds, references, [run(feed) for feed in feeds])


def feeds_sha256(feeds: Feeds) -> str:
    """Return the sha256 of all inputs of all frames."""
    digest = hashlib.sha256()
    for feed in feeds:
        for name, array in sorted(feed.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def judge(case: Case, precision: str, **about: Any) -> dict[str, Any]:
    """Return the verdict as stored in a manifest.

    Args:
        case: the outputs.
        precision: the precision whose limits apply.
        about: further entries: what was judged, and on what.

    Returns:
        ``passed``, ``reason`` ("" or the first value beyond its limit), ``distances`` ({name: {unit, mean, p99, max,
        count, limit}}), ``detections``, ``finite``, and what they were measured on.
    """
    comparison = compare(case)
    limits = limits_of(case.bundle, precision)
    rows: dict[str, Any] = {}
    reason = f"{comparison.broken[0]} is not finite" if comparison.broken else ""
    for name, distances in comparison.distances.items():
        limit = limits.get(name) or limits.get(distances.unit) or limits.get(distances.unit.split(" ")[0] + " ")
        if limit is None:
            raise BundleError(f"bundle {case.bundle.name}: no limit for `{name}` in {distances.unit or 'numbers'}")
        values = distances.values
        figures = {"mean": float(values.mean()), "p99": float(np.percentile(values, 99)), "max": float(values.max())}
        allowed = {key: maximum for key in figures if (maximum := getattr(limit, key)) is not None}
        finite = bool(np.isfinite(values).all())
        rows[name] = {
            "unit": distances.unit,
            **{key: round(value, 6) if finite else None for key, value in figures.items()},
            "count": values.size,
            "limit": allowed,
        }
        for key, maximum in allowed.items():
            if not figures[key] <= maximum and not reason:  # written so that NaN fails
                reason = f"{name}: {key} {figures[key]:.3g} {distances.unit} (limit {maximum:g})"
    if comparison.detections is not None:
        reason = reason or _changed(comparison, limits.get(DETECTIONS))
    return {
        "passed": not reason,
        "reason": reason,
        "reference": f"{case.spec.name}, FP32, ONNX Runtime on the CPU",
        "precision": precision,
        **about,
        "frames": len(case.feeds),
        "feeds_sha256": feeds_sha256(case.feeds),
        "finite": not comparison.broken,
        **({"detections": dict(comparison.detections.__dict__)} if comparison.detections is not None else {}),
        "distances": rows,
        "tools": {"humanrt": __version__, **{name: metadata.version(name) for name in ("onnxruntime", "numpy")}},
    }


def _changed(comparison: Comparison, limit: Limit | None) -> str:
    seen = comparison.detections
    if seen is None or limit is None or limit.max is None:
        return ""
    changed = seen.gained + seen.lost
    if changed <= limit.max * max(seen.reference, 1):
        return ""
    return f"{seen.gained} gained and {seen.lost} lost of {seen.reference} detections (limit {limit.max:.0%})"
