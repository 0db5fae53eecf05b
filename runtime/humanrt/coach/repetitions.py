"""Repetitions of a cyclic exercise: counted and scored by how far a person goes along the reference's main movement.

The main movement is the direction in which the reference's posture vectors vary most. Its range in the reference is 0
to 1, 0 where the reference begins; a repetition goes above `FAR` and comes back below `NEAR`. One that goes above
`TRIED` only was tried, and does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.coach.alignment import RATE, Reference, posture_vector
from humanrt.coach.readings import Readings

__all__ = ["Exercise", "Repetition", "RepetitionCounter", "find_exercise"]

Array = NDArray[np.float64]

NEAR, TRIED, FAR = 0.3, 0.4, 0.6
_LEAST_RANGE = 0.35  # of the posture vectors: a reference that moves less is no exercise
_SHORTEST = 0.4  # s


@dataclass(frozen=True)
class Exercise:
    """The main movement of a reference.

    Attributes:
        axis: [18] unit vector of posture vectors.
        start, stop: of the projection onto it: where 0 and 1 are.
        seconds: s, mean duration of the reference's own repetitions.
        count: how many repetitions the reference has.
    """

    axis: Array
    start: float
    stop: float
    seconds: float
    count: int

    def phase(self, vector: Array) -> float:
        """Return how far a posture vector is along the movement: 0 at its start, 1 at the reference's furthest."""
        return float((vector @ self.axis - self.start) / (self.stop - self.start))


@dataclass(frozen=True)
class Repetition:
    """One repetition that was done, or tried.

    Attributes:
        count: how many count so far, with this one if it does.
        counts: whether it went far enough to count.
        seconds: s, how long it took.
        depth: how far it went, 1 being as far as the reference.
        error: degrees, mean of the largest difference of the joints at each moment; NaN if not measured.
        score: 0 to 100, of depth and error.
    """

    count: int
    counts: bool
    seconds: float
    depth: float
    error: float
    score: float


def find_exercise(reference: Reference) -> Exercise | None:
    """Return the exercise that a reference repeats, or None if it is a pose or does not come back to its start."""
    if len(reference.vectors) < _SHORTEST * RATE:
        return None
    centred = reference.vectors - reference.vectors.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    along = reference.vectors @ axis
    low, high = np.percentile(along, (3, 97)).tolist()
    if high - low < _LEAST_RANGE:
        return None
    if along[: max(1, round(0.2 * RATE))].mean() > (low + high) / 2:
        low, high = high, low
    found = Exercise(axis, low, high, 0.0, 0)
    counter = RepetitionCounter(found)
    done = [counter.update(index / RATE, one) for index, one in enumerate(reference.readings)]
    own = [one for one in done if one is not None and one.counts]
    if not own:
        return None
    return Exercise(axis, low, high, float(np.mean([one.seconds for one in own])), len(own))


class RepetitionCounter:
    """Counts and scores the repetitions of an exercise."""

    def __init__(self, exercise: Exercise) -> None:
        self.exercise = exercise
        self.reset()

    def reset(self) -> None:
        """Begin to count at 0."""
        self.count = 0
        self.phase = 0.0
        self._left: float | None = None  # s, when the start was left
        self._depth = 0.0
        self._errors: list[float] = []

    def update(self, t: float, readings: Readings, error: float | None = None) -> Repetition | None:
        """Take one moment; return the repetition that ends with it, if one does.

        Args:
            t: s.
            readings: of the person.
            error: degrees, the largest difference to the reference at this moment; None if it is not known.
        """
        self.phase = self.exercise.phase(posture_vector(readings))
        if self._left is None:
            if self.phase >= NEAR:
                self._left, self._depth, self._errors = t, self.phase, []
            return None
        self._depth = max(self._depth, self.phase)
        if error is not None:
            self._errors.append(error)
        if self.phase >= NEAR:
            return None
        seconds, depth, self._left = t - self._left, self._depth, None
        if depth < TRIED or seconds < _SHORTEST:
            return None
        counts = depth >= FAR
        self.count += counts
        mean = float(np.mean(self._errors)) if self._errors else float("nan")
        return Repetition(self.count, counts, seconds, depth, mean, _score(depth, mean))


def _score(depth: float, error: float) -> float:
    """Return 0 to 100: full marks for the reference's depth within 10 % and less than 15 degrees off."""
    missing = max(0.0, abs(depth - 1.0) - 0.1)
    wrong = 0.0 if np.isnan(error) else max(0.0, error - 15.0)
    return round(max(0.0, 100.0 - 150.0 * missing - 1.5 * wrong), 1)
