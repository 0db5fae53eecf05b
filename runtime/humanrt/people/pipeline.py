"""Pipeline for people: perceive -> track -> smooth. Drawing, recording and mesh files follow, from the result."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import pi
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from humanrt.bundle.settings import body_names
from humanrt.checks import check_kind, check_probability, check_range, check_same_count
from humanrt.errors import HumanrtError
from humanrt.geometry.camera import check_intrinsics
from humanrt.geometry.ground import Ground
from humanrt.geometry.rotation import vectors_from_matrices
from humanrt.geometry.skeleton import SkeletonError
from humanrt.hands.tracker import Hand
from humanrt.inference.newest import Newest
from humanrt.people.landmark_model import LandmarkModel
from humanrt.people.multihmr import MultiHMR
from humanrt.people.results import Forecast, People, Person
from humanrt.people.smoother import OneEuroPeople, PeopleSmoother, PeopleSmootherOptions, SmoothedPeople
from humanrt.people.tracking import Identities, PeopleTracker
from humanrt.perception.cuts import CutDetector
from humanrt.perception.pipeline import Pipeline, Result, model_header
from humanrt.smoothing.one_euro import OneEuroOptions
from humanrt.sources.opening import Frame, check_frame
from humanrt.timing import Stopwatch

__all__ = ["BLEND", "BLEND_LAG", "PeoplePipeline", "PeopleResult", "people_header"]

_MAX_PREDICTION = 1.0  # s
# What is predicted jumps whenever the network has looked at another frame: a low pass of one cut-off spreads it over
# some frames, and predicting further by its lag leaves none.
_BLEND_CUTOFF = 5.0  # Hz
BLEND_LAG = 1 / (2 * pi * _BLEND_CUTOFF)
"""...s by which it is behind steady motion."""
_LOW_PASS = OneEuroOptions(_BLEND_CUTOFF, 0.0)
BLEND = PeopleSmootherOptions(_LOW_PASS, _LOW_PASS, _LOW_PASS, fill_seconds=0.0)
"""Low pass between predictions of `PeoplePipeline.at_camera_pace`, and..."""
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


class PeoplePipeline(Pipeline[PeopleResult]):
    """Detect the people of a stream of frames and assign identities. Closes the model that it was given.

    Args:
        model: detects the people.
        tracker: assigns identities; None creates one.
        intrinsics: K [3, 3] of the camera in px of the frames; None assumes the model's field of view.
        threshold: minimum score of a person; None takes the bundle's.
        overlap: `stream` submits each frame before the last one's result is taken: on a GPU, and with a bundle for
            batches, which frames then fill.
        smoother: smooths people and fills in those whom a frame missed (`humanrt.people.smoothers`); None: each frame
            as the model sees it. It is closed with the pipeline.
        predict: `stream` looks at the newest frame in a thread of its own, and predicts people for so many seconds
            after each of the frames that arrive meanwhile (`at_camera_pace`); None: every frame is looked at.

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
        self.smoother = smoother
        if predict is not None:
            check_range(predict, "predict (s)", 0.0, _MAX_PREDICTION)
            if smoother is None:
                raise HumanrtError("--predict: only smoothed people are predicted; leave --smooth none out")
            if model.overlaps:
                raise HumanrtError(
                    f"--predict: not on backend {model.backend.name}; leave it out, or take cpu"
                    if model.backend.device is not None
                    else f"--predict: bundle `{model.bundle.name}` is for batches of pictures; leave it out, or export "
                    "one for single pictures"
                )
        self.predict = predict
        self.needs_live = predict is not None
        self._cuts = CutDetector()

    @property
    def overlaps(self) -> bool:
        """Whether `overlapped` is faster than one frame after the other."""
        return self.model.overlaps

    def about(self) -> dict[str, Any]:
        smooth = "none" if self.smoother is None else self.smoother.name
        refine = {} if self.model.refine is None else {"refine": self.model.refine}
        return {**people_header(self.model), "smooth": smooth, **refine}

    def close(self) -> None:
        """Free the model's networks and what the smoother holds."""
        self.model.close()
        if self.smoother is not None:
            self.smoother.close()

    def reset(self) -> None:
        """Forget all identities."""
        self.tracker.reset()
        if self.smoother is not None:
            self.smoother.reset()
        self._cuts.reset()

    def __call__(self, frame: Frame) -> PeopleResult:
        """Process one frame. Frames come in the order of their time stamps."""
        check_frame(frame)
        self._submit(frame)
        return self._finish(frame)

    def stream(self, frames: Iterable[Frame]) -> Iterator[PeopleResult]:
        if self.predict is not None:
            return self.at_camera_pace(frames, self.predict)
        return self.overlapped(frames) if self.overlap else map(self, frames)

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

    def at_camera_pace(self, frames: Iterable[Frame], ahead: float = 0.0) -> Iterator[PeopleResult]:
        """Yield a result for every frame of a camera at once, however long the network takes.

        A second thread looks at the newest frame. In the others people are where the smoother predicts them, for the
        time of that frame and ``ahead`` seconds, such as the latency of a display or a robot. Only the first frame is
        waited for. In a new scene there is nobody until a frame of it was looked at.
        """
        assert self.smoother is not None
        seen: Frame | None = None  # the last one whose people are known
        nobody: People | None = None
        scene = known_scene = 0
        shown = OneEuroPeople(BLEND)
        with Newest(self._look) as newest:
            for frame in frames:
                check_frame(frame)
                watch, lost = Stopwatch(), tuple[int, ...]()
                if self._cuts(frame.image) or frame.cut:
                    seen, scene = None, scene + 1
                    shown.reset()
                done = newest.take()
                newest.offer((frame, scene))
                if nobody is None:
                    done = newest.take(wait=True)
                if done is not None:
                    (looked, of), people = done
                    nobody = _none_of(people)
                    if of == scene:  # else of one that has ended meanwhile
                        lost = self._know(looked, people, cut=scene != known_scene)
                        seen, known_scene = looked, scene
                watch.lap("track")
                assert nobody is not None
                result = SmoothedPeople(nobody, ())
                if seen is not None:
                    result = self.smoother.predicted(frame.t + ahead + BLEND_LAG)
                height, width = frame.image.shape[:2]
                blended = shown(result.people, Identities(result.ids, lost), frame.t, (width, height))
                watch.lap("smooth")
                posed = self.model.posed(blended.people)
                if posed.vertices is not None:
                    watch.lap("body")
                ms = {**watch.ms, "total": sum(watch.ms.values())}
                age = None if seen is None else frame.t + ahead - seen.t
                yield PeopleResult(frame, posed, result.ids, lost, ms, result.filled, age=age)

    def _look(self, given: tuple[Frame, int]) -> People:
        self._submit(given[0])
        return self.model.result()

    def _know(self, frame: Frame, people: People, *, cut: bool) -> tuple[int, ...]:
        """Take the people of a frame into tracker and smoother, and return the identities that ended."""
        assert self.smoother is not None
        identities = self.tracker(people, frame.t, cut=cut)
        height, width = frame.image.shape[:2]
        self.smoother(people, identities, frame.t, (width, height), cut=cut)
        return identities.lost

    def _submit(self, frame: Frame) -> None:
        # Smoothed people are posed once, after smoothing: it costs no more than without.
        self.model.submit(frame.image, self.intrinsics, self.threshold, meshes=self.smoother is None)

    def _finish(self, frame: Frame) -> PeopleResult:
        people = self.model.result()
        watch = Stopwatch()
        cut = self._cuts(frame.image) or frame.cut
        identities = self.tracker(people, frame.t, cut=cut)
        watch.lap("track")
        ids, filled = identities.ids, frozenset[int]()
        if self.smoother is not None:
            height, width = frame.image.shape[:2]
            smoothed = self.smoother(people, identities, frame.t, (width, height), cut=cut)
            ids, filled = smoothed.ids, smoothed.filled
            watch.lap("smooth")
            people = self.model.posed(smoothed.people)
            if people.vertices is not None:
                watch.lap("body")
        ms = people.ms | watch.ms
        ms["total"] = sum(ms.values())
        return PeopleResult(frame, people, ids, identities.lost, ms, filled)


def _none_of(people: People) -> People:
    """Return nobody, seen with the same camera."""
    arrays = ("scores", "locations", "translations", "rotations", "shape", "expression")
    return replace(people, **{name: getattr(people, name)[:0] for name in arrays})


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
