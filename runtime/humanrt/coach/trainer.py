"""`Trainer`: one person against a reference, a pose or a motion: what to change now, and repetitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.coach.alignment import Follower, Reference, resampled
from humanrt.coach.engine import PoseCoach
from humanrt.coach.guide import Guidance, Guide, GuideOptions
from humanrt.coach.poses import PoseTrack
from humanrt.coach.readings import Readings
from humanrt.coach.repetitions import TRIED, Repetition, RepetitionCounter, find_exercise

__all__ = ["Coaching", "Trainer"]

_TURNS = TRIED  # of a repetition's way: from here on its furthest point is looked for


@dataclass(frozen=True)
class Coaching:
    """What a coach has to say at one moment.

    Attributes:
        guidance: advice that stands, and what is new.
        moment: of the reference that the person is at, s; 0 for a pose.
        phase: how far the person is along the exercise, 0 to 1; None if the reference is no exercise.
        repetition: the repetition that ended now, or None.
        count: how many repetitions were done.
        deeper: what was missing at the furthest point of the repetition that ended now, in words, unless it stands.
    """

    guidance: Guidance
    moment: float
    phase: float | None
    repetition: Repetition | None
    count: int
    deeper: tuple[str, ...]

    @property
    def said(self) -> tuple[str, ...]:
        """What is new at this moment, in words; usually empty."""
        return (*self.guidance.said, *self.deeper)

    def record(self) -> dict[str, Any]:
        """Return it as a recording holds it."""
        guidance = self.guidance
        record: dict[str, Any] = {
            "advice": list(guidance.sentences),
            "said": list(self.said),
            "matches": guidance.matches,
            "differences": [
                {"part": one.part, "side": one.side, "ways": list(one.ways), "size": one.size, "unit": one.unit}
                for one in guidance.differences
            ],
            "moment": self.moment,
        }
        if self.phase is not None:
            record |= {"phase": self.phase, "repetitions": self.count}
        if self.repetition is not None:
            record["repetition"] = dict(vars(self.repetition))
        return record


class Trainer:
    """Compare a person with a reference, frame by frame.

    A motion is followed by dynamic time warping, so that the person may be slower or faster. Where it is an exercise,
    repetitions are counted; whoever does not go as far as the reference is told what was missing at the furthest point.

    Args:
        coach: measures and words; its ``mirrored`` says whether the reference is followed as in a mirror.
        track: the reference.
        options: how advice changes over time.
    """

    def __init__(self, coach: PoseCoach, track: PoseTrack, options: GuideOptions | None = None) -> None:
        self.coach = coach
        self.reference = Reference.of([coach.read(pose, reference=True) for pose in resampled(track)])
        self.exercise = find_exercise(self.reference)
        self._guide = Guide(coach, options)
        self._follower = Follower(self.reference)
        self._counter = None if self.exercise is None else RepetitionCounter(self.exercise)
        self._furthest: tuple[float, Readings] | None = None
        self._goal: Readings | None = None
        if self.exercise is not None:
            phases = [self.exercise.phase(vector) for vector in self.reference.vectors]
            self._goal = self.reference.readings[int(np.argmin(np.abs(np.array(phases) - 1.0)))]

    def reset(self) -> None:
        """Forget the person."""
        self._guide.reset()
        self._follower.reset()
        self._furthest = None
        if self._counter is not None:
            self._counter.reset()

    def update(self, t: float, pose: NDArray[np.floating[Any]]) -> Coaching:
        """Take the person's pose at one moment.

        Args:
            t: s, not before the last one.
            pose: as of `PoseCoach.describe`.
        """
        readings = self.coach.read(pose)
        at = self._follower.update(t, readings)
        guidance = self._guide.update(t, readings, self.reference.readings[at])
        moment = self.reference.time_of(at)
        if self._counter is None:
            return Coaching(guidance, moment, None, None, 0, ())
        error = max((one.size for one in guidance.differences if one.unit == "degrees"), default=0.0)
        repetition = self._counter.update(t, readings, error)
        phase = self._counter.phase
        deeper = tuple(words for words in self._missing(repetition) if words not in guidance.sentences)
        if phase >= _TURNS and (self._furthest is None or phase > self._furthest[0]):
            self._furthest = phase, readings
        return Coaching(guidance, moment, phase, repetition, self._counter.count, deeper)

    def look(self, t: float, pose: NDArray[np.floating[Any]]) -> Coaching:
        """Take the pose of somebody in a photograph, and forget the person before.

        All advice is given at once: there is no next frame for which it could wait. Of a motion, the moment that is
        nearest to the pose is the reference; repetitions are not counted.

        Args:
            t: s.
            pose: as of `PoseCoach.describe`.
        """
        self.reset()
        readings = self.coach.read(pose)
        at = self._follower.update(t, readings)
        guidance = self._guide.look(t, readings, self.reference.readings[at])
        return Coaching(guidance, self.reference.time_of(at), None, None, 0, ())

    def _missing(self, repetition: Repetition | None) -> tuple[str, ...]:
        """Return what was missing at the furthest point of the repetition that ended, in words."""
        if repetition is None or self._furthest is None or self._goal is None:
            return ()
        (_, readings), self._furthest = self._furthest, None
        return self.coach.compare(readings, self._goal, sentences=1, each=1).sentences
