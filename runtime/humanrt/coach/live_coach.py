"""Coaching in the live loop: `CoachPipeline` around a pipeline of people, its results, and their painter."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.coach.phrases import Phrases
from humanrt.coach.poses import body_pose
from humanrt.coach.trainer import Coaching, Trainer
from humanrt.drawing.draw import captioned, draw_corner, unit
from humanrt.people.pipeline import PeopleResult
from humanrt.perception.pipeline import Pipeline, Result, refuse_live
from humanrt.sources.opening import Frame
from humanrt.timing import Stopwatch

__all__ = ["CoachPainter", "CoachPipeline", "CoachResult"]

Image = NDArray[np.uint8]

_SHOWN = 2.0  # s, for which praise stands in the picture
_ROOM = 3  # lines below it
_AWAY = 3.0  # s; who comes back later begins anew
_NOBODY = -1
_RED, _RIM = (255, 72, 60), (22, 24, 30)
_ANNY = {
    **{"pelvis": "root", "neck": "neck01", "head": "head"},
    **{
        f"{side}_{joint}": f"{bone}.{side[0].upper()}"
        for side in ("left", "right")
        for joint, bone in {
            **{"shoulder": "upperarm01", "elbow": "lowerarm01", "wrist": "wrist"},
            **{"hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot"},
        }.items()
    },
}
"""SMPL's joints -> Anny's joint at the same place."""
_LIMBS: Mapping[str, tuple[str, ...]] = {
    "arm": ("shoulder", "elbow"),
    "elbow": ("shoulder", "elbow", "wrist"),
    "hand": ("elbow", "wrist"),
    "thigh": ("hip", "knee"),
    "knee": ("hip", "knee", "ankle"),
    "foot": ("knee", "ankle"),
    "twist": ("left_shoulder", "right_shoulder"),
    **dict.fromkeys(("head_turn", "head_nod", "head_tilt"), ("neck", "head")),
    **dict.fromkeys(("lean", "side_lean", "incline", "facing"), ("pelvis", "neck")),
}
"""Part -> the chain of joints that is highlighted, of the side that it has."""


@dataclass(frozen=True, repr=False)
class CoachResult(Result):
    """The people of one frame, and what the coach says to one of them.

    Attributes:
        frame: the input frame.
        people: the result of the people's pipeline.
        trainee: identity of the person who is coached, or None if nobody is there.
        coaching: what the coach says, or None likewise.
        ms: milliseconds per stage, and ``total``.
    """

    frame: Frame
    people: PeopleResult
    trainee: int | None
    coaching: Coaching | None
    ms: dict[str, float]

    @property
    def ids(self) -> tuple[Hashable, ...]:
        """The identities in the frame."""
        return self.people.ids

    @property
    def hands(self) -> tuple[Any, ...]:
        """The hands in the frame."""
        return tuple(self.people.hands)

    @property
    def persons(self) -> tuple[Any, ...]:
        """The people in the frame, one by one."""
        return self.people.persons

    def entities(self) -> list[str]:
        return self.people.entities()

    def hand_records(self) -> list[dict[str, Any]]:
        return self.people.hand_records()

    def people_records(self) -> list[dict[str, Any]]:
        return self.people.people_records()

    def camera_record(self) -> dict[str, Any]:
        return self.people.camera_record()

    def record(self) -> dict[str, Any]:
        """Return the frame as one line of a recording; ``coach`` is what is said to the person ``trainee``."""
        record = super().record()
        ms = record.pop("ms")
        if self.coaching is not None:
            record["coach"] = {"trainee": self.trainee, **self.coaching.record()}
        return {**record, "ms": ms}


class CoachPipeline(Pipeline[CoachResult]):
    """Coach one of the people of a stream of frames: the nearest, and the same one for as long as they stay.

    Args:
        people: the pipeline that finds the people; it is closed with this one.
        trainer: compares with the reference.
        reference: its name, for the recording's header.

    Raises:
        HumanrtError: the pipeline predicts at a camera's pace.
    """

    task = "coach"
    target = "people"

    def __init__(self, people: Pipeline[PeopleResult], trainer: Trainer, reference: str) -> None:
        refuse_live(people, self)
        self.people = people
        self.trainer = trainer
        self.reference = reference
        self._bones = people.about().get("bones")
        self._trainee = _NOBODY
        self._seen = float("-inf")

    def __call__(self, frame: Frame) -> CoachResult:
        """Process one frame. Frames come in the order of their time stamps."""
        found = self.people(frame)
        watch = Stopwatch()
        trainee, coaching = self._coached(found)
        watch.lap("coach")
        ms = {name: value for name, value in found.ms.items() if name != "total"} | watch.ms
        ms["total"] = sum(value for name, value in ms.items() if name != "capture")
        return CoachResult(frame, found, trainee, coaching, ms)

    def _coached(self, found: PeopleResult) -> tuple[int | None, Coaching | None]:
        t = found.frame.t
        if not found.ids:
            return None, None
        if found.frame.cut:  # a photograph: whoever is in it was in none before
            nearest = _nearest(found)
            pose = body_pose(found.people.rotations[nearest], self._bones)
            return found.ids[nearest], self.trainer.look(t, pose)
        if self._trainee not in found.ids:
            self._trainee = found.ids[_nearest(found)]
            if t - self._seen > _AWAY:
                self.trainer.reset()
        self._seen = t
        pose = body_pose(found.people.rotations[found.ids.index(self._trainee)], self._bones)
        return self._trainee, self.trainer.update(t, pose)

    def reset(self) -> None:
        """Forget all identities and what was said."""
        self.people.reset()
        self.trainer.reset()
        self._trainee = _NOBODY
        self._seen = float("-inf")

    def about(self) -> dict[str, Any]:
        exercise = self.trainer.exercise
        return {
            **self.people.about(),
            "reference": self.reference,
            "mirrored": self.trainer.coach.mirrored,
            "exercise": None if exercise is None else {"seconds": exercise.seconds, "repetitions": exercise.count},
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show the user once: what the reference is."""
        exercise = self.trainer.exercise
        if exercise is not None:
            what = f"an exercise, {exercise.count} repetitions of {exercise.seconds:.1f} s: yours are counted"
        else:
            what = "a motion" if self.trainer.reference.moves else "a pose"
        return (*self.people.notes, f"the reference {self.reference} is {what}")

    def close(self) -> None:
        """Free the people's networks."""
        self.people.close()


