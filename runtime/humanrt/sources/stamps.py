"""Time stamps of a container, made to increase: a local fault is answered locally.

Containers repeat stamps, swap two, lose some, hold a wild one, or begin again from zero where recordings were joined.
Filters downstream need time to go forward.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

__all__ = ["increasing"]

T = TypeVar("T")

WINDOW = 8  # frames that are held at most, to see whether a fault is local
LONGEST = 1e9  # seconds, 31 years; what is beyond is no time in a film


def increasing(stamped: Iterator[tuple[T, float]], step: float) -> Iterator[tuple[T, float]]:
    """Yield each item with a strictly increasing time stamp in seconds.

    A stamp stays as it is where it is later than the one before and no stamp shortly after lies between the two. Any
    other is replaced by one between its neighbours, at most `step` after the one before; all later stamps are kept.
    Where `WINDOW` stamps in a row are no later than the last one, they are a clock that began again, and go on from
    there; or, if they do not increase, there are no stamps, and items come `step` seconds apart.

    stamped: items and their stamps, seconds, any float. step: seconds a frame, positive. One item is read ahead,
    more only where a stamp is faulty.
    """
    ahead: deque[tuple[T, float]] = deque()
    offset = 0.0
    last: float | None = None

    def look(count: int) -> None:
        while len(ahead) < count and (more := next(stamped, None)) is not None:
            ahead.append(more)

    def later() -> tuple[int, float] | None:
        """Return the first time stamp after `last` among those ahead, and how many items come before it."""
        floor = -1.5 * step if last is None else last  # a first stamp is about 0
        times = [(t + offset, index) for index, (_, t) in enumerate(ahead) if floor < t + offset < LONGEST]
        return (min(times)[1], min(times)[0]) if times else None

    while True:
        look(2)
        if not ahead:
            return
        if not 0 <= ahead[-1][1] - ahead[0][1] < LONGEST or (found := later()) is None or found[0] > 0:
            look(WINDOW)
            found = later()
        if found is None:
            stamps = [t for _, t in ahead]
            begun_again = len(stamps) == WINDOW and all(a < b for a, b in pairwise(stamps))
            t = 0.0 if last is None else last + step
            if begun_again:
                offset = t - stamps[0]
        elif found[0] == 0:
            t = found[1]
        elif last is None:
            t = found[1] - step * found[0]
            if t < -1.5 * step:  # a clock whose zero is elsewhere, such as OpenCV's for Matroska below 1 fps
                offset -= t
                t = 0.0
        else:
            t = last + min(step, (found[1] - last) / (found[0] + 1))
        item, _ = ahead.popleft()
        if last is not None and not t > last:  # steps too small to show in a float so large
            t = math.nextafter(last, math.inf)
        last = t
        yield item, t
