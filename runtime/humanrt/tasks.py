"""The list of tasks: the pipeline that a bundle needs, its options, and the painter of its results.

The commands, `humanrt.track` and calibration open their pipelines only here. A new task is one entry in `TASKS`; a new
kind of people model is one entry in `PEOPLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle, load_bundle, shipped_bundles
from humanrt.bundle.settings import MULTIHMR, people_model
from humanrt.coach.poses import body_pose
from humanrt.errors import BundleError, ClosedError, HumanrtError, choices
from humanrt.hands.pipeline import HandPipeline
from humanrt.hands.smoothers import SMOOTHERS, open_smoother
from humanrt.hands.tracker import HandTracker, TrackerOptions
from humanrt.hands.view import Painter as HandPainter
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.live import Painter, Pipeline, Result, results
from humanrt.people.holistic import DEFAULT_BUNDLE, QUALITIES, HolisticPeople, Quality
from humanrt.people.holistic_pipeline import HolisticPipeline
from humanrt.people.landmark_people import LandmarkPeople
from humanrt.people.landmark_pipeline import LandmarkPipeline
from humanrt.people.landmark_poses import LANDMARK_SMOOTHERS
from humanrt.people.multihmr import AUTO, MultiHMR
from humanrt.people.pipeline import PeoplePipeline
from humanrt.people.results import People
from humanrt.people.smoother import PeopleSmoother
from humanrt.people.smoothers import open_smoother as open_people_smoother
from humanrt.people.view import PeoplePainter, open_mesh_view
from humanrt.resource import Owner
from humanrt.sources.opening import Source, open_source

__all__ = [
    "PEOPLE",
    "TASKS",
    "AnyPeoplePipeline",
    "HandOptions",
    "PeopleOptions",
    "PicturePerson",
    "Results",
    "Task",
    "named_quality",
    "open_hands",
    "open_people",
    "picture_person",
    "task_named",
    "track",
]

AnyPeoplePipeline = PeoplePipeline | LandmarkPipeline | HolisticPipeline
_BundleLike = Bundle | str | Path | None
_Say = Callable[[str], None]

_POSES = "posebert-body"


@dataclass(frozen=True)
class HandOptions:
    """Options of the task ``hands``.

    Attributes:
        robots: names or description files of the robot hands to move, or one of them.
        smooth: how hands are smoothed, one of `SMOOTHERS`. None: the first, which also fills in missed frames.
        max_hands, model, mirrored: see `TrackerOptions`.
        intrinsics: the camera, for the wrists' places: K [3, 3] in px of the frames. None: a field of view is assumed.
        fov: field of view in degrees over the longer side of the image. None: 60.
        hand_length: metres from the wrist to the tip of the middle finger, by which a hand's distance is known. None:
            0.18.
        collisions: keep the robots' fingers from penetrating each other and the palm.
    """

    robots: str | Path | Sequence[str | Path] = ()
    smooth: str | None = None
    max_hands: int = TrackerOptions.max_hands
    model: str = TrackerOptions.model
    mirrored: bool = TrackerOptions.mirrored
    intrinsics: ArrayLike | None = None
    fov: float | None = None
    hand_length: float | None = None
    collisions: bool = False


@dataclass(frozen=True)
class PeopleOptions:
    """Options of the task ``people``. Opening raises HumanrtError for one that the bundle's model does not use.

    Attributes:
        robots: for `holistic`: likewise, moved by people's hands; and robot arms, by their arms.
        arm: for `holistic`: the person's arm that moves robot arms, left or right; a URDF among the robots is then one.
        collisions: for `holistic`: keep the robots' fingers from penetrating each other and the palm.
        quality: for `holistic`: how closely each person is looked at, one of `QUALITIES`. None: ``balanced``.
        refine: for Multi-HMR on Anny: correct everybody's pose by landmarks, looked at as closely as `quality` says,
            one of `QUALITIES`. None: as the network sees them.
        stature: height of every person in m, where it is known; for people from landmarks.
        intrinsics: the camera: K [3, 3] in px of the frames. None: a field of view is assumed.
        threshold: min score of a person. None: the bundle's.
        fov: field of view in degrees over the longer side of the image, or ``auto``, the network's estimate. None: the
            bundle's: 60, and ``auto`` for our own networks on Anny.
        meshes: whether to compute vertices and joints.
        topology: which mesh, if the bundle has several. None: its first.
        overlap: on a GPU, or with a bundle for batches: more frames per second, each one or some frames later.
        smooth: how people are smoothed: ``posebert``, ``oneeuro``, or ``none``, as each frame shows them. None:
            ``oneeuro`` for Multi-HMR, ``posebert`` for landmarks.
        smooth_after: for landmarks and `holistic`, which link frames themselves: a smoother of people behind them,
            ``oneeuro``, ``posebert`` or ``none``. None: ``none``, and ``oneeuro`` with `predict`.
        predict: of a camera: every frame has a result at once, with people predicted for so many seconds after it,
            from the newest frame that was looked at. None: every frame is looked at.
        poses: for landmarks: the PoseBERT bundle that converts them to rotations; None is geometry, frame by frame, and
            so is the default if it is not installed.
    """

    robots: str | Path | Sequence[str | Path] = ()
    arm: str | None = None
    collisions: bool = False
    quality: Quality | None = None
    refine: Quality | None = None
    stature: float | None = None
    intrinsics: ArrayLike | None = None
    threshold: float | None = None
    fov: float | Literal["auto"] | None = None
    meshes: bool = True
    topology: str | None = None
    overlap: bool = False
    smooth: str | None = None
    smooth_after: str | None = None
    predict: float | None = None
    poses: Bundle | str | Path | None = _POSES


def open_hands(
    bundle: _BundleLike = None,
    backend: Execution | Backend | str = "auto",
    options: HandOptions | None = None,
    **execution: Unpack[ExecutionOptions],
) -> HandPipeline:
    """Open the pipeline for hands.

    Args:
        bundle: name or folder of a bundle for hands, or a loaded one; None is the shipped one.
        backend, execution: where and how the networks run; see `Execution`.
        options: see `HandOptions`.
    """
    options = options or HandOptions()
    smooth = SMOOTHERS[0] if options.smooth is None else options.smooth
    if smooth not in SMOOTHERS:
        raise HumanrtError(f"unknown smoother `{smooth}`; choose one of: {', '.join(SMOOTHERS)}")
    looking = TrackerOptions(max_hands=options.max_hands, model=options.model, mirrored=options.mirrored)
    with ExitStack() as failing:
        tracker = failing.enter_context(HandTracker(bundle or "hands", backend, looking, **execution))
        smoother = open_smoother(smooth, tracker)
        if smoother:
            failing.callback(smoother.close)
        pipeline = HandPipeline(
            tracker,
            options.robots,
            smoother,
            intrinsics=options.intrinsics,
            fov=options.fov,
            hand_length=options.hand_length,
            collisions=options.collisions,
        )
        failing.pop_all()
    return pipeline


def open_people(
    bundle: _BundleLike = None,
    backend: Execution | Backend | str = "auto",
    options: PeopleOptions | None = None,
    **execution: Unpack[ExecutionOptions],
) -> AnyPeoplePipeline:
    """Open the pipeline for people that a bundle needs.

    Args:
        bundle: name or folder of a bundle for people, or a loaded one; None is the default one.
        backend, execution: where and how the networks run; see `Execution`.
        options: see `PeopleOptions`.
    """
    options = options or PeopleOptions()
    if not (options.fov is None or options.fov == AUTO or isinstance(options.fov, int | float)):
        raise HumanrtError(f"fov is {options.fov!r}; give degrees, or `{AUTO}`")
    if not isinstance(bundle, Bundle):
        bundle = load_bundle(bundle or DEFAULT_BUNDLE, task="people")
    kind = people_model(bundle)
    if kind not in PEOPLE:
        raise BundleError(f"{bundle.path}: `settings.model` is {kind!r}; models of people: {choices(PEOPLE)}")
    return PEOPLE[kind](bundle, Execution.of(backend, execution), options)


def _multihmr(bundle: Bundle, execution: Execution, options: PeopleOptions) -> PeoplePipeline:
    _refuse_unused(bundle, options, "robots", "arm", "collisions", "quality", "stature")
    if options.smooth_after is not None:
        raise HumanrtError(f"--smooth-after: bundle `{bundle.name}` has --smooth in its place; give that")
    smoother = open_people_smoother(bundle, options.smooth)
    with ExitStack() as failing:
        if smoother is not None:
            failing.callback(smoother.close)
        model = failing.enter_context(
            MultiHMR(
                bundle,
                execution,
                fov=options.fov,
                meshes=options.meshes,
                topology=options.topology,
                refine=options.refine or False,
            )
        )
        pipeline = PeoplePipeline(
            model,
            intrinsics=options.intrinsics,
            threshold=options.threshold,
            overlap=options.overlap,
            smoother=smoother,
            predict=options.predict,
        )
        failing.pop_all()
    return pipeline


def _landmarks(bundle: Bundle, execution: Execution, options: PeopleOptions) -> LandmarkPipeline:
    _refuse_unused(bundle, options, "robots", "arm", "collisions", "quality")
    _check_landmark_options(bundle, options)
    poses = None if options.poses == _POSES and _POSES not in shipped_bundles() else options.poses
    with ExitStack() as failing:
        model = failing.enter_context(
            LandmarkPeople(
                bundle,
                poses,
                execution,
                fov=_degrees(options),
                stature=options.stature,
                meshes=options.meshes,
                smooth=options.smooth or LANDMARK_SMOOTHERS[0],
            )
        )
        pipeline = LandmarkPipeline(
            model,
            intrinsics=options.intrinsics,
            threshold=options.threshold,
            smoother=_smoother_after(bundle, options, failing),
            predict=options.predict,
        )
        failing.pop_all()
    return pipeline


def _holistic(bundle: Bundle, execution: Execution, options: PeopleOptions) -> HolisticPipeline:
    _check_landmark_options(bundle, options)
    with ExitStack() as failing:
        model = failing.enter_context(
            HolisticPeople(
                bundle,
                execution,
                quality=options.quality or "balanced",
                fov=_degrees(options),
                stature=options.stature,
                meshes=options.meshes,
                smooth=options.smooth or LANDMARK_SMOOTHERS[0],
            )
        )
        pipeline = HolisticPipeline(
            model,
            options.robots,
            arm=options.arm,
            collisions=options.collisions,
            intrinsics=options.intrinsics,
            threshold=options.threshold,
            smoother=_smoother_after(bundle, options, failing),
            predict=options.predict,
        )
        failing.pop_all()
    return pipeline


def _smoother_after(bundle: Bundle, options: PeopleOptions, failing: ExitStack) -> PeopleSmoother | None:
    """Open the smoother behind a model that links frames itself; ``failing`` closes it."""
    name = options.smooth_after or ("none" if options.predict is None else None)
    smoother = open_people_smoother(bundle, name)
    if smoother is not None:
        failing.callback(smoother.close)
    return smoother


def named_quality(text: str) -> tuple[Bundle, dict[str, Any]]:
    """Return bundle and options of ``NAME|PATH[:QUALITY]``: `PeopleOptions.quality`, of a Multi-HMR `refine`.

    Raises:
        BundleError: there is no such bundle.
        HumanrtError: it has no qualities, or not this one.
    """
    name, _, quality = text.rpartition(":")
    if not name or (quality not in QUALITIES and name not in shipped_bundles()):
        return load_bundle(text, task="people"), {}
    bundle = load_bundle(name, task="people")
    if people_model(bundle) not in (MULTIHMR, "holistic"):
        raise HumanrtError(f"{text}: bundle `{bundle.name}` has no qualities; give `{name}`")
    if quality not in QUALITIES:
        raise HumanrtError(f"{text}: no quality `{quality}`; choose one of: {', '.join(QUALITIES)}")
    return bundle, {"refine" if people_model(bundle) == MULTIHMR else "quality": quality}


def _degrees(options: PeopleOptions) -> float | None:
    return None if options.fov is None else float(options.fov)


def _refuse_unused(bundle: Bundle, options: PeopleOptions, *names: str) -> None:
    """Raise HumanrtError if one of the options is given, which the bundle's model does not use."""
    for name in names:
        if getattr(options, name):
            option = name.removesuffix("s") if name == "robots" else name
            instead = ""
            if name == "quality" and people_model(bundle) == MULTIHMR:
                instead = f", or give --refine {options.quality}"
            raise HumanrtError(
                f"--{option}: bundle `{bundle.name}` does not use it; leave it out, or take `holistic`{instead}"
            )