def _nearest(found: PeopleResult) -> int:
    """Return the index of the person who is nearest to the camera; of the confirmed ones, if there are any."""
    away = found.people.translations[:, 2]
    guessed = found.people.unconfirmed
    if guessed is not None and not guessed.all():
        away = np.where(guessed, np.inf, away)
    return int(np.argmin(away))


class _Painter(Protocol):
    def __call__(self, result: Any, *, dropped: int | None = None) -> Image: ...


class CoachPainter:
    """Draw people, the limbs of the trainee that are to be moved, the count of repetitions, and below them the words.

    Args:
        people: draws the people.
        joint_names: names of the joints of people.
        phrases: the words for the count of repetitions.
    """

    def __init__(self, people: _Painter, joint_names: Sequence[str], phrases: Phrases) -> None:
        self._people = people
        self._phrases = phrases
        self._heard: tuple[float, list[str]] = (float("-inf"), [])
        self._joints = {name: index for index, name in enumerate(joint_names)}

    def __call__(self, result: CoachResult, *, dropped: int | None = None) -> Image:
        """Draw the picture, RGB uint8 [H, W, 3], of even width and height."""
        # Not the timings of all stages, which cover half of a small picture.
        seen = replace(result.people, ms={"total": result.ms["total"]})
        image = self._people(seen, dropped=dropped)
        if result.coaching is None or result.trainee is None:
            return captioned(image, (), _ROOM)
        person = result.people.ids.index(result.trainee)
        points = result.people.people.joints_2d
        if points is not None:
            for clause in result.coaching.guidance.clauses:
                for one in clause.differences:
                    self._draw_limb(image, points[person], one.part, one.side)
        height, width = result.frame.image.shape[:2]
        if result.coaching.phase is not None:
            draw_corner(image[:height, :width], self._phrases.repetitions.format(n=result.coaching.count))
        return captioned(image, self._lines(result.frame, result.coaching), _ROOM)

    def _lines(self, frame: Frame, coaching: Coaching) -> list[str]:
        """Return the lines of the caption: the advice that stands, and above it what was said lately beside it."""
        standing = coaching.guidance.sentences
        new = [words for words in coaching.said if words not in standing]
        if new or frame.cut:
            self._heard = frame.t, new
        since, heard = self._heard
        return [*([" ".join(heard)] if heard and 0 <= frame.t - since < _SHOWN else []), *standing]

    def _draw_limb(self, image: Image, points: NDArray[np.float32], part: str, side: str) -> None:
        chain = [f"{side}_{joint}" if side else joint for joint in _LIMBS[part]]
        indices = [self._joints.get(joint, self._joints.get(_ANNY.get(joint, ""))) for joint in chain]
        at = [points[index] for index in indices if index is not None]
        limit = 4.0 * max(image.shape)  # far outside; OpenCV overflows beyond 16 bits
        if len(at) < len(chain) or not np.isfinite(at).all() or np.abs(at).max() > limit:
            return
        pixels = [(int(x), int(y)) for x, y in np.round(np.array(at) * 8)]  # in 1/8 px
        thick = max(2, round(4 * unit(image)))
        for colour, grow in ((_RIM, max(2, round(2 * unit(image)))), (_RED, 0)):
            for a, b in pairwise(pixels):
                cv2.line(image, a, b, colour, thick + grow, cv2.LINE_AA, 3)
            for point in pixels:
                cv2.circle(image, point, round(0.7 * (thick + grow) * 8), colour, cv2.FILLED, cv2.LINE_AA, 3)
