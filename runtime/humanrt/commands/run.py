"""``humanrt run SOURCE``: the live loop, on a camera, a stream, a video, an image or a folder of images."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from humanrt import __version__, native
from humanrt.address import is_address
from humanrt.backends import BACKENDS
from humanrt.bundle import Bundle, load_bundle, shipped_bundles
from humanrt.errors import HumanrtError, OutputError
from humanrt.geometry.camera import read_intrinsics
from humanrt.hands.pipeline import HandPipeline
from humanrt.hands.pose_smoother import HandPoseSmoother
from humanrt.hands.smoothers import SMOOTHERS, open_smoother
from humanrt.hands.tracker import HandTracker, TrackerOptions
from humanrt.hands.view import Painter
from humanrt.inference.variants import EXACT
from humanrt.outputs.mesh_files import FORMATS, MeshWriter, check_format
from humanrt.outputs.record import RECORDING_SUFFIX, Recorder, check_apart
from humanrt.outputs.video import Sink, open_sink
from humanrt.outputs.window import Window, has_display
from humanrt.people.landmark_people import LandmarkPeople
from humanrt.people.landmark_pipeline import LandmarkPipeline
from humanrt.people.landmarks import uses_landmarks
from humanrt.people.multihmr import AUTO, DEFAULT_BUNDLE, MultiHMR
from humanrt.people.pipeline import PeoplePipeline, PeopleResult
from humanrt.people.view import PANELS, PeoplePainter, open_mesh_view
from humanrt.resource import Resource
from humanrt.sources.opening import Frame, Source, is_image, open_source, source_files

__all__ = ["add_parser", "header", "run"]

# What concerns one task only, with its default: given for another task it is an error, not silently without effect.
_OWN_OPTIONS: dict[str, dict[str, Any]] = {
    "hands": {"robot": [], "max_hands": 2, "model": "full", "mirrored": False},
    "people": {
        "intrinsics": None,
        "fov": None,
        "threshold": None,
        "topology": None,
        "overlap": False,
        "parameters_only": False,
        "meshes": None,
        "mesh_format": "glb",
        "panels": [],
    },
}

_EXAMPLES = """\
examples:
  humanrt run 0 --robot allegro_right                          a webcam, in a window
  humanrt run clip.mp4 --robot leap_right --headless --record out.jsonl --video out.mp4
  humanrt run photo.jpg --task people --headless --video out.png --meshes meshes
