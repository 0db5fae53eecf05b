"""`PoseCoach`: how to go from one pose to another, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import check_count, check_range
from humanrt.coach.clauses import Clause, arranged, clauses
from humanrt.coach.differences import PARTS, Difference, Unit, differences
from humanrt.coach.phrases import load_phrases
from humanrt.coach.poses import body_pose
from humanrt.coach.readings import Readings, read_pose
from humanrt.errors import HumanrtError, choices
from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides

__all__ = ["Advice", "PoseCoach"]

_OTHER_SIDES = list(other_sides(SMPLX_BODY))


@dataclass(frozen=True)
class Advice:
    """What to change.

    Attributes:
        sentences: at most as many as were asked for, the most important first; none where the poses match.
        clauses: what each sentence says.
        differences: all changes that are large enough to be said, those that matter most first.
    """

    sentences: tuple[str, ...]
    clauses: tuple[tuple[Clause, ...], ...]
    differences: tuple[Difference, ...]


class PoseCoach:
    """Say in words how to go from one pose to another. The same poses always give the same words.

    It measures both poses on one skeleton (`humanrt.coach.readings`), ranks what differs by size, part and ``weights``,
    joins left and right that change alike, and says the most important of it. Every word is a measurement: `bench/
    pose_words.py` reads the sentences and checks them by a measurement of its own.

    >>> coach = PoseCoach(numbers=True)
    >>> coach.describe(pose_a, pose_b)
    'Bend your left knee by 20 degrees.'

    Args:
        language: of the words, a file in ``coach/languages``.
        numbers: say amounts in degrees and cm instead of "a little" and "a lot".
        mirrored: the pose to reach is that of somebody whom the person follows as in a mirror.
        facing: whether the direction in which the person faces counts; both poses are then of one camera.
        degrees, metres: the smallest changes that are said.
        weights: part of the body (`PARTS`) -> further factor of its importance; 0 leaves it out.

    Raises:
        HumanrtError: unknown language or part, or a number that is not possible.
    """

    def __init__(
        self,
        *,
        language: str = "en",
        numbers: bool = False,
        mirrored: bool = False,
        facing: bool = False,
        degrees: float = 15.0,
        metres: float = 0.1,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.phrases = load_phrases(language)
        self.numbers = numbers
        self.mirrored = mirrored
        self.facing = facing
        check_range(degrees, "degrees", 1.0, 180.0)
        check_range(metres, "metres", 0.01, 2.0)
        self.degrees = degrees
        self.metres = metres
        self.weights = dict(weights or {})
        if unknown := set(self.weights) - set(PARTS):
            raise HumanrtError(f"weights: unknown part {choices(unknown)}; choose one of: {choices(PARTS)}")
        for part, weight in self.weights.items():
            check_range(weight, f"weights: {part}", 0.0)

    def describe(self, a: ArrayLike, b: ArrayLike, *, sentences: int = 2) -> str:
        """Return how to go from pose ``a`` to pose ``b``.

        Args:
            a, b: rotations [22, 3, 3] of SMPL's body joints, each relative to its parent's, the root's to the camera
                (y down). Of SMPL's 24, SMPL-H's 52 and SMPL-X's 53 or 55 the first 22 are taken, Anny's 74 bones are
                converted; for other orders see `humanrt.coach.poses.body_pose`.
            sentences: how many sentences at most.

        Raises:
            HumanrtError: a pose has another number of joints, or is not of rotations.
        """
        advice = self.advise(a, b, sentences=sentences)
        return " ".join(advice.sentences) if advice.sentences else self.phrases.matches

    def advise(self, a: ArrayLike, b: ArrayLike, *, sentences: int = 2) -> Advice:
        """Return how to go from pose ``a`` to pose ``b``, as `describe`, with what the words are about."""
        return self.compare(self.read(a), self.read(b, reference=True), sentences=sentences)

    def read(self, pose: ArrayLike, *, reference: bool = False) -> Readings:
        """Return the readings of a pose; those of a reference are of its mirror image if the coach is ``mirrored``."""
        return read_pose(self._mirrored(body_pose(pose)) if reference and self.mirrored else body_pose(pose))

    def compare(self, a: Readings, b: Readings, *, sentences: int = 2, each: int = 2) -> Advice:
        """Return how to go from one pose to another, by their readings.

        Args:
            a, b: of `read`.
            sentences: how many sentences at most.
            each: how many clauses a sentence has at most.
        """
        check_count(sentences, "sentences")
        check_count(each, "each")
        found = self.differences(a, b)
        said = arranged(clauses(found, a, b), sentences, each)
        words = tuple(self.phrases.say(sentence, numbers=self.numbers) for sentence in said)
        return Advice(words, tuple(said), tuple(found))

    @property
    def least(self) -> dict[Unit, float]:
        """The smallest changes that are said, by their unit."""
        return {"degrees": self.degrees, "metres": self.metres}

    def differences(self, a: Readings, b: Readings, *, least: float = 1.0) -> list[Difference]:
        """Return the changes that are large enough to be said, those that matter most first.

        Args:
            a, b: of `read`.
            least: the smallest, in units of the smallest that is said.
        """
        found = differences(a, b, facing=self.facing, weights=self.weights)
        return [one for one in found if one.score > 0 and one.size >= least * self.least[one.unit]]

    def _mirrored(self, pose: NDArray[Any]) -> NDArray[np.float64]:
        return mirrored(pose)[_OTHER_SIDES]
