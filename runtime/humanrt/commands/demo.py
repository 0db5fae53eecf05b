"""``humanrt demo``: the whole job on a clip that ships, without camera or download, measured against its truth."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from humanrt.accuracy import measure
from humanrt.capture import open_source
from humanrt.commands.run import header
from humanrt.errors import OutputError
from humanrt.hands.tracker import HandTracker
from humanrt.pipeline import HandPipeline
from humanrt.posebert.smoother import SMOOTHERS, open_smoother
from humanrt.record import Recorder
from humanrt.stats import Percentiles
from humanrt.truth import Truth
from humanrt.video import open_sink
from humanrt.view import Painter
from humanrt.window import Window, has_display

__all__ = ["CLIP", "ROBOTS", "TRUTH", "add_parser", "run"]

CLIP = Path(__file__).parent.parent / "data" / "demo_hand.mp4"
TRUTH = CLIP.with_suffix(".npz")
ROBOTS = ("allegro_right", "shadow_right")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("demo", help="the whole job on a clip that ships: no camera, no download")
    parser.add_argument("--out", type=Path, default=Path("humanrt-demo"), metavar="DIR", help="default: humanrt-demo")
    parser.add_argument("--headless", action="store_true", help="open no window, even where there is a display")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Track, smooth, retarget, draw, record; then say how far the result is from the truth."""
    out: Path = arguments.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be made ({error.strerror}); choose another --out") from error
    truth = Truth.load(TRUTH)
    windowed = not arguments.headless and has_display()
    print("A right hand, rendered (not filmed) so that every joint is known, moves two robot hands:")
    tracker = HandTracker()
    pipeline = HandPipeline(tracker, ROBOTS, open_smoother(SMOOTHERS[0], tracker))
    results = []
    start = perf_counter()
    with ExitStack() as stack:
        source = stack.enter_context(open_source(CLIP, realtime=False))
        recorder = stack.enter_context(Recorder(out / "demo.jsonl", header(pipeline, source)))
        video = stack.enter_context(open_sink(out / "demo.mp4", source.fps))
        window = stack.enter_context(Window("humanrt demo")) if windowed else None
        painter = Painter(pipeline.robots)
        for frame in source:
            result = pipeline(frame)
            results.append(result)
            recorder.write(result.record())
            picture = painter(result)
            video.write(picture, frame.t)
            if window and not window.show(picture):
                break
            if sys.stderr.isatty():
                print(f"\r  frame {len(results)} of {len(truth)}", end="", file=sys.stderr)
            if len(results) == len(truth) // 2:
                with open_sink(out / "demo.png") as image:
                    image.write(picture)
    if sys.stderr.isatty():
        print(file=sys.stderr)
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
    for file in ("demo.mp4", "demo.png", "demo.jsonl"):
        print(f"  wrote           {out / file}")
    print("Next: humanrt run 0 --task hands --robot allegro_right   (a camera; `humanrt doctor` lists what works)")
    return 0
