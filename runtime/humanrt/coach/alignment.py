"""Where in a reference motion somebody is who follows it, frame by frame: online dynamic time warping.

Poses are compared by joint angles and directions of limbs, whatever the body and wherever it faces. Of every moment of
the reference the least cost of a path that ends there is kept; costs fade, so that what is long past does not count,
and a path may go on from the reference's end to its beginning, so that a movement may be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_time
from humanrt.coach.poses import PoseTrack
from humanrt.coach.readings import Readings
from humanrt.geometry.rotation import between

__all__ = ["RATE", "Follower", "Reference", "posture_vector", "resampled"]

Array = NDArray[np.float64]

RATE = 15.0
"""Hz, of the steps in which a motion is followed."""

_FADE = 0.9  # a cost's part that is left after a step: half of it after half a second
_PACES = ((0, 0.05), (1, 0.0), (2, 0.03), (3, 0.08))  # moments of the reference in one step, and what that costs
_AGAIN = 1.0  # cost of going back to the beginning
_LAST = 10.0  # s; a longer gap begins anew


def posture_vector(readings: Readings) -> Array:
    """Return what poses are aligned by [18]: bends (rad), directions of upper arms and thighs, lean (rad)."""
    legs = readings.legs or readings.pelvis_legs
    lean = readings.incline if readings.lean is None else readings.lean
    return np.concatenate(
        [
            np.radians(readings.arms.bends),
            np.radians(legs.bends),
            readings.arms.upper.ravel(),
            legs.upper.ravel(),
            np.radians([lean, readings.side_lean or 0.0]),
        ]
    )


@dataclass(frozen=True)
class Reference:
    """A pose or a motion to follow, at `RATE`.

    Attributes:
        readings: of each moment; one for a pose.
        vectors: [T, 18] `posture_vector` of each.
    """

    readings: Sequence[Readings]
    vectors: Array

    @classmethod
    def of(cls, readings: Sequence[Readings]) -> Reference:
        """Make a reference of the readings of its moments, which are 1 / `RATE` s apart."""
        return cls(tuple(readings), np.stack([posture_vector(one) for one in readings]))

    def time_of(self, index: int) -> float:
        """Return when a moment is, s from the beginning."""
        return index / RATE

    @property
    def moves(self) -> bool:
        """Whether it is a motion."""
        return len(self.readings) > 1


def resampled(track: PoseTrack) -> Array:
    """Return the poses [T, 22, 3, 3] of a track at `RATE`, between those that it has."""
    seconds = float(track.times[-1] - track.times[0])
    at = track.times[0] + np.arange(int(seconds * RATE) + 1) / RATE
    after = np.clip(np.searchsorted(track.times, at), 1, max(1, len(track.times) - 1))
    if len(track.times) == 1:
        return track.poses
    before = after - 1
    share = np.clip((at - track.times[before]) / (track.times[after] - track.times[before]), 0.0, 1.0)
    return between(track.poses[before], track.poses[after], share[:, None, None])


class Follower:
    """Says which moment of a reference somebody is at.

    Args:
        reference: a motion, or a pose, of which it is always the only moment.
    """

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.reset()

    def reset(self) -> None:
        """Forget where somebody is."""
        self._costs: Array | None = None
        self._t = 0.0

    def update(self, t: float, readings: Readings) -> int:
        """Return the index of the moment that somebody with these readings is at.

        Args:
            t: s, not before the last one.
            readings: of the person.
        """
        check_time(t)
        if not self.reference.moves:
            return 0
        near = np.linalg.norm(self.reference.vectors - posture_vector(readings), axis=1)
        if self._costs is None or not 0 <= t - self._t < _LAST:
            self._costs, self._t = near, t
        else:
            steps = int((t - self._t) * RATE + 1e-6)  # what is left over of a step is kept for the next frame
            for _ in range(steps):
                self._costs = _stepped(self._costs) * _FADE + near
            self._t += steps / RATE
        return int(self._costs.argmin())


def _stepped(costs: Array) -> Array:
    """Return, for every moment, the least cost of the paths that come to it in one step."""
    paths = []
    for moments, cost in _PACES:
        moved = np.roll(costs, moments) + cost
        moved[:moments] += _AGAIN
        paths.append(moved)
    return np.asarray(np.min(paths, axis=0))
