"""humanrt's whole bodies against MediaPipe's own Holistic, in one interleaved run on the same frames and cores.

    python bench/mediapipe_holistic.py --install --heavy-tflite FILE            first time: an environment of its own
    python bench/holistic_vs_mediapipe.py speed VIDEO --complexity 1 --bundle holistic:fast [--json FILE]
    python bench/holistic_vs_mediapipe.py speed VIDEO --complexity 2 --bundle holistic:best [--json FILE]
    python bench/holistic_vs_mediapipe.py views --complexity 1 2 [--out DIR]

``speed``: ours from the picture to the people with meshes, MediaPipe's ``process()`` alone, without the copy into its
process. The two take turns every ``--turn`` frames, each first in every other turn, after a pause in which the other's
threads fall asleep; both may use ``--threads`` cores. The first frame of a turn, which wakes a side's own threads, is
left out. A turn's ratio is of medians, and the median of the ratios is the figure. VIDEO shows one person with both
hands and the face in view, as MediaPipe follows one; what each side found is counted beside.

``views``: its 33 landmarks through the measure of `people_views.py`, exactly as the raw landmarks there.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from humanrt.evaluation.calibrated import View, load_views
from humanrt.files import write_atomically
from humanrt.sources.opening import Frame, open_source
from humanrt.stats import Percentiles, machine, table, write_report
from humanrt.tasks import open_people
from mediapipe_holistic import PYTHON, MediaPipeHolistic
from people_views import Follower, SeenPerson, bundle_options, placed, report, score
from real_views import VIEWS, truth_of

__all__ = ["mediapipe_follower"]


def mediapipe_follower(complexity: int, python: Path = PYTHON) -> Follower:
    """Return MediaPipe's Holistic as a program under test of `people_views.py`."""

    def follow(view: View, frames: Iterable[Frame]) -> Iterable[list[SeenPerson]]:
        with MediaPipeHolistic(complexity, python) as holistic:
            for frame in frames:
                found = holistic(frame.image)
                pixels, metric = found["pose_2d"], found["pose_3d"]
                yield [] if pixels is None else [SeenPerson(1, placed(metric, pixels, view.K))]

    return Follower(f"MediaPipe Holistic, complexity {complexity}", follow)


@dataclass(frozen=True)
class Turns:
    """How the two sides are timed.

    Attributes:
        source: video of one person.
        bundle: ours, ``NAME|PATH[:QUALITY]``.
        complexity: of MediaPipe's pose model.
        frames: the first so many are used.
        turn: frames until the other's turn.
        pause: seconds before each turn.
        threads: cores that both may use.
        python: of MediaPipe's environment.
    """

    source: Path
    bundle: str = "holistic"
    complexity: int = 1
    frames: int = 300
    turn: int = 20
    pause: float = 0.05
    threads: int = 2
    python: Path = PYTHON


