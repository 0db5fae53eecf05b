"""Limits of a verdict: those of the bundle (``settings.verdict_limits``), else the defaults of this module.

A bundle lists limits by the name of a distance or, for distances not listed, by unit::

    "verdict_limits": {"int8": {"mm": {"mean": 5, "p99": 20}, "joints_2d": {"mean": 1}, "detections": 0.03}}

docs/deploy/precision.md gives the reasons for the defaults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from humanrt.bundle import MANIFEST, Bundle
from humanrt.errors import BundleError, choices
from humanrt.verdict.measures import RAW

__all__ = ["DEFAULTS", "DETECTIONS", "Limit", "limits_of"]

DETECTIONS = "detections"
"""Gained plus lost detections, as a fraction of those of the reference."""

_KEYS = ("mean", "p99", "max")


@dataclass(frozen=True)
class Limit:
    """The max allowed mean, 99th percentile and maximum of a distance; None: not checked."""

    mean: float | None = None
    p99: float | None = None
    max: float | None = None


def _raw(px: float, mm: float, probability: float, logit: float, other: float) -> dict[str, Limit]:
    units = {"px": px, "mm": mm, "probability": probability, "logit": logit, "": other}
    return {RAW + unit: Limit(max=value) for unit, value in units.items()}


DEFAULTS: Mapping[str, Mapping[str, Limit]] = {
    "fp32": {
        "mm": Limit(0.05, 0.1), "px": Limit(0.02, 0.1), "degrees": Limit(0.02, 0.1), DETECTIONS: Limit(max=0.0),
        **_raw(0.1, 0.1, 1e-3, 0.02, 1e-3),
    },
    "bf16x3": {
        "mm": Limit(1.0, 5.0), "px": Limit(0.5, 2.0), "degrees": Limit(0.25, 1.0), DETECTIONS: Limit(max=0.01),
        **_raw(1.0, 1.0, 0.02, 0.25, 1e-2),
    },
    "int16": {
        "mm": Limit(1.0, 5.0), "px": Limit(0.5, 2.0), "degrees": Limit(0.25, 1.0), DETECTIONS: Limit(max=0.01),
        **_raw(1.0, 1.0, 0.02, 0.25, 1e-2),
    },
    "fp16": {
        "mm": Limit(1.0, 5.0), "px": Limit(0.5, 2.0), "degrees": Limit(0.25, 1.0), DETECTIONS: Limit(max=0.01),
        **_raw(1.0, 1.0, 0.02, 0.25, 1e-2),
    },
    "int8": {
        "mm": Limit(5.0, 20.0), "px": Limit(1.5, 5.0), "degrees": Limit(1.0, 4.0), DETECTIONS: Limit(max=0.03),
        **_raw(3.0, 3.0, 0.06, 0.75, 3e-2),
    },
}  # fmt: skip


def limits_of(bundle: Bundle, precision: str) -> dict[str, Limit]:
    """Return the limits by distance and unit: the defaults for this precision, overridden by those of the bundle.

    Raises:
        BundleError: the precision is unknown, or the bundle's limits are malformed.
    """
    if precision not in DEFAULTS:
        raise BundleError(f"no limits are known for precision `{precision}`; known: {choices(DEFAULTS)}")
    given = bundle.settings.get("verdict_limits", {})
    where = f"{bundle.path / MANIFEST}: `settings.verdict_limits"
    if not isinstance(given, dict) or not isinstance(given.get(precision, {}), dict):
        raise BundleError(f"{where}` must map precisions to objects")
    own = {name: _limit(f"{where}.{precision}.{name}`", value) for name, value in given.get(precision, {}).items()}
    return {**DEFAULTS[precision], **own}


def _limit(where: str, value: Any) -> Limit:
    parts = value if isinstance(value, dict) else {"max": value}
    for key, number in parts.items():
        good = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
        if key not in _KEYS or not good or number < 0:
            raise BundleError(f"{where}: {key} = {number!r}; give numbers from 0 on for any of: {choices(_KEYS)}")
    return Limit(**parts)
