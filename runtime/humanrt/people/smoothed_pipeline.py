"""SmoothedPipeline: what pipelines of people share behind perception: one smoother, and results at a camera's pace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf, pi
from typing import Generic, TypeVar

import numpy as np

from humanrt.checks import check_range
from humanrt.errors import HumanrtError
from humanrt.inference.model import Model
from humanrt.inference.newest import Newest
from humanrt.people.landmark_model import Tracked
from humanrt.people.results import People
from humanrt.people.smoother import OneEuroPeople, PeopleSmoother, PeopleSmootherOptions, SmoothedPeople
from humanrt.people.tracking import Identities
from humanrt.perception.cuts import CutDetector
from humanrt.perception.pipeline import Pipeline, Result
from humanrt.smoothing.one_euro import OneEuroOptions
from humanrt.sources.opening import Frame, check_frame
from humanrt.timing import Stopwatch

__all__ = ["BLEND", "BLEND_LAG", "Shown", "SmoothedPipeline", "added"]

_MAX_PREDICTION = 1.0  # s
# What is predicted jumps whenever the network has looked at another frame: a low pass of one cut-off spreads it over
# some frames, and predicting further by its lag leaves none.
_BLEND_CUTOFF = 5.0  # Hz
BLEND_LAG = 1 / (2 * pi * _BLEND_CUTOFF)
"""Seconds by which `BLEND` is behind steady motion."""
_LOW_PASS = OneEuroOptions(_BLEND_CUTOFF, 0.0)
BLEND = PeopleSmootherOptions(_LOW_PASS, _LOW_PASS, _LOW_PASS, fill_seconds=0.0)
"""Low pass between the predictions of `SmoothedPipeline.at_camera_pace`; it fills nobody in."""

T = TypeVar("T", bound=Tracked)
R = TypeVar("R", bound=Result, covariant=True)


@dataclass(frozen=True)
class Shown:
    """People as a frame's result has them, after smoothing.

    Attributes:
        people: posed.
        ids: [N] theirs.
        lost: identities that ended since the last result.
        filled: identities that were not found in the frame that was looked at.
        age: s from that frame to the time for which they are predicted; None: they are of this frame.
    """

    people: People
    ids: tuple[int, ...]
    lost: tuple[int, ...]
    filled: frozenset[int]
    age: float | None = None


class SmoothedPipeline(Pipeline[R], ABC, Generic[T, R]):
    """What pipelines of people share: one smoother behind perception, whatever perceives.

    A subclass perceives (`_look`), poses what was smoothed (`_posed`), and makes results (`_result`).

    Args:
        model: perceives; it is closed with the pipeline.
        smoother: smooths people and fills in those whom a frame missed (`humanrt.people.smoothers`); None: they stay
            as they are. It is closed with the pipeline.
        predict: `stream` looks at the newest frame in a thread of its own, and predicts people for so many seconds
            after each of the frames that arrive meanwhile (`at_camera_pace`); None: every frame is looked at.
        option: what says which smoother, on the command line.

    Raises:
        HumanrtError: a prediction without a smoother, or on a GPU.
    """

    def __init__(
        self, model: Model, smoother: PeopleSmoother | None, predict: float | None, option: str = "--smooth"
    ) -> None:
        self._perceiving = model
        self.smoother = smoother
        if predict is not None:
            check_range(predict, "predict (s)", 0.0, _MAX_PREDICTION)
            if smoother is None:
                raise HumanrtError(f"--predict: only smoothed people are predicted; leave {option} none out")
            if model.backend.device is not None:
                raise HumanrtError(f"--predict: not on backend {model.backend.name}; leave it out, or take cpu")
        self.predict = predict
        self.needs_live = predict is not None
        self._cuts = CutDetector()

    def close(self) -> None:
        """Free the model's networks and what the smoother holds."""
        self._perceiving.close()
        if self.smoother is not None:
            self.smoother.close()

    def reset(self) -> None:
        """Forget what was smoothed, and the scene."""
        if self.smoother is not None:
            self.smoother.reset()
        self._cuts.reset()

    def stream(self, frames: Iterable[Frame]) -> Iterator[R]:
        return map(self, frames) if self.predict is None else self.at_camera_pace(frames, self.predict)

    @abstractmethod
    def _look(self, frame: Frame, *, cut: bool) -> T:
        """Return the people of a frame, with parameters at least; ``cut``: a new scene begins. May run in a thread."""

    @abstractmethod
    def _posed(self, people: People) -> People:
        """Return people with joints and vertices, as far as they are wanted, while `_look` may run."""

    @abstractmethod
    def _result(self, frame: Frame, seen: T | None, shown: Shown, ms: dict[str, float]) -> R:
        """Return a frame's result.

        Args:
            frame: the frame.
            seen: what was perceived last, of this frame or an earlier one; None: nothing of this scene.
            shown: its people.
            ms: by stage, without ``total``.
        """

    def _smoothed(self, seen: T, frame: Frame, *, cut: bool) -> SmoothedPeople:
        """Return who was seen in a frame, smoothed, and who was missed; of those whom perception fills in no other."""
        assert self.smoother is not None
        found = np.array([id not in seen.filled for id in seen.ids], bool)
        people = seen.people if found.all() else seen.people.chosen(found)
        ids = tuple(id for id in seen.ids if id not in seen.filled)
        height, width = frame.image.shape[:2]
        return self.smoother(people, Identities(ids, seen.lost), frame.t, (width, height), cut=cut)

    def _finished(self, frame: Frame, seen: T, ms: dict[str, float], *, cut: bool) -> R:
        """Return the result of a frame that was looked at."""
        if self.smoother is None:
            return self._result(frame, seen, Shown(seen.people, seen.ids, seen.lost, seen.filled), ms)
        watch = Stopwatch()
        smoothed = self._smoothed(seen, frame, cut=cut)
        watch.lap("smooth")
        people = self._posed(smoothed.people)
        if people.joints is not None:
            watch.lap("body")
        shown = Shown(people, smoothed.ids, seen.lost, smoothed.filled)
        return self._result(frame, seen, shown, added(ms, watch.ms))

    def at_camera_pace(self, frames: Iterable[Frame], ahead: float = 0.0) -> Iterator[R]:
        """Yield a result for every frame of a camera at once, however long perception takes.

        A second thread looks at the newest frame. In the others people are where the smoother predicts them, for the
        time of that frame and ``ahead`` seconds, such as the latency of a display or a robot. Only the first frame is
        waited for. In a new scene, and where time goes back, there is nobody until a frame of it was looked at.
        """
        assert self.smoother is not None
        seen: tuple[Frame, T] | None = None  # the last frame whose people are known
        nobody: People | None = None
        scene = known_scene = 0
        looked_scene = -1  # of the thread that looks
        shown = OneEuroPeople(BLEND)

        def look(given: tuple[Frame, int]) -> T:
            nonlocal looked_scene
            frame, of = given
            cut, looked_scene = of != looked_scene, of
            return self._look(frame, cut=cut)

        lost: tuple[int, ...] = ()  # since the last result
        before = -inf  # s, of the last frame
        with Newest(look) as newest:
            for frame in frames:
                check_frame(frame)
                watch = Stopwatch()
                if frame.t < before:
                    self._cuts.reset()
                if self._cuts(frame.image) or frame.cut or frame.t < before:
                    seen, scene = None, scene + 1
                    shown.reset()
                before = frame.t
                done = newest.take()
                newest.offer((frame, scene))
                if nobody is None:
                    done = newest.take(wait=True)
                if done is not None:
                    (looked, of), found = done
                    nobody = found.people.chosen(np.zeros(len(found.people), bool))
                    lost += found.lost
                    if of == scene:  # else of one that has ended meanwhile
                        self._smoothed(found, looked, cut=scene != known_scene)
                        seen, known_scene = (looked, found), scene
                watch.lap("track")
                assert nobody is not None
                result = SmoothedPeople(nobody, ())
                if seen is not None:
                    result = self.smoother.predicted(frame.t + ahead + BLEND_LAG)
                height, width = frame.image.shape[:2]
                blended = shown(result.people, Identities(result.ids, lost), frame.t, (width, height))
                watch.lap("smooth")
                posed = self._posed(blended.people)
                if posed.joints is not None:
                    watch.lap("body")
                age = None if seen is None else frame.t + ahead - seen[0].t
                of_now = Shown(posed, blended.ids, lost, result.filled, age)
                lost = ()
                yield self._result(frame, None if seen is None else seen[1], of_now, watch.ms)


def added(ms: dict[str, float], more: dict[str, float]) -> dict[str, float]:
    """Return times by stage with further ones, which add up where a stage ran before."""
    return ms | {stage: ms.get(stage, 0.0) + took for stage, took in more.items()}
