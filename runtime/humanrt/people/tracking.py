"""PeopleTracker: identities for the people of successive frames.

A person's position is predicted with constant velocity over the frames' real time stamps, in the coordinates in which
the network's errors are independent: the direction of the head (its position in the image, for any camera) and the
logarithm of its depth. Observations are compared with predictions in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import SAME_INSTANT, check_kind, check_points, check_range, check_time
from humanrt.geometry.camera import directions
from humanrt.people.results import People
from humanrt.perception.assignment import assign, gated

__all__ = ["Identities", "PeopleTracker", "PeopleTrackerOptions", "separation", "state_of"]

Vector = NDArray[np.float64]

_LEAST_DEPTH = 1e-3  # m: the network's depth starts at 0


@dataclass(frozen=True)
class PeopleTrackerOptions:
    """Parameters of matching observations to known people. Times are seconds of the source's clock.

    Attributes:
        gate: m, gating distance across the view from the predicted position...
        gate_growth: ...plus this much, m/s, for every second since the last observation.
        depth_weight: weight of a metre of depth relative to one across: depth from one image is less certain, and its
            uncertainty grows with distance, so it counts by ratio (`depth_weight` times depth times log ratio).
        remember: a person who reappears within this time, near their predicted position, keeps their identity.
        max_prediction: an unseen person is extrapolated at constant velocity for this long, then assumed to stand
            still.
        velocity_time_constant: time constant of the velocity estimate.
    """

    gate: float = 0.4
    gate_growth: float = 1.0
    depth_weight: float = 0.4
    remember: float = 2.0
    max_prediction: float = 0.5
    velocity_time_constant: float = 0.25

    def __post_init__(self) -> None:
        for name in ("gate", "gate_growth", "depth_weight", "remember", "max_prediction"):
            check_range(getattr(self, name), name, 0.0)
        check_range(self.velocity_time_constant, "velocity_time_constant (s)", 0.0, above=True)


@dataclass(frozen=True)
class Identities:
    """Identities of the people of one frame.

    Attributes:
        ids: [N] identity of each person, in the order of `People`; from 1, never reused within a tracker's life.
        lost: identities that ended with this frame: state that belongs to them may be dropped.
    """

    ids: tuple[int, ...]
    lost: tuple[int, ...] = ()


@dataclass
class _Track:
    """Track of a person: direction and log depth (x / z, y / z, ln z) when last seen, and their velocity per second."""

    id: int
    seen: float
    state: Vector
    velocity: Vector = field(default_factory=lambda: np.zeros(3))

    def predicted(self, t: float, max_prediction: float) -> Vector:
        return self.state + self.velocity * min(t - self.seen, max_prediction)

    def observe(self, state: Vector, t: float, velocity_time_constant: float) -> None:
        dt = t - self.seen
        if dt > SAME_INSTANT:
            keep = exp(-dt / velocity_time_constant)
            self.velocity = keep * self.velocity + (1 - keep) * (state - self.state) / dt
        self.seen, self.state = t, state


class PeopleTracker:
    """Assign identities to people, frame by frame.

    >>> tracker = PeopleTracker()
    >>> identities = tracker(people, t)
    """

    def __init__(self, options: PeopleTrackerOptions | None = None) -> None:
        self.options = PeopleTrackerOptions() if options is None else options
        check_kind(self.options, PeopleTrackerOptions, "options", "PeopleTrackerOptions")
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget all people. Identities are not reused."""
        self._tracks: list[_Track] = []
        self._t: float | None = None

    def __call__(self, people: People, t: float, *, cut: bool = False) -> Identities:
        """Return the identities of the people of one frame.

        Args:
            people: the people detected in the frame.
            t: time of the frame in s, non-decreasing; a time before the last one resets the tracker: the source was
                rewound.
            cut: a new scene begins: all people in it are new.

        Raises:
            ValueError: ``t`` or a person's position is not a finite number. The state is then unchanged.
        """
        t = check_time(t)
        check_kind(people, People, "people", "what a model of people returns")
        for name in ("locations", "translations"):
            check_points(getattr(people, name), f"{name} of people")
        before = [track.id for track in self._tracks]
        if cut or (self._t is not None and t < self._t):
            self.reset()
        self._t = t
        states = _states(people)
        costs = [[self._cost(track, state, t) for track in self._tracks] for state in states]
        owners = assign(costs, gated(costs, self._gate(0.0)))
        ids: list[int] = []
        for state, owner in zip(states, owners, strict=True):
            if owner is None:
                track = _Track(self._next_id, t, state)
                self._next_id += 1
                self._tracks.append(track)
            else:
                track = self._tracks[owner]
                track.observe(state, t, self.options.velocity_time_constant)
            ids.append(track.id)
        self._tracks = [track for track in self._tracks if t - track.seen < self.options.remember]
        alive = {track.id for track in self._tracks}
        return Identities(tuple(ids), tuple(id for id in before if id not in alive))

    def _gate(self, dt: float) -> float:
        return self.options.gate + self.options.gate_growth * dt

    def _cost(self, track: _Track, state: Vector, t: float) -> float:
        """Return the distance between prediction and observation, m; inf if outside the gate."""
        expected = track.predicted(t, self.options.max_prediction)
        cost = separation(expected, state, self.options.depth_weight)
        return cost if cost <= self._gate(t - track.seen) else inf


def separation(a: Vector, b: Vector, depth_weight: float) -> float:
    """Return the distance in m of two people in one view, each as (x / z, y / z, ln z) of the head.

    Args:
        a, b: see `state_of`.
        depth_weight: see `PeopleTrackerOptions`.
    """
    gap = b - a
    # The larger of the two: a depth near 0, which a network can give, would bring everything inside the gate.
    depth = float(np.exp(max(a[2], b[2])))
    across = depth * float(np.hypot(gap[0], gap[1]))
    along = depth * depth_weight * abs(float(gap[2]))
    return float(np.hypot(across, along))


def state_of(location: ArrayLike, depth: float, intrinsics: NDArray[np.float64]) -> Vector:
    """Return (x / z, y / z, ln z) of a head: pixel [2], depth in m, K [3, 3] in px."""
    direction = directions(np.asarray(location, np.float64)[None], intrinsics)[0]
    return np.array([*direction[:2], np.log(max(depth, _LEAST_DEPTH))])


def _states(people: People) -> Sequence[Vector]:
    """Return (x / z, y / z, ln z) of every head. The direction is that of the pixel: exact even where depth is not."""
    states = np.empty((len(people), 3))
    states[:, :2] = directions(people.locations, people.intrinsics)
    states[:, 2] = np.log(np.maximum(people.translations[:, 2], _LEAST_DEPTH))
    return list(states)