"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "run",
        help="track hands or people in SOURCE; move robot hands, or make meshes",
        description="Track hands in SOURCE and move robot hands, or find people and make their meshes. Without "
        "--headless a window shows it; q stops.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="camera index, stream URL, video file, image, or folder of images")
    parser.add_argument("--task", default="hands", help="hands (default) or people")
    parser.add_argument(
        "--bundle", metavar="NAME|PATH", help=f"model bundle (default: hands, or {DEFAULT_BUNDLE} for people)"
    )
    parser.add_argument("--backend", default="auto", help=f"auto, {', '.join(BACKENDS)} (default: auto)")
    parser.add_argument(
        "--precision", default=EXACT, metavar="NAME", help="of the networks: fp32 (default), or what the bundle has"
    )
    parser.add_argument("--unverified", action="store_true", help="run a precision whose error no verdict has passed")
    parser.add_argument("--record", type=Path, metavar="FILE.jsonl", help="write one JSON line a frame")
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="write the picture (.png or .jpg for one image)")
    parser.add_argument("--headless", action="store_true", help="open no window")
    parser.add_argument("--max-frames", type=_positive, metavar="N", help="stop after N frames")
    parser.add_argument("--size", type=_size, metavar="WxH", help="ask this size of a camera")
    parser.add_argument("--fps", type=_rate, help="ask this rate of a camera; of a folder: --frames at this rate")
    parser.add_argument(
        "--frames", action="store_true", help="a folder's images are frames of one film (default: photographs)"
    )
    parser.add_argument("--realtime", action="store_true", help="play a file at its own pace, dropping late frames")
    parser.add_argument(
        "--smooth",
        choices=SMOOTHERS,
        help="of hands, and of people by `landmarks`: posebert (default), which also fills in missed frames; hands: "
        "or oneeuro, or none",
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads of a network (0: all cores)")

    hands = parser.add_argument_group("hands")
    hands.add_argument("--robot", nargs="+", action="extend", metavar="NAME", help="robot hands to move, name or file")
    hands.add_argument("--max-hands", type=_positive, metavar="N", help="track at most N hands (2)")
    hands.add_argument("--model", help="landmark model: full (default) or lite, faster and coarser")
    hands.add_argument("--mirrored", action="store_true", help="the source is a mirrored (selfie) image")

    people = parser.add_argument_group("people")
    people.add_argument("--intrinsics", metavar="FX,FY,CX,CY|FILE", help="the camera, px of the source's images")
    people.add_argument(
        "--fov",
        type=_field_of_view,
        metavar="DEGREES|auto",
        help="instead: over the longer side of the image, or auto: the network's own estimate, where it makes one "
        "(default: what the bundle says; 60, and auto for our own networks on Anny)",
    )
    people.add_argument(
        "--threshold", type=_probability, metavar="P", help="lowest score of a person (default: the bundle's)"
    )
    people.add_argument("--topology", metavar="NAME", help="which mesh, where the bundle has several")
    people.add_argument("--overlap", action="store_true", help="on a GPU: more frames a second, each a frame later")
    people.add_argument("--parameters-only", action="store_true", help="neither meshes nor joints")
    people.add_argument("--meshes", type=Path, metavar="DIR", help="write a mesh file a frame")
    people.add_argument("--mesh-format", metavar="NAME", help=f"{', '.join(FORMATS)} (default: glb)")
    people.add_argument("--panels", nargs="+", choices=PANELS, help="further views beside the picture")
    parser.set_defaults(run=run, **{name: value for own in _OWN_OPTIONS.values() for name, value in own.items()})


class Result(Protocol):
    """What a pipeline makes of a frame."""

    @property
    def frame(self) -> Frame: ...

    @property
    def ids(self) -> tuple[int, ...]:
        """The identities in view."""

    @property
    def ms(self) -> dict[str, float]:
        """Milliseconds per stage, and `total`; the loop puts `capture` before them."""

    def record(self) -> dict[str, Any]:
        """The frame as one line of a recording."""


@dataclass(frozen=True)
class Job:
    """What a task brings to the loop.

    Attributes:
        what: is looked for, for the summary.
        process: frames to their results, in order.
        owned: what is closed when the loop ends.
        header: first line of a recording of this source.
        painter: opens what makes a picture of a result; called only where pictures are wanted.
        deliver: further places for a result to go to.
        note: to say once: where the work is slower or coarser here than it should be, what a robot was taken for;
            a line each.
    """

    what: str
    process: Callable[[Iterator[Frame]], Iterator[Any]]
    owned: Resource
    header: Callable[[Source], dict[str, Any]]
    painter: Callable[[ExitStack], Callable[..., NDArray[np.uint8]]]
    deliver: tuple[Callable[[Any], object], ...] = ()
    note: str = ""


def run(arguments: argparse.Namespace) -> int:
    """Run the loop until the source ends, the window closes, or --max-frames."""
    if arguments.task not in _JOBS:
        raise HumanrtError(f"--task: no task `{arguments.task}`; choose: {', '.join(_JOBS)}")
    for task, options in _OWN_OPTIONS.items():
        for name, default in options.items():
            if task != arguments.task and getattr(arguments, name) != default:
                option = "--" + name.replace("_", "-")
                raise HumanrtError(f"{option} is for --task {task}, not {arguments.task}; leave it out")
    if not arguments.headless and not has_display():
        raise HumanrtError("there is no display for a window; add --headless (and --video FILE.mp4 to see the result)")
    _check_outputs(arguments)
    with ExitStack() as stack:
        job = _JOBS[arguments.task](arguments)
        stack.enter_context(job.owned)
        source = stack.enter_context(
            open_source(
                arguments.source,
                size=arguments.size,
                fps=arguments.fps,
                realtime=arguments.realtime,
                frames=arguments.frames,
            )
        )
        sinks = Sinks(stack, job, source, arguments)
        if job.note:
            _say(job.note)
        summary = loop(source, job, sinks, arguments.max_frames)
    _say(summary)
    return 0


def _say(line: str) -> None:
    """A line on stderr; a run that does its work does not fail because nobody can read along."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr)


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Raises OutputError where what is written would replace what is read, or each other, or is no such file.

    Opens nothing.
    """
    outputs = {option: path for option, path in (("--record", arguments.record), ("--video", arguments.video)) if path}
    files = {"a --robot file": arguments.robot, "the --intrinsics file": [arguments.intrinsics or ""]}
    given = {what: [Path(name) for name in names if Path(name).is_file()] for what, names in files.items()}
    check_apart(outputs, {"the source": source_files(arguments.source), **given})
    folder = Path(arguments.source)
    for option, path in outputs.items():
        if (
            is_image(path)
            and not is_address(arguments.source)
            and folder.is_dir()
            and path.resolve().parent == folder.resolve()
        ):
            raise OutputError(
                f"{option} {path}: lies in the source folder, whose next run would take it for an image of the source; "
                "choose another folder"
            )
    if arguments.record and arguments.record.suffix.lower() not in ("", RECORDING_SUFFIX):
        raise OutputError(
            f"--record {arguments.record}: a recording is one JSON line a frame; name it *{RECORDING_SUFFIX}"
        )


def _hands(arguments: argparse.Namespace) -> Job:
    options = TrackerOptions(max_hands=arguments.max_hands, model=arguments.model, mirrored=arguments.mirrored)
    tracker = HandTracker(
        arguments.bundle or "hands",
        arguments.backend,
        options,
        threads=arguments.threads,
        precision=arguments.precision,
        unverified=arguments.unverified,
    )
    pipeline = HandPipeline(tracker, arguments.robot, open_smoother(arguments.smooth or SMOOTHERS[0], tracker))
    notes = [f"humanrt run: {note}" for robot in pipeline.robots.values() for note in robot.notes]
    if problem := native.problem():
        notes.append(
            "humanrt run: without the compiled library numpy and OpenCV cut out, smooth and retarget, which is slower, "
            f"retargeting most of all (`humanrt doctor` says more): {problem}"
        )
    return Job(
        "a hand",
        lambda frames: map(pipeline, frames),
        pipeline,
        lambda source: header(pipeline, source),
        lambda stack: Painter(pipeline.robots),
        note="\n".join(notes),
    )


def _people(arguments: argparse.Namespace) -> Job:
    if arguments.intrinsics is not None and arguments.fov is not None:
        raise HumanrtError("--intrinsics and --fov both say what the camera is; give one of them")
    if arguments.parameters_only and (arguments.meshes or arguments.panels):
        raise HumanrtError("--parameters-only makes no meshes; leave out --meshes and --panels, or it")
    intrinsics = None if arguments.intrinsics is None else read_intrinsics(arguments.intrinsics)
    bundle = load_bundle(arguments.bundle or DEFAULT_BUNDLE, task="people")
    if uses_landmarks(bundle):
        return _landmarks(arguments, bundle, intrinsics)
    if arguments.smooth is not None:
        raise HumanrtError(f"--smooth: people of bundle `{bundle.name}` are not smoothed; leave it out")
    model = MultiHMR(
        bundle,
        arguments.backend,
        precision=arguments.precision,
        unverified=arguments.unverified,
        fov=arguments.fov,
        meshes=not arguments.parameters_only,
        topology=arguments.topology,
        threads=arguments.threads,
    )
    pipeline = PeoplePipeline(model, intrinsics=intrinsics, threshold=arguments.threshold)
    if not arguments.overlap:
        return _people_job(arguments, model, lambda frames: map(pipeline, frames))
    if not model.overlaps:
        model.close()
        raise HumanrtError(f"--overlap: backend {model.backend.name} has nothing to overlap; leave it out")
    return _people_job(arguments, model, pipeline.overlapped)


def _landmarks(arguments: argparse.Namespace, bundle: Bundle, intrinsics: NDArray[np.float64] | None) -> Job:
    """People by their landmarks: what ships with humanrt."""
    if arguments.topology is not None:
        raise HumanrtError(f"--topology: bundle `{bundle.name}` has one mesh; leave it out")
    if arguments.overlap:
        raise HumanrtError(f"--overlap: bundle `{bundle.name}` finds people one frame by the last; leave it out")
    if arguments.fov == AUTO:
        raise HumanrtError(f"--fov auto: bundle `{bundle.name}` does not estimate the field of view; give degrees")
    if arguments.smooth not in (None, SMOOTHERS[0]):
        raise HumanrtError(
            f"--smooth {arguments.smooth}: people by `{bundle.name}` are smoothed by {SMOOTHERS[0]}; leave it out"
        )
    poses = "posebert-body" if "posebert-body" in shipped_bundles() else None
    model = LandmarkPeople(
        bundle,
        poses,
        arguments.backend,
        fov=arguments.fov,
        meshes=not arguments.parameters_only,
        threads=arguments.threads,
        precision=arguments.precision,
        unverified=arguments.unverified,
    )
    pipeline = LandmarkPipeline(model, intrinsics=intrinsics, threshold=arguments.threshold)
    note = ""
    if poses is None:
        note = (
            "humanrt run: there is no bundle `posebert-body` here: each frame's pose is by itself, by geometry, and "
            "trembles as the landmarks do"
        )
    return _people_job(arguments, model, lambda frames: map(pipeline, frames), note)


def _people_job(
    arguments: argparse.Namespace,
    model: MultiHMR | LandmarkPeople,
    process: Callable[[Iterator[Frame]], Iterator[PeopleResult]],
    note: str = "",
) -> Job:
    check_format(arguments.mesh_format)
    writer = MeshWriter(arguments.meshes, arguments.mesh_format, model.faces) if arguments.meshes else None

    def painter(stack: ExitStack) -> PeoplePainter:
        view = None
        if not arguments.parameters_only:
            view = open_mesh_view(lambda line: _say(f"humanrt run: {line}"))
        if view:
            stack.enter_context(view)
        return PeoplePainter(model.faces, model.joint_names, view, arguments.panels)

    return Job(
        "people",
        process,
        model,
        lambda source: people_header(model, source),
        painter,
        (writer.write,) if writer else (),
        note,
    )


_JOBS: dict[str, Callable[[argparse.Namespace], Job]] = {"hands": _hands, "people": _people}


def header(pipeline: HandPipeline, source: Source) -> dict[str, Any]:
    """The first line of a recording of hands."""
    return {
        "humanrt": __version__,
        "task": "hands",
        "robots": pipeline.joint_names,
        "bundle": {
            "name": pipeline.tracker.bundle.name,
            "version": pipeline.tracker.bundle.manifest.get("version"),
        },
        "backend": pipeline.tracker.backend.name,
        "precision": pipeline.tracker.precision,
        "kernel": "numpy" if native.problem() else "native",
        "model": pipeline.tracker.options.model,
        "smooth": pipeline.smoother.name if pipeline.smoother else "none",
        **({"poses": pipeline.smoother.stream.bundle.name} if isinstance(pipeline.smoother, HandPoseSmoother) else {}),
        "mirrored": pipeline.tracker.options.mirrored,
        "source": source.name,
        "fps": source.fps,
    }


def people_header(model: MultiHMR | LandmarkPeople, source: Source) -> dict[str, Any]:
    """The first line of a recording of people."""
    body = model.bundle.setting("body")
    return {
        "humanrt": __version__,
        "task": "people",
        "robots": {},
        "bundle": {"name": model.bundle.name, "version": model.bundle.manifest.get("version")},
        "backend": model.backend.name,
        "precision": model.precision,
        "body": body["model"],
        **({"bones": list(body["bones"])} if "bones" in body else {}),
        "joints": list(model.joint_names),
        **({"poses": model.poses} if isinstance(model, LandmarkPeople) else {}),
        "source": source.name,
        "fps": source.fps,
    }


class Sinks:
    """Where results go: recording, video, window, the task's own; each only if it was asked for."""

    def __init__(self, stack: ExitStack, job: Job, source: Source, arguments: argparse.Namespace) -> None:
        self._recorder = (
            stack.enter_context(Recorder(arguments.record, job.header(source))) if arguments.record else None
        )
        self._video: Sink | None = (
            stack.enter_context(open_sink(arguments.video, source.fps)) if arguments.video else None
        )
        self._window = None if arguments.headless else stack.enter_context(Window(f"humanrt - {source.name}"))
        self._painter = job.painter(stack) if self._video or self._window else None
        self._deliver = job.deliver
        self._source = source

    def put(self, result: Result) -> bool:
        """Deliver one result; False when the user closed the window."""
        if self._recorder:
            self._recorder.write(result.record())
        for deliver in self._deliver:
            deliver(result)
        if self._painter:
            picture = self._painter(result, dropped=self._source.dropped)
            if self._video:
                self._video.write(picture, result.frame.t)
            if self._window:
                return self._window.show(picture)
        return True


def loop(source: Source, job: Job, sinks: Sinks, max_frames: int | None) -> str:
    """Frames to results to sinks; returns a line that sums it up."""
    frames = present = 0
    busy = 0.0
    identities: set[int] = set()
    start = perf_counter()
    captures: deque[float] = deque()  # of frames whose results are yet to come

    def timed() -> Iterator[Frame]:
        for frame, capture in _timed(source):
            captures.append(capture)
            yield frame

    for made in job.process(timed()):
        result: Result = replace(made, ms={"capture": captures.popleft(), **made.ms})  # not part of `total`
        frames += 1
        present += len(result.ids) > 0
        busy += result.ms["total"]
        identities.update(result.ids)
        if not sinks.put(result) or frames == max_frames:
            break
    wall = perf_counter() - start
    return (
        f"{source.name}: {job.what} in {present} of {frames} frames, {len(identities)} identities, "
        f"{source.dropped} dropped; {busy / max(frames, 1):.2f} ms a frame without reading and drawing, "
        f"{frames / max(wall, 1e-9):.3g} fps in all"
    )


def _timed(source: Source) -> Iterator[tuple[Frame, float]]:
    """Each frame and the milliseconds that getting it took: to decode it, or, of a live source, its age by now."""
    frames = iter(source)
    while True:
        asked = perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        seconds = monotonic() - frame.t if source.live else perf_counter() - asked
        yield frame, seconds * 1e3


def _positive(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a score between 0 and 1")
    return value


def _field_of_view(text: str) -> float | Literal["auto"]:
    if text == AUTO:
        return AUTO
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither degrees nor `{AUTO}`") from None


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e4:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames a second")
    return value


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 1280x720")
    return int(width), int(height)
