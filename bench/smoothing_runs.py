"""What benches of smoothing share: people whom a bundle sees once, through smoothers with lag, gaps, and ahead of time.

A run takes what was seen in a film, and returns people by the frame whose truth they are compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import SAME_INSTANT
from humanrt.people.body_turns import BodyTurns
from humanrt.people.holistic import HolisticPeople
from humanrt.people.results import People
from humanrt.people.smoother import OneEuroPeople, PeopleSmoother, PeopleSmootherOptions, SmoothedPeople
from humanrt.people.tracking import Identities
from humanrt.posebert.stream import Observation, PoseBERTStream
from humanrt.sources.opening import Frame
from humanrt.tasks import AnyPeoplePipeline

__all__ = [
    "AHEAD",
    "LAGS",
    "Gaps",
    "Run",
    "Seen",
    "ahead",
    "as_seen",
    "frames_of",
    "lagging",
    "look",
    "nobody",
    "over_gaps",
    "through",
]

Array = NDArray[Any]

LAGS = (0, 1, 2, 4, 8)  # of 1/30 s
AHEAD = (3, 6)  # of 1/30 s: 0.1 s and 0.2 s
_STEP = 1 / 30
_MISSING, _LONGEST, _FIRST = 0.2, 10, 15
_BODY = 22


@dataclass(frozen=True)
class Seen:
    """One frame as a bundle sees it.

    Attributes:
        people: parameters only; nobody who was filled in.
        identities: theirs.
        t: s.
        cut: whether a scene begins.
    """

    people: People
    identities: Identities
    t: float
    cut: bool


def look(pipeline: AnyPeoplePipeline, frames: Iterable[Frame]) -> list[Seen]:
    """Return what a pipeline without a smoother behind it sees in the frames of a scene."""
    pipeline.reset()
    seen = []
    for number, frame in enumerate(frames):
        result = pipeline(frame)
        there = np.array([id not in result.filled for id in result.ids], bool)
        people = replace(result.people.chosen(there), vertices=None, joints=None, joints_2d=None)
        ids = tuple(id for id in result.ids if id not in result.filled)
        seen.append(Seen(people, Identities(ids, result.lost), frame.t, number == 0))
    return seen


Size = tuple[int, int]
Run = Callable[[Size, Sequence[Seen]], list[SmoothedPeople | None]]
"""From (width, height) px and what is seen to people, by the frame that they are of; None: not measured."""


def nobody(people: People) -> SmoothedPeople:
    """Return nobody."""
    return SmoothedPeople(people.chosen(np.zeros(len(people), bool)), ())


def as_seen(size: Size, seen: Sequence[Seen]) -> list[SmoothedPeople | None]:
    """Return people as they were seen."""
    return [SmoothedPeople(one.people, one.identities.ids) for one in seen]


def frames_of(seen: Sequence[Seen], steps: int) -> int:
    """Return how many frames so many thirtieths of a second are."""
    return round(steps * _STEP / float(np.median(np.diff([one.t for one in seen]))))


def through(make: Callable[[], PeopleSmoother], lag: int = 0) -> Run:
    """Return a smoother whose result is taken for the frame ``lag`` thirtieths of a second before."""

    def run(size: Size, seen: Sequence[Seen]) -> list[SmoothedPeople | None]:
        smoother, late = make(), frames_of(seen, lag)
        results = [smoother(one.people, one.identities, one.t, size, cut=one.cut) for one in seen]
        smoother.close()
        return [*results[late:], *[None] * late]

    return run


def lagging(bundle: str, turns: BodyTurns, lag: int, options: PeopleSmootherOptions, share: float = 1.0) -> Run:
    """Return PoseBERT with a lag: its rotations of so long ago, everything else One-Euro's of then.

    Args:
        bundle: of PoseBERT.
        turns: the body's rotations among those of the people.
        lag: in 1/30 s.
        options: of One-Euro.
        share: of PoseBERT's rotations beside One-Euro's (`PoseBertPeople`).
    """

    def run(size: Size, seen: Sequence[Seen]) -> list[SmoothedPeople | None]:
        smoother, results, kept = OneEuroPeople(replace(options, fill_seconds=0.0)), [], []
        late = frames_of(seen, lag)
        with PoseBERTStream(bundle, lag=lag, threads=1) as stream:
            for one in seen:
                kept.append(smoother(one.people, one.identities, one.t, size, cut=one.cut))
                body = turns.read(one.people.rotations)
                missing = np.broadcast_to(np.eye(3), (len(body), len(stream.joints) - _BODY, 3, 3))
                body = np.concatenate([body, missing], axis=1)
                ids, scores = one.identities.ids, np.clip(one.people.scores, 0, 1)
                observed = {id: Observation(a, float(b)) for id, a, b in zip(ids, body, scores, strict=True)}
                poses = stream.update(one.t, observed, one.identities.lost)
                if len(kept) > late:
                    results.append(_turned(kept[-1 - late], poses, turns, share))
        return [*results, *[None] * (len(seen) - len(results))]

    return run


def _turned(smoothed: SmoothedPeople, poses: Mapping[int, Any], turns: BodyTurns, share: float) -> SmoothedPeople:
    """Return people with the poses' bodies."""
    rotations = smoothed.people.rotations.copy()
    for i, id in enumerate(smoothed.ids):
        if id in poses:
            rotations[i] = turns.replaced(rotations[i], poses[id].rotations[:_BODY], share)
    return replace(smoothed, people=replace(smoothed.people, rotations=rotations))