def _check_landmark_options(bundle: Bundle, options: PeopleOptions) -> None:
    """Raise HumanrtError if an option is given that people from landmarks do not have."""
    if options.topology is not None:
        raise HumanrtError(f"--topology: bundle `{bundle.name}` has one mesh; leave it out")
    if options.refine is not None:
        raise HumanrtError(f"--refine: bundle `{bundle.name}` follows landmarks as it is; leave it out")
    if options.overlap:
        raise HumanrtError(
            f"--overlap: bundle `{bundle.name}` uses the last frame to find people in the next; leave it out"
        )
    if options.fov == AUTO:
        raise HumanrtError(f"--fov auto: bundle `{bundle.name}` does not estimate the field of view; give degrees")


PEOPLE: Mapping[str, Callable[[Bundle, Execution, PeopleOptions], AnyPeoplePipeline]] = {
    "holistic": _holistic,
    "landmarks": _landmarks,
    MULTIHMR: _multihmr,
}
"""Kinds of people models, by the setting ``model`` of their bundles, and the function that opens each pipeline."""


def _paint_hands(pipeline: HandPipeline, stack: ExitStack, say: _Say) -> Painter:
    return HandPainter(pipeline.robots)


def _paint_people(
    pipeline: AnyPeoplePipeline, stack: ExitStack, say: _Say, *, meshes: bool = True, panels: Sequence[str] = ()
) -> Painter:
    view = open_mesh_view(say) if meshes else None
    if view:
        stack.enter_context(view)
    robots = pipeline.robots if isinstance(pipeline, HolisticPipeline) else None
    return PeoplePainter(pipeline.model.faces, pipeline.model.joint_names, view, panels, robots)


