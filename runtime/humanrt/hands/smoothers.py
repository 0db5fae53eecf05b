"""The list of hand smoothers, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from humanrt.hands.smoother import HandSmoother, Smoother
from humanrt.hands.tracker import HandTracker

if TYPE_CHECKING:
    pass
from humanrt.hands.pose_smoother import HandPoseSmoother

__all__ = ["SMOOTHERS", "open_smoother"]

SMOOTHERS = ("posebert", "oneeuro", "none")
"""Names accepted by `open_smoother`; the first is the default everywhere."""


def open_smoother(name: str, tracker: HandTracker) -> Smoother | None:
    """Open the smoother of a name in `SMOOTHERS`, on the tracker's backend; None for ``"none"``."""
    if name == "posebert":
        # For one or two hands at a time, one thread is faster than several that wait for each other.
        return HandPoseSmoother(backend="cpu" if tracker.backend.name == "cpu" else tracker.backend, threads=1)
    return HandSmoother() if name == "oneeuro" else None
