"""Clips with rays of the landmarks beside their metric positions, as `PoseBERTStream` passes them to a network.

The ground truth of such a clip is in the axes of the gaze (`humanrt.posebert.rays`), in which the network predicts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.skeleton import MEDIAPIPE_BODY
from humanrt.posebert.rays import Gaze, directions, rays
from humanrt_export.data.poses.clips import Clip
from humanrt_export.data.poses.noise import NoiseModel, wander

__all__ = ["SightedNoise", "sighted", "stacked"]

Array = NDArray[Any]

_HIPS = [23, 24]
_NEAREST = 0.5  # m, minimum distance from the camera to any point of synthetic views
_DEPTHS = (1.3, 8.0)  # m to the hips in synthetic views, log-uniform
_STRENGTHS = (0.3, 1.1)  # factor on errors: landmark networks are more accurate on real people than on rendered ones
_SWAY = 0.06  # standard deviation of the log depth over time


def sighted(clip: Clip) -> dict[str, Array]:
    """Add ``rays`` [T, 33, 3] (0 where lost) to a clip of `pairs_body`, with the ground truth in the gaze's axes.

    It also adds ``true_rays`` [T, 33, 3], with the ground truth's own spread for depth, and ``gaze`` [T, 3, 3] from
    camera axes. A clip without pictures (no ``observed_2d``) is returned unchanged.
    """
    if "observed_2d" not in clip:
        return dict(clip)
    K, t = np.asarray(clip["intrinsics"], np.float64), np.asarray(clip["t"], np.float64)
    looks, truly = directions(clip["observed_2d"], K), directions(clip["keypoints_2d"], K)
    there: NDArray[np.bool_] = np.asarray(np.isfinite(clip["observed"]).all(axis=(1, 2)))
    turns = np.empty((len(t), 3, 3))
    gaze, last = Gaze(), None
    for frame in range(len(t)):
        if there[frame]:
            last = gaze.follow(looks[frame, _HIPS].mean(axis=0), float(t[frame]))
        if last is not None:
            turns[frame] = last
    first = int(np.argmax(there))
    turns[:first] = turns[first] if there.any() else np.eye(3)
    keypoints = np.einsum("tij,tkj->tki", turns, clip["keypoints"])
    rotations = np.array(clip["rotations"], np.float64)
    rotations[:, 0] = turns @ rotations[:, 0]
    seen = np.zeros((*keypoints.shape[:2], 3), np.float32)
    for index in np.flatnonzero(there):
        seen[index] = rays(clip["observed"][index], looks[index], turns[index], MEDIAPIPE_BODY)
    true = np.stack([rays(k, d, turn, MEDIAPIPE_BODY) for k, d, turn in zip(keypoints, truly, turns, strict=True)])
    return {
        **clip,
        "keypoints": keypoints.astype(np.float32),
        "rotations": rotations.astype(np.float32),
        "rays": seen,
        "true_rays": true,
        "gaze": turns.astype(np.float32),
    }


def stacked(clip: Clip) -> dict[str, Array]:
    """Return the clip for fitting the noise model: 66 points, the 33 in metres and their rays as points of depth 0."""
    full = sighted(clip)
    confidence = full["confidence"]
    lost = ~np.isfinite(full["observed"]).all(axis=(1, 2))
    flat = full["rays"] * (1, 1, 0)
    flat[lost] = np.nan
    return {
        **full,
        "observed": np.concatenate([full["observed"], flat], axis=1).astype(np.float32),
        "keypoints": np.concatenate([full["keypoints"], full["true_rays"] * (1, 1, 0)], axis=1).astype(np.float32),
        "confidence": np.concatenate([confidence, confidence], axis=1),
    }


class SightedNoise:
    """Metric observations and rays of clean motion: a noise model of 66 points, and synthetic views.

    Args:
        model: noise model fitted to `stacked` clips.
        calmest: minimum factor on its fast part.
    """

    def __init__(self, model: NoiseModel, calmest: float) -> None:
        self._model, self._calmest = model, calmest

    def __call__(self, truth: Array, t: Array, generator: np.random.Generator) -> tuple[Array, Array, Array, Array]:
        """Sample observed, score, confidence, rays [T, 33, 3]. truth: [T, 33, 3] m in the gaze's axes; t: [T] s."""
        truth = np.asarray(truth, np.float64)
        points = truth.shape[1]
        low, high = np.log(_DEPTHS)
        depth = np.exp(generator.uniform(low, high) + _SWAY * wander(t, 1.0, 1, generator)[:, 0])
        depth = np.maximum(depth, _NEAREST - truth[..., 2].min(axis=1))
        flat = truth[..., :2] / (truth[..., 2:] + depth[:, None, None])
        true = _by_spread(truth, flat)
        both = np.concatenate([truth, true * (1, 1, 0)], axis=1)
        fast = float(generator.uniform(self._calmest, 1))
        strength = float(generator.uniform(*_STRENGTHS))
        observed, score, confidence = self._model(both, t, generator, fast=fast, strength=strength)
        metres, seen = observed[:, :points], observed[:, points:, :2].astype(np.float64)
        # Back to the picture, without scaling; then as in the stream, with the landmarks' own spread.
        there = np.isfinite(metres).all(axis=(1, 2))
        size = np.median(_spread(seen[there]) / _spread(true[there, :, :2])) if there.any() else 1.0
        observed_rays = np.zeros_like(metres)
        observed_rays[there] = _by_spread(metres[there], seen[there] * true[there, :, 2:] / size)
        return metres, score, confidence[:, :points], observed_rays


def _spread(flat: Array) -> Array:
    """Return the root of the summed squared distances of the body's points [T, 33, 2] from their mean: [T]."""
    body = flat[:, MEDIAPIPE_BODY]
    return np.asarray(np.sqrt(np.square(body - body.mean(axis=1, keepdims=True)).sum(axis=(1, 2))))


def _by_spread(metres: Array, flat: Array) -> Array:
    """Return rays [T, 33, 3] of points [T, 33, 2] in the image plane, see `humanrt.posebert.rays.rays`."""
    depth = (_spread(metres[..., :2]) / np.maximum(_spread(flat), 1e-6))[:, None, None]
    inverse = np.broadcast_to(1 / np.maximum(depth, 1e-3), (*flat.shape[:2], 1))
    return np.concatenate([depth * flat, inverse], axis=-1).astype(np.float32)
