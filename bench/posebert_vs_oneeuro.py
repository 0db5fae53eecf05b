"""PoseBERT against One-Euro at equal lag: on clips of known truth, and on a real video of a hand.

    python bench/posebert_vs_oneeuro.py --val pairs/hand/val --train pairs/hand/train --bundle posebert-hand \
        --video ../shared/media/hand.mp4 --out build/posebert

Clips are what `python -m humanrt_export.data.poses.pairs_hand` (or `pairs_body`) writes: what the real front-end
saw of a rendered hand or body, beside what was true. Both of One-Euro's parameters are
searched on --train, for each lag.
Definitions: `humanrt_export.evaluation`. Writes report.json, report.md, and report.png where matplotlib is
installed. Needs what exports (torch), to read clips. Without --bundle it measures One-Euro alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import Bundle, load_bundle
from humanrt.hands.smoother import hand_span
from humanrt.hands.tracker import Hand, HandTracker, TrackerOptions
from humanrt.posebert.stream import Observation, PoseBERTStream
from humanrt.smoothing.one_euro import OneEuro, OneEuroOptions
from humanrt.sources.opening import open_source
from humanrt.stats import machine, write_report
from humanrt_export.data.poses.clips import load_clips
from humanrt_export.data.poses.kinds import KINDS
from humanrt_export.evaluation.batch import Batch
from humanrt_export.evaluation.compare import evaluate
from humanrt_export.evaluation.one_euro import Setting
from humanrt_export.evaluation.score import differences
from humanrt_export.evaluation.search import LAGS, grid
from humanrt_export.evaluation.tables import markdown

Array = NDArray[Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--val", type=Path, required=True, metavar="DIR", help="clips that are measured on")
    parser.add_argument("--train", type=Path, required=True, metavar="DIR", help="clips that One-Euro is tuned on")
    parser.add_argument("--bundle", metavar="NAME|PATH", help="of PoseBERT")
    parser.add_argument("--input", default="hand21", choices=tuple(KINDS), help="without --bundle: kind of clips")
    parser.add_argument("--video", type=Path, metavar="FILE", help="of one hand, without truth")
    parser.add_argument("--lags", type=int, nargs="+", default=list(LAGS), metavar="FRAMES")
    parser.add_argument("--most", type=int, default=300, metavar="N", help="at most so many clips of each (300)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("posebert-report"), metavar="DIR")
    arguments = parser.parse_args()

    bundle = load_bundle(arguments.bundle, task="posebert") if arguments.bundle else None
    kind = KINDS[bundle.setting("input") if bundle else arguments.input]
    val, train = (
        Batch.of(
            [kind.clip(clip) for clip in load_clips(folder)[: arguments.most]],
            lengths=kind.config.lengths,
            origin=kind.config.origin,
        )
        for folder in (arguments.val, arguments.train)
    )
    report: dict[str, Any] = {"machine": machine(), "bundle": bundle.name if bundle else None, "input": kind.name}
    report |= evaluate(val, train, bundle, lags=arguments.lags, progress=_progress, threads=arguments.threads)
    text = markdown(report)
    if arguments.video:
        best = grid(train, progress=_progress).best(0) or Setting(1.2, 12.0)
        report["video"] = video(arguments.video, best, bundle, arguments.lags, arguments.threads)
        text += video_table(arguments.video.name, report["video"])
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_report(arguments.out / "report.json", report)
    (arguments.out / "report.md").write_text(text)
    print(file=sys.stderr)
    print(text)
    if plot(report, arguments.out / "report.png"):
        print(f"wrote {arguments.out}/report.json, report.md, report.png")
    else:
        print(f"wrote {arguments.out}/report.json, report.md; no picture: matplotlib is not installed")


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line:<40}", end="", file=sys.stderr)


# ------------------------------------------------------------------------------------------------ video


def video(path: Path, tuned: Setting, bundle: Bundle | None, lags: Sequence[int], threads: int) -> dict[str, Any]:
    """Jitter at rest and in motion, and the distance from the raw keypoints' centred mean over 5 frames, mm.

    That mean knows what came after, as no method without lag can; a method that is late is far from it in motion.
    """
    tracker = HandTracker(options=TrackerOptions(max_hands=1))
    times, hands = [], []
    with open_source(path) as source:
        for frame in source:
            if found := list(tracker(frame.image, frame.t)):
                times.append(frame.t)
                hands.append(found[0])
    t = np.array(times)
    raw = np.array([_centred(hand.keypoints_3d) for hand in hands])
    mean = _mean(raw, 2)
    calm = _mean(raw, 7)
    before, after = calm[:-10], calm[10:]
    speed = np.pad(np.linalg.norm(after - before, axis=-1).mean(-1) / (t[10:] - t[:-10]), 5, mode="edge")
    rest, motion = speed < 0.015, speed > 0.05
    methods: dict[str, tuple[Array, int]] = {"raw": (raw, 0)}
    for name, options in (
        ("One-Euro, as shipped", OneEuroOptions()),
        (f"{Setting(*tuned[:2])}, tuned", OneEuroOptions(tuned.min_cutoff, tuned.beta)),
    ):
        methods[name] = (_one_euro(t, hands, options), 0)
    for lag in lags if bundle else ():
        assert bundle is not None
        methods[f"**PoseBERT**, lag {lag}"] = (_posebert(t, hands, bundle, lag, threads), lag)
    report: dict[str, Any] = {"frames": len(t), "rest": int(rest.sum()), "motion": int(motion.sum()), "methods": {}}
    for name, (points, lag) in methods.items():
        row: dict[str, float] = {}
        # The answer of now is of `lag` frames ago; the camera's rate is near enough to the clock's.
        there = np.isfinite(points).all(axis=(1, 2))
        for part, where in (("rest", rest), ("motion", motion)):
            asked = np.roll(where, lag) & there
            asked[:lag] = False
            _, second, third = differences(t, np.nan_to_num(points), asked)
            goal = np.roll(mean, lag, axis=0)
            row[f"{part}_acceleration"] = float(np.linalg.norm(second, axis=-1).mean() * 1e3)
            row[f"{part}_jerk"] = float(np.linalg.norm(third, axis=-1).mean() * 1e3)
            row[f"{part}_distance"] = float(np.linalg.norm(_fitted(points, goal, asked), axis=-1).mean() * 1e3)
        report["methods"][name] = row
    return report


def _fitted(points: Array, goal: Array, where: Array) -> Array:
    """[N, K, 3] how far points are from the goal, less what is the same all the time (a network unlearns a bias)."""
    gap = points[where] - goal[where]
    return np.asarray(gap - np.median(gap, axis=0))


def _centred(points: Array) -> Array:
    return np.asarray(points - points.mean(axis=0))


def _mean(points: Array, reach: int) -> Array:
    """Centred mean over 2 reach + 1 frames."""
    padded = np.pad(points, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    return np.asarray(np.mean([padded[i : i + len(points)] for i in range(2 * reach + 1)], axis=0))


def _one_euro(t: Array, hands: Sequence[Hand], options: OneEuroOptions) -> Array:
    filters: dict[int, OneEuro] = {}
    found = []
    for time, hand in zip(t, hands, strict=True):
        one_euro = filters.setdefault(hand.id, OneEuro(options))
        found.append(_centred(one_euro(hand.keypoints_3d, float(time), hand_span(hand.keypoints_3d))))
    return np.array(found)


def _posebert(t: Array, hands: Sequence[Hand], bundle: Bundle, lag: int, threads: int) -> Array:
    stream = PoseBERTStream(bundle, lag=lag, threads=threads)
    found = []
    for time, hand in zip(t, hands, strict=True):
        answer = stream.update(float(time), {hand.id: Observation(hand.keypoints_3d, hand.score, hand.side)})
        state = answer.get(hand.id)
        found.append(_centred(state.keypoints) if state else np.full((21, 3), np.nan))
    return np.array(found)


def video_table(name: str, report: Mapping[str, Any]) -> str:
    lines = [
        "",
        f"{name}: {report['frames']} frames, {report['rest']} at rest, {report['motion']} in motion; mm a frame^2, ^3, "
        "and mm from the raw keypoints' centred mean over 5 frames.",
        "",
        "| method | rest: accel. | jerk | distance | motion: accel. | jerk | distance |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    keys = [f"{part}_{what}" for part in ("rest", "motion") for what in ("acceleration", "jerk", "distance")]
    for method, row in report["methods"].items():
        lines.append(f"| {method} | " + " | ".join(f"{row[key]:.2f}" for key in keys) + " |")
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------ picture


def plot(report: Mapping[str, Any], path: Path) -> bool:
    """Error and jitter against lag, and One-Euro's curve of error against jitter. False: there is no matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return False
    lags = [int(lag) for lag in report["lags"]]
    styles = {
        "raw": ("raw", "0.6", ":"),
        "oneeuro": ("One-Euro, tuned", "tab:orange", "-"),
        "oneeuro_oracle": ("One-Euro, tuned on these clips", "tab:orange", "--"),
        "oneeuro_as_calm": ("One-Euro, as calm as PoseBERT", "tab:red", "--"),
        "posebert": ("PoseBERT", "tab:blue", "-"),
        "truth": ("truth", "0.3", ":"),
    }
    figure, axes = pyplot.subplots(1, 4, figsize=(18, 4.5))
    panels = (
        ("error", "error, mm"),
        ("acceleration", "jitter: acceleration, mm/frame$^2$"),
        ("jerk", "jerk, mm/frame$^3$"),
    )
    for axis, (key, title) in zip(axes, panels, strict=False):
        for name, (label, colour, line) in styles.items():
            rows = [report["lags"][str(lag)]["methods"].get(name) for lag in lags]
            if any(rows) and not (key == "error" and name == "truth"):
                values = [row[key] if row else np.nan for row in rows]
                axis.plot(lags, values, line, color=colour, marker="o", markersize=4, label=label)
        axis.set(xlabel="lag, frames of 1/30 s", title=title, xticks=lags)
        axis.set_ylim(bottom=None if key == "error" else 0)
    axes[0].legend(fontsize=8)
    shades = pyplot.get_cmap("viridis")(np.linspace(0, 0.85, len(lags)))
    for lag, shade in zip(lags, shades, strict=True):
        entry = report["lags"][str(lag)]
        curve = [point for point in entry["curve"] if point["acceleration"] < 5]
        axes[3].plot(
            [p["acceleration"] for p in curve],
            [p["error"] for p in curve],
            "-",
            color=shade,
            label=f"One-Euro, lag {lag}",
        )
        if row := entry["methods"].get("posebert"):
            axes[3].plot(row["acceleration"], row["error"], "*", color=shade, markersize=13)
    axes[3].set(xlabel="acceleration, mm/frame$^2$", title="error, mm, against jitter (stars: PoseBERT)")
    axes[3].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    return True


if __name__ == "__main__":
    main()
