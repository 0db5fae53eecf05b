"""PoseGPT measured: reconstruction, forecasts beside simple ones and PoseBERT's, labels, feet, speed, memory.

    python bench/posegpt.py --data cmu.tar.xz --labels labels.json --subjects 07 u08
    python bench/posegpt.py --data hdm05.tar.xz --labels labels.json --parts reconstruction forecasts
    python bench/posegpt.py --parts stream --frames 1000000

Of every clip of the subjects a window is taken each second: 2 s are seen, 1 s is forecast. Errors are mean distances
of SMPL's 22 body joints on one rest skeleton, in mm: in the world, and of the pose, relative to the pelvis. Of several
samples: the mean of their errors, and the error of the best one (by its mean over the second, in the world), which
nobody can pick beforehand. Holding keeps the last pose where it is; constant velocity moves every joint on as in the
last 0.1 s; PoseBERT predicts the pose, and its pelvis moves on at constant velocity.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt import Motion, PoseBERT, PoseGPT
from humanrt.files import write_atomically
from humanrt.geometry.skeleton import H36M_17, MEDIAPIPE_33, SMPL_24
from humanrt.stats import machine
from humanrt_export.data.poses.labelled import FPS, JOINTS, LabelledClip, load_labelled, read_labels
from humanrt_export.motion.body_fk import about_hips, body_points
from posegpt_motion import distance, feet, joints_of, motion_of, pose, relative, windows

HORIZONS = (0.1, 0.2, 0.4, 1.0)  # s
PARTS = ("reconstruction", "forecasts", "labels", "stream")
SEEN, AHEAD = round(2.0 * FPS), round(1.0 * FPS)
VELOCITY = round(0.1 * FPS)

Array = NDArray[np.float64]


def reconstruction(gpt: PoseGPT, clips: Sequence[LabelledClip]) -> dict[str, Any]:
    """Errors of the pose above the floor, in the heading's axes, through tokens and back, and what codes are used."""
    errors, used = [], [set[int]() for _ in range(gpt.books)]
    counts = np.zeros((gpt.books, gpt.codes))
    backs = []
    for clip in clips:
        motion = motion_of(clip).turned(gpt.up)
        tokens = gpt.encode(motion.with_joints(gpt.joint_names), motion.translation)
        back = gpt.decode(tokens)
        backs.append(back)
        errors.append(distance(pose(back), pose(motion.cut(0, len(back)))))
        for book, codes in enumerate(used):
            codes.update(tokens[:, book].tolist())
            counts[book] += np.bincount(tokens[:, book], minlength=gpt.codes)
    together = np.concatenate(errors)
    shares = counts / counts.sum(1, keepdims=True)
    perplexity = np.exp(-(shares * np.log(np.maximum(shares, 1e-12))).sum(1))
    return {
        "mm": 1e3 * float(together.mean()),
        "p95_mm": 1e3 * float(np.quantile(together, 0.95)),
        "codes_used": float(np.mean([len(codes) for codes in used])) / gpt.codes,
        "perplexity": float(perplexity.mean()),
        "feet_real": feet(motion_of(clip) for clip in clips),
        "feet_decoded": feet(backs),
    }


