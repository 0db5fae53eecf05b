"""Somebody of known pose and shape who is seen by cameras around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.evaluation.calibrated import View
from humanrt.fitting.kernel import make_kernel
from humanrt.fitting.problem import Problem
from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.multiview.fitting import PersonFitter, Views

Array = NDArray[np.float64]

SIZE = (1080, 1920)
SHAPE = np.array([0.9, 2 / 3, 0.4, 0.6, 0.42, 0.3])


def camera(angle: float, name: str = "", video: Path | None = None, away: float = 4.0) -> View:
    """Return a camera at an angle, rad, around the origin, that looks at a point 1 m above it; z is up."""
    K = np.array([[1500.0, 0, 540], [0, 1500, 960], [0, 0, 1]])
    at = np.array([away * np.cos(angle), away * np.sin(angle), 1.8])
    ahead = np.array([0, 0, 1.0]) - at
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(ahead, right), ahead])
    return View(name or f"{angle:g}", video or Path(), K, R, -R @ at, SIZE)


def somebody(
    fitter: PersonFitter, seed: int, count: int, place: tuple[float, float] = (0.0, 0.0), shape: Array = SHAPE
) -> tuple[Array, Array]:
    """Return landmarks [T, 33, 3] and joints [T, J, 3] m of a person who moves between two poses."""
    rig, random = fitter.body.rig, np.random.default_rng(seed)
    p = Problem.of(rig, rig.shape(shape, fitter.body.rest, ()), np.zeros(0), np.zeros(0))
    p.max_iterations, kernel = 1, make_kernel(p)
    rest = fitter.body.rest(shape)[0]
    ends = [
        np.clip(rig.rest + 0.4 * random.uniform(rig.lower - rig.rest, rig.upper - rig.rest), rig.lower, rig.upper)
        for _ in range(2)
    ]
    points, joints = [], []
    for part in np.linspace(0.0, 1.0, count):
        p.x[...] = (1 - part) * ends[0] + part * ends[1]
        p.rotation[...] = matrices_from_vectors(np.array([0, 0, 0.5 + 0.4 * part]))
        p.position[...] = (place[0] + 0.2 * part, place[1], 1.0)
        kernel.solve()
        points.append(p.place.copy())
        joints.append(rig.joints_of(rig.rotations(p.world), rest) + p.origin[0])
    return np.array(points), np.array(joints)


def seen_by(cameras: list[View], points: Array, noise: Array | None = None) -> Views:
    """Return what cameras see of landmarks [T, 33, 3], off by ``noise`` px."""
    pixels = np.stack([project(view.camera(points), view.K) for view in cameras])
    if noise is not None:
        pixels = pixels + noise
    return Views(tuple(cameras), pixels, np.ones(pixels.shape[:3]), 60.0)
