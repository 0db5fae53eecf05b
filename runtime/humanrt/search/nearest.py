"""Search an index: the poses that are nearest to one, as events in time.

No library, and exact where `Space.lower` is: those of `VectorSpace` never exceed a distance, those of embeddings
(`humanrt.search.embedded`) may, rarely. Coarse vectors (`humanrt.search.coarse`) bound every distance from below, only
poses that may be near enough are measured, and the search widens until nothing outside can belong to the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import check_count, check_range, check_time, numbers
from humanrt.errors import InvalidInputError
from humanrt.search.coarse import bounds
from humanrt.search.store import PoseIndex

__all__ = ["Event", "Filter", "Space", "VectorSpace", "nearest", "nearest_in"]

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

_SLACK = 1e-5  # of squared distances: float32 products of a million rows
_SAMPLE = 4096
_FIRST = 512  # poses that are measured at first, for each event that is asked for
CHUNK = 1 << 16
"""Poses that are measured at once."""
_BLOCK = 256  # rows of a track that are looked at at once
MOST = 10_000


class Space(Protocol):
    """How far the poses of an index are from what is looked for."""

    def lower(self) -> Floats:
        """Return bounds [N] from below of squared distances of all poses, as a new array.

        A pose whose bound exceeds its distance may be missed.
        """
        ...

    def measured(self, rows: NDArray[np.int64]) -> Floats:
        """Return the distances [M] of rows [M]."""
        ...


@dataclass(frozen=True)
class Event:
    """Frames after one another in which somebody is near a pose.

    Attributes:
        file: where.
        person: identity of the person.
        frame, t: of the nearest pose; s.
        distance: of the nearest pose, in the descriptor's unit.
        start, end: s, of the frames that are nearly as near.
        row: of the nearest pose, in the index.
    """

    file: str
    person: int
    frame: int
    t: float
    distance: float
    start: float
    end: float
    row: int


@dataclass(frozen=True)
class Filter:
    """Which poses may be found.

    Attributes:
        person: identity of the person.
        file: pattern of the file's name or path, such as `*kitchen*`.
        begin: s, not before.
        end: s, not after.
    """

    person: int | None = None
    file: str | None = None
    begin: float | None = None
    end: float | None = None

    def __post_init__(self) -> None:
        for name in ("begin", "end"):
            if (value := getattr(self, name)) is not None:
                check_time(value, name)
        if self.begin is not None and self.end is not None and self.begin > self.end:
            raise InvalidInputError(f"begin ({self.begin:g} s) is after end ({self.end:g} s); exchange them")

    def allowed(self, index: PoseIndex) -> Flags | None:
        """Return which rows [N] may be found; None: all."""
        kept = [place not in index.replaced and self._names(one.file) for place, one in enumerate(index.sources)]
        sources = np.array(kept, bool)
        flags = None if sources.all() else sources[index.rows["source"]]
        for wanted in (
            None if self.person is None else index.rows["person"] == self.person,
            None if self.begin is None else index.rows["t"] >= self.begin,
            None if self.end is None else index.rows["t"] <= self.end,
        ):
            if wanted is not None:
                flags = wanted if flags is None else flags & wanted
        return flags

    def _names(self, file: str) -> bool:
        return (
            self.file is None
            or fnmatch(file, self.file)
            or fnmatch(file.replace("\\", "/").rpartition("/")[2], self.file)
        )


def nearest(
    index: PoseIndex,
    query: ArrayLike,
    top: int = 10,
    *,
    gap: float = 0.5,
    tolerance: float = 0.05,
    only: Filter | None = None,
) -> list[Event]:
    """Return the events nearest to a pose, the nearest first.

    Args:
        index: the index.
        query: [D], the pose's descriptor.
        top: number of events.
        gap: s; frames of one person that are closer than this and within ``tolerance`` of the nearest are one event,
            and so is whatever comes within this time of it. 0: every frame is an event.
        tolerance: how much farther than the nearest frame those of its event may be.
        only: which poses may be found.
    """
    vector = numbers(query, "query").astype(np.float32)
    if vector.shape != index.vectors.shape[1:] or not np.isfinite(vector).all():
        raise InvalidInputError(f"query must be [{index.vectors.shape[1]}] finite numbers, not {list(vector.shape)}")
    return nearest_in(index, VectorSpace(index, vector), top, gap=gap, tolerance=tolerance, only=only)


def nearest_in(
    index: PoseIndex,
    space: Space,
    top: int = 10,
    *,
    gap: float = 0.5,
    tolerance: float = 0.05,
    only: Filter | None = None,
) -> list[Event]:
    """Return the events that are nearest in some space, the nearest first.

    Args:
        index: the index.
        space: how far its poses are from what is looked for.
        top, gap, tolerance, only: as for `nearest`.
    """
    check_count(top, "top", MOST)
    check_range(gap, "gap", 0.0, 1e6)
    check_range(tolerance, "tolerance", 0.0)
    if not len(index):
        return []
    lower = space.lower()
    allowed = (only or Filter()).allowed(index)
    if allowed is not None:
        lower[~allowed] = np.inf
    count = len(lower) if allowed is None else int(allowed.sum())
    radius = _first_radius(lower, _FIRST * top)
    while True:
        near = np.flatnonzero(lower <= radius + _SLACK)
        distances = space.measured(near)
        events = _events(index, near, distances, space, top, gap, tolerance, allowed)
        worst = events[-1].distance ** 2 if len(events) == top else np.inf
        # Beyond the radius nothing is known: only events within it are certain.
        if len(near) == count or worst <= radius:
            return events
        # As many events lie within the worst of these, so their poses are all that is needed.
        # Too few events yet: farther out; several times as many poses.
        radius = max(2 * radius + 1e-6, _first_radius(lower, 4 * len(near) + 1)) if np.isinf(worst) else float(worst)


def _first_radius(lower: Floats, wanted: int) -> float:
    """Return a squared distance within which about as many bounds lie as are wanted, from a sample."""
    sample = lower[:: max(1, len(lower) // _SAMPLE)]
    place = min(len(sample) - 1, max(1, wanted * len(sample) // len(lower)))
    found = float(np.partition(sample, place)[place])
    return found if np.isfinite(found) else 1.0


@dataclass(frozen=True)
class VectorSpace:
    """The space of an index's own vectors: bounds by `humanrt.search.coarse`."""

    index: PoseIndex
    query: Floats

    def lower(self) -> Floats:
        return bounds(self.index.coarse, self.query, self.index.groups)

    def measured(self, rows: NDArray[np.int64]) -> Floats:
        found = np.empty(len(rows), np.float32)
        for first in range(0, len(rows), CHUNK):
            vectors: Floats = self.index.vectors[rows[first : first + CHUNK]]
            found[first : first + CHUNK] = np.linalg.norm(vectors - self.query, axis=1)
        return found


