"""``humanrt bench``: latency per stage and end to end, drops, and accuracy against a clip with ground truth.

Latency is measured through the public API on decoded frames, after a warm-up; the cold start is reported separately.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import cv2
import numpy as np

from humanrt.address import is_address, redacted_address
from humanrt.bundle import load_bundle
from humanrt.commands.bench_all import as_csv, as_markdown, as_picture, as_text, measure_all, measure_peer
from humanrt.commands.bench_peers import installed
from humanrt.commands.fields import EXECUTION_FLAGS, Flag, add_fields, flag_name, given
from humanrt.data import CLIP, PEOPLE_CLIP
from humanrt.errors import BundleError, HumanrtError, SourceError, choices, printable
from humanrt.files import write_atomically
from humanrt.hands.accuracy import Accuracy, measure
from humanrt.hands.pipeline import HandPipeline, HandResult
from humanrt.hands.smoothers import SMOOTHERS
from humanrt.hands.tracker import TrackerOptions
from humanrt.hands.truth import Truth
from humanrt.inference.execution import Execution
from humanrt.outputs.progress import Progress
from humanrt.outputs.record import check_writable
from humanrt.people.holistic import DEFAULT_BUNDLE
from humanrt.people.landmarks import QUALITIES, Quality
from humanrt.people.pipeline import PeoplePipeline
from humanrt.posebert.stream import Observation, PoseBERTStream
from humanrt.retarget import Retargeter, robots
from humanrt.sources.opening import Frame, open_source
from humanrt.stats import Percentiles, machine, peak_memory, read_report, table, write_report
from humanrt.tasks import HandOptions, PeopleOptions, open_hands, open_people

__all__ = ["add_parser", "run"]

MAX_FRAMES = 900  # decoded frames held in memory; 30 s at 30 fps
LIVE_FRAMES = 200  # frames of the run at the source's own pace
MAX_PEOPLE_FRAMES, LEAST_PEOPLE_FRAMES = 60, 30
_MAX_PEOPLE_WARMUP = 3
PICTURES = (".png", ".jpg")
CROWD = 10  # identities of `bench posebert`

# Options that apply to some benches only; other benches refuse them.
_OWN_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "quality": ("people",),
    "refine": ("people",),
    "threshold": ("people",),
    "robots": ("hands", "retarget"),
    "model": ("hands", "retarget"),
    "max_hands": ("hands",),
    "smooth": ("hands", "retarget"),
    "warmup": ("hands", "people", "posebert"),
}


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Options of ``humanrt bench``.

    Attributes:
        what: what to measure; a bundle by name or folder means the bench of its task.
        source: source to measure on. None: a shipped clip.
        bundle: name or folder of a model bundle. None: the shipped one.
        backend: auto, cpu, cuda or tensorrt.
        precision, unverified, threads: see `Execution`.
        quality: people: for `holistic`: how closely each person is looked at. None: balanced.
        refine: people: for Multi-HMR on Anny: correct people by landmarks, as closely looked at. None: do not.
        threshold: people: min score of a person. None: the bundle's.
        robots: hands, retarget: robot hands to move. None: allegro_right; for retarget all.
        model: hands, retarget: full or lite landmark network.
        max_hands: hands: maximum number of tracked hands.
        smooth: hands, retarget: how hands are smoothed.
        warmup: frames before those that are measured; for people at most 3.
        repeat: number of passes over the source.
        max_frames: maximum number of source frames. None: 900; for people 60.
        json: write the report.
        compare: earlier report to compare with: print ratios of medians.
        all: hands, people, posebert: a row for every precision, backend and number of threads that the bundle has, with
            memory, size, error by verdict, and why a row cannot run; and for mediapipe and rtmlib where installed.
        markdown: with --all: write the table as Markdown.
        csv: with --all: write the table as CSV.
        plot: with --all: draw the times as a chart, .png or .jpg.
    """

    what: str
    source: str = ""
    bundle: str | None = None
    backend: str = "auto"
    precision: str = Execution.precision
    unverified: bool = Execution.unverified
    threads: int = Execution.threads
    quality: Quality | None = None
    refine: Quality | None = None
    threshold: float | None = None
    robots: Sequence[str] | None = None
    model: str = TrackerOptions.model
    max_hands: int = TrackerOptions.max_hands
    smooth: str = SMOOTHERS[0]
    warmup: int = 20
    repeat: int = 3
    max_frames: int = 0
    json: Path | None = None
    compare: Path | None = None
    all: bool = False
    markdown: Path | None = None
    csv: Path | None = None
    plot: Path | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> BenchOptions:
        """Return the options of the given values. HumanrtError for one that the bench does not use."""
        what = values["what"]
        for name, kinds in _OWN_OPTIONS.items():
            if name in values and what not in kinds:
                raise HumanrtError(f"--{flag_name(name, _FLAGS[name])} does nothing in `bench {what}`; leave it out")
        people = what == "people"
        usual = {
            "source": str(PEOPLE_CLIP if people else CLIP),
            "max_frames": MAX_PEOPLE_FRAMES if people else MAX_FRAMES,
        }
        return cls(**{**usual, **values})

    def __post_init__(self) -> None:
        if self.repeat < 1 or self.warmup < 0:
            raise HumanrtError("--repeat must be at least 1 and --warmup at least 0")
        if self.max_frames < 1:
            raise HumanrtError("--max-frames must be at least 1")
        for name in ("markdown", "csv", "plot"):
            if getattr(self, name) is not None and not self.all:
                raise HumanrtError(f"--{name} writes the table of --all; add that, or leave it out")
        if self.plot is not None and self.plot.suffix.lower() not in PICTURES:
            raise HumanrtError(f"--plot {self.plot}: is a picture; end its name in one of: {', '.join(PICTURES)}")
        if self.all and (self.json or self.compare):
            raise HumanrtError("--json and --compare are of one measurement, not of --all; leave them out")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("bench", help="latency and accuracy, as a table and as JSON")
    add_fields(parser, {"what": Flag(metavar="|".join([*_BENCHES, "BUNDLE"]), positional=True)} | _FLAGS, BenchOptions)
    add_fields(parser, EXECUTION_FLAGS, Execution)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print and write the results."""
    values = _resolved(given(vars(arguments), BenchOptions))
    options = BenchOptions.of(values)
    if options.all:
        return _run_all(options, values)
    _run(options)
    return 0


def _resolved(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with the name of a bench in ``what``: a bundle there means the bench of its task.

    Raises:
        HumanrtError: it is neither, or there is no bench for the bundle's task.
    """
    what = values["what"]
    if what in _BENCHES:
        return values
    try:
        task = load_bundle(what).task
    except BundleError as error:
        raise HumanrtError(f"{error}; or measure one of: {choices(tuple(_BENCHES))}") from None
    if task not in _BUNDLES:
        raise HumanrtError(f"no measurement for task `{task}` of bundle `{what}`; there is: {choices(_BUNDLES)}")
    if "bundle" in values:
        raise HumanrtError(f"two bundles, `{what}` and --bundle {values['bundle']}; give one")
    return {**values, "what": task, "bundle": what}


