"""humanrt's tracked-hand loop against LiteRT, in one interleaved run on the same frames and threads.

Speed: the whole loop of humanrt (crop, landmarks, smoothing, retargeting) beside LiteRT's landmark inference alone
(`invoke()`, without its crop), both on the same frames, each written to one buffer just before it is processed, as a
camera or decoder does. The two take turns every --turn frames, each first in every other turn, after a pause in which
the other's threads fall asleep; the first frame of a turn, which wakes a side's own threads, counts only where it is
all there is. A turn's ratio is of medians, and the median of the ratios is the figure. `--turn 1 --pause 0.033` is the
cadence of a camera: every frame is met with cold caches and sleeping threads, by both.
Agreement: the keypoints of humanrt, raw and smoothed, against those of LiteRT's own tracking loop (litert_hands.py).

    python bench/hands_vs_litert.py ../shared/media/hand.mp4        (needs the extra `export`)
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from humanrt.hands.pipeline import HandPipeline
from humanrt.hands.smoother import HandSmoother
from humanrt.hands.tracker import HandTracker, TrackerOptions
from humanrt.sources.opening import Frame, open_source
from humanrt.stats import Percentiles, machine, table, write_report
from litert_hands import LiteRtHand, models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache/humanrt/mediapipe-0.10.21")
    parser.add_argument("--model", choices=("full", "lite"), default="full")
    parser.add_argument("--robot", default="allegro_right")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-hands", type=int, default=1)
    parser.add_argument("--turn", type=int, default=60, help="frames until the other's turn")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds before each turn")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    with open_source(arguments.source) as source:
        frames = list(source)
    reference = LiteRtHand(models(arguments.models), arguments.model, arguments.threads)
    options = TrackerOptions(max_hands=arguments.max_hands, model=arguments.model)
    tracker = HandTracker("hands", "cpu", options, threads=arguments.threads)
    pipeline = HandPipeline(tracker, [arguments.robot], HandSmoother())
    for frame in frames[:20]:
        reference(frame.image)
        pipeline(frame)
    pipeline.reset()
    reference.region = None

    theirs: list[dict[str, Any] | None] = []
    ours: list[Any] = []
    wall: list[float] = []

    picture = np.empty_like(frames[0].image)

    def run_theirs(frames: list[Frame]) -> None:
        sleep(arguments.pause)
        for frame in frames:
            np.copyto(picture, frame.image)
            theirs.append(reference(picture))

    def run_ours(frames: list[Frame]) -> None:
        sleep(arguments.pause)
        for frame in frames:
            np.copyto(picture, frame.image)
            shown = replace(frame, image=picture)
            begin = perf_counter()
            ours.append(pipeline(shown))
            wall.append((perf_counter() - begin) * 1e3)

    ratios: list[float] = []
    wakes = 1 if arguments.turn > 1 else 0
    for turn, start in enumerate(range(0, len(frames), arguments.turn)):
        for run in (run_theirs, run_ours)[:: -1 if turn % 2 else 1]:
            run(frames[start : start + arguments.turn])
        litert = [row["ms"] for row in theirs[start + wakes :] if row]
        tracked = [
            ms
            for ms, result in zip(wall[start + wakes :], ours[start + wakes :], strict=True)
            if "detect" not in result.ms
        ]
        if litert and tracked:
            ratios.append(float(np.median(tracked) / np.median(litert)))

    raw_tracker = HandTracker("hands", "cpu", options, threads=arguments.threads)
    raw = [raw_tracker(frame.image, frame.t) for frame in frames]
    gaps = {
        name: np.concatenate(
            [
                np.linalg.norm(hands[0].keypoints_2d - row["keypoints_2d"], axis=1)
                for hands, row in zip(results, theirs, strict=True)
                if row and len(hands) == 1
            ]
        )
        for name, results in (("raw", raw), ("smoothed", [result.hands for result in ours]))
    }
    stages = {
        "litert landmarks": Percentiles.of(row["ms"] for row in theirs if row),
        "humanrt loop": Percentiles.of(ms for ms, result in zip(wall, ours, strict=True) if "detect" not in result.ms),
        "  landmarks": Percentiles.of(r.ms["landmarks"] for r in ours if "detect" not in r.ms),
        "  smooth": Percentiles.of(r.ms["smooth"] for r in ours),
        "  retarget": Percentiles.of(r.ms["retarget"] for r in ours),
        "with detection": Percentiles.of(wall),
    }
    found = sum(len(result.hands) == 1 for result in ours)
    print(table(stages))
    print(
        f"humanrt loop / LiteRT landmarks: {np.median(ratios):.3f} ({np.percentile(ratios, 10):.3f} to "
        f"{np.percentile(ratios, 90):.3f} at 10 and 90 % of {len(ratios)} turns of {arguments.turn}), "
        f"{arguments.threads} threads, model {arguments.model}"
    )
    print(f"one hand in {found} of {len(frames)} frames (LiteRT's loop: {sum(row is not None for row in theirs)})")
    for name, gap in gaps.items():
        print(f"keypoints, {name}, to LiteRT's: {np.median(gap):.2f} px median, {np.percentile(gap, 99):.2f} at 99 %")
    if arguments.json:
        report = {
            "machine": machine(),
            "source": str(arguments.source),
            "threads": arguments.threads,
            "model": arguments.model,
            "turn": arguments.turn,
            "pause_s": arguments.pause,
            "ratios": ratios,
            "stages": {name.strip(): values.as_dict() for name, values in stages.items()},
            "found": found,
            "frames": len(frames),
            "gap_px": {name: Percentiles.of(gap).as_dict() for name, gap in gaps.items()},
        }
        write_report(arguments.json, report)


if __name__ == "__main__":
    main()
