"""Fit the offsets from Anny's joints to MediaPipe's landmarks of the same names (`humanrt.people.body_points`).

Run where moderngl and torch are installed; prints the table in millimetres and the residuals::

    python -m humanrt_export.synthetic.body_align --motions DIR
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle
from humanrt.geometry.camera import project
from humanrt.geometry.mirror import MIRROR
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.people.body_points import OFFSETS_MM, STATURE, plain_name
from humanrt.people.landmarks import BodyNetwork
from humanrt_export.entry import run_module
from humanrt_export.motion.clip import Motion
from humanrt_export.motion.load import load_motions
from humanrt_export.motion.split import part_of
from humanrt_export.synthetic.body_model import load_body
from humanrt_export.synthetic.body_scene import draw_scene, film, pose_at

__all__ = ["SEED", "fit", "observe"]

Array = NDArray[np.float64]

SEED = 9001
"""Seed of the scenes used for the fit; never use them for anything else."""

_VISIBLE = 0.9


def observe(motions: Sequence[Motion], scenes: int, frames: int) -> tuple[Array, Array, Array, Array]:
    """Observe people in random scenes.

    Returns:
        For N pictures: anchors [N, 33, 3] m in camera space, rotations of offsets [N, 33, 3, 3] times the body size,
        MediaPipe's landmarks [N, 33, 2] in units of the focal length from the picture's middle (NaN where it calls
        them hidden), focal lengths [N] px.
    """
    model = load_body("full")
    network = BodyNetwork(load_bundle("landmarks", task="people"), open_backend("cpu", BackendOptions(threads=1)))
    anchors, turns, seen, focals = [], [], [], []
    for index in range(scenes):
        scene = replace(draw_scene(model, motions, SEED, index), desk=1.0, subframes=1)
        scene = replace(scene, t=np.linspace(0, scene.t[-1], frames))
        rotations, pelvis = pose_at(scene, scene.t)
        joints = model.pose(scene.person, rotations, pelvis).joints.astype(np.float64)
        points = project(model.points(joints, rotations, scene.person.stature), scene.camera.intrinsics)
        at, turn = model.points.anchors(joints, rotations)
        K = scene.camera.intrinsics
        for number, picture in enumerate(film(model, scene, SEED, index)):
            low, high = points[number].min(axis=0), points[number].max(axis=0)
            x, y = ((low + high) / 2).tolist()
            region = Region(x, y, float((high - low).max() * 1.3))
            for _ in range(3):  # starting from the model's own output, as in tracking
                marks = network(picture, region)
                region = marks.region
            miss = np.linalg.norm(marks.landmarks_2d - points[number], axis=1).mean()
            if marks.score < 0.9 or miss > 0.06 * (high - low).max():
                continue
            where = np.where(marks.visibility[:, None] > _VISIBLE, marks.landmarks_2d, np.nan)
            anchors.append(at[number])
            turns.append(turn[number] * (scene.person.stature / STATURE))
            seen.append((where - K[:2, 2]) / K[0, 0])
            focals.append(K[0, 0])
    return np.array(anchors), np.array(turns), np.array(seen), np.array(focals)


def fit(anchors: Array, turns: Array, seen: Array) -> tuple[Array, Array]:
    """Fit the constant offset that brings projected anchors closest to the observations (least absolute deviations).

    Args:
        anchors, turns, seen: [N, 3] m, [N, 3, 3], [N, 2] in units of the focal length.

    Returns:
        The offset [3] m, and the residuals [N] m at the point's depth.
    """
    offset = np.zeros(3)
    for _ in range(30):
        points = anchors + turns @ offset
        depth = points[:, 2]
        miss = seen - points[:, :2] / depth[:, None]
        slope = np.zeros((len(points), 2, 3))
        slope[:, 0, 0] = slope[:, 1, 1] = 1 / depth
        slope[:, :, 2] = -points[:, :2] / depth[:, None] ** 2
        slope = slope @ turns
        error = np.linalg.norm(miss, axis=1) * depth
        weight = depth**2 / np.maximum(error, 0.01)
        normal = np.einsum("n,nij,nil->jl", weight, slope, slope)
        offset = offset + np.linalg.solve(normal, np.einsum("n,nij,ni->j", weight, slope, miss))
    return offset, error


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m humanrt_export.synthetic.body_align")
    parser.add_argument("--motions", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--frames", type=int, default=8)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    motions = [motion for motion in load_motions(options.motions) if part_of(motion) == "train"]
    anchors, turns, seen, _ = observe(motions, options.scenes, options.frames)
    sys.stdout.write(f"{len(seen)} pictures\n")
    mirror = np.diag(MIRROR)
    for name in OFFSETS_MM:
        chosen_indices = [index for index, landmark in enumerate(MEDIAPIPE_33) if plain_name(landmark)[1] == name]
        sides = [
            turns[:, k] @ (mirror if plain_name(MEDIAPIPE_33[k])[0] == "right" else np.eye(3)) for k in chosen_indices
        ]
        chosen: list[NDArray[Any]] = [
            np.concatenate(values)
            for values in ([anchors[:, k] for k in chosen_indices], sides, [seen[:, k] for k in chosen_indices])
        ]
        there = np.isfinite(chosen[2]).all(axis=1)
        offset, error = fit(*(value[there] for value in chosen))
        x, y, z = 1e3 * offset
        left = 1e3 * np.median(error)
        sys.stdout.write(f'    "{name}": ({x:.1f}, {y:.1f}, {z:.1f}),  # {there.sum()} seen, leaves {left:.1f} mm\n')


if __name__ == "__main__":
    run_module(main)
