"""``humanrt demo``: the whole job on a clip that ships, without camera or download, measured against its truth."""

from __future__ import annotations

import argparse
import contextlib
import sys
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from humanrt.bundle import Bundle, load_bundle, shipped_bundles
from humanrt.commands.run import header
from humanrt.errors import BundleError, HumanrtError, OutputError
from humanrt.hands.accuracy import measure
from humanrt.hands.pipeline import HandPipeline
from humanrt.hands.smoothers import SMOOTHERS, open_smoother
from humanrt.hands.tracker import HandTracker
from humanrt.hands.truth import Truth
from humanrt.hands.view import Painter
from humanrt.outputs.record import Recorder
from humanrt.outputs.video import open_sink
from humanrt.outputs.window import Window, has_display
from humanrt.people.landmark_people import LandmarkPeople
from humanrt.people.landmark_pipeline import LandmarkPipeline
from humanrt.people.landmarks import uses_landmarks
from humanrt.people.multihmr import DEFAULT_BUNDLE, MultiHMR
from humanrt.people.pipeline import PeoplePipeline
from humanrt.people.truth import PeopleTruth
from humanrt.people.truth import measure as measure_people
from humanrt.people.view import PeoplePainter, open_mesh_view
from humanrt.sources.opening import Source, open_source
from humanrt.stats import Percentiles

__all__ = ["CLIP", "PEOPLE_CLIP", "ROBOTS", "TRUTH", "add_parser", "run"]

CLIP = Path(__file__).parent.parent / "data" / "demo_hand.mp4"
TRUTH = CLIP.with_suffix(".npz")
PEOPLE_CLIP = CLIP.with_name("demo_people.mp4")
ROBOTS = ("allegro_right", "shadow_right")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("demo", help="the whole job on a clip that ships: no camera, no download")
    parser.add_argument("--task", choices=("hands", "people"), default="hands", help="default: hands")
    parser.add_argument("--bundle", metavar="NAME|PATH", help=f"of --task people (default: {DEFAULT_BUNDLE})")
    parser.add_argument("--out", type=Path, default=Path("humanrt-demo"), metavar="DIR", help="default: humanrt-demo")
    parser.add_argument("--headless", action="store_true", help="open no window, even where there is a display")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do the whole job on the task's clip; then say how far the result is from the truth."""
    if arguments.task == "hands" and arguments.bundle is not None:
        raise HumanrtError("--bundle is for --task people; leave it out")
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{arguments.out} cannot be made ({error.strerror}); choose another --out") from error
    return (_people if arguments.task == "people" else _hands)(arguments)


def _hands(arguments: argparse.Namespace) -> int:
    """Track, smooth, retarget, draw, record."""
    out: Path = arguments.out
    truth = Truth.load(TRUTH)
    print("A right hand, rendered (not filmed) so that every joint is known, moves two robot hands:")
    tracker = HandTracker()
    pipeline = HandPipeline(tracker, ROBOTS, open_smoother(SMOOTHERS[0], tracker))
    results: list[Any] = []
    start = perf_counter()
    with ExitStack() as stack:
        source = stack.enter_context(open_source(CLIP, realtime=False))
        recorder = stack.enter_context(Recorder(out / "demo.jsonl", header(pipeline, source)))
        _play(arguments, stack, source, len(truth), pipeline, Painter(pipeline.robots), recorder, results)
    wall = perf_counter() - start
    accuracy = measure(results, truth, pipeline.robots)
    total = Percentiles.of(result.ms["total"] for result in results)
    print(f"  hand found      {accuracy.found} of {accuracy.truth} frames in which it is in view")
    print(
        f"  keypoints       {accuracy.pixels.p50:.1f} px median, {accuracy.pixels.p95:.1f} px at 95 %, from the truth "
        f"(the hand is {accuracy.span:.0f} px)"
    )
    print(f"  finger joints   {accuracy.degrees.p50:.1f} degrees median, {accuracy.degrees.p95:.1f} at 95 %")
    for name, tips in accuracy.tips.items():
        print(
            f"  {name:<15} fingertips {tips.p50:.0f} mm median, {tips.p95:.0f} at 95 %, from where perfect keypoints "
            "would put them"
        )
    print(f"  speed           {total.p50:.1f} ms a frame median, {total.p99:.1f} at 99 %, from image to joint angles")
    print(f"  in all          {len(results) / wall:.0f} fps with reading, drawing and writing")
    _wrote(out, "demo.mp4", "demo.png", "demo.jsonl")
    print("Next: humanrt run 0 --task hands --robot allegro_right   (a camera; `humanrt doctor` lists what works)")
    return 0