def _run_all(options: BenchOptions, values: Mapping[str, Any]) -> int:
    """Measure all configurations of the bundle, and print and write the table. Return 1 if none could run."""
    if options.what not in _BUNDLES:
        raise HumanrtError(f"--all is for {choices(_BUNDLES)}: `bench {options.what}` runs no bundle; leave it out")
    varied = [name for name in ("backend", "precision", "threads") if name in values]
    if varied:
        raise HumanrtError(f"--all measures every {varied[0]}; leave out --{varied[0]}")
    for path in (options.markdown, options.csv, options.plot):
        if path is not None:
            check_writable(path)
    bundle = load_bundle(options.bundle or _BUNDLES[options.what])
    command = ["bench", options.what]
    for name, value in values.items():
        if name in ("what", "all", "markdown", "csv", "plot"):
            continue
        flag = _FLAGS.get(name) or EXECUTION_FLAGS[name]
        given_value = [] if flag.switch else [str(one) for one in (value if flag.several else [value])]
        command += [f"--{flag_name(name, flag)}", *given_value]
    progress = Progress("rows")

    def show(done: int, total: int) -> None:
        progress.total = total
        progress(done)

    rows = measure_all(bundle, command, show)
    own, peers = len(rows), installed(options.what)
    for name, version in peers.items():
        show(len(rows), own + len(peers))
        rows.append(measure_peer(name, version, _of_peer(options)))
    progress.end()
    print(as_text(rows))
    files = [(options.markdown, as_markdown(rows).encode()), (options.csv, as_csv(rows).encode())]
    if options.plot is not None:
        picture = as_picture(rows, f"{bundle.name}: a frame, median and p99")
        files.append((options.plot, cv2.imencode(options.plot.suffix, picture[..., ::-1])[1].tobytes()))
    for path, data in files:
        if path is not None:
            write_atomically(path, data)
            print(f"wrote {path}")
    if not any(row.report for row in rows[:own]):
        print(f"humanrt bench: none of the {own} rows could run; the reasons are above", file=sys.stderr)
        return 1
    return 0


