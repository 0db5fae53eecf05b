"""Make a container's timestamps strictly increasing; local faults are repaired locally.

Containers repeat timestamps, swap two, drop some, hold a wild one, or restart from zero where recordings were joined.
Filters downstream need time to move forward.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

__all__ = ["increasing"]

T = TypeVar("T")

WINDOW = 8  # max frames held back, to tell whether a fault is local
MAX_TIME = 1e9  # seconds, 31 years; anything beyond is not a time in a video


def increasing(stamped: Iterator[tuple[T, float]], step: float) -> Iterator[tuple[T, float]]:
    """Yield each item with a strictly increasing timestamp in seconds.

    A timestamp is kept if it is later than the previous one and no timestamp shortly after it lies between the two.
    Any other is replaced by one between its neighbours, at most `step` after the previous one; later ones are kept.
    If `WINDOW` timestamps in a row are no later than the last one, the clock has restarted, and time continues from
    there; if they do not even increase, there are no usable timestamps, and items are `step` seconds apart.

    One item is read ahead; more only at a faulty timestamp.

    Args:
        stamped: items and their timestamps in seconds, any float.
        step: seconds per frame, positive.
    """
    ahead: deque[tuple[T, float]] = deque()
    offset = 0.0
    last: float | None = None

    def look(count: int) -> None:
        while len(ahead) < count and (more := next(stamped, None)) is not None:
            ahead.append(more)

    def later() -> tuple[int, float] | None:
        """Return how many items ahead precede the earliest timestamp after `last`, and that timestamp."""
        floor = -1.5 * step if last is None else last  # the first timestamp should be about 0
        times = [(t + offset, index) for index, (_, t) in enumerate(ahead) if floor < t + offset < MAX_TIME]
        return (min(times)[1], min(times)[0]) if times else None

    while True:
        look(2)
        if not ahead:
            return
        if not 0 <= ahead[-1][1] - ahead[0][1] < MAX_TIME or (next_valid := later()) is None or next_valid[0] > 0:
            look(WINDOW)
            next_valid = later()
        if next_valid is None:
            stamps = [t for _, t in ahead]
            begun_again = len(stamps) == WINDOW and all(a < b for a, b in pairwise(stamps))
            t = 0.0 if last is None else last + step
            if begun_again:
                offset = t - stamps[0]
        elif next_valid[0] == 0:
            t = next_valid[1]
        elif last is None:
            t = next_valid[1] - step * next_valid[0]
            if t < -1.5 * step:  # the clock's zero is off, as OpenCV's is for Matroska at 1 fps and below
                offset -= t
                t = 0.0
        else:
            t = last + min(step, (next_valid[1] - last) / (next_valid[0] + 1))
        item, _ = ahead.popleft()
        if last is not None and not t > last:  # a step below the resolution of so large a float
            t = math.nextafter(last, math.inf)
        last = t
        yield item, t
