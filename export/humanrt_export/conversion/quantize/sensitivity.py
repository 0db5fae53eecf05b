"""Measure the error that INT8 causes in each group of layers, and choose the groups to exclude."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from humanrt.verdict import Comparison
from humanrt_export.conversion.quantize.layers import Layer

__all__ = ["Row", "error_of", "exclusions", "groups", "sensitivity", "table"]

Attempt = Callable[[Sequence[Layer]], Comparison]
"""Layers that become INT8 -> comparison of the outputs with FP32."""


@dataclass(frozen=True)
class Row:
    """A group of layers and the error at the output when it alone is INT8.

    Attributes:
        group: its name.
        layers: number of layers.
        weights: number of weights.
        error: mean distance of the outputs from FP32, in ``unit``.
        unit: mm, px or another.
    """

    group: str
    layers: int
    weights: int
    error: float
    unit: str


def groups(layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """Return layers by group, in the order of the graph."""
    found: dict[str, list[Layer]] = {}
    for layer in layers:
        found.setdefault(layer.group, []).append(layer)
    return found


def error_of(comparison: Comparison) -> tuple[float, str]:
    """Return a comparison's mean distance and its unit, preferably mm or px; infinite if an output is not finite."""
    kinds = list(comparison.distances.values())
    chosen = next((d for unit in ("mm", "px", "degrees") for d in kinds if d.unit == unit), kinds[0])
    mean = float(np.mean(chosen.values))
    return (mean if np.isfinite(mean) and not comparison.broken else float("inf")), chosen.unit


def sensitivity(
    layers: Sequence[Layer],
    attempt: Attempt,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[Row]:
    """Measure every group alone; returns the rows, largest error first.

    Args:
        layers: all layers that could become INT8.
        attempt: converts layers and compares the outputs.
        progress: called with the number of finished groups and that of all groups.
    """
    rows = []
    found = groups(layers)
    for done, (group, some) in enumerate(found.items(), start=1):
        error, unit = error_of(attempt(some))
        rows.append(Row(group, len(some), sum(layer.size for layer in some), error, unit))
        progress(done, len(found))
    return sorted(rows, key=lambda row: -row.error)


def exclusions(rows: Sequence[Row], passes: Callable[[Sequence[str]], bool]) -> list[str]:
    """Return the smallest number of worst groups whose exclusion lets the graph pass, by bisection; else all groups.

    Args:
        rows: groups, largest error first.
        passes: whether the graph passes without these groups.
    """
    names = [row.group for row in rows]
    if passes([]):
        return []
    low, high = 0, len(names)  # excluding `low` groups fails, excluding `high` is not known to fail
    while high - low > 1:
        middle = (low + high) // 2
        if passes(names[:middle]):
            high = middle
        else:
            low = middle
    return names[:high]


def table(rows: Sequence[Row], excluded: Sequence[str], max_rows: int = 12) -> list[str]:
    """Return a readable table of the worst groups."""
    width = max((len(row.group) for row in rows[:max_rows]), default=5)
    lines = [f"  {'group':{width}}  layers   weights  error alone"]
    lines += [
        f"  {row.group:{width}}  {row.layers:6d}  {row.weights:8d}  {row.error:.4f} {row.unit}"
        + ("  left out" if row.group in excluded else "")
        for row in rows[:max_rows]
    ]
    if len(rows) > max_rows:
        lines.append(f"  ... and {len(rows) - max_rows} with less")
    return lines
