"""What an edit can change: channels of the body, and the numbers that say how each is changed.

Every channel is a quantity with a name that people have words for: the direction of an arm, the bend of a knee, the
place of a hand. An `Edit` holds for each whether it is spoken of and what becomes of it; `humanrt.editing.body` does
it to a pose.

- **Directions** of arms (in the chest's axes) and thighs (in level ones): turned towards ``way`` by ``value`` degrees
  or, if ``absolute``, until ``value`` degrees are left to it.
- **Numbers**: degrees; metres of ``height`` (pelvis above the lower ankle) and ``stance`` (between the ankles).
  ``value`` is added, or is the new one if ``absolute``. Bends, forward, up, to the person's left, apart are positive.
- **Points**: hands and feet are moved along ``way`` by ``value`` metres or, if ``absolute``, hands are put to a place
  on the body.

Ways are (out, up, front); out is to the left for what is left, to the right for what is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ANGLES",
    "CHANNELS",
    "DIRECTIONS",
    "LIMITS",
    "METRES",
    "PLACES",
    "POINTS",
    "SCALES",
    "Edit",
    "merged",
    "other_side",
    "sided",
]

_SIDES = ("left", "right")


def sided(*parts: str) -> tuple[str, ...]:
    """Return the channels of both sides."""
    return tuple(f"{side}_{part}" for part in parts for side in _SIDES)


DIRECTIONS = sided("arm", "thigh")
METRES = ("height", "stance")
ANGLES = (
    *sided("elbow", "knee", "ankle"),
    *("lean", "side_lean", "twist", "head_turn", "head_nod", "head_tilt", "facing"),
    *METRES,
)
POINTS = sided("hand", "foot")
CHANNELS = (*DIRECTIONS, *ANGLES, *POINTS, "mirror")
"""All channels, in the order of a bundle's numbers. `mirror` swaps left and right of the whole pose."""

PLACES = (
    *("hip", "shoulder", "other_shoulder", "head", "ear", "behind_head", "face", "chest", "belly", "back"),
    *("thigh", "knee", "toes", "together"),
)
"""Where a hand can be put: to parts of its own side, and for `together` to the other hand before the chest."""

_IN_METRES = (*METRES, *POINTS)
SCALES: NDArray[np.float64] = np.array([0.25 if name in _IN_METRES else 50.0 for name in CHANNELS])
"""What a network's 1 is, m or degrees."""

LIMITS: dict[str, tuple[float, float]] = {
    "elbow": (0.0, 145.0),
    "knee": (0.0, 145.0),
    "ankle": (-30.0, 50.0),
    "lean": (-30.0, 110.0),
    "side_lean": (-45.0, 45.0),
    "twist": (-55.0, 55.0),
    "head_turn": (-80.0, 80.0),
    "head_nod": (-55.0, 50.0),
    "head_tilt": (-40.0, 40.0),
    "height": (0.25, 0.92),
    "stance": (0.10, 1.30),
}
"""What people can do: an edit goes no further, but leaves a pose that is beyond them where it is."""


@dataclass(frozen=True)
class Edit:
    """What is to be changed; one row for each of `CHANNELS`.

    Attributes:
        said: bool [C], whether the channel is spoken of.
        absolute: bool [C].
        value: [C] degrees or metres.
        way: [C, 3] unit vectors (out, up, front) of directions and points.
        place: int [C] index into `PLACES`, of hands with ``absolute``.
        sure: how sure it is that the words ask for a change of a pose, 0..1.
    """

    said: NDArray[np.bool_]
    absolute: NDArray[np.bool_]
    value: NDArray[np.float64]
    way: NDArray[np.float64]
    place: NDArray[np.int64]
    sure: float = 1.0

    @classmethod
    def empty(cls) -> Edit:
        """Return an edit that changes nothing."""
        count = len(CHANNELS)
        return cls(
            np.zeros(count, bool),
            np.zeros(count, bool),
            np.zeros(count),
            np.tile([0.0, 1.0, 0.0], (count, 1)),
            np.zeros(count, np.int64),
        )

    def asked(self) -> Iterator[str]:
        """Yield the channels that are spoken of."""
        return (name for name, said in zip(CHANNELS, self.said, strict=True) if said)

    def numbers(self, channel: str) -> tuple[bool, float, NDArray[np.float64], str]:
        """Return absolute, value, way and place of a channel."""
        index = CHANNELS.index(channel)
        return (
            bool(self.absolute[index]),
            float(self.value[index]),
            self.way[index],
            PLACES[int(self.place[index])],
        )

    def text(self) -> str:
        """Return it for people, such as ``left arm +40 degrees towards up, left elbow to 0 degrees``."""
        return ", ".join(self._said(name) for name in self.asked())

    def _said(self, channel: str) -> str:
        absolute, value, way, place = self.numbers(channel)
        name = channel.replace("_", " ")
        if channel == "mirror":
            return "left and right swapped"
        metres = channel in _IN_METRES
        size, unit = (100 * value, "cm") if metres else (value, "degrees")
        if channel in POINTS and absolute:
            return f"{name} to {place.replace('_', ' ')}"
        if channel in ANGLES:
            return f"{name} to {size:.0f} {unit}" if absolute else f"{name} {size:+.0f} {unit}"
        names = (("in", "out"), ("down", "up"), ("back", "front"))
        towards = " and ".join(
            names[axis][int(way[axis] > 0)] for axis in np.argsort(-abs(way)) if abs(way[axis]) > 0.35
        )
        return f"{name} {'to ' if absolute else '+'}{size:.0f} {unit} {'from' if absolute else 'towards'} {towards}"


def merged(edits: Sequence[Edit]) -> Edit:
    """Return all edits as one; of a channel that several speak of, the last one holds."""
    result = edits[0]
    for one in edits[1:]:
        said = one.said
        result = Edit(
            said=result.said | said,
            absolute=np.where(said, one.absolute, result.absolute),
            value=np.where(said, one.value, result.value),
            way=np.where(said[:, None], one.way, result.way),
            place=np.where(said, one.place, result.place),
            sure=min(result.sure, one.sure),
        )
    return result


def other_side(channel: str) -> str:
    """Return the channel of the other side; itself if it has no side."""
    if channel.startswith("left_"):
        return "right_" + channel[5:]
    return "left_" + channel[6:] if channel.startswith("right_") else channel
