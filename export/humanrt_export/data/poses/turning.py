"""Rotations as front-ends of single frames see them: `NoiseModel` on rotation vectors.

The model knows points. A frame of J rotations is J + 2 of them: each joint's rotation vector relative to its parent
(the root's is 0, as it has no direction of rest), and two columns of the root's matrix: where the person faces.
Errors are rotation vectors: a joint's in its own axes, the root's in the camera's, along whose line of sight a single
frame is least sure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt_export.data.poses.clips import Clip
from humanrt_export.data.poses.noise import NoiseModel

__all__ = ["EXTRA", "TurnedNoise", "as_points", "errors_of", "turned"]

Array = NDArray[Any]

EXTRA = 2
"""Points of the noise model beside one for each rotation."""
# Front-ends differ: factors on all errors, and on those that tremble. With 1 errors are larger than the pairs' (by a
# third), as the model, whose errors are normal, was fitted to spans of front for back as well. A network that never saw
# a front-end without errors bends its poses, too: towards the mean of the training.
_STRENGTHS, _FASTS = (0.0, 0.9), (0.6, 1.3)
# Front for back: in the first 40 pairs of `multihmr-anny` 19 spans began in 100 s, and lasted 0.3 s in the mean.
_FLIP_RATE, _FLIP_SPAN = 0.1, 0.32  # 1/s, s; half of that
_FLIP_ANGLE = 2.3, 0.4  # rad about the body's vertical, and its spread


def turned(clip: Clip, joints: int) -> dict[str, Array]:
    """Return a clip with the first ``joints`` rotations, observed as rotations; of clean motion, the truth itself."""
    rotations = np.asarray(clip["rotations"])[:, :joints]
    observed = clip["observed"][:, :joints] if clip["observed"].ndim == 4 else rotations
    score = np.asarray(clip["score"], np.float32)
    return {
        "t": clip["t"],
        "observed": observed,
        "score": score,
        "confidence": np.repeat(score[:, None], joints, axis=1),
        "rotations": rotations,
        "keypoints": np.zeros((len(score), 0, 3), np.float32),
    }


def as_points(clip: Clip, joints: int) -> dict[str, Array]:
    """Return a clip for fitting the noise model: true points and observed ones, [T, J + 2, 3]."""
    clip = turned(clip, joints)
    truth, observed = (np.asarray(clip[name], np.float64) for name in ("rotations", "observed"))
    there = np.isfinite(observed).all(axis=(1, 2, 3))
    points = _points(truth)
    seen = np.full_like(points, np.nan)
    seen[there] = points[there]
    seen[there, :joints] += errors_of(truth[there], observed[there])
    confidence = np.repeat(clip["score"][:, None], joints + EXTRA, axis=1)
    return {**clip, "keypoints": points, "observed": seen, "confidence": confidence}


class TurnedNoise:
    """Rotations of clean motion, observed: a noise model of J + 2 points, fitted to `as_points`.

    Args:
        model: the noise model.
        strengths, fasts: ranges of the factors on all errors, and on those that tremble, sampled for each clip.
    """

    def __init__(
        self,
        model: NoiseModel,
        strengths: tuple[float, float] = _STRENGTHS,
        fasts: tuple[float, float] = _FASTS,
    ) -> None:
        self._model, self._strengths, self._fasts = model, strengths, fasts

    def __call__(self, truth: Array, t: Array, generator: np.random.Generator) -> tuple[Array, Array, Array]:
        """Sample observed [T, J, 3, 3], score [T], confidence [T, J]. truth: [T, J, 3, 3]; t: [T] s."""
        truth = np.asarray(truth, np.float64)
        joints, points = truth.shape[1], _points(truth)
        fast, strength = (float(generator.uniform(*limits)) for limits in (self._fasts, self._strengths))
        observed, score, _ = self._model(points, t, generator, fast=fast, strength=strength)
        turns = matrices_from_vectors(observed[:, :joints].astype(np.float64) - points[:, :joints])
        turns[:, 1:] = truth[:, 1:] @ turns[:, 1:]
        turns[:, 0] = turns[:, 0] @ truth[:, 0] @ _flips(np.asarray(t, np.float64), generator)
        # All joints of a person have one confidence, as in the pairs.
        return turns.astype(np.float32), score, np.repeat(score[:, None], joints, axis=1)


def _flips(t: Array, generator: np.random.Generator) -> Array:
    """Sample rotations [T, 3, 3]: the identity, but for spans in which front is taken for back."""
    vectors = np.zeros((len(t), 3))
    for _ in range(generator.poisson(_FLIP_RATE * (t[-1] - t[0]))):
        start = generator.uniform(t[0], t[-1])
        span = (t >= start) & (t <= start + generator.exponential(_FLIP_SPAN))
        vectors[span, 1] = generator.choice([-1, 1]) * generator.normal(*_FLIP_ANGLE)
    return matrices_from_vectors(vectors)


def _points(rotations: Array) -> Array:
    """Return the points [T, J + 2, 3] of rotations [T, J, 3, 3]."""
    vectors = vectors_from_matrices(rotations)
    vectors[:, 0] = 0
    return np.concatenate([vectors, rotations[:, 0, :, 0][:, None], rotations[:, 0, :, 2][:, None]], axis=1)


def errors_of(truth: Array, observed: Array) -> Array:
    """Return rotation vectors [T, J, 3] from the truth to what was observed."""
    errors = vectors_from_matrices(np.swapaxes(truth, -1, -2) @ observed)
    errors[:, 0] = vectors_from_matrices(observed[:, 0] @ np.swapaxes(truth[:, 0], -1, -2))
    return np.asarray(errors)