def _of_peer(options: BenchOptions) -> list[str]:
    """Return the arguments with which a peer is measured on the same frames, as often."""
    warmup = min(options.warmup, _MAX_PEOPLE_WARMUP) if options.what == "people" else options.warmup
    counts = {"max-frames": options.max_frames, "warmup": warmup, "repeat": options.repeat}
    numbers = (counts | {"max-hands": options.max_hands}).items()
    return [options.what, options.source, *(word for name, number in numbers for word in (f"--{name}", str(number)))]


def _run(options: BenchOptions) -> None:
    if options.json:
        check_writable(options.json)
    before = read_report(options.compare) if options.compare else None
    if before is not None and before.get("bench") != options.what:
        raise SourceError(f"{options.compare} is a report of `bench {before.get('bench')}`; give one of the same bench")
    where = machine()
    with ExitStack() as stack:
        report = _BENCHES[options.what](options, stack)
    source = printable(redacted_address(options.source))
    report = {"bench": options.what, "source": source, "machine": where, "peak_memory_bytes": peak_memory(), **report}
    stages = {name: Percentiles(**values) for name, values in report["stages"].items()}
    print(table(stages, "ms", before["stages"] if before else None))
    for line in report["summary"]:
        print(line)
    load = f", at a load of {where['load'][0]:.1f} beforehand" if where["load"] else ""
    print(f"on {where['cores']} cores of {where['cpu']}{load}")
    if options.json:
        write_report(options.json, report)
        print(f"wrote {options.json}")


def _frames(options: BenchOptions) -> list[Frame]:
    with open_source(options.source) as opened:
        if opened.live:
            raise SourceError(f"{opened.name}: a benchmark needs a file that can be replayed; record one first")
        frames = [frame for _, frame in zip(range(options.max_frames), opened, strict=False)]
    if not frames:
        raise SourceError(f"{opened.name}: holds no frame")
    return frames


def _bundle(options: BenchOptions) -> dict[str, Any]:
    """Return the measured bundle and the execution options of its networks; no ``bundle`` key if none is named."""
    named = {} if options.bundle is None else {"bundle": options.bundle}
    return {**named, "precision": options.precision, "unverified": options.unverified}


def _pipeline(options: BenchOptions, names: Sequence[str], stack: ExitStack) -> HandPipeline:
    task = HandOptions(names, options.smooth, options.max_hands, options.model)
    own = _bundle(options) if options.what != "posebert" else {}
    bundle = own.pop("bundle", None)
    return stack.enter_context(open_hands(bundle, options.backend, task, threads=options.threads, **own))


def _hands(options: BenchOptions, stack: ExitStack) -> dict[str, Any]:
    frames = _frames(options)
    start = perf_counter()
    pipeline = _pipeline(options, options.robots or ["allegro_right"], stack)
    opened = perf_counter()
    pipeline(frames[0])
    cold = {"open_ms": (opened - start) * 1e3, "first_frame_ms": (perf_counter() - opened) * 1e3}
    for frame in frames[: options.warmup]:
        pipeline(frame)
    stages: dict[str, list[float]] = {}
    results: list[HandResult] = []
    for _ in range(options.repeat):
        pipeline.reset()
        results = [pipeline(frame) for frame in frames]
        for result in results:
            for stage, ms in result.ms.items():
                stages.setdefault(stage, []).append(ms)
    held = [result.ms["total"] for result in results if "detect" not in result.ms]
    if held:
        stages["tracked"] = held
    with_hand = sum(len(result.ids) > 0 for result in results)
    total = Percentiles.of(stages["total"])
    dropped, late = _live(options, stack)
    summary = [
        f"a hand in {with_hand} of {len(frames)} frames; {1e3 / total.p50:.0f} fps at the median, "
        "without reading and drawing",
        f"played at its own pace: {dropped} frames dropped, {late.p50:.1f} ms from grab to result at the median, "
        f"{late.p99:.1f} at 99 %",
        f"cold start: {cold['open_ms']:.0f} ms to open, {cold['first_frame_ms']:.0f} ms for the first frame",
        f"`tracked` is `total` of the frames on which the detector did not run ({len(held)} of {len(results)})",
    ]
    report: dict[str, Any] = {
        "frames": len(frames),
        "repeat": options.repeat,
        "backend": pipeline.tracker.backend.name,
        "precision": pipeline.tracker.precision,
        "model": options.model,
        "stages": {stage: Percentiles.of(values).as_dict() for stage, values in stages.items()},
        "cold": cold,
        "live": {"dropped": dropped, "grab_to_result_ms": late.as_dict()},
        "with_hand": with_hand,
        "replayed_bytes": sum(frame.image.nbytes for frame in frames),
    }
    truth = _truth(options.source)
    if truth is not None:
        accuracy = measure(results, truth, pipeline.robots)
        report["accuracy"] = _accuracy_report(accuracy)
        summary += _accuracy_lines(accuracy)
    return {**report, "summary": summary}


