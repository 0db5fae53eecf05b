"""Movements of known geometry for the coach's tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from postures import posture

from humanrt.coach.poses import PoseTrack

Array = NDArray[np.float64]


def squat(depth: float) -> Array:
    """Return a pose between standing (0) and thighs level (1)."""
    bend = 90.0 * depth
    legs = {f"{side}_hip": (-bend, 0, 0) for side in ("left", "right")}
    legs |= {f"{side}_knee": (1.1 * bend, 0, 0) for side in ("left", "right")}
    return posture(**legs, pelvis=(20.0 * depth, 0, 0))


def squats(t: float, period: float = 2.0, depth: float = 1.0) -> Array:
    """Return the pose at a time of repeated squats, which begin standing."""
    return squat(depth * 0.5 * (1 - np.cos(2 * np.pi * t / period)))


def waving(t: float) -> Array:
    """Return the pose at a time of a movement of 4 s that does not come back: one arm, the other, then a thigh."""
    left, right, step = (float(np.clip(t - start, 0, 1)) for start in (0.0, 1.3, 2.6))
    return posture(
        left_shoulder=(0, 0, -80 + 130 * left), right_shoulder=(0, 0, 80 - 130 * right), left_hip=(-40 * step, 0, 0)
    )


def track(pose: Callable[[float], Array], seconds: float, fps: float = 30.0) -> PoseTrack:
    """Return a movement as it would be recorded."""
    times = np.arange(round(seconds * fps) + 1) / fps
    return PoseTrack(np.stack([pose(t) for t in times]), times)
