"""``humanrt run SOURCE``: the live loop, on a camera, a stream, a video, an image or a folder of images."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from humanrt import __version__
from humanrt.backends import BACKENDS
from humanrt.capture import Source, open_source
from humanrt.errors import HumanrtError
from humanrt.hands.tracker import HandTracker, TrackerOptions
from humanrt.pipeline import HandPipeline, HandResult
from humanrt.record import Recorder
from humanrt.smooth import HandSmoother
from humanrt.video import Sink, open_sink
from humanrt.view import Painter
from humanrt.window import Window, has_display

__all__ = ["add_parser", "header", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "run",
        help="track hands in SOURCE and move robot hands",
        description="Track hands in SOURCE and move robot hands. Without --headless a window shows it; q stops.",
    )
    parser.add_argument("source", help="camera index, stream URL, video file, image, or folder of images")
    parser.add_argument("--task", default="hands", help="hands (people: not in this version)")
    parser.add_argument("--bundle", metavar="NAME|PATH", help="model bundle (default: the task's shipped one)")
    parser.add_argument(
        "--robot",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="robot hands to move, by name or file",
    )
    parser.add_argument("--backend", default="auto", help=f"auto, {', '.join(BACKENDS)} (default: auto)")
    parser.add_argument("--record", type=Path, metavar="FILE.jsonl", help="write one JSON line a frame")
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="write the picture (.png or .jpg for one image)")
    parser.add_argument("--headless", action="store_true", help="open no window")
    parser.add_argument("--max-frames", type=_positive, metavar="N", help="stop after N frames")
    parser.add_argument("--smooth", choices=("oneeuro", "none"), default="oneeuro", help="smoothing of keypoints")
    parser.add_argument("--max-hands", type=_positive, default=2, metavar="N", help="track at most N hands (2)")
    parser.add_argument("--model", default="full", help="landmark model: full (default) or lite, faster and coarser")
    parser.add_argument("--mirrored", action="store_true", help="the source is a mirrored (selfie) image")
    parser.add_argument("--size", type=_size, metavar="WxH", help="ask this size of a camera")
    parser.add_argument("--fps", type=_rate, help="ask this rate of a camera; the pace of a folder of images")
    parser.add_argument("--realtime", action="store_true", help="play a file at its own pace, dropping late frames")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads of a network (0: all cores)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the loop until the source ends, the window closes, or --max-frames."""
    if arguments.task != "hands":
        what = "`people` is not in this version" if arguments.task == "people" else f"no task `{arguments.task}`"
        raise HumanrtError(f"--task: {what}; choose: hands")
    if not arguments.headless and not has_display():
        raise HumanrtError("there is no display for a window; add --headless (and --video FILE.mp4 to see the result)")
    options = TrackerOptions(max_hands=arguments.max_hands, model=arguments.model, mirrored=arguments.mirrored)
    tracker = HandTracker(arguments.bundle or "hands", arguments.backend, options, threads=arguments.threads)
    smoother = HandSmoother() if arguments.smooth == "oneeuro" else None
    pipeline = HandPipeline(tracker, arguments.robot, smoother)
    with ExitStack() as stack:
        source = stack.enter_context(
            open_source(arguments.source, size=arguments.size, fps=arguments.fps, realtime=arguments.realtime)
        )
        sinks = Sinks(stack, pipeline, source, arguments)
        summary = loop(source, pipeline, sinks, arguments.max_frames)
    print(summary, file=sys.stderr)
    return 0


def header(pipeline: HandPipeline, source: Source) -> dict[str, Any]:
    """The first line of a recording."""
    return {
        "humanrt": __version__,
        "task": "hands",
        "robots": pipeline.joint_names,
        "bundle": {
            "name": pipeline.tracker.bundle.name,
            "version": pipeline.tracker.bundle.manifest.get("version"),
        },
        "backend": pipeline.tracker.backend.name,
        "model": pipeline.tracker.options.model,
        "smooth": "oneeuro" if pipeline.smoother else "none",
        "mirrored": pipeline.tracker.options.mirrored,
        "source": source.name,
        "fps": source.fps,
    }


class Sinks:
    """Where results go: recording, video, window; each only if it was asked for."""

    def __init__(self, stack: ExitStack, pipeline: HandPipeline, source: Source, arguments: argparse.Namespace) -> None:
        self._recorder = (
            stack.enter_context(Recorder(arguments.record, header(pipeline, source))) if arguments.record else None
        )
        self._video: Sink | None = (
            stack.enter_context(open_sink(arguments.video, source.fps)) if arguments.video else None
        )
        self._window = None if arguments.headless else stack.enter_context(Window(f"humanrt - {source.name}"))
        self._painter = Painter(pipeline.robots) if self._video or self._window else None
        self._source = source

    def put(self, result: HandResult) -> bool:
        """Deliver one result; False when the user closed the window."""
        if self._recorder:
            self._recorder.write(result.record())
        if self._painter:
            picture = self._painter(result, dropped=self._source.dropped)
            if self._video:
                self._video.write(picture, result.frame.t)
            if self._window:
                return self._window.show(picture)
        return True


def loop(source: Source, pipeline: HandPipeline, sinks: Sinks, max_frames: int | None) -> str:
    """Frames to results to sinks; returns a line that sums it up."""
    frames = with_hand = 0
    busy = 0.0
    identities: set[int] = set()
    start = perf_counter()
    for frame in source:
        result = pipeline(frame)
        frames += 1
        with_hand += len(result.hands) > 0
        busy += result.ms["total"]
        identities.update(hand.id for hand in result.hands)
        if not sinks.put(result) or frames == max_frames:
            break
    wall = perf_counter() - start
    return (
        f"{source.name}: a hand in {with_hand} of {frames} frames, {len(identities)} identities, "
        f"{source.dropped} dropped; {busy / max(frames, 1):.2f} ms a frame without reading and drawing, "
        f"{frames / max(wall, 1e-9):.0f} fps in all"
    )


def _positive(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


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