def _live(options: BenchOptions, stack: ExitStack) -> tuple[int, Percentiles]:
    """Play the source at its own pace through the latest-frame path; return drops, and ms from grab to result."""
    pipeline = _pipeline(options, options.robots or ["allegro_right"], stack)
    late = []
    with open_source(options.source, realtime=True) as source:
        for _, frame in zip(range(min(LIVE_FRAMES, options.max_frames)), source, strict=False):
            pipeline(frame)
            late.append((monotonic() - frame.t) * 1e3)  # a live frame is stamped by this clock when it is grabbed
        return source.dropped, Percentiles.of(late)


def _truth(source: str) -> Truth | None:
    """Load the ground truth beside a rendered clip, NAME.npz; None if there is none."""
    truth = Path(source).with_suffix(".npz")
    return Truth.load(truth) if not is_address(source) and truth.is_file() else None


def _accuracy_report(accuracy: Accuracy) -> dict[str, Any]:
    return {
        "hands": accuracy.truth,
        "found": accuracy.found,
        "hand_px": accuracy.span,
        "keypoints_px": accuracy.pixels.as_dict(),
        "finger_degrees": accuracy.degrees.as_dict(),
        "robot_tips_mm": {name: values.as_dict() for name, values in accuracy.tips.items()},
        "robot_to_human_tips_mm": {name: values.as_dict() for name, values in accuracy.tips_human.items()},
        "robot_to_human_tips_floor_mm": {name: v.as_dict() for name, v in accuracy.tips_human_floor.items()},
    }


def _accuracy_lines(accuracy: Accuracy) -> list[str]:
    lines = [
        f"hands found: {accuracy.found} of {accuracy.truth} in the ground truth (hand size {accuracy.span:.0f} px)",
        f"  keypoints {accuracy.pixels.p50:.2f} px median, {accuracy.pixels.p95:.2f} at 95 %",
        f"  finger joints {accuracy.degrees.p50:.1f} degrees median, {accuracy.degrees.p95:.1f} at 95 %",
    ]
    for name, tips in accuracy.tips.items():
        human, floor = accuracy.tips_human[name], accuracy.tips_human_floor[name]
        lines.append(
            f"  {name} fingertips {tips.p50:.1f} mm median from where perfect keypoints would put them; "
            f"{human.p50:.1f} mm from the scaled human ones ({floor.p50:.1f} with perfect keypoints)"
        )
    return lines