def speed(turns: Turns) -> dict[str, Any]:
    """Run both sides in turns; return the report."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: turns.threads])  # the worker inherits it
    bundle, options = bundle_options(turns.bundle)
    with open_source(turns.source) as source:
        frames = [frame for frame in source if frame.index < turns.frames]
    complexity = turns.complexity
    ours: list[Any] = []
    wall: list[float] = []
    theirs: list[dict[str, Any]] = []
    ratios: list[float] = []
    picture = np.empty_like(frames[0].image)
    with (
        MediaPipeHolistic(complexity, turns.python) as holistic,
        open_people(bundle, "cpu", options, threads=turns.threads) as pipeline,
    ):
        for frame in frames[:20]:
            holistic(frame.image)
            pipeline(frame)
        pipeline.reset()
        holistic.reset(complexity)

        def run_theirs(turn: list[Frame]) -> None:
            sleep(turns.pause)
            theirs.extend(holistic(frame.image) for frame in turn)

        def run_ours(turn: list[Frame]) -> None:
            sleep(turns.pause)
            for frame in turn:
                np.copyto(picture, frame.image)
                shown = replace(frame, image=picture)
                begin = perf_counter()
                ours.append(pipeline(shown))
                wall.append((perf_counter() - begin) * 1e3)

        for number, start in enumerate(range(0, len(frames), turns.turn)):
            turn = frames[start : start + turns.turn]
            for run in (run_theirs, run_ours)[:: -1 if number % 2 else 1]:
                run(turn)
            if len(turn) > 1:
                ratios.append(
                    float(np.median(wall[start + 1 :]) / np.median([one["ms"] for one in theirs[start + 1 :]]))
                )
    kept = [index for index in range(len(frames)) if index % turns.turn]
    names = dict.fromkeys(name for index in kept for name in ours[index].ms if name != "total")
    stages = {
        "MediaPipe": Percentiles.of(theirs[index]["ms"] for index in kept),
        "humanrt": Percentiles.of(wall[index] for index in kept),
        **{
            f"  {name}": Percentiles.of(ours[index].ms[name] for index in kept if name in ours[index].ms)
            for name in names
        },
    }
    found = {
        "theirs": {
            part: sum(one[key] is not None for one in theirs)
            for part, key in (
                *(("person", "pose_2d"), ("left hand", "left_hand")),
                *(("right hand", "right_hand"), ("face", "face")),
            )
        },
        "ours": {"people": sum(len(one.persons) for one in ours), "hands": sum(len(one.hands) for one in ours)},
    }
    print(table(stages))
    print(
        f"{turns.bundle} / MediaPipe of complexity {complexity}: {np.median(ratios):.3f} "
        f"({np.percentile(ratios, 10):.3f} to {np.percentile(ratios, 90):.3f} at 10 and 90 % of {len(ratios)} turns of "
        f"{turns.turn}), {turns.threads} threads"
    )
    print(f"in {len(frames)} frames: MediaPipe {found['theirs']}, humanrt {found['ours']}")
    return {
        "machine": machine(),
        "mediapipe": holistic.versions,
        "source": turns.source.name,
        "size": list(frames[0].image.shape[1::-1]),
        "bundle": turns.bundle,
        "complexity": complexity,
        "threads": turns.threads,
        "turn": turns.turn,
        "ratios": ratios,
        "found": found,
        "frames": len(frames),
        "stages": {name.strip(): value.as_dict() for name, value in stages.items()},
    }


def on_views(
    folder: Path, heavy: str | Path, complexities: Iterable[int], stride: int, threads: int, python: Path
) -> tuple[dict[str, Any], str]:
    """Measure its landmarks on the real views; return the report and the table. Arguments as on the command line."""
    views = load_views(folder)
    truth = truth_of(views, heavy, threads=threads)
    rows = {}
    for complexity in complexities:
        follower = mediapipe_follower(complexity, python)
        rows[follower.name] = score(follower, views, truth, stride)[0].summary()
    text = report(rows)
    print(text)
    return {"machine": machine(), "stride": stride, "rows": rows}, text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=PYTHON, help="of MediaPipe's environment")
    parser.add_argument("--threads", type=int, default=2)
    kinds = parser.add_subparsers(dest="kind", required=True)
    timing = kinds.add_parser("speed", help="frames a second, in turns")
    timing.add_argument("source", type=Path)
    timing.add_argument("--bundle", default=Turns.bundle, metavar="NAME|PATH[:QUALITY]")
    timing.add_argument("--complexity", type=int, choices=(0, 1, 2), default=Turns.complexity)
    timing.add_argument("--frames", type=int, default=Turns.frames, help="the first so many")
    timing.add_argument("--turn", type=int, default=Turns.turn, help="frames until the other's turn")
    timing.add_argument("--pause", type=float, default=Turns.pause, help="seconds before each turn")
    timing.add_argument("--json", type=Path)
    real = kinds.add_parser("views", help="its landmarks on the real views")
    real.add_argument("--views", type=Path, default=VIEWS)
    real.add_argument("--heavy", default="heavy", metavar="FILE.onnx", help="another network for the truth")
    real.add_argument("--complexity", type=int, nargs="+", choices=(0, 1, 2), default=[1, 2])
    real.add_argument("--stride", type=int, default=2)
    real.add_argument("--out", type=Path, help="folder for mediapipe_views.json and mediapipe_views.md")
    arguments = parser.parse_args()
    if arguments.kind == "speed":
        turns = {item.name: getattr(arguments, item.name) for item in fields(Turns)}
        result = speed(Turns(**turns))
        if arguments.json:
            write_report(arguments.json, result)
        return
    result, text = on_views(
        arguments.views,
        arguments.heavy,
        arguments.complexity,
        arguments.stride,
        arguments.threads,
        arguments.python,
    )
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_report(arguments.out / "mediapipe_views.json", result)
        write_atomically(arguments.out / "mediapipe_views.md", text.encode())


if __name__ == "__main__":
    main()
