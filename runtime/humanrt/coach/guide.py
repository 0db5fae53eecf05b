"""Advice over time: said once, kept until it is done, praised when it is.

What a camera sees trembles. A change is advised only when it was needed for a while, stays advised until it is clearly
done, and the words for it stay as they are meanwhile. A change that came and went although the person did not move has
lain at the limit: from then on it must be clearer, each time more, until there is a movement again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import exp

from humanrt.checks import check_range, check_time
from humanrt.coach.clauses import Clause, clauses
from humanrt.coach.differences import Difference, Side
from humanrt.coach.engine import PoseCoach
from humanrt.coach.readings import Readings

__all__ = ["Guidance", "Guide", "GuideOptions"]

Key = tuple[str, Side]

_OUTWEIGHS = 2.0
_MOVED = 1.2  # of the smallest change that is advised: who turned a joint by more, moved; less may be trembling
_WIDER_ON, _WIDER_OFF, _MOST_UNREST = 0.35, 0.6, 3
_PAIRS = (
    ("up", "down"),
    ("front", "back"),
    ("out", "in"),
    ("left", "right"),
    ("bend", "straighten"),
    ("over", "upright"),
)
_OPPOSITE = {way: other for a, b in _PAIRS for way, other in ((a, b), (b, a))}


@dataclass(frozen=True, kw_only=True)
class GuideOptions:
    """How advice changes over time.

    Attributes:
        sentences: how many sentences stand at a time at most.
        settle: s, for which a change is needed before it is advised, and done before it is praised.
        done: part of the smallest change that is advised, below which it is done.
        smooth: s, time constant of the mean over which changes are judged.
        pause: s, between two new pieces of advice, so that each is heard.
        patience: s, after which an advice that is not followed makes room for one that matters twice as much.
    """

    sentences: int = 2
    settle: float = 0.6
    done: float = 0.7
    smooth: float = 0.4
    pause: float = 1.5
    patience: float = 5.0

    def __post_init__(self) -> None:
        check_range(self.sentences, "sentences", 1, 10)
        check_range(self.done, "done", 0.0, 1.0)
        for name in ("settle", "smooth", "pause", "patience"):
            check_range(getattr(self, name), name, 0.0, 60.0)


@dataclass(frozen=True)
class Guidance:
    """What a coach says at one moment.

    Attributes:
        t: s.
        sentences: the advice that stands, in words; empty where nothing is to be changed.
        said: what is new at this moment, in words: an advice, praise, or that the pose matches; usually empty.
        clauses: what the sentences are about.
        differences: all changes that are needed at this moment, those that matter most first.
        matches: whether the pose was reached.
    """

    t: float
    sentences: tuple[str, ...]
    said: tuple[str, ...]
    clauses: tuple[Clause, ...]
    differences: tuple[Difference, ...]
    matches: bool


@dataclass
class _Track:
    """One change over time.

    Attributes:
        mean: recent mean of its size, 1 being the smallest that is advised.
        needed: whether it is to be made.
        since: s, from when on the mean says the opposite of ``needed``; None while it does not.
        least, most: of the mean since it turned last; None before.
        unrest: how often it turned without a movement of the person.
    """

    mean: float = 0.0
    needed: bool = False
    since: float | None = None
    least: float | None = None
    most: float = 0.0
    unrest: int = 0

    def done(self, options: GuideOptions) -> float:
        """Return the mean below which it is done."""
        return options.done / (1 + _WIDER_OFF * self.unrest)

    @property
    def begins(self) -> float:
        """The mean from which on it is needed."""
        return 1.0 + _WIDER_ON * self.unrest

    def watch(self) -> None:
        """Notice a movement since it turned last."""
        if self.least is not None:
            self.least, self.most = min(self.least, self.mean), max(self.most, self.mean)
            if self.most - self.least > _MOVED:
                self.unrest = 0

    def turn(self) -> None:
        """Be needed, or not any more."""
        if self.least is not None and self.most - self.least <= _MOVED:
            self.unrest = min(self.unrest + 1, _MOST_UNREST)
        self.needed, self.since = not self.needed, None
        self.least = self.most = self.mean


@dataclass
class _Standing:
    """An advice that stands.

    Attributes:
        clause: what it says.
        words: its sentence.
        t: s, when it was given.
        opposed: s, from when on the opposite is needed; None while it is not.
    """

    clause: Clause
    words: str
    t: float
    opposed: float | None = None

    @property
    def keys(self) -> tuple[Key, ...]:
        return tuple(one.key for one in self.clause.differences)


class Guide:
    """Turns differences from frame to frame into advice that stands still.

    Args:
        coach: measures and words.
        options: how advice changes over time.
    """

    def __init__(self, coach: PoseCoach, options: GuideOptions | None = None) -> None:
        self.coach = coach
        self.options = options or GuideOptions()
        self.reset()

    def reset(self) -> None:
        """Forget what was said and seen."""
        self._t: float | None = None
        self._begun = 0.0
        self._tracks: dict[Key, _Track] = {}
        self._scores: dict[Key, float] = {}
        self._standing: list[_Standing] = []
        self._spoke = float("-inf")
        self._praises = 0
        self._matched = False

    def update(self, t: float, a: Readings, b: Readings) -> Guidance:
        """Take the poses of one moment: as it is, and as it should be.

        Args:
            t: s, not before the last one.
            a, b: readings of `PoseCoach.read`.
        """
        t = check_time(t)
        found = self.coach.differences(a, b, least=0.0)
        self._begun = t if self._t is None else self._begun
        self._judge(t, found)
        found = self._ranked(found)
        self._scores = {one.key: one.score for one in found}
        found = [one for one in found if one.size >= self.options.done * self.coach.least[one.unit]]
        needed = [one for one in found if self._tracks[one.key].needed]
        done, gone = self._ended(t, found)
        self._standing = [one for one in self._standing if one not in (*done, *gone)]
        said = self._advise(t, needed, a, b)
        settled = t - self._begun >= self.options.settle
        matches = settled and not any(track.needed or track.mean >= track.begins for track in self._tracks.values())
        if not said and matches and not self._matched:
            said = [self.coach.phrases.matches]
        if done:
            said.insert(0, self._praise())
        self._matched = not any(track.needed for track in self._tracks.values()) and (matches or self._matched)
        self._t = t
        return Guidance(
            t,
            tuple(one.words for one in self._standing),
            tuple(said),
            tuple(one.clause for one in self._standing),
            tuple(needed),
            matches,
        )

    def look(self, t: float, a: Readings, b: Readings) -> Guidance:
        """Take the poses of a moment that has none before it and none after it, such as of a photograph.

        All advice is given at once. What was said and seen before is forgotten.
        """
        self.reset()
        advice = self.coach.compare(a, b, sentences=self.options.sentences)
        clauses_ = tuple(clause for sentence in advice.clauses for clause in sentence)
        said = advice.sentences or (self.coach.phrases.matches,)
        return Guidance(check_time(t), advice.sentences, said, clauses_, advice.differences, not advice.sentences)

    def _judge(self, t: float, found: Iterable[Difference]) -> None:
        """Update which changes are needed."""
        options = self.options
        first = self._t is None
        dt = 0.0 if self._t is None else max(0.0, t - self._t)
        share = 1.0 if first or options.smooth == 0 else 1 - exp(-dt / options.smooth)
        sizes = {one.key: one.size / self.coach.least[one.unit] for one in found}
        for key in sizes:
            self._tracks.setdefault(key, _Track())
        for key, track in self._tracks.items():
            track.mean += share * (sizes.get(key, 0.0) - track.mean)
            track.watch()
            turns = track.mean < track.done(options) if track.needed else track.mean >= track.begins
            if not turns:
                track.since = None
                continue
            track.since = t if track.since is None else track.since
            if t - track.since >= options.settle:
                track.turn()

    def _ranked(self, found: Iterable[Difference]) -> list[Difference]:
        """Rank changes by their recent means: what trembles does not change places."""
        steady = []
        for one in found:
            size = one.size / self.coach.least[one.unit]
            steady.append(replace(one, score=one.score * self._tracks[one.key].mean / size) if size > 0 else one)
        return sorted(steady, key=lambda one: -round(one.score, 6))

    def _ended(self, t: float, found: Iterable[Difference]) -> tuple[list[_Standing], list[_Standing]]:
        """Return the advice that was followed, and that which no longer holds for another reason."""
        ways = {one.key: one.ways for one in found}
        done, gone = [], []
        for one in self._standing:
            needed = [self._tracks[key].needed for key in one.keys]
            opposite = any(
                _OPPOSITE.get(difference.ways[0]) in ways.get(difference.key, ())
                for difference in one.clause.differences
            )
            one.opposed = (t if one.opposed is None else one.opposed) if opposite else None
            if not any(needed):
                done.append(one)
            elif not all(needed) or (one.opposed is not None and t - one.opposed >= self.options.settle):
                gone.append(one)
        return done, gone

    def _advise(self, t: float, needed: Iterable[Difference], a: Readings, b: Readings) -> list[str]:
        """Add an advice if there is need and room for one; return what to say."""
        if t - self._spoke < self.options.pause:
            return []
        covered = {key for one in self._standing for key in one.keys}
        open_ = [one for one in needed if one.key not in covered]
        best = next(iter(clauses(open_, a, b)), None)
        if best is None:
            return []
        if len(self._standing) >= self.options.sentences:
            least = min(self._standing, key=self._score)
            if t - least.t < self.options.patience or best.score < _OUTWEIGHS * self._score(least):
                return []
            self._standing.remove(least)
        words = self.coach.phrases.say((best,), numbers=self.coach.numbers)
        self._standing.append(_Standing(best, words, t))
        self._spoke = t
        return [words]

    def _praise(self) -> str:
        praise = self.coach.phrases.praise
        self._praises += 1
        return praise[(self._praises - 1) % len(praise)]

    def _score(self, one: _Standing) -> float:
        """Return how much an advice matters now."""
        return max((self._scores.get(key, 0.0) for key in one.keys), default=0.0)
