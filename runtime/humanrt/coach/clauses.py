"""From ranked differences to clauses: left and right that change alike become one, and some movements have a name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from humanrt.coach.differences import Difference, Side, Unit
from humanrt.coach.readings import Readings

__all__ = ["Clause", "arranged", "clauses"]

Region = Literal["arms", "legs", "trunk", "head"]

_REGIONS: dict[str, Region] = {
    **dict.fromkeys(("arm", "elbow", "hand"), "arms"),
    **dict.fromkeys(("thigh", "knee", "foot", "sit", "stance"), "legs"),
    **dict.fromkeys(("lean", "side_lean", "incline", "twist", "facing"), "trunk"),
    **dict.fromkeys(("head_turn", "head_nod", "head_tilt"), "head"),
}
_ALIKE = {"degrees": 25.0, "metres": 0.15}  # left and right that differ by less are said as one
_ALIKE_RATIO = 2.0  # and of which neither is more than this times the other
_SHOWS = 0.08  # m, of the pelvis's height or the distance of the feet
_UPRIGHT = 10.0  # degrees; a trunk this near to upright does not lean


@dataclass(frozen=True)
class Clause:
    """One thing to say.

    Attributes:
        part: a key of `humanrt.coach.differences.PARTS`, or ``sit`` or ``stance``, movements of both legs.
        side: left, right, both, or empty.
        ways: where to, the main one first; ``less_`` before one that the trunk leans to already.
        size: of the change, in ``unit``; the mean of both sides.
        unit: degrees or metres.
        score: how much it matters; 1 is 20 degrees or 15 cm of an arm.
        differences: what it is about.
    """

    part: str
    side: Side
    ways: tuple[str, ...]
    size: float
    unit: Unit
    score: float
    differences: tuple[Difference, ...]

    @property
    def region(self) -> Region:
        """The region of the body; clauses of one region go into one sentence."""
        return _REGIONS[self.part]

    @property
    def key(self) -> tuple[str, Side, tuple[str, ...]]:
        """What is said, without the amount."""
        return self.part, self.side, self.ways


def clauses(found: Iterable[Difference], a: Readings, b: Readings) -> list[Clause]:
    """Return what to say of differences between poses ``a`` and ``b``, those that matter most first."""
    said: list[Clause] = []
    left = list(found)
    while left:
        one = left.pop(0)
        twin = next((other for other in left if _are_alike(one, other)), None)
        if twin is not None:
            left.remove(twin)
        said.append(_named(_clause(one, twin), a, b))
    return sorted(said, key=lambda clause: -round(clause.score, 6))


def _are_alike(one: Difference, other: Difference) -> bool:
    """Return whether two differences are the same change of the left and of the right side."""
    if one.part != other.part or not one.side or one.side == other.side or one.ways != other.ways:
        return False
    small, large = sorted((one.size, other.size))
    return large - small <= _ALIKE[one.unit] and large <= small * _ALIKE_RATIO


def _clause(one: Difference, twin: Difference | None) -> Clause:
    both = (one,) if twin is None else (one, twin)
    return Clause(
        one.part,
        one.side if twin is None else "both",
        _ways(one),
        sum(each.size for each in both) / len(both),
        one.unit,
        one.score * (1.0 if twin is None else 1.25),
        both,
    )


def _ways(one: Difference) -> tuple[str, ...]:
    """Return the ways of a difference; a trunk that straightens up leans less, not to the other side."""
    if one.part not in ("lean", "side_lean"):
        return one.ways
    front, back = ("front", "back") if one.part == "lean" else ("left", "right")
    if one.before > _UPRIGHT and one.after < one.before and one.after > -_UPRIGHT:
        return (f"less_{front}",)
    if one.before < -_UPRIGHT and one.after > one.before and one.after < _UPRIGHT:
        return (f"less_{back}",)
    return one.ways


def _named(clause: Clause, a: Readings, b: Readings) -> Clause:
    """Return a movement of both legs by its name, where it has one: sitting down, standing up, a wider stance."""
    if clause.part != "thigh" or clause.side != "both":
        return clause
    sunk, spread = a.height - b.height, b.stance - a.stance
    upright = max(a.incline, b.incline) < 75
    main = clause.ways[0]
    if upright and abs(sunk) >= _SHOWS and ("up" if sunk > 0 else "down") in clause.ways:
        return _replaced(clause, "sit", "down" if sunk > 0 else "up", abs(sunk))
    if len(clause.ways) == 1 and abs(spread) >= _SHOWS and main == ("out" if spread > 0 else "in"):
        return _replaced(clause, "stance", main, abs(spread))
    return clause


def _replaced(clause: Clause, part: str, way: str, size: float) -> Clause:
    return Clause(part, "both", (way,), size, "metres", clause.score, clause.differences)


def arranged(said: Sequence[Clause], most: int, each: int) -> list[tuple[Clause, ...]]:
    """Return the clauses of at most ``most`` sentences with at most ``each`` clauses, those that matter most first.

    A clause joins a sentence about its region of the body, begins one, or, where there are enough sentences, joins
    any that has room.
    """
    made: list[list[Clause]] = []
    for clause in said:
        room = [one for one in made if len(one) < each]
        own = [one for one in room if one[0].region == clause.region]
        if own:
            own[0].append(clause)
        elif len(made) < most:
            made.append([clause])
        elif room:
            room[0].append(clause)
        else:
            break
    return [tuple(one) for one in made]
