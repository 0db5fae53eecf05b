"""``humanrt demo``: the whole pipeline on a shipped clip, without camera or download, measured against ground truth."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from humanrt.bundle import load_bundle, shipped_bundles
from humanrt.commands.fields import Flag, add_fields, given
from humanrt.data import CLIP, PEOPLE_CLIP, PEOPLE_TRUTH, TRUTH
from humanrt.errors import BundleError, HumanrtError, OutputError
from humanrt.hands.accuracy import measure
from humanrt.hands.truth import Truth
from humanrt.live import Output, Pipeline, Result, play
from humanrt.outputs.base import Image
from humanrt.outputs.progress import ProgressOutput
from humanrt.outputs.record import Recorder
from humanrt.outputs.video import ImageSink, open_sink
from humanrt.outputs.window import Window, has_display
from humanrt.people.holistic import DEFAULT_BUNDLE
from humanrt.people.truth import PeopleTruth
from humanrt.people.truth import measure as measure_people
from humanrt.sources.opening import Source, open_source
from humanrt.stats import Percentiles
from humanrt.tasks import TASKS, HandOptions, PeopleOptions, open_hands, open_people

__all__ = ["ROBOTS", "add_parser", "run"]

ROBOTS = ("allegro_right", "shadow_right")


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of ``humanrt demo``.

    Attributes:
        task: what is shown.
        bundle: of --task people. None: that of `humanrt run`.
        out: folder of what is written.
        headless: open no window, even where there is a display.
    """

    task: str = "hands"
    bundle: str | None = None
    out: Path = Path("humanrt-demo")
    headless: bool = False

    def __post_init__(self) -> None:
        if self.task == "hands" and self.bundle is not None:
            raise HumanrtError("--bundle is for --task people; leave it out")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("demo", help="run the whole pipeline on a shipped clip: no camera, no download")
    flags = {
        "task": Flag(choices=("hands", "people")),
        "bundle": Flag(metavar="NAME|PATH"),
        "out": Flag(metavar="DIR", type=Path),
        "headless": Flag(switch=True),
    }
    add_fields(parser, flags, DemoOptions)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the whole pipeline on the task's clip; then report the errors against the ground truth."""
    options = DemoOptions(**given(vars(arguments), DemoOptions))
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{options.out} cannot be created ({error.strerror}); choose another --out") from error
    (_people if options.task == "people" else _hands)(options)
    return 0


def _hands(options: DemoOptions) -> None:
    """Track, smooth, retarget, draw, record."""
    out: Path = options.out
    truth = Truth.load(TRUTH)
    print("A rendered right hand, whose joints are known exactly, moves two robot hands:")
    start = perf_counter()
    with (
        open_source(CLIP, realtime=False) as source,
        open_hands(backend="cpu", options=HandOptions(ROBOTS)) as pipeline,
    ):
        results = _play(options, source, len(truth), pipeline, [Recorder(out / "demo.jsonl")])
    wall = perf_counter() - start
    accuracy = measure(results, truth, pipeline.robots)
    total = Percentiles.of(result.ms["total"] for result in results)
    print(f"  hand found      {accuracy.found} of {accuracy.truth} frames in which it is visible")
    print(
        f"  keypoints       {accuracy.pixels.p50:.1f} px median, {accuracy.pixels.p95:.1f} px at 95 % from the ground "
        f"truth (hand size {accuracy.span:.0f} px)"
    )
    print(f"  finger joints   {accuracy.degrees.p50:.1f} degrees median, {accuracy.degrees.p95:.1f} at 95 %")
    for name, tips in accuracy.tips.items():
        print(
            f"  {name:<15} fingertips {tips.p50:.0f} mm median, {tips.p95:.0f} at 95 %, from where perfect keypoints "
            "would put them"
        )
    print(f"  speed           {total.p50:.1f} ms per frame median, {total.p99:.1f} at 99 %, from image to joint angles")
    print(f"overall         {len(results) / wall:.0f} fps with reading, drawing and writing")
    _wrote(out, "demo.mp4", "demo.png", "demo.jsonl")
    print("Next: humanrt run 0 --task hands --robot allegro_right   (a camera; `humanrt doctor` lists what works)")


