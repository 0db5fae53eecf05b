"""PoseGPT on people that it has not seen: reconstruction, forecasts beside holding and constant velocity, and speed.

    python bench/posegpt.py BUNDLE --data cmu.tar.xz --labels labels.json --subjects 03 07

Of every clip of these subjects a window is taken each second: 2 s are seen, 1 s is forecast. Errors are mean distances
of SMPL's 22 body joints in the world, on one rest skeleton, in mm: the mean of the samples' errors, and that of the
best sample. Holding keeps the last pose where it is; constant velocity moves every joint on as in the last 0.1 s.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt import Motion, PoseGPT
from humanrt.files import write_atomically
from humanrt.geometry.skeleton import SMPLX_BODY, SMPLX_BODY_PARENTS
from humanrt.motion.rest import joint_positions
from humanrt_export.data.poses.labelled import FPS, JOINTS, LabelledClip, load_labelled, read_labels

HORIZONS = (0.1, 0.2, 0.4, 1.0)  # s
SEEN, AHEAD = round(2.0 * FPS), round(1.0 * FPS)
VELOCITY = round(0.1 * FPS)

Array = NDArray[np.float64]


def motion_of(clip: LabelledClip) -> Motion:
    """A clip as the runtime has it, y up."""
    return Motion(
        clip.motion.rotations[:, :JOINTS].astype(np.float32),
        clip.motion.translation.astype(np.float32),
        FPS,
        SMPLX_BODY,
        SMPLX_BODY_PARENTS,
        "y",
    )


def windows(clips: list[LabelledClip]) -> Iterator[tuple[Motion, str]]:
    """What is seen and what comes, 3 s together, each second."""
    for clip in clips:
        motion = motion_of(clip)
        for start in range(0, len(motion) - SEEN - AHEAD + 1, round(FPS)):
            yield motion.cut(start, start + SEEN + AHEAD), clip.label


def reconstruction(gpt: PoseGPT, clips: list[LabelledClip]) -> dict[str, float]:
    """Errors of the joints, relative to the pelvis, through tokens and back; and the share of codes in use."""
    errors, used = [], [set[int]() for _ in range(gpt.books)]
    for clip in clips:
        motion = motion_of(clip).turned(gpt.up)
        tokens = gpt.encode(motion.with_joints(gpt.joint_names), motion.translation)
        back = gpt.decode(tokens)
        there = joint_positions(motion.cut(0, len(back)))
        found = joint_positions(back)[:, :JOINTS]
        errors.append(np.linalg.norm((found - found[:, :1]) - (there - there[:, :1]), axis=-1).mean(-1))
        for book, codes in enumerate(used):
            codes.update(tokens[:, book].tolist())
    together = np.concatenate(errors)
    return {
        "mm": 1e3 * float(together.mean()),
        "p95_mm": 1e3 * float(np.quantile(together, 0.95)),
        "codes_used": float(np.mean([len(codes) for codes in used])) / gpt.codes,
    }


def forecasts(gpt: PoseGPT, clips: list[LabelledClip], samples: int, labelled: bool) -> dict[str, dict[str, float]]:
    """Errors in mm by method and horizon."""
    errors: dict[str, list[Array]] = {"holding": [], "constant velocity": [], "mean": [], f"best of {samples}": []}
    for number, (window, label) in enumerate(windows(clips)):
        motion = window.turned(gpt.up)
        joints = joint_positions(motion)
        seen, truth = joints[:SEEN], joints[SEEN:]
        speed = (seen[-1] - seen[-1 - VELOCITY]) / VELOCITY
        steps = np.arange(1, AHEAD + 1)[:, None, None]
        name = label if labelled and label in gpt.labels else None
        made = gpt.generate_several(samples, name, AHEAD / FPS, motion.cut(0, SEEN), seed=number)
        found = np.stack([distance(joint_positions(one)[:, :JOINTS], truth) for one in made])
        errors["holding"].append(distance(seen[-1:], truth))
        errors["constant velocity"].append(distance(seen[-1] + steps * speed, truth))
        errors["mean"].append(found.mean(0))
        errors[f"best of {samples}"].append(found[found.mean(1).argmin()])
    return {
        method: {f"{at:g} s": 1e3 * float(np.mean([one[round(at * FPS) - 1] for one in rows])) for at in HORIZONS}
        for method, rows in errors.items()
    }


def distance(found: Array, truth: Array) -> Array:
    """Mean distance of the joints in each frame, [T] m."""
    out: Array = np.linalg.norm(found - truth, axis=-1).mean(-1)
    return out


def speed(gpt: PoseGPT, frames: int = 900) -> dict[str, float]:
    """ms from one frame of a stream to the next, and how many times real time that is."""
    stream = gpt.stream(seed=0)
    next(stream)
    took = []
    for _ in range(frames):
        before = time.perf_counter()
        next(stream)
        took.append(time.perf_counter() - before)
    return {
        "median_ms": 1e3 * float(np.median(took)),
        "mean_ms": 1e3 * float(np.mean(took)),
        "p99_ms": 1e3 * float(np.quantile(took, 0.99)),
        "times_real_time": 1 / gpt.fps / float(np.mean(took)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--data", nargs="+", required=True, type=Path, help="folders or archives of motion")
    parser.add_argument("--labels", required=True, type=Path, help="JSON: name of a recording -> label and subject")
    parser.add_argument("--subjects", nargs="+", help="whose clips are measured (default: all)")
    parser.add_argument("--samples", type=int, default=10, help="forecasts of each window (default: 10)")
    parser.add_argument("--labelled", action="store_true", help="tell the network each clip's label")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    clips = load_labelled(given.data, read_labels(given.labels))
    clips = [clip for clip in clips if not given.subjects or clip.subject in given.subjects]
    with PoseGPT(given.bundle, threads=given.threads) as gpt:
        result = {
            "clips": len(clips),
            "seconds": sum(len(clip.frames) for clip in clips) / FPS,
            "reconstruction": reconstruction(gpt, clips),
            "forecast_mm": forecasts(gpt, clips, given.samples, given.labelled),
            "stream": speed(gpt),
        }
    for name, value in result.items():
        print(f"{name}: {json.dumps(value)}")
    if given.json:
        write_atomically(given.json, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
