"""Synthesised motions between poses that are rare in recordings: crouching, bending, balancing, lying, reaching.

Poses come from `synthetic.people.poses`: recordings, joint limits, and mixtures of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import between
from humanrt.people.body_points import STATURE
from humanrt_export.motion.augment import random_rotation, turn_about_vertical
from humanrt_export.motion.clip import Motion
from humanrt_export.synthetic.hand_motion import minimum_jerk
from humanrt_export.synthetic.people.poses import PoseSource

__all__ = ["made_up_motions"]

Array = NDArray[np.float64]

_FPS = 120.0  # as in recordings, so that arms can be exchanged (`motion.augment.varied`)
_PERIODS = (0.6, 1.8)  # s between poses
_TURN = 0.6  # rad, standard deviation of a person's rotation between poses
_ANYHOW = 0.12  # fraction of motions in which the trunk may have any orientation: lying, upside down


def made_up_motions(motions: Sequence[Motion], count: int, seed: int, seconds: float = 8.0) -> list[Motion]:
    """Return ``count`` motions of ``seconds`` each, from poses of ``motions`` and of the joint limits."""
    source = PoseSource(motions, seed)
    return [_motion(source, np.random.default_rng([seed, number, 5]), seconds, number) for number in range(count)]


def _motion(source: PoseSource, generator: np.random.Generator, seconds: float, number: int) -> Motion:
    t = np.arange(round(seconds * _FPS)) / _FPS
    stops = np.cumsum(generator.uniform(*_PERIODS, size=int(seconds / _PERIODS[0]) + 2))
    stops = np.concatenate([[0.0], stops])
    azimuth, anyhow = generator.uniform(-np.pi, np.pi), generator.uniform() < _ANYHOW
    tumbled = random_rotation(generator) if anyhow else None
    poses = []
    for _ in stops:
        body = source.draw(generator, hands=bool(generator.uniform() < 0.15)).body.copy()
        azimuth += generator.normal(0, _TURN)
        front = body[0][:, 2]
        body[0] = turn_about_vertical(azimuth - float(np.arctan2(front[0], front[2]))) @ body[0]
        if tumbled is not None:
            body[0] = tumbled @ body[0]
        poses.append(body)
    keys = np.stack(poses)
    before = np.clip(np.searchsorted(stops, t, side="right") - 1, 0, len(stops) - 2)
    # If there is time left, hold the pose.
    quick = generator.uniform(1.0, 2.0, size=len(stops))[before]
    part = minimum_jerk(np.minimum((t - stops[before]) / np.diff(stops)[before] * quick, 1.0))
    rotations = between(keys[before], keys[before + 1], np.asarray(part)[:, None, None])
    path = np.tile((0.0, STATURE / 2, 0.0), (len(t), 1)) + _wandering(t, generator)
    return Motion(_FPS, path, np.asarray(rotations), f"made up, number {number}", f"made_up_{number:04d}", "nobody")


def _wandering(t: NDArray[Any], generator: np.random.Generator) -> Array:
    """Sample a path [T, 3] m: slow steps in random directions."""
    waves = [
        size * np.sin(2 * np.pi * t / generator.uniform(3, 9) + generator.uniform(0, 2 * np.pi))
        for size in (generator.uniform(0, 0.3), generator.uniform(0, 0.05), generator.uniform(0, 0.3))
    ]
    return np.stack(waves, axis=1)