def _events(
    index: PoseIndex,
    near: NDArray[np.int64],
    distances: Floats,
    space: Space,
    top: int,
    gap: float,
    tolerance: float,
    allowed: Flags | None,
) -> list[Event]:
    """Return the nearest events among rows ``near`` [M], which rise, at ``distances`` [M]."""
    gone = np.zeros(len(near), bool)
    events, taken = list[Event](), list[tuple[int, int]]()
    for place in np.argsort(distances, kind="stable").tolist():
        if gone[place]:
            continue
        at = int(near[place])
        low = high = at
        if gap > 0:
            limit = float(distances[place]) + tolerance
            # What belongs to a nearer event does not belong to this one.
            before = max((end for _, end in taken if end < at), default=-1)
            behind = min((begin for begin, _ in taken if begin > at), default=len(index))
            low, high = (_reach(index, at, step, gap, space, limit, allowed, (before, behind)) for step in (-1, 1))
            first, last = _within_gap(index, low, -1, gap), _within_gap(index, high, 1, gap)
            taken.append((first, last))
            gone[np.searchsorted(near, first) : np.searchsorted(near, last, "right")] = True
        row = index.rows[at]
        events.append(
            Event(
                index.sources[int(row["source"])].file,
                int(row["person"]),
                int(row["frame"]),
                float(row["t"]),
                float(distances[place]),
                float(index.rows[low]["t"]),
                float(index.rows[high]["t"]),
                at,
            )
        )
        if len(events) == top:
            break
    return events


def _blocks(index: PoseIndex, at: int, step: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows before (-1) or behind (1) a row, a block at a time, nearest first, within its track."""
    here = index.rows[at]
    while True:
        rows = at + step * np.arange(1, _BLOCK + 1)
        rows = rows[(rows >= 0) & (rows < len(index))]
        found = index.rows[rows]
        same = (found["source"] == here["source"]) & (found["person"] == here["person"])
        count = int(same.argmin()) if not same.all() else len(rows)
        if count:
            yield rows[:count]
        if count < _BLOCK:
            return
        at += step * _BLOCK


def _reach(
    index: PoseIndex,
    at: int,
    step: int,
    gap: float,
    space: Space,
    limit: float,
    allowed: Flags | None,
    between: tuple[int, int],
) -> int:
    """Return the last row before or behind ``at`` that belongs to its event: near enough, and without a gap in time.

    Rows up to the first of ``between``, and from the second on, belong to others.
    """
    last = at
    for rows in _blocks(index, at, step):
        times = index.rows[np.append(last, rows)]["t"]
        good = (np.abs(np.diff(times)) <= gap) & (space.measured(rows) <= limit)
        good &= (rows > between[0]) & (rows < between[1])
        if allowed is not None:
            good &= allowed[rows]
        count = len(rows) if good.all() else int(good.argmin())
        if count:
            last = int(rows[count - 1])
        if count < len(rows):
            break
    return last


def _within_gap(index: PoseIndex, at: int, step: int, gap: float) -> int:
    """Return the last row before or behind ``at`` that is within ``gap`` s of it."""
    last, t = at, index.rows[at]["t"]
    for rows in _blocks(index, at, step):
        close = np.abs(index.rows[rows]["t"] - t) <= gap
        count = len(rows) if close.all() else int(close.argmin())
        if count:
            last = int(rows[count - 1])
        if count < len(rows):
            break
    return last
