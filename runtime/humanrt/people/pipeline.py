"""Pipeline for people: perceive -> track -> smooth. Drawing, recording and mesh files follow, from the result."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from humanrt.bundle.settings import body_names
from humanrt.checks import check_kind, check_probability, check_same_count
from humanrt.errors import HumanrtError
from humanrt.geometry.camera import check_intrinsics
from humanrt.geometry.ground import Ground
from humanrt.geometry.rotation import vectors_from_matrices
from humanrt.geometry.skeleton import SkeletonError
from humanrt.hands.tracker import Hand
from humanrt.people.landmark_model import LandmarkModel, Tracked
from humanrt.people.multihmr import MultiHMR
from humanrt.people.results import Forecast, People, Person
from humanrt.people.smoothed_pipeline import Shown, SmoothedPipeline, added
from humanrt.people.smoother import PeopleSmoother
from humanrt.people.tracking import PeopleTracker
from humanrt.perception.pipeline import Result, model_header
from humanrt.sources.opening import Frame, check_frame
from humanrt.timing import Stopwatch

__all__ = ["PeoplePipeline", "PeopleResult", "people_header", "people_result"]

_NO_JOINTS = np.zeros((0, 3), np.float32)


@dataclass(frozen=True, repr=False)
class PeopleResult(Result):
    """Everything known of one frame.

    Attributes:
        frame: the input frame.
        people: the people, highest score first.
        ids: [N] identity of each of them, from 1.
        lost: identities that ended with this frame.
        ms: milliseconds per stage, in processing order, and ``total`` (their sum, without waiting for the source).
        filled: identities that were not found in this frame: for a short time their pose is filled in.
        hands: the people's hands, where the model finds them.
        age: s from the frame in which they were seen to the time for which their pose is predicted; None: the pose is
            that of this frame.
        forecasts: what people do next, where that is asked for (`humanrt.people.forecaster`).
        ground: the floor, where it is asked for and known (`humanrt.animation.live_ground`).
    """

    frame: Frame
    people: People
    ids: tuple[int, ...]
    lost: tuple[int, ...]
    ms: dict[str, float]
    filled: frozenset[int] = frozenset()
    hands: Iterable[Hand] = ()
    age: float | None = field(default=None, kw_only=True)
    forecasts: tuple[Forecast, ...] = field(default=(), kw_only=True)
    ground: Ground | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_same_count(self, "people", "ids")

    @property
    def persons(self) -> tuple[Person, ...]:
        """The people one by one, each with its identity, in the order of `people`."""
        return tuple(self.people.person(i, id, filled=id in self.filled) for i, id in enumerate(self.ids))

    def entities(self) -> list[str]:
        unsure = {False: "", True: ", unconfirmed"}
        return [
            f"person {one.id} ({'filled in' if one.filled else f'{one.score:.2f}{unsure[one.unconfirmed]}'})"
            for one in self.persons
        ]

    def camera_record(self) -> dict[str, Any]:
        return {"intrinsics": self.people.intrinsics, **({} if self.age is None else {"age": self.age})}

    def record(self) -> dict[str, Any]:
        record = super().record()
        if self.ground is not None:
            record["ground"] = self.ground.record()
        return {**record, "forecasts": [one.record() for one in self.forecasts]} if self.forecasts else record

    def people_records(self) -> list[dict[str, Any]]:
        vectors = vectors_from_matrices(self.people.rotations)
        return [
            {
                "id": one.id,
                "score": one.score,
                "head_2d": one.head_2d,
                "translation": one.translation,
                "rotations": vectors[i],
                "shape": one.shape,
                "expression": one.expression,
                "joints_3d": _NO_JOINTS if one.joints is None else one.joints,
                **({"filled": True} if one.filled else {}),
                **({"unconfirmed": True} if one.unconfirmed else {}),
            }
            for i, one in enumerate(self.persons)
        ]


class PeoplePipeline(SmoothedPipeline[Tracked, PeopleResult]):
    """Detect the people of a stream of frames and assign identities. Closes the model that it was given.

    Args:
        model: detects the people.
        tracker: assigns identities; None creates one.
        intrinsics: K [3, 3] of the camera in px of the frames; None assumes the model's field of view.
        threshold: minimum score of a person; None takes the bundle's.
        overlap: `stream` submits each frame before the last one's result is taken: on a GPU, and with a bundle for
            batches, which frames then fill.
        smoother, predict: see `SmoothedPipeline`.

    Raises:
        HumanrtError: an overlap was requested but frames cannot overlap; or a prediction without a smoother, on a GPU
            or with a bundle for batches.
    """

    task = "people"
    target = "people"

    def __init__(
        self,
        model: MultiHMR,
        tracker: PeopleTracker | None = None,
        *,
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
        overlap: bool = False,
        smoother: PeopleSmoother | None = None,
        predict: float | None = None,
    ) -> None:
        check_kind(model, MultiHMR, "model", "a MultiHMR (people by landmarks: LandmarkPipeline)")
        check_probability(threshold, "threshold")
        if overlap and not model.overlaps:
            raise HumanrtError(f"--overlap: backend {model.backend.name} has nothing to overlap; leave it out")
        self.model = model
        self.tracker = PeopleTracker() if tracker is None else tracker
        check_kind(self.tracker, PeopleTracker, "tracker", "a PeopleTracker")
        self.intrinsics = None if intrinsics is None else check_intrinsics(intrinsics)
        self.threshold = threshold
        self.overlap = overlap
        if predict is not None and model.overlaps and model.backend.device is None:
            raise HumanrtError(
                f"--predict: bundle `{model.bundle.name}` is for batches of pictures; leave it out, or export one for "
                "single pictures"
            )
        super().__init__(model, smoother, predict)

    @property
    def overlaps(self) -> bool:
        """Whether `overlapped` is faster than one frame after the other."""
        return self.model.overlaps

    def about(self) -> dict[str, Any]:
        smooth = "none" if self.smoother is None else self.smoother.name
        refine = {} if self.model.refine is None else {"refine": self.model.refine}
        return {**people_header(self.model), "smooth": smooth, **refine}

    def reset(self) -> None:
        """Forget all identities."""
        self.tracker.reset()
        super().reset()

    def __call__(self, frame: Frame) -> PeopleResult:
        """Process one frame. Frames come in the order of their time stamps."""
        check_frame(frame)
        self._submit(frame)
        return self._finish(frame)

    def stream(self, frames: Iterable[Frame]) -> Iterator[PeopleResult]:
        return self.overlapped(frames) if self.overlap and self.predict is None else super().stream(frames)

    def overlapped(self, frames: Iterable[Frame]) -> Iterator[PeopleResult]:
        """Process frames, submitting each before the last one's result is taken.

        This gives more frames a second: on a GPU, with every result one frame later, and with a bundle for batches,
        with every result when its batch is full. Otherwise nothing overlaps on a CPU.
        """
        waiting: deque[Frame] = deque()
        for frame in frames:
            check_frame(frame)
            if self.model.full:
                yield self._finish(waiting.popleft())
            self._submit(frame)
            waiting.append(frame)
        while waiting:
            yield self._finish(waiting.popleft())

    def _look(self, frame: Frame, *, cut: bool) -> Tracked:
        self._submit(frame)
        people = self.model.result()
        identities = self.tracker(people, frame.t, cut=cut)
        return Tracked(people, identities.ids, identities.lost, frozenset())

    def _posed(self, people: People) -> People:
        return self.model.posed(people)

    def _result(self, frame: Frame, seen: Tracked | None, shown: Shown, ms: dict[str, float]) -> PeopleResult:
        return people_result(frame, shown, ms)

    def _submit(self, frame: Frame) -> None:
        # Smoothed people are posed once, after smoothing: it costs no more than without.
        self.model.submit(frame.image, self.intrinsics, self.threshold, meshes=self.smoother is None)

    def _finish(self, frame: Frame) -> PeopleResult:
        people = self.model.result()
        watch = Stopwatch()
        cut = self._cuts(frame.image) or frame.cut
        identities = self.tracker(people, frame.t, cut=cut)
        watch.lap("track")
        seen = Tracked(people, identities.ids, identities.lost, frozenset())
        return self._finished(frame, seen, added(people.ms, watch.ms), cut=cut)


def people_result(frame: Frame, shown: Shown, ms: dict[str, float]) -> PeopleResult:
    """Return the result of a frame whose people are shown; ``ms``: by stage, to which ``total`` is added."""
    whole = {**ms, "total": sum(ms.values())}
    return PeopleResult(frame, shown.people, shown.ids, shown.lost, whole, shown.filled, age=shown.age)


def people_header(model: MultiHMR | LandmarkModel[Any]) -> dict[str, Any]:
    """Return the part of a recording's header for a people model.

    ``bones`` names the rotations, ``parents`` gives their tree, and ``rest`` where they begin at rest, [R, 3] m from
    the root, of an average adult, in the body's own axes. Bodies whose rotations are of other bones than Anny's or
    SMPL-X's have only names.
    """
    body, bones = body_names(model.bundle)
    skeleton: dict[str, Any] = {"bones": list(bones)} if bones else {}
    with suppress(SkeletonError):
        rig = model.rig
        skeleton = {"bones": list(rig.bones), "parents": list(rig.parents), "rest": rig.rest()}
    return {"robots": {}, **model_header(model), "body": body, **skeleton, "joints": list(model.joint_names)}
