"""The list of smoothers of people, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from humanrt.errors import HumanrtError, choices
from humanrt.people.smoother import OneEuroPeople, PeopleSmoother

__all__ = ["SMOOTHERS", "open_smoother"]

SMOOTHERS: Mapping[str, Callable[[], PeopleSmoother] | None] = {"oneeuro": OneEuroPeople, "none": None}
"""Smoothers of models that look at one frame at a time; the first is their default (docs/measurements/smoothing.md)."""


def open_smoother(name: str | None = None) -> PeopleSmoother | None:
    """Open the smoother of a name in `SMOOTHERS`; None for ``none``. HumanrtError lists the valid names."""
    if name is None:
        name = next(iter(SMOOTHERS))
    if name not in SMOOTHERS:
        raise HumanrtError(f"--smooth {name}: people of single frames have one of: {choices(SMOOTHERS)}")
    make = SMOOTHERS[name]
    return None if make is None else make()