def _retarget(options: BenchOptions, stack: ExitStack) -> dict[str, Any]:
    """Measure the solver's time on the keypoints of the source, one thread, every robot in turn frame by frame."""
    frames = _frames(options)
    pipeline = _pipeline(options, [], stack)
    hands = [(hand, frame.t) for frame in frames for hand in list(pipeline(frame).hands)[:1]]
    if not hands:
        raise SourceError(
            f"{redacted_address(options.source)}: no hand found, so there is nothing to retarget; give another --source"
        )
    solvers = {name: Retargeter(name) for name in (options.robots or robots())}
    times: dict[str, list[float]] = {solver.hand.name: [] for solver in solvers.values()}
    costs: dict[str, list[float]] = {name: [] for name in times}
    violations = 0
    for lap in range(options.repeat + 1):
        for solver in solvers.values():
            solver.reset()
        last: float | None = None
        for hand, t in hands:
            dt = None if last is None else t - last
            last = t
            for solver in solvers.values():
                start = perf_counter()
                q = solver.solve(hand.keypoints_3d, dt=dt, side=hand.side)
                elapsed = (perf_counter() - start) * 1e3
                if lap == 0:  # warm-up: the first pass is not counted
                    continue
                times[solver.hand.name].append(elapsed)
                if lap == 1:
                    costs[solver.hand.name].append(solver.cost(q, hand.keypoints_3d, side=hand.side))
                    low, high = solver.limits.T
                    violations += int(((q < low) | (q > high)).sum())
    kernels = {solver.kernel for solver in solvers.values()}
    stages: Mapping[str, Percentiles] = {name: Percentiles.of(values) for name, values in times.items()}
    summary = [
        f"{len(hands)} frames x {options.repeat}, one thread, solver: {', '.join(sorted(kernels))}; mean "
        + ", ".join(f"{name} {values.mean * 1e3:.0f} us" for name, values in stages.items()),
        f"joint limits violated: {violations}",
    ]
    return {
        "frames": len(hands),
        "repeat": options.repeat,
        "kernel": sorted(kernels),
        "stages": {name: values.as_dict() for name, values in stages.items()},
        "mean_cost": {name: float(np.mean(values)) for name, values in costs.items()},
        "violations": violations,
        "summary": summary,
    }


