"""Fit the offsets from Anny's joints to MediaPipe's keypoints of the same names (`humanrt.people.hand_points`).

Run where moderngl and ai-edge-litert are installed; prints the table in millimetres and the residuals::

    python -m humanrt_export.synthetic.align --models SITE_PACKAGES/mediapipe/modules
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt_export.entry import run_module
from humanrt_export.synthetic.check import Reference, next_region
from humanrt_export.synthetic.clips import ClipSpec, plan, render_clip
from humanrt_export.synthetic.hand_model import load_arm
from humanrt_export.synthetic.hand_scene import Camera

__all__ = ["SEEDS", "fit"]

Array = NDArray[np.float64]

SEEDS = range(101, 109)
"""Seeds of the clips of kind `random` used for the fit; never use them for anything else."""

SPEC = ClipSpec("random", fps=6, seconds=8, subframes=1)


def _observe(models: Path) -> tuple[Array, Array, Array]:
    """Return bone motions [N, 21, 3, 4], unaligned keypoints in rest pose [N, 21, 3] m, MediaPipe's [N, 21, 2] px."""
    reference = Reference(models)
    moves, rests, seen = [], [], []
    for seed in SEEDS:
        t, (hand,) = plan(SPEC, seed)
        transforms = hand.arm.transforms(hand.motion.at(t))[:, hand.arm.keypoint_bones]
        plain = load_arm(hand.arm.side, hand.arm.shape, aligned=False)
        frames, truth = render_clip(SPEC, seed)
        for index, frame in enumerate(frames):
            expected = truth.keypoints_2d[index, 0].astype(np.float64)
            region = next_region(expected)
            for _ in range(2):  # the second pass starts from the model's own output, as in tracking
                presence, _, points, _ = reference.landmarks(frame, region)
                region = next_region(points)
            if presence > 0.7 and np.linalg.norm(points - expected, axis=1).mean() < 25:
                moves.append(transforms[index])
                rests.append(plain.keypoint_rest)
                seen.append(points)
    return np.array(moves), np.array(rests), np.array(seen)


def fit(moves: Array, rests: Array, seen: Array, intrinsics: NDArray[Any]) -> tuple[Array, Array]:
    """Return constant offsets that best fit projected keypoints (least absolute deviations, reweighted squares).

    Returns:
        Offsets [21, 3] m, and the residuals [N, 21] m at the keypoints' depth.
    """
    focal, centre = intrinsics[0, 0], intrinsics[:2, 2]
    offsets = np.zeros((21, 3))
    linear = moves[..., :3]
    for _ in range(30):
        points = np.einsum("nkij,nkj->nki", linear, rests + offsets) + moves[..., 3]
        depth = points[..., 2]
        miss = seen - (points[..., :2] / depth[..., None] * focal + centre)
        slope = np.zeros((*depth.shape, 2, 3))
        slope[..., 0, 0] = slope[..., 1, 1] = focal / depth
        slope[..., :2, 2] = -focal * points[..., :2] / depth[..., None] ** 2
        slope = slope @ linear
        weight = 1 / np.maximum(np.linalg.norm(miss, axis=-1), 2.0)
        normal = np.einsum("nk,nkij,nkil->kjl", weight, slope, slope)
        offsets = (
            offsets + np.linalg.solve(normal, np.einsum("nk,nkij,nki->kj", weight, slope, miss)[..., None])[..., 0]
        )
    return offsets, np.linalg.norm(miss, axis=-1) * depth / focal


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m humanrt_export.synthetic.align")
    parser.add_argument("--models", type=Path, required=True)
    moves, rests, seen = _observe(parser.parse_args().models)
    offsets, left = fit(moves, rests, seen, Camera(SPEC.size).intrinsics)
    sys.stdout.write(f"{len(seen)} frames\n")
    for k in range(21):
        x, y, z = 1e3 * offsets[k]
        sys.stdout.write(f"{k:2d}  ({x:5.1f}, {y:5.1f}, {z:5.1f}) mm, leaves {1e3 * np.median(left[:, k]):.1f} mm\n")


if __name__ == "__main__":
    run_module(main)
