"""Poses of known geometry for the coach's tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY

Array = NDArray[np.float64]
ARMS_DOWN = {"left_shoulder": (0, 0, -80), "right_shoulder": (0, 0, 80)}


def posture(**degrees: tuple[float, float, float]) -> Array:
    """Return a pose [22, 3, 3] before a level camera, arms hanging, with joints turned by axis-angle in degrees."""
    vectors = np.zeros((22, 3))
    for joint, vector in {**ARMS_DOWN, **degrees}.items():
        vectors[SMPLX_BODY.index(joint)] = np.radians(vector)
    pose = matrices_from_vectors(vectors)
    pose[0] = np.diag([1.0, -1.0, -1.0]) @ pose[0]  # facing the camera, whose y is down
    return pose


def anybody(generator: np.random.Generator, spread: float = 0.5) -> Array:
    """Return a random pose, by rotations of ``spread`` rad about each axis."""
    vectors = generator.normal(0, spread, (22, 3))
    vectors[0] *= 0.5
    pose = matrices_from_vectors(vectors)
    pose[0] = np.diag([1.0, -1.0, -1.0]) @ pose[0]
    return pose
