"""Join the recordings of a video's segments to one: who is who is decided where two segments overlap.

Two segments both hold the last `OVERLAP` seconds before the second's own first frame. There every identity of the one
is compared with every identity of the other by the cost with which the trackers themselves follow people and hands, in
the frames in which both were seen, and the pairs of least total cost are the same person or hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from humanrt.geometry.region import Region
from humanrt.hands.tracker import TRACK_PARAMETERS
from humanrt.outputs.record import read_recording
from humanrt.people.tracking import PeopleTrackerOptions, separation, state_of
from humanrt.perception.assignment import assign, gated
from humanrt.perception.region_tracker import region_cost

__all__ = ["OVERLAP", "join"]

OVERLAP = 2.0  # s; as long as trackers remember anyone, and longer than smoothers look back

Record = dict[str, Any]


def join(
    segments: Sequence[Path], starts: Sequence[int], begin: Callable[[Mapping[str, Any]], None]
) -> Iterator[Record]:
    """Yield the frames of a video from the recordings of its segments, with identities that hold for all of it.

    Args:
        segments: recordings; each but the first begins before its own first frame.
        starts: index of the first frame that is taken from each.
        begin: called with the header, that of the first segment.

    Raises:
        SourceError: a segment is not a recording.
    """
    kinds = {
        "people": _Identities(_person_cost, PeopleTrackerOptions.gate),
        "hands": _Identities(_hand_cost, TRACK_PARAMETERS.unmatched_cost),
    }
    shared: deque[Record] = deque()  # frames of the segment before, of the last OVERLAP seconds
    for index, (path, start) in enumerate(zip(segments, starts, strict=True)):
        recording = read_recording(path)
        if index == 0:
            begin(recording.header)
        before = {record["frame"]: record for record in shared}
        pairs = []
        for record in recording:
            if record["frame"] >= start:
                following = chain([record], recording)
                break
            if record["frame"] in before:
                pairs.append((before[record["frame"]], record))
        else:
            following = chain()
        if index:
            for kind, identities in kinds.items():
                identities.cross(kind, pairs)
        for record in following:
            for kind, identities in kinds.items():
                for one in record[kind]:
                    one["id"] = identities[one["id"]]
            for one in record["people"]:
                if "hands" in one:
                    one["hands"] = [kinds["hands"][id] for id in one["hands"]]
            shared.append(record)
            while record["t"] - shared[0]["t"] > OVERLAP:
                shared.popleft()
            yield record


@dataclass
class _Identities:
    """Identities of the whole video, by those of the segment that is read.

    Attributes:
        cost: of two observations being the same, in one frame; infinite outside the gate.
        unmatched: cost of starting a new identity instead.
    """

    cost: Callable[[Record, Record, Record], float]
    unmatched: float
    _of: dict[int, int] = field(default_factory=dict)
    _last: int = 0

    def __getitem__(self, id: int) -> int:
        """Return the identity in the whole video; a new one where it was not seen before."""
        if id not in self._of:
            self._last += 1
            self._of[id] = self._last
        return self._of[id]

    def cross(self, kind: str, pairs: Sequence[tuple[Record, Record]]) -> None:
        """Go on to the next segment; ``pairs``: the frames that both have, with identities of the video and its own."""
        costs: dict[tuple[int, int], list[float]] = {}
        seen: dict[tuple[int, int], float] = {}
        for before, after in pairs:
            for one in after[kind]:
                for known in before[kind]:
                    pair = one["id"], known["id"]
                    costs.setdefault(pair, []).append(self.cost(known, one, after))
                    seen[pair] = after["t"]
        ours = sorted({one for one, _ in costs})
        theirs = sorted({known for _, known in costs})
        end = pairs[-1][1]["t"] if pairs else 0.0
        # Who is there until the end goes before who was lost in between: that one is not seen any more.
        table = [
            [median(costs[one, known]) + end - seen[one, known] if (one, known) in costs else inf for known in theirs]
            for one in ours
        ]
        self._of = {
            one: theirs[column]
            for one, column in zip(ours, assign(table, gated(table, self.unmatched)), strict=True)
            if column is not None
        }


def _person_cost(known: Record, one: Record, frame: Record) -> float:
    """Return the distance of two people, m; inf outside the gate of `PeopleTracker`."""
    intrinsics = np.asarray(frame["intrinsics"], np.float64)
    a, b = (state_of(person["head_2d"], person["translation"][2], intrinsics) for person in (known, one))
    distance = separation(a, b, PeopleTrackerOptions.depth_weight)
    return distance if distance <= PeopleTrackerOptions.gate else inf


def _hand_cost(known: Record, one: Record, frame: Record) -> float:
    """Return the cost of two hands in their sizes, as `HandTracker` has it; inf outside its gate."""
    side = float(known["side"] != one["side"])
    return region_cost(_around(known), _around(one), TRACK_PARAMETERS) + side


def _around(hand: Record) -> Region:
    """Return a square around a hand's keypoints, about as large as the tracker's."""
    points = np.asarray(hand["keypoints_2d"], np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = (low + high) / 2
    return Region(float(x), float(y), 2.0 * max(float((high - low).max()), 1.0))