def _people(options: DemoOptions) -> None:
    """Detect people, compute their meshes, track and draw them."""
    out: Path = options.out
    name = options.bundle or DEFAULT_BUNDLE
    if options.bundle is None and DEFAULT_BUNDLE not in shipped_bundles():
        raise BundleError(
            f"bundle `{DEFAULT_BUNDLE}` is not part of this installation; give --bundle landmarks (shipped, "
            "coarser), or the folder of your own bundle (docs/use/people.md)"
        )
    bundle = load_bundle(name, task="people")
    truth = PeopleTruth.load(PEOPLE_TRUTH)
    print("Rendered people, whose joints and camera are known exactly:")
    start = perf_counter()
    with (
        open_source(PEOPLE_CLIP, realtime=False) as source,
        open_people(bundle, "cpu", PeopleOptions(intrinsics=truth.intrinsics)) as pipeline,
    ):
        if len(pipeline.model.joint_names) != len(truth.joint_names):
            raise BundleError(
                f"bundle `{bundle.name}` is not for the body Anny, for which the ground truth is; give another"
            )
        results = _play(options, source, len(truth), pipeline)
    wall = perf_counter() - start
    summary = measure_people(results, truth).summary()
    total = Percentiles.of(result.ms["total"] for result in results)
    found, false = summary["recall"], 1 - summary["precision"]
    print(f"  people found    {found:.0%} of those in view; {false:.0%} of detections are false")
    if "mpjpe" in summary:
        print(
            f"  joints          {summary['mpjpe']:.0f} mm from the ground truth, pelvis aligned; "
            f"{summary['pa_mpjpe']:.0f} mm after Procrustes alignment"
        )
        print(f"  position        {summary['position'] / 1000:.2f} m off, in depth by {summary['depth']:.0%}")
    print(f"  speed           {total.p50:.1f} ms per frame median, {total.p99:.1f} at 99 %")
    print(f"overall         {len(results) / wall:.0f} fps with reading, drawing and writing")
    _wrote(out, "demo.mp4", "demo.png")
    print(f"Next: humanrt run photo.jpg --task people --bundle {name} --headless --video out.png  (docs/use/people.md)")


def _play(
    options: DemoOptions,
    source: Source,
    count: int,
    pipeline: Pipeline[Any],
    outputs: Sequence[Output] = (),
) -> list[Any]:
    """Run every frame through the pipeline, draw and write it, show it if there is a window; return the results."""
    out: Path = options.out
    kept = _Kept()
    asked = [kept, *outputs, open_sink(out / "demo.mp4"), _Middle(out / "demo.png", count // 2), ProgressOutput(count)]
    with ExitStack() as stack:
        if not options.headless and has_display():
            asked.append(stack.enter_context(Window("humanrt demo")))
        painter = TASKS[pipeline.task].painter(pipeline, stack, lambda line: print(f"  {line}"))
        play(source, pipeline, asked, painter)
    return kept.results


class _Kept(Output):
    """Keep the results."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    def put(self, result: Result, picture: Image | None) -> bool:
        self.results.append(result)
        return True


class _Middle(Output):
    """Write the picture of one frame."""

    def __init__(self, path: Path, number: int) -> None:
        """Write to ``path`` the picture of frame ``number``, counted from 1."""
        self._sink = ImageSink(path)
        self._left = number

    def put(self, result: Result, picture: Image | None) -> bool:
        self._left -= 1
        return self._sink.put(result, picture) if self._left == 0 else True


def _wrote(out: Path, *files: str) -> None:
    for file in files:
        print(f"  wrote           {out / file}")