def forecasts(
    gpt: PoseGPT, clips: Sequence[LabelledClip], samples: int, labelled: bool, sampling: dict[str, Any], posebert: str
) -> dict[str, Any]:
    """Errors in mm by method and horizon, in the world and of the pose."""
    best = f"best of {samples}"
    methods = ("holding", "constant velocity", "PoseBERT", "mean", best)
    errors: dict[str, list[Array]] = {method: [] for method in methods}
    with PoseBERT(posebert) as baseline:
        for number, (window, label) in enumerate(windows(clips, SEEN + AHEAD, round(FPS))):
            motion = window.turned(gpt.up)
            joints = joints_of(motion)
            seen, truth = joints[:SEEN], joints[SEEN:]
            steps = np.arange(1, AHEAD + 1)[:, None, None]
            moved = steps * (seen[-1] - seen[-1 - VELOCITY]) / VELOCITY
            name = label if labelled and label in gpt.labels else None
            made = gpt.generate_several(samples, name, AHEAD / FPS, motion.cut(0, SEEN), seed=number, **sampling)
            found = np.stack([both(joints_of(one), truth) for one in made])
            errors["holding"].append(both(np.broadcast_to(seen[-1:], truth.shape), truth))
            errors["constant velocity"].append(both(seen[-1] + moved, truth))
            errors["PoseBERT"].append(both(predicted(baseline, window, seen[-1, :1] + moved[:, :1]), truth))
            errors["mean"].append(found.mean(0))
            errors[best].append(found[found[:, 0].mean(1).argmin()])
    if not errors["holding"]:
        raise SystemExit(f"no clip of these subjects is {(SEEN + AHEAD) / FPS:g} s long; name others")
    means = {method: np.mean(rows, axis=0) for method, rows in errors.items()}
    at = [round(horizon * FPS) - 1 for horizon in HORIZONS]
    return {"windows": len(errors["holding"])} | {
        where: {
            method: {f"{h:g} s": 1e3 * float(mean[k, i]) for h, i in zip(HORIZONS, at, strict=True)}
            for method, mean in means.items()
        }
        for k, where in enumerate(("world", "pose"))
    }


def both(found: Array, truth: Array) -> Array:
    """Errors in the world and of the pose, [2, T] m."""
    return np.stack((distance(found, truth), distance(relative(found), relative(truth))))


def predicted(posebert: PoseBERT, window: Motion, roots: Array) -> Array:
    """Joints [T, 22, 3] m of PoseBERT's prediction at the `HORIZONS`, y up; other frames hold that of the next one.

    Each horizon has a window of its own, with as many seen frames as fit before it.
    """
    camera = window.turned("-y")
    rotations = np.tile(np.eye(3), (len(camera), len(SMPL_24), 1, 1))
    rotations[:, :JOINTS] = camera.rotations
    names = MEDIAPIPE_33 if "33" in posebert.takes else H36M_17
    points = about_hips(body_points(rotations, names), names)
    out = np.empty((AHEAD, JOINTS, 3))
    done = 0
    for horizon in HORIZONS:
        ahead = round(horizon * FPS)
        mask = np.arange(posebert.frames) < posebert.frames - ahead
        begin = SEEN + ahead - posebert.frames
        keypoints = np.where(mask[:, None, None], points[begin : SEEN + ahead], np.nan)
        pose = posebert.window(keypoints=keypoints, mask=mask)[-1:]
        there = Motion(pose[:, :JOINTS], np.zeros((1, 3), np.float32), FPS, window.joint_names, up="-y").turned(
            window.up
        )
        out[done:ahead] = joints_of(there)[0] + roots[done:ahead]
        done = ahead
    return out


