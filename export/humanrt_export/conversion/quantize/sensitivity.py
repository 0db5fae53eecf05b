"""Which layers bear INT8: one group at a time, its error at the output; and which to leave out, made from that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from humanrt.verdict import Comparison
from humanrt_export.conversion.quantize.layers import Layer

__all__ = ["Row", "error_of", "exclusions", "groups", "sensitivity", "table"]

Try = Callable[[Sequence[Layer]], Comparison]
"""Layers that become INT8 -> what that does to the outputs."""


@dataclass(frozen=True)
class Row:
    """A group of layers, and what its INT8 alone costs at the output: the mean distance, in ``unit``."""

    group: str
    layers: int
    weights: int
    error: float
    unit: str


def groups(layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """Layers by group, in the order of the graph."""
    found: dict[str, list[Layer]] = {}
    for layer in layers:
        found.setdefault(layer.group, []).append(layer)
    return found


def error_of(comparison: Comparison) -> tuple[float, str]:
    """One number: the mean distance in mm, or px, or of whatever there is. Infinite where one is not finite."""
    kinds = list(comparison.distances.values())
    chosen = next((d for unit in ("mm", "px", "degrees") for d in kinds if d.unit == unit), kinds[0])
    mean = float(np.mean(chosen.values))
    return (mean if np.isfinite(mean) and not comparison.broken else float("inf")), chosen.unit


def sensitivity(
    layers: Sequence[Layer],
    attempt: Try,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[Row]:
    """Every group alone, the worst first.

    Args:
        layers: all that could become INT8.
        attempt: makes and compares.
        progress: is told how many groups are done, of how many.
    """
    rows = []
    found = groups(layers)
    for done, (group, some) in enumerate(found.items(), start=1):
        error, unit = error_of(attempt(some))
        rows.append(Row(group, len(some), sum(layer.size for layer in some), error, unit))
        progress(done, len(found))
    return sorted(rows, key=lambda row: -row.error)


def exclusions(rows: Sequence[Row], passes: Callable[[Sequence[str]], bool]) -> list[str]:
    """The fewest of the worst groups without which it passes, found by halving; all where nothing does.

    Args:
        rows: the worst first.
        passes: whether it does without these groups.
    """
    names = [row.group for row in rows]
    if passes([]):
        return []
    low, high = 0, len(names)  # fails without `low`, is not known to fail without `high`
    while high - low > 1:
        middle = (low + high) // 2
        if passes(names[:middle]):
            high = middle
        else:
            low = middle
    return names[:high]


def table(rows: Sequence[Row], excluded: Sequence[str], most: int = 12) -> list[str]:
    """Lines for people: the worst groups."""
    width = max((len(row.group) for row in rows[:most]), default=5)
    lines = [f"  {'group':{width}}  layers   weights  error alone"]
    lines += [
        f"  {row.group:{width}}  {row.layers:6d}  {row.weights:8d}  {row.error:.4f} {row.unit}"
        + ("  left out" if row.group in excluded else "")
        for row in rows[:most]
    ]
    if len(rows) > most:
        lines.append(f"  ... and {len(rows) - most} with less")
    return lines