@dataclass(frozen=True)
class Task:
    """A task: what can be looked for in frames.

    Attributes:
        name: name in ``humanrt run --task`` and ``humanrt.track(task=...)``.
        bundle: name of the bundle unless another one is asked for.
        options: dataclass of its options.
        open: opens its pipeline from bundle (None: the task's default), backend, options, and how networks run.
        painter: opens the painter of its results from pipeline, stack that closes what is opened, function that reports
            what is missing, and the task's own drawing options.
    """

    name: str
    bundle: str
    options: type[Any]
    open: Callable[..., Pipeline[Any]]
    painter: Callable[..., Painter]


TASKS: Mapping[str, Task] = {
    "hands": Task("hands", "hands", HandOptions, open_hands, _paint_hands),
    "people": Task("people", DEFAULT_BUNDLE, PeopleOptions, open_people, _paint_people),
}
"""All tasks by name; the first is the default."""


def task_named(name: str) -> Task:
    """Return the task called ``name``. HumanrtError lists the valid names."""
    if not isinstance(name, str) or name not in TASKS:
        raise HumanrtError(f"unknown task `{name}`; choose one of: {', '.join(TASKS)}")
    return TASKS[name]


class Results(Owner):
    """The results of a source's frames, one after the other, as `track` opens them.

    Iterate over it, best inside `with`. Everything is closed when the source ends, and by leaving `with`.

    Attributes:
        source: the source that is read.
        pipeline: the pipeline that computes the results.
        header: the first line of a recording of them: task, robots and their joint names, bundle, fps.
    """

    def __init__(self, source: Source, pipeline: Pipeline[Any], max_frames: int | None = None) -> None:
        """Take ownership of a pipeline and an open source: both are closed with this object."""
        self.source = self.own(source)
        self.pipeline = self.own(pipeline)
        self.header: dict[str, Any] = pipeline.header(source)
        self._results = islice(results(source, pipeline), max_frames)
        self._ended = False

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Any:
        """Return the result of the next frame: a `HandResult` or a `PeopleResult`, depending on the task."""
        if self._ended:
            raise StopIteration
        if self.closed:
            raise ClosedError("these results are closed; call track again")
        try:
            return next(self._results)
        except BaseException as error:
            self._ended = isinstance(error, StopIteration)
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Results of task {self.pipeline.task} on {self.source.name}>"


