"""What differs between two poses, as changes that a person can make, ranked by how much each matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import asin, cos, degrees, radians, sin, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.coach.readings import Limbs, Readings

__all__ = ["PARTS", "Difference", "Side", "Unit", "differences"]

Array = NDArray[np.float64]
Side = Literal["left", "right", "both", ""]
Unit = Literal["degrees", "metres"]

PARTS: Mapping[str, float] = {
    "arm": 1.0,
    "elbow": 1.0,
    "hand": 1.0,
    "thigh": 1.1,
    "knee": 1.1,
    "foot": 0.9,
    "lean": 1.3,
    "side_lean": 1.2,
    "incline": 1.3,
    "twist": 1.0,
    "head_turn": 0.8,
    "head_nod": 0.8,
    "head_tilt": 0.8,
    "facing": 1.0,
}
"""Part of the body, or of its posture -> how much a change of it matters beside an equal one of an arm."""

# Changes of this size are worth the same, which is a score of 1.
_DEGREES = 20.0
_METRES = 0.15

_SIDES: tuple[Side, Side] = ("left", "right")
_WAYS = (("in", "out"), ("down", "up"), ("back", "front"))  # of the components of a direction: falling, rising
_SECOND = 0.5  # a further way of a movement is worth saying from this part of the main one
_NOTICED = 0.17  # of a direction's component: 10 degrees
_STRAIGHT = sin(radians(10))  # a limb bent by less than 10 degrees does not show in which plane it bends
_OPPOSITE = -0.9998  # cosine of directions between which there is no smallest turn
_END_NOTICED = 0.06  # m


@dataclass(frozen=True)
class Difference:
    """One change from a pose to another.

    Attributes:
        part: a key of `PARTS`.
        side: left, right, or empty where the part has no sides.
        ways: where to: ``up``, ``down``, ``front``, ``back``, ``out``, ``in``, ``left``, ``right``; ``bend`` and
            ``straighten``; ``over`` and ``upright``. The main one first.
        size: of the change, in ``unit``.
        unit: degrees or metres.
        before, after: the angle in both poses, degrees, where one angle says it; else NaN.
        score: how much it matters; 1 is 20 degrees or 15 cm of an arm.
    """

    part: str
    side: Side
    ways: tuple[str, ...]
    size: float
    unit: Unit
    score: float
    before: float = float("nan")
    after: float = float("nan")

    @property
    def key(self) -> tuple[str, Side]:
        """What is to be changed, whatever the way."""
        return self.part, self.side


def differences(
    a: Readings, b: Readings, *, facing: bool = False, weights: Mapping[str, float] | None = None
) -> list[Difference]:
    """Return all changes from pose ``a`` to pose ``b``, of any size, those that matter most first.

    Args:
        a, b: readings of the poses.
        facing: whether the direction in which the person faces counts.
        weights: further factors of parts (`PARTS`) in the ranking.
    """
    weights = weights or {}
    found = [replace(one, score=one.score * PARTS[one.part] * weights.get(one.part, 1.0)) for one in _all(a, b, facing)]
    return sorted(found, key=lambda one: -round(one.score, 6))  # equal ones stay in their order


def _all(a: Readings, b: Readings, facing: bool) -> Iterator[Difference]:
    """Yield the changes, scored as if all parts mattered equally."""
    yield from _limbs(a.arms, b.arms, "arm", "elbow", "hand")
    if a.legs is not None and b.legs is not None:
        yield from _limbs(a.legs, b.legs, "thigh", "knee", "foot")
    else:
        yield from _limbs(a.pelvis_legs, b.pelvis_legs, "thigh", "knee", "foot")
    if a.lean is not None and b.lean is not None and a.side_lean is not None and b.side_lean is not None:
        yield _angle("lean", "", a.lean, b.lean, ("back", "front"))
        yield _angle("side_lean", "", a.side_lean, b.side_lean, ("right", "left"))
    else:
        yield _angle("incline", "", a.incline, b.incline, ("upright", "over"))
    yield _angle("twist", "", a.twist, b.twist, ("right", "left"))
    if a.head_turn is not None and b.head_turn is not None:
        yield _angle("head_turn", "", a.head_turn, b.head_turn, ("right", "left"))
    yield _angle("head_nod", "", a.head_nod, b.head_nod, ("down", "up"))
    yield _angle("head_tilt", "", a.head_tilt, b.head_tilt, ("right", "left"))
    if facing and a.heading is not None and b.heading is not None:
        yield _angle("facing", "", a.heading, b.heading, ("right", "left"))


def _angle(part: str, side: Side, before: float, after: float, ways: tuple[str, str]) -> Difference:
    change = (after - before + 180) % 360 - 180  # the shorter way around
    return Difference(part, side, (ways[change > 0],), abs(change), "degrees", abs(change) / _DEGREES, before, after)


def _limbs(a: Limbs, b: Limbs, upper: str, middle: str, end: str) -> Iterator[Difference]:
    for index, side in enumerate(_SIDES):
        turned = _angle_between(a.upper[index], b.upper[index])
        ways = _ways(b.upper[index] - a.upper[index])
        yield Difference(upper, side, ways, turned, "degrees", turned / _DEGREES)
        yield _angle(middle, side, float(a.bends[index]), float(b.bends[index]), ("straighten", "bend"))
        moved = _end(a, b, index, end, side)
        if moved is not None:
            yield moved


def _angle_between(a: Array, b: Array) -> float:
    """Return the angle between unit vectors, degrees; exact for small ones too."""
    return degrees(2 * asin(min(1.0, sqrt((a - b) @ (a - b)) / 2)))


def _carried(vector: Array, start: Array, stop: Array) -> Array | None:
    """Return a vector after the smallest turn of the unit vector ``start`` to ``stop``; None if these are opposite."""
    both, cosine = start + stop, float(start @ stop)
    if cosine < _OPPOSITE:
        return None
    return np.asarray(vector - both * (both @ vector / (1 + cosine)) + stop * (2 * (start @ vector)))


def _ways(change: Array) -> tuple[str, ...]:
    """Return the ways of a change (out, up, front) of a unit vector, at most two, the larger first."""
    order = np.argsort(-abs(change))
    least = max(_NOTICED, _SECOND * abs(change[order[0]]))
    named = [axis for place, axis in enumerate(order[:2]) if place == 0 or abs(change[axis]) >= least]
    return tuple(_WAYS[axis][int(change[axis] > 0)] for axis in named)


def _end(a: Limbs, b: Limbs, index: int, part: str, side: Side) -> Difference | None:
    """Return where a hand or foot still has to go once the upper part and the bend are right.

    That is the turn of the limb about its upper part. None if there is none that the hand's own way shows.
    """
    upper = b.upper[index]
    carried = _carried(a.lower[index], a.upper[index], upper)
    if carried is None:
        return None
    plane = carried - upper * (carried @ upper)
    length = sqrt(plane @ plane)
    if length < _STRAIGHT:
        return None
    bend = radians(b.bends[index])
    reached = upper * cos(bend) + plane / length * sin(bend)
    missing = (b.lower[index] - reached) * b.length
    total = b.ends[index] - a.ends[index]
    # Said is a way that the hand goes in all, not only in this last part of its movement.
    helps = np.where(abs(total) > _END_NOTICED, missing * np.sign(total), 0.0)
    order = np.argsort(-helps)
    if helps[order[0]] < _END_NOTICED:
        return None
    named = [axis for axis in order[:2] if helps[axis] >= max(_END_NOTICED, _SECOND * helps[order[0]])]
    ways = tuple(_WAYS[axis][int(total[axis] > 0)] for axis in named)
    said = total[named]
    return Difference(part, side, ways, sqrt(said @ said), "metres", sqrt(missing @ missing) / _METRES)