def stream(gpt: PoseGPT, frames: int) -> dict[str, Any]:
    """Wall and CPU time of a stream's frames, and memory as it goes on."""
    generated = gpt.stream(seed=0)
    for _ in range(gpt.factor):
        next(generated)
    took = np.empty(min(frames, 20000))
    memory = {}
    started = time.perf_counter(), time.process_time()
    for index in range(frames):
        before = time.perf_counter()
        next(generated)
        if index < len(took):
            took[index] = time.perf_counter() - before
        if index % max(1, frames // 10) == 0:
            memory[index] = _resident()
    wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    memory[frames] = _resident()
    return {
        "frames": frames,
        "median_ms": 1e3 * float(np.median(took)),
        "mean_ms": 1e3 * float(np.mean(took)),
        "p99_ms": 1e3 * float(np.quantile(took, 0.99)),
        "times_real_time": frames / gpt.fps / wall,
        "times_real_time_cpu": frames / gpt.fps / cpu,
        "cpu_ms": 1e3 * cpu / frames,
        "resident_mb": memory,
    }


def _resident() -> float:
    """MB of memory of this process (Linux), or nan."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS")), float("nan"))


def several(gpt: PoseGPT, samples: int, seconds: float = 1.0, times: int = 5) -> dict[str, float]:
    """ms of a forecast of so many samples."""
    seen = gpt.generate(seconds=2.0, seed=1)
    out = {}
    for count in (1, samples):
        wall, cpu = [], []
        for number in range(times):
            before = time.perf_counter(), time.process_time()
            gpt.generate_several(count, None, seconds, seen, seed=number)
            wall.append(time.perf_counter() - before[0])
            cpu.append(time.process_time() - before[1])
        out |= {f"{count} wall_ms": 1e3 * float(np.median(wall)), f"{count} cpu_ms": 1e3 * float(np.median(cpu))}
    return out


def labels(
    gpt: PoseGPT, clips: Sequence[LabelledClip], subjects: Sequence[str], samples: int, sampling: dict[str, Any]
) -> dict[str, Any]:
    """What a classifier says of generated motions, and how their feet move, beside those of real clips."""
    import torch

    from posegpt_labels import FRAMES, judged

    torch.set_num_threads(1)
    kept = [clip for clip in clips if clip.subject not in subjects and clip.label]
    held = [clip for clip in clips if clip.subject in subjects and clip.label]
    result, made = judged(gpt, kept, held, samples, sampling)
    result["feet"] = {
        label: {
            "real": feet(motion_of(clip) for clip in kept if clip.label == label),
            "generated": feet(motion.cut(len(motion) - FRAMES) for motion in motions),
        }
        for label, motions in made.items()
    }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", nargs="?", help="default: the one that ships")
    parser.add_argument("--data", nargs="+", type=Path, help="folders or archives of motion")
    parser.add_argument("--labels", type=Path, help="JSON: name of a recording -> label and subject")
    parser.add_argument("--subjects", nargs="+", default=[], help="who is measured (default: all), and not trained on")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is measured (default: all)")
    parser.add_argument("--samples", type=int, default=10, help="forecasts of each window (default: 10)")
    parser.add_argument("--generated", type=int, default=40, help="motions of each label (default: 40)")
    parser.add_argument("--labelled", action="store_true", help="tell the network each clip's label in forecasts")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--posebert", default="posebert-body", help="bundle of the baseline")
    parser.add_argument("--frames", type=int, default=900, help="of the stream (default: 900)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sampling = {"temperature": given.temperature, "top_k": given.top_k, "top_p": given.top_p}
    result: dict[str, Any] = {"machine": machine(), "sampling": sampling}
    clips: list[LabelledClip] = []
    if set(given.parts) - {"stream"}:
        if not given.data or not given.labels:
            parser.error("--data and --labels are needed for all parts but `stream`")
        clips = load_labelled(given.data, read_labels(given.labels))
        if unknown := set(given.subjects) - {clip.subject for clip in clips}:
            parser.error(f"--subjects: nothing of {', '.join(sorted(unknown))} is in --data")
    held = [clip for clip in clips if not given.subjects or clip.subject in given.subjects]
    with PoseGPT(given.bundle or "posegpt", threads=given.threads) as gpt:
        if clips:
            result |= {"clips": len(held), "seconds": sum(len(clip.frames) for clip in held) / FPS}
        if "reconstruction" in given.parts:
            result["reconstruction"] = reconstruction(gpt, held)
        if "forecasts" in given.parts:
            result["forecasts"] = forecasts(gpt, held, given.samples, given.labelled, sampling, given.posebert)
        if "labels" in given.parts:
            result["labels"] = labels(gpt, clips, given.subjects, given.generated, sampling)
        if "stream" in given.parts:
            result["stream"] = stream(gpt, given.frames)
            result["several"] = several(gpt, given.samples)
    print(json.dumps(result, indent=1))
    if given.json:
        write_atomically(given.json, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
