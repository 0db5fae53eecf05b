"""PeopleTracker: identities for the people of successive frames.

Where a person will be is predicted with constant velocity over the frames' real time stamps, in the coordinates in
which the network errs independently: the direction of the head (its place in the image, whatever the camera) and the
logarithm of its depth. What is seen is compared with that in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, inf

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import SAME_INSTANT, check_points, check_range, check_time
from humanrt.geometry.camera import directions
from humanrt.people.results import People
from humanrt.perception.assignment import assign, gated

__all__ = ["Identities", "PeopleTracker", "PeopleTrackerOptions"]

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class PeopleTrackerOptions:
    """When an observation is a person that is known already. Times are seconds of the source's clock.

    Attributes:
        reach: m, how far across from where it was predicted a person may be seen...
        speed: m/s ...and how much farther for every second since it was last seen.
        depth_weight: how much a metre of depth counts against one across: depth from one image is less certain, and
            its uncertainty grows with distance, so it counts by ratio (`depth_weight` times depth times log ratio).
        remember: a person who comes back within this time, near where they would be, keeps their identity.
        coast: a person who is not seen is assumed to move on for so long, and then to stand.
        settle: time constant of the velocity estimate.
    """

    reach: float = 0.4
    speed: float = 1.0
    depth_weight: float = 0.4
    remember: float = 2.0
    coast: float = 0.5
    settle: float = 0.25

    def __post_init__(self) -> None:
        for name in ("reach", "speed", "depth_weight", "remember", "coast"):
            check_range(getattr(self, name), name, 0.0)
        check_range(self.settle, "settle (s)", 0.0, above=True)


@dataclass(frozen=True)
class Identities:
    """Who the people of one frame are.

    Attributes:
        ids: [N] identity of each person, in the order of `People`; from 1, never reused within a tracker's life.
        lost: identities that ended with this frame: state that belongs to them may be dropped.
    """

    ids: tuple[int, ...]
    lost: tuple[int, ...] = ()


@dataclass
class _Track:
    """An identity: direction and log depth (x / z, y / z, ln z) when it was last seen, and their velocity a second."""

    id: int
    seen: float
    state: Vector
    velocity: Vector = field(default_factory=lambda: np.zeros(3))

    def predicted(self, t: float, coast: float) -> Vector:
        return self.state + self.velocity * min(t - self.seen, coast)

    def observe(self, state: Vector, t: float, settle: float) -> None:
        dt = t - self.seen
        if dt > SAME_INSTANT:
            keep = exp(-dt / settle)
            self.velocity = keep * self.velocity + (1 - keep) * (state - self.state) / dt
        self.seen, self.state = t, state


class PeopleTracker:
    """Gives identities to people, frame by frame.

    >>> tracker = PeopleTracker()
    >>> identities = tracker(people, t)
    """

    def __init__(self, options: PeopleTrackerOptions | None = None) -> None:
        self.options = options or PeopleTrackerOptions()
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget all people. Identities go on counting."""
        self._tracks: list[_Track] = []
        self._t: float | None = None

    def __call__(self, people: People, t: float, *, cut: bool = False) -> Identities:
        """The identities of the people of one frame.

        Args:
            people: what was seen.
            t: time of the frame in s, never falling; one before the last starts afresh: the source was rewound.
            cut: a new scene begins: nobody of it was seen before.

        Raises:
            ValueError: ``t``, or where somebody is, is not a finite number. The state is then as before.
        """
        t = check_time(t)
        for name in ("locations", "translations"):
            check_points(getattr(people, name), f"{name} of people")
        before = [track.id for track in self._tracks]
        if cut or (self._t is not None and t < self._t):
            self.reset()
        self._t = t
        states = _states(people)
        costs = [[self._cost(track, state, t) for track in self._tracks] for state in states]
        owners = assign(costs, gated(costs, self._limit(0.0)))
        ids: list[int] = []
        for state, owner in zip(states, owners, strict=True):
            if owner is None:
                track = _Track(self._next_id, t, state)
                self._next_id += 1
                self._tracks.append(track)
            else:
                track = self._tracks[owner]
                track.observe(state, t, self.options.settle)
            ids.append(track.id)
        self._tracks = [track for track in self._tracks if t - track.seen < self.options.remember]
        alive = {track.id for track in self._tracks}
        return Identities(tuple(ids), tuple(id for id in before if id not in alive))

    def _limit(self, dt: float) -> float:
        return self.options.reach + self.options.speed * dt

    def _cost(self, track: _Track, state: Vector, t: float) -> float:
        """Metres between what was predicted and what is seen; inf when that is too far for one person."""
        expected = track.predicted(t, self.options.coast)
        gap = state - expected
        # The larger of the two: a depth near 0, which a network can give, would bring everything within reach.
        depth = float(np.exp(max(state[2], expected[2])))
        across = depth * float(np.hypot(gap[0], gap[1]))
        along = depth * self.options.depth_weight * abs(float(gap[2]))
        cost = float(np.hypot(across, along))
        return cost if cost <= self._limit(t - track.seen) else inf


def _states(people: People) -> Sequence[Vector]:
    """(x / z, y / z, ln z) of every head. The direction is that of the pixel: exact where depth is not."""
    states = np.empty((len(people), 3))
    states[:, :2] = directions(people.locations, people.intrinsics)
    states[:, 2] = np.log(np.maximum(people.translations[:, 2], 1e-3))  # the network's depth starts at 0
    return list(states)