def track(
    source: str | int | Path,
    task: str = "hands",
    *,
    robots: str | Path | Sequence[str | Path] | None = None,
    bundle: Bundle | str | Path | None = None,
    smooth: str | None = None,
    backend: Execution | Backend | str = "auto",
    max_frames: int | None = None,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    realtime: bool = False,
    frames: bool = False,
    **options: Any,
) -> Results:
    """Track hands or people in a source and yield one result per frame.

    >>> with humanrt.track("clip.mp4", robots="allegro_right") as results:
    ...     for result in results:
    ...         print(result.frame.t, result.robots)

    Args:
        source: camera index, stream URL, video file, image, or folder of images.
        task: one of `TASKS`: ``hands`` or ``people``.
        robots: names or description files of the robot hands that hands move, or one of them.
        bundle: name or folder of a model bundle, or a loaded one; None is the task's default.
        smooth: for hands and people of landmarks: ``posebert`` (default), ``oneeuro`` or ``none``; for people of
            Multi-HMR: ``oneeuro`` (default) or ``none``.
        backend: ``auto``, ``cpu``, ``cuda``, ``tensorrt``, an opened backend or an `Execution`.
        max_frames: max number of frames.
        size, fps, realtime, frames: as for `open_source`.
        options: further fields of `HandOptions` or `PeopleOptions`, and of `Execution`: ``precision``, ``threads``,
            ``unverified``.

    Raises:
        HumanrtError: the source, the bundle or an option is wrong, in one line that says what to do.
    """
    if isinstance(source, bool) or not isinstance(source, str | int | Path):
        raise HumanrtError(
            f"track: a source is a camera index, an address, or the name of a file or folder, not {_kind(source)}; "
            "HandTracker and MultiHMR take single images"
        )
    if robots is not None and not _names(robots):
        raise HumanrtError(f"track: robots are names or files of robot hands, in a list, not {_kind(robots)}")
    chosen = task_named(task)
    if isinstance(max_frames, bool) or not (max_frames is None or (isinstance(max_frames, int) and max_frames > 0)):
        raise HumanrtError(f"max_frames is {max_frames!r}; give a whole number above 0, or leave it out")
    given = {name: value for name, value in (("robots", robots), ("smooth", smooth)) if value is not None} | options
    own = [field.name for field in fields(chosen.options)]
    running = [name for name in ExecutionOptions.__annotations__ if name in given]
    for name in given:
        if name not in (*own, *running):
            raise HumanrtError(f"track: task {task} has no option `{name}`; its options: {choices(own)}")
    execution: Any = {name: given.pop(name) for name in running}
    with ExitStack() as failing:
        opened = open_source(source, size=size, fps=fps, realtime=realtime, frames=frames)
        failing.callback(opened.close)
        pipeline = chosen.open(bundle, backend, chosen.options(**given), **execution)
        failing.callback(pipeline.close)
        made = Results(opened, pipeline, max_frames)
        failing.pop_all()
    return made


