"""Errors of pairs on other motion: what a front-end really gets wrong over time, wherever nobody was rendered.

A fitted model (`TurnedNoise`) makes any number of errors that are alike in size and in how they tremble; what it does
not know, such as how long a front-end stays with a wrong answer and which joints are wrong together, the pairs' own
errors have. Front-ends look at single frames, so that errors may also run backwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.data.poses.clips import Clip
from humanrt_export.data.poses.dataset import Noise
from humanrt_export.data.poses.turning import Array, errors_of, turned

__all__ = ["BorrowedErrors"]

_STRENGTHS = 0.4, 1.1
_JOIN = 6  # frames over which the errors of one pair pass into those of the next


class BorrowedErrors:
    """Rotations of clean motion, observed: with the errors of pairs, or of another noise.

    Args:
        pairs: clips with `observed` and `rotations`, at the rate of the motion.
        joints: how many of their rotations are seen.
        other: noise of all other clips.
        share: part of the clips that gets errors of pairs, 0 to 1.
        strengths: range of the factor on them, sampled for each clip.
    """

    def __init__(
        self,
        pairs: Sequence[Clip],
        joints: int,
        other: Noise,
        share: float,
        strengths: tuple[float, float] = _STRENGTHS,
    ) -> None:
        self._pieces: list[tuple[Array, Array]] = []
        self._other, self._share, self._strengths = other, share, strengths
        for pair in pairs:
            clip = turned(pair, joints)
            observed = np.asarray(clip["observed"], np.float64)
            there = np.isfinite(observed).all(axis=(1, 2, 3))
            if there.sum() > _JOIN:
                errors = np.full((*observed.shape[:2], 3), np.nan)
                errors[there] = errors_of(np.asarray(clip["rotations"], np.float64)[there], observed[there])
                self._pieces.append((errors, np.asarray(clip["score"], np.float64)))

    def __call__(self, truth: Array, t: Array, generator: np.random.Generator) -> tuple[Array, ...]:
        """Sample observed [T, J, 3, 3], score [T], confidence [T, J]. truth: [T, J, 3, 3]; t: [T] s."""
        # Without a share nothing is drawn: clips are those of the other noise alone.
        if not self._pieces or not self._share or generator.uniform() >= self._share:
            return self._other(truth, t, generator)
        errors, score = self._sequence(len(t), generator)
        lost = np.isnan(errors[:, 0, 0])
        turns = matrices_from_vectors(np.where(lost[:, None, None], 0.0, errors) * generator.uniform(*self._strengths))
        observed = np.asarray(truth, np.float64) @ turns
        observed[:, 0] = turns[:, 0] @ truth[:, 0]
        observed[lost] = np.nan
        score = np.where(lost, 0.0, score).astype(np.float32)
        return observed.astype(np.float32), score, np.repeat(score[:, None], truth.shape[1], axis=1)

    def _sequence(self, frames: int, generator: np.random.Generator) -> tuple[Array, Array]:
        """Return errors [frames, J, 3], NaN where lost, and scores [frames], of pairs one after the other."""
        errors, score = self._piece(generator)
        while len(errors) < frames:
            after, next_score = self._piece(generator)
            share = np.linspace(0, 1, _JOIN)
            mixed = errors[-_JOIN:] * (1 - share)[:, None, None] + after[:_JOIN] * share[:, None, None]
            errors = np.concatenate([errors[:-_JOIN], mixed, after[_JOIN:]])
            joint = score[-_JOIN:] * (1 - share) + next_score[:_JOIN] * share
            score = np.concatenate([score[:-_JOIN], joint, next_score[_JOIN:]])
        start = int(generator.integers(len(errors) - frames + 1))
        return errors[start : start + frames], score[start : start + frames]

    def _piece(self, generator: np.random.Generator) -> tuple[Array, Array]:
        errors, score = self._pieces[int(generator.integers(len(self._pieces)))]
        return (errors[::-1], score[::-1]) if generator.uniform() < 0.5 else (errors, score)
