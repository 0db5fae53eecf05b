"""Stage timings of one frame."""

from __future__ import annotations

from time import perf_counter

__all__ = ["Stopwatch"]


class Stopwatch:
    """Milliseconds per named stage, accumulated.

    >>> watch = Stopwatch()
    >>> # ... work ...
    >>> watch.lap("crop")          # time since the last lap (or the start) belongs to "crop"
    """

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._start = self._last = perf_counter()

    def lap(self, stage: str) -> None:
        """Give the time since the last lap to ``stage``."""
        now = perf_counter()
        self.ms[stage] = self.ms.get(stage, 0.0) + (now - self._last) * 1e3
        self._last = now

    def skip(self) -> None:
        """Give the time since the last lap to no stage."""
        self._last = perf_counter()

    @property
    def total(self) -> float:
        """Milliseconds from the start to the last lap."""
        return (self._last - self._start) * 1e3