class Gaps:
    """Which frames of everybody are hidden: about a fifth, in bursts of 1 to 10, none of the first half second."""

    def __init__(self, frames: int, seed: int) -> None:
        self._rng, self._frames = np.random.default_rng([seed, frames]), frames
        self._hidden: dict[int, Array] = {}

    def __call__(self, number: int, ids: Sequence[int]) -> set[int]:
        """Return who of those who are seen in a frame is hidden."""
        for id in ids:
            if id not in self._hidden:
                hidden = self._hidden[id] = np.zeros(self._frames, bool)
                at = number + _FIRST
                while at < self._frames:
                    length = int(self._rng.integers(1, _LONGEST + 1))
                    hidden[at : at + length] = True
                    at += length + round(length * (1 - _MISSING) / _MISSING)
        return {id for id in ids if self._hidden[id][number]}


def over_gaps(make: Callable[[], PeopleSmoother], seed: int) -> Run:
    """Return a smoother that does not see a fifth of everybody's frames (`Gaps`); only those are measured."""

    def run(size: Size, seen: Sequence[Seen]) -> list[SmoothedPeople | None]:
        gaps, smoother = Gaps(len(seen), seed), make()
        results: list[SmoothedPeople | None] = []
        for number, one in enumerate(seen):
            hidden = gaps(number, one.identities.ids)
            left = tuple(id for id in one.identities.ids if id not in hidden)
            people = one.people.chosen(np.isin(one.identities.ids, left))
            result = smoother(people, Identities(left, one.identities.lost), one.t, size, cut=one.cut)
            results.append(only(result, hidden))
        smoother.close()
        return results

    return run


def only(result: SmoothedPeople, ids: set[int]) -> SmoothedPeople:
    """Return some of the people."""
    mask = np.array([id in ids for id in result.ids], bool)
    return SmoothedPeople(result.people.chosen(mask), tuple(id for id in result.ids if id in ids))


class Blinking(HolisticPeople):
    """Whole bodies of whom a fifth of the frames is hidden behind the landmark network: what the model fills in."""

    gaps: Gaps | None = None

    def _recover(self, bodies: Any, seen: Any, view: Any) -> Any:
        self.hidden: set[int] = set()
        if self.gaps is not None:
            self.hidden = self.gaps(self.number, sorted(seen))
            self.number += 1
        return super()._recover(bodies, {id: one for id, one in seen.items() if id not in self.hidden}, view)

    def blink(self, frames: Sequence[Frame], K: Array, seed: int) -> list[SmoothedPeople | None]:
        """Return those who were hidden, of each frame of a scene."""
        self.reset()
        self.gaps, self.number, results = Gaps(len(frames), seed), 0, []
        for frame in frames:
            tracked = self.track(frame.image, frame.t, K, meshes=False)
            whole = SmoothedPeople(replace(tracked.people, joints=None, joints_2d=None), tracked.ids)
            results.append(only(whole, self.hidden))
        return list(results)


def ahead(make: Callable[[], PeopleSmoother] | None, frames: int, *, hold: bool = False) -> Run:
    """Return what a smoother predicts for so many thirtieths of a second later.

    ``hold``: what it has now; without a smoother: what was seen.
    """

    def run(size: Size, seen: Sequence[Seen]) -> list[SmoothedPeople | None]:
        smoother, later = None if make is None else make(), frames_of(seen, frames)
        results: list[SmoothedPeople | None] = [None] * later
        for one in seen[: len(seen) - later]:
            if smoother is None:
                results.append(SmoothedPeople(one.people, one.identities.ids))
                continue
            now = smoother(one.people, one.identities, one.t, size, cut=one.cut)
            results.append(now if hold else smoother.predicted(one.t + frames * _STEP - SAME_INSTANT))
        if smoother is not None:
            smoother.close()
        return results

    return run