def _people(arguments: argparse.Namespace) -> int:
    """Find people, make their meshes, follow and draw them."""
    out: Path = arguments.out
    name = arguments.bundle or DEFAULT_BUNDLE
    if arguments.bundle is None and DEFAULT_BUNDLE not in shipped_bundles():
        raise BundleError(
            f"there is no bundle `{DEFAULT_BUNDLE}` in this installation: give --bundle landmarks, which ships and is "
            "coarse, or the folder of one that you made (docs/use/people.md)"
        )
    bundle = load_bundle(name, task="people")
    truth = PeopleTruth.load(PEOPLE_CLIP.with_suffix(".npz"))
    print("People, rendered (not filmed) so that every joint is known; before a camera that is known too:")
    results: list[Any] = []
    start = perf_counter()
    with ExitStack() as stack:
        source = stack.enter_context(open_source(PEOPLE_CLIP, realtime=False))
        model, pipeline = _people_pipeline(bundle, truth)
        stack.enter_context(contextlib.closing(model))
        view = open_mesh_view(lambda line: print(f"  {line}"))
        if view:
            stack.enter_context(view)
        painter = PeoplePainter(model.faces, model.joint_names, view)
        _play(arguments, stack, source, len(truth), pipeline, painter, None, results)
    wall = perf_counter() - start
    summary = measure_people(results, truth).summary()
    total = Percentiles.of(result.ms["total"] for result in results)
    found, false = summary["recall"], 1 - summary["precision"]
    print(f"  people found    {found:.0%} of those in view; {false:.0%} of finds are nobody")
    if "mpjpe" in summary:
        print(
            f"  joints          {summary['mpjpe']:.0f} mm from the truth about the pelvis, {summary['pa_mpjpe']:.0f} "
            "after the best similarity"
        )
        print(f"  place           {summary['place'] / 1000:.2f} m off, in depth by {summary['depth']:.0%}")
    print(f"  speed           {total.p50:.1f} ms a frame median, {total.p99:.1f} at 99 %")
    print(f"  in all          {len(results) / wall:.0f} fps with reading, drawing and writing")
    _wrote(out, "demo.mp4", "demo.png")
    print(f"Next: humanrt run photo.jpg --task people --bundle {name} --headless --video out.png  (docs/use/people.md)")
    return 0


def _people_pipeline(bundle: Bundle, truth: PeopleTruth) -> tuple[MultiHMR | LandmarkPeople, Any]:
    if uses_landmarks(bundle):
        landmarks = LandmarkPeople(bundle)
        return landmarks, LandmarkPipeline(landmarks, intrinsics=truth.intrinsics)
    model = MultiHMR(bundle)
    if len(model.joint_names) != len(truth.joint_names):
        model.close()
        raise BundleError(f"bundle `{bundle.name}` is not for the body Anny, whose joints are known here; give another")
    return model, PeoplePipeline(model, intrinsics=truth.intrinsics)


def _play(
    arguments: argparse.Namespace,
    stack: ExitStack,
    source: Source,
    count: int,
    pipeline: Any,
    painter: Any,
    recorder: Recorder | None,
    results: list[Any],
) -> None:
    """Every frame through the pipeline; drawn, written, shown where there is a window."""
    out: Path = arguments.out
    video = stack.enter_context(open_sink(out / "demo.mp4", source.fps))
    windowed = not arguments.headless and has_display()
    window = stack.enter_context(Window("humanrt demo")) if windowed else None
    for frame in source:
        result = pipeline(frame)
        results.append(result)
        if recorder:
            recorder.write(result.record())
        picture = painter(result)
        video.write(picture, frame.t)
        if window and not window.show(picture):
            break
        if sys.stderr.isatty():
            print(f"\r  frame {len(results)} of {count}", end="", file=sys.stderr)
        if len(results) == count // 2:
            with open_sink(out / "demo.png") as image:
                image.write(picture)
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _wrote(out: Path, *files: str) -> None:
    for file in files:
        print(f"  wrote           {out / file}")
