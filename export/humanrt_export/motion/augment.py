"""Augmentation of recorded motion: mirror image, other speeds and frame rates, other directions, other arms, bends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.geometry.mirror import MIRROR
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPL_24, mirrored, other_sides
from humanrt_export.motion.clip import Motion, MotionError, about

__all__ = [
    "SWAPPED",
    "interpolate",
    "mirror",
    "mirror_rotations",
    "random_rotation",
    "resample",
    "rotate",
    "turn_about_vertical",
    "varied",
]

Floats = NDArray[np.floating[Any]]
Array = NDArray[np.float64]


SWAPPED = other_sides(SMPL_24)
"""[24] the joint of the other side."""


def mirror_rotations(rotations: Floats) -> Array:
    """Mirror local rotations [..., 24, 3, 3]: sides swapped, every rotation mirrored in x."""
    return mirrored(np.asarray(rotations)[..., SWAPPED, :, :])


def mirror(motion: Motion) -> Motion:
    """Mirror the motion (x -> -x of the world). Mirroring twice gives the original."""
    return replace(
        motion,
        translation=motion.translation * MIRROR,
        rotations=mirror_rotations(motion.rotations),
        source=f"{motion.source} mirrored",
    )


def interpolate(rotations: Floats, places: ArrayLike) -> Array:
    """Interpolate rotations [T, ..., 3, 3] at fractional frames [N] in 0..T-1 by SLERP; returns [N, ..., 3, 3]."""
    rotations = np.asarray(rotations, np.float64)
    places = np.asarray(places, np.float64)
    last = len(rotations) - 1
    if last < 0 or not ((places >= -1e-9) & (places <= last + 1e-9)).all():
        raise MotionError(f"choose frames from 0 to {last}")
    before = np.clip(np.floor(places).astype(int), 0, max(last - 1, 0))
    after = np.minimum(before + 1, last)
    amount = (places - before).reshape(-1, *(1,) * (rotations.ndim - 2))
    start = rotations[before]
    turn = vectors_from_matrices(np.swapaxes(start, -1, -2) @ rotations[after])
    return np.asarray(start @ matrices_from_vectors(amount * turn))


def resample(motion: Motion, fps: float, speed: float = 1.0) -> Motion:
    """Resample the motion to another frame rate; ``speed`` 2: twice as fast."""
    if not (fps > 0 and speed > 0):
        raise MotionError(f"{fps} frames per second at {speed} times the speed: both must be above 0")
    step = speed * motion.fps / fps
    places = np.arange(int(np.floor((len(motion) - 1) / step + 1e-6)) + 1) * step
    places = np.minimum(places, len(motion) - 1)
    frames = np.arange(len(motion))
    translation = np.stack([np.interp(places, frames, axis) for axis in motion.translation.T], axis=1)
    source = motion.source if speed == 1 else f"{motion.source} at {speed:.3g} times the speed"
    return replace(
        motion, fps=fps, translation=translation, rotations=interpolate(motion.rotations, places), source=source
    )


def rotate(motion: Motion, turn: Floats) -> Motion:
    """Rotate the whole motion by [3, 3] about the world's origin, such as from world to camera axes."""
    rotations = motion.rotations.copy()
    rotations[:, 0] = turn @ rotations[:, 0]
    return replace(motion, translation=motion.translation @ np.asarray(turn).T, rotations=rotations)


def turn_about_vertical(angle: float) -> Array:
    """Return the rotation [3, 3] about the world's y axis."""
    return matrices_from_vectors(np.array([0.0, angle, 0.0]))


_ARMS = [
    place
    for place, name in enumerate(SMPL_24)
    if any(part in name for part in ("collar", "shoulder", "elbow", "wrist", "hand"))
]
_BEND = {"spine1": 14.0, "spine2": 10.0, "spine3": 6.0, "neck": 8.0, "left_hip": 14.0, "right_hip": 14.0}
"""Degrees: deviation of the bends that `varied` adds, forward and back; half as much sideways."""
_PERIOD = (1.5, 6.0)  # s of the slow swing of these bends


def varied(motion: Motion, others: Sequence[Motion], generator: np.random.Generator) -> Motion:
    """Return the motion with the arms of another one (a third of the time) and with bends of its own (half the time).

    A few hours of recordings hold few poses: this combines them. Feet may slide, and an arm may touch the trunk.

    Args:
        motion: is not changed.
        others: motions of the same frame rate whose arms may be taken, from anywhere in them.
        generator: everything random comes from here.
    """
    rotations = motion.rotations.copy()
    count = len(motion)
    long = [other for other in others if len(other) >= count and other.fps == motion.fps]
    if generator.uniform() < 1 / 3 and long:
        other = long[int(generator.integers(len(long)))]
        start = int(generator.integers(len(other) - count + 1))
        rotations[:, _ARMS] = other.rotations[start : start + count, _ARMS]
    if generator.uniform() < 0.5:
        t = np.arange(count) / motion.fps
        for name, degrees in _BEND.items():
            for axis, size in (("x", degrees), ("z", 0.5 * degrees)):
                still, swing = np.radians(size) * generator.normal(0, (0.8, 0.6))
                angle = still + swing * np.sin(2 * np.pi * t / generator.uniform(*_PERIOD) + generator.uniform(0, 7))
                place = SMPL_24.index(name)
                rotations[:, place] = rotations[:, place] @ about(axis, angle)
    return replace(motion, rotations=rotations, source=f"{motion.source} varied")


def random_rotation(generator: np.random.Generator) -> Array:
    """Return a uniformly distributed rotation [3, 3]."""
    q = generator.standard_normal(4)
    w, x, y, z = q / np.linalg.norm(q)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + 2 * w * cross + 2 * cross @ cross)
