"""`PoseCoach`: how to go from one pose to another, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle, load_bundle
from humanrt.checks import check_count, check_range
from humanrt.coach.clauses import Clause, arranged, clauses
from humanrt.coach.differences import PARTS, Difference, Unit, differences
from humanrt.coach.phrases import load_phrases
from humanrt.coach.poses import body_pose
from humanrt.coach.readings import Readings, read_pose
from humanrt.errors import HumanrtError, choices
from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.posefix.writer import PublishedWriter
from humanrt.resource import Owner, releasing

__all__ = ["Advice", "PoseCoach"]

_OTHER_SIDES = list(other_sides(SMPLX_BODY))
_UNCHANGED = ("en", False, False, False, 15.0, 0.1, None)


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


class PoseCoach(Owner):
    """Say in words how to go from one pose to another. The same poses always give the same words.

    It measures both poses on one skeleton (`humanrt.coach.readings`), ranks what differs by size, part and ``weights``,
    joins left and right that change alike, and says the most important of it. Every word is a measurement: `bench/
    pose_words.py` reads the sentences and checks them by a measurement of its own.

    >>> coach = PoseCoach(numbers=True)
    >>> coach.describe(pose_a, pose_b)
    'Bend your left knee by 20 degrees.'

    With a bundle of a published writer, the words are the network's: `describe`, `logits` and `greedy` are all that
    there is then, poses are of the joints of that bundle (`joint_names`) in the axes of its training, and the keywords
    below are not taken, except for backend and execution. Close such a coach, or use it in ``with``.

    Args:
        bundle: name or folder of a bundle of `humanrt-export posefix`, or a loaded one. None: the engine that ships.
        language: of the words, a file in ``coach/languages``.
        numbers: say amounts in degrees and cm instead of "a little" and "a lot".
        mirrored: the pose to reach is that of somebody whom the person follows as in a mirror.
        facing: whether the direction in which the person faces counts; both poses are then of one camera.
        degrees, metres: the smallest changes that are said.
        weights: part of the body (`PARTS`) -> further factor of its importance; 0 leaves it out.
        backend, execution: where and how a bundle's networks run; see `Execution`.

    Raises:
        HumanrtError: unknown language or part, a number that is not possible, or a bundle that cannot be used.
    """

    NEEDS_OPEN = ("describe", "logits", "greedy")

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path | None = None,
        *,
        language: str = "en",
        numbers: bool = False,
        mirrored: bool = False,
        facing: bool = False,
        degrees: float = 15.0,
        metres: float = 0.1,
        weights: Mapping[str, float] | None = None,
        backend: Execution | Backend | str = "cpu",
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        self._writer: PublishedWriter | None = None
        self.joint_names: tuple[str, ...] = SMPLX_BODY
        if bundle is not None:
            if (language, numbers, mirrored, facing, degrees, metres, weights) != _UNCHANGED:
                raise HumanrtError(
                    "a bundle of a published writer has words of its own: leave out language, numbers, mirrored, "
                    "facing, degrees, metres and weights"
                )
            chosen = bundle if isinstance(bundle, Bundle) else load_bundle(bundle, task="posefix")
            self._writer = self.own(PublishedWriter(chosen, Execution.of(backend, execution)))
            self.joint_names = self._writer.joint_names
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

    def describe(self, a: ArrayLike, b: ArrayLike, *, sentences: int | None = None) -> str:
        """Return how to go from pose ``a`` to pose ``b``.

        Args:
            a, b: rotations [22, 3, 3] of SMPL's body joints, each relative to its parent's, the root's to the camera
                (y down). Of SMPL's 24, SMPL-H's 52 and SMPL-X's 53 or 55 the first 22 are taken, Anny's 74 bones are
                converted; for other orders see `humanrt.coach.poses.body_pose`. With a bundle: of its joints, in its
                axes.
            sentences: how many sentences at most. None: two; with a bundle, all.

        Raises:
            HumanrtError: a pose has another number of joints, or is not of rotations.
        """
        if self._writer is not None:
            words = self._writer.text(self._writer.greedy(a, b)[0])
            if sentences is None:
                return words
            check_count(sentences, "sentences")
            said = words.split(". ")
            return words if len(said) <= sentences else ". ".join(said[:sentences]) + "."
        advice = self.advise(a, b, sentences=2 if sentences is None else sentences)
        return " ".join(advice.sentences) if advice.sentences else self.phrases.matches

    def logits(self, a: ArrayLike, b: ArrayLike, token_ids: ArrayLike) -> NDArray[np.float32]:
        """Return the logits [L, words] of what follows each of the ids [L], given those before it and two poses.

        Only with a bundle of a published writer.
        """
        return self._published("logits").logits(a, b, token_ids)

    def greedy(self, a: ArrayLike, b: ArrayLike, min_tokens: int = 10, max_tokens: int = 200) -> NDArray[np.int64]:
        """Return the ids [n] of the most probable words, one after the other, from that of the start to the end's.

        Only with a bundle of a published writer.

        Args:
            a, b: two poses, see `describe`.
            min_tokens: the end is not taken before there are so many, the start included.
            max_tokens: at most so many, the start included; a bundle's own limit is 257, or less.
        """
        return self._published("greedy").greedy(a, b, min_tokens, max_tokens)[0]

    def _published(self, what: str) -> PublishedWriter:
        if self._writer is None:
            raise HumanrtError(
                f"{what} is of published writers: PoseCoach(BUNDLE) with a bundle of `humanrt-export posefix`"
            )
        return self._writer

    def advise(self, a: ArrayLike, b: ArrayLike, *, sentences: int = 2) -> Advice:
        """Return how to go from pose ``a`` to pose ``b``, as `describe`, with what the words are about."""
        return self.compare(self.read(a), self.read(b, reference=True), sentences=sentences)

    def read(self, pose: ArrayLike, *, reference: bool = False) -> Readings:
        """Return the readings of a pose; those of a reference are of its mirror image if the coach is ``mirrored``."""
        if self._writer is not None:
            raise HumanrtError("a published writer measures nothing: use PoseCoach() without a bundle")
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