def _names(value: object) -> bool:
    """Whether it is a name or path, or a collection of those."""
    several = value if isinstance(value, list | tuple | set | frozenset) else [value]
    return all(isinstance(one, str | Path) for one in several)


def _kind(value: object) -> str:
    """Return what something is, in a few words however large it is."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"an array {list(shape)}"
    text = repr(value)
    return text if len(text) <= 40 else f"a {type(value).__name__}"


@dataclass(frozen=True)
class PicturePerson:
    """A person in a picture.

    Attributes:
        pose: [22, 3, 3], as `humanrt.coach.poses` has them.
        box: (left, top, right, bottom) px around the joints; None if the bundle gives no joints.
        number: of the people, counted from the left, the first is 1.
        among: how many people are seen.
        confirmed: not one of `People.unconfirmed`.
    """

    pose: NDArray[np.float64]
    box: tuple[float, float, float, float] | None
    number: int
    among: int
    confirmed: bool = True


def picture_person(
    path: str | Path, bundle: Bundle | str | Path | None = None, *, number: int | None = None, nearest: bool = False
) -> PicturePerson:
    """Return the person of a picture who is seen best, or another one; an unconfirmed one only if nobody is confirmed.

    Args:
        path: picture.
        bundle: for people; None: the default.
        number: of the person who is wanted, counted from the left, the first is 1; confirmed or not.
        nearest: the person who is nearest to the camera is wanted.

    Raises:
        HumanrtError: it cannot be read, nobody is seen in it, or fewer people than ``number``.
    """
    with track(path, "people", bundle=bundle, backend="cpu", max_frames=1) as results:
        found = next(iter(results), None)
        people: People | None = getattr(found, "people", None)
        if people is None or not len(people.scores):
            raise HumanrtError(f"{path}: nobody is seen in this picture; give one that shows a person")
        bones: Sequence[str] | None = results.header.get("bones")
    points = people.joints_2d
    order = np.argsort(people.translations[:, 0] if points is None else points[..., 0].mean(axis=1), kind="stable")
    confirmed = np.ones(len(order), bool) if people.unconfirmed is None else ~people.unconfirmed
    if number is not None:
        if not 1 <= number <= len(order):
            seen = "1 person is" if len(order) == 1 else f"{len(order)} people are"
            raise HumanrtError(f"{path}: {seen} seen, so there is no number {number}; count from the left, from 1")
        which = int(order[number - 1])
    else:
        # Scores of both kinds are on different scales.
        among = np.flatnonzero(confirmed) if confirmed.any() else np.arange(len(order))
        best = people.translations[among, 2].argmin() if nearest else people.scores[among].argmax()
        which = int(among[best])
    edges = None if points is None else (*points[which].min(axis=0).tolist(), *points[which].max(axis=0).tolist())
    place = 1 + int(np.flatnonzero(order == which)[0])
    return PicturePerson(body_pose(people.rotations[which], bones), edges, place, len(order), bool(confirmed[which]))