def _people(options: BenchOptions, stack: ExitStack) -> dict[str, Any]:
    """Measure every frame of the source, at least 30 in total, and the peak memory of the process."""
    start = perf_counter()
    task = PeopleOptions(threshold=options.threshold, quality=options.quality, refine=options.refine)
    own = _bundle(options)
    bundle = own.pop("bundle", None)
    pipeline = open_people(bundle, options.backend, task, threads=options.threads, **own)
    stack.enter_context(pipeline)
    opened = perf_counter()
    with open_source(options.source) as source:
        if source.live:
            raise SourceError(f"{source.name}: a benchmark needs a file that can be replayed; record one")
        frames = [frame for _, frame in zip(range(options.max_frames), source, strict=False)]
    if not frames:
        raise SourceError(f"{source.name}: holds no frame")
    begin = perf_counter()
    pipeline(frames[0])
    cold = {"open_ms": (opened - start) * 1e3, "first_frame_ms": (perf_counter() - begin) * 1e3}
    for _ in range(min(options.warmup, _MAX_PEOPLE_WARMUP)):  # the network is slow, and its time constant
        pipeline(frames[0])
    stages: dict[str, list[float]] = {}
    counts = []
    for _ in range(max(options.repeat, -(-LEAST_PEOPLE_FRAMES // len(frames)))):
        pipeline.reset()
        for frame in frames:
            result = pipeline(frame)
            counts.append(len(result.people))
            for stage, ms in result.ms.items():
                stages.setdefault(stage, []).append(ms)
    total = Percentiles.of(stages["total"])
    peak, replayed = peak_memory(), sum(frame.image.nbytes for frame in frames)
    summary = [
        f"{np.mean(counts):.1f} people per frame (frames without people cost less: use a source that shows some); "
        f"{1e3 / total.p50:.1f} fps at the median, without reading and drawing",
        f"cold start: {cold['open_ms']:.0f} ms to open, {cold['first_frame_ms']:.0f} ms for the first frame",
    ]
    if peak is not None:
        summary.append(
            f"peak memory of the process: {peak / 1e6:.0f} MB, of which {replayed / 1e6:.0f} MB are the {len(frames)} "
            "frames that it replays"
        )
    overlapped = None
    if isinstance(pipeline, PeoplePipeline) and pipeline.overlaps:
        begin = perf_counter()
        done = sum(1 for _ in pipeline.overlapped(frame for _ in range(options.repeat) for frame in frames))
        overlapped = done / (perf_counter() - begin)
        summary.append(f"{overlapped:.1f} fps with overlapping frames (`humanrt run --overlap`)")
    return {
        "frames": len(frames),
        "counted": len(counts),
        "bundle": pipeline.model.bundle.name,
        "backend": pipeline.model.backend.name,
        "precision": pipeline.model.precision,
        "people": float(np.mean(counts)),
        **({} if overlapped is None else {"overlapped_fps": overlapped}),
        "stages": {stage: Percentiles.of(values).as_dict() for stage, values in stages.items()},
        "cold": cold,
        "peak_memory_bytes": peak,
        "replayed_bytes": replayed,
        "summary": summary,
    }


def _posebert(options: BenchOptions, stack: ExitStack) -> dict[str, Any]:
    """Measure a frame of a stream, from keypoints to poses: of one hand, and of ten at different times of the clip."""
    start = perf_counter()
    own = _bundle(options)
    named = own.pop("bundle", "posebert-hand")
    stream = stack.enter_context(PoseBERTStream(named, backend=options.backend, threads=options.threads, **own))
    opened = perf_counter()
    if stream.points != 21:
        raise HumanrtError(
            f"bench posebert needs a bundle for hands; {stream.bundle.name} takes "
            + (f"{stream.points} keypoints" if stream.points else "rotations")
        )
    pipeline = _pipeline(options, [], stack)
    seen = [(frame.t, hand) for frame in _frames(options) for hand in list(pipeline(frame).hands)[:1]]
    if len(seen) < 2:
        raise SourceError(
            f"{redacted_address(options.source)}: hands in only {len(seen)} frames; give a --source that shows a hand"
        )
    hands = [Observation(hand.keypoints_3d, hand.score, hand.side) for _, hand in seen]
    begin = perf_counter()
    stream.update(seen[0][0], {0: hands[0]})
    cold = {"open_ms": (opened - start) * 1e3, "first_frame_ms": (perf_counter() - begin) * 1e3}
    times: dict[str, list[float]] = {}
    for count in (1, CROWD):
        laps = []
        for _ in range(options.repeat):
            stream.reset()
            for index, (t, _) in enumerate(seen):
                crowd = {i: hands[(index + i * len(hands) // count) % len(hands)] for i in range(count)}
                begin = perf_counter()
                stream.update(t, crowd)
                laps.append((perf_counter() - begin) * 1e3)
        # The window fills up in the first frames, which costs the same; only the warm-up is excluded.
        times["1 hand" if count == 1 else f"{count} hands"] = laps[min(options.warmup, len(laps) - 1) :]
    return {
        "frames": len(seen),
        "repeat": options.repeat,
        "bundle": stream.bundle.name,
        "backend": stream.backend.name,
        "threads": options.threads,
        "window": stream.window,
        "stages": {name: Percentiles.of(values).as_dict() for name, values in times.items()},
        "cold": cold,
        "summary": [
            f"{stream.bundle.name}, window {stream.window} at {stream.clock_hz:g} Hz, backend {stream.backend.name}, "
            f"{options.threads or 'all'} threads; from keypoints to smoothed keypoints and rotations",
            f"cold start: {cold['open_ms']:.0f} ms to open, {cold['first_frame_ms']:.0f} ms for the first frame",
        ],
    }


_BUNDLES = {"hands": "hands", "people": DEFAULT_BUNDLE, "posebert": "posebert-hand"}
"""Benches that run a bundle, and the one that they take unless another is named."""

_BENCHES: Mapping[str, Callable[[BenchOptions, ExitStack], dict[str, Any]]] = {
    "hands": _hands,
    "people": _people,
    "posebert": _posebert,
    "retarget": _retarget,
}

# How the fields of `BenchOptions` are given on the command line.
_FLAGS = {
    "source": Flag(metavar="SOURCE"),
    "bundle": Flag(metavar="NAME|PATH"),
    "backend": Flag(metavar="NAME"),
    "quality": Flag(choices=QUALITIES),
    "refine": Flag(choices=QUALITIES),
    "threshold": Flag(metavar="P", type=float),
    "robots": Flag("robot", metavar="NAME", several=True),
    "model": Flag(metavar="NAME"),
    "max_hands": Flag(metavar="N", type=int),
    "smooth": Flag(choices=SMOOTHERS),
    "warmup": Flag(metavar="N", type=int),
    "repeat": Flag(metavar="N", type=int),
    "max_frames": Flag(metavar="N", type=int),
    "json": Flag(metavar="FILE", type=Path),
    "compare": Flag(metavar="FILE", type=Path),
    "all": Flag(switch=True),
    "markdown": Flag(metavar="FILE", type=Path),
    "csv": Flag(metavar="FILE", type=Path),
    "plot": Flag(metavar="FILE", type=Path),
}
