"""Draw tokens from logits: temperature, top-k, top-p, by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_count, check_range
from humanrt.errors import InvalidInputError

__all__ = ["Sampler", "Sampling", "draw_rows", "probabilities"]

_MOST = 1_000_000


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. All three apply, in this order; each book of a token is drawn by itself.

    Attributes:
        temperature: divides the logits; 0 takes the most probable code.
        top_k: only so many of the most probable codes; those that are as probable as the last of them stay too.
        top_p: only the most probable codes that together have this probability.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        check_range(self.temperature, "temperature", 0.0, 1e6)
        if self.top_k is not None:
            check_count(self.top_k, "top_k", _MOST)
        if self.top_p is not None:
            check_range(self.top_p, "top_p", 0.0, 1.0, above=True)


class Sampler:
    """Draws tokens. Equal seeds and equal logits give equal tokens.

    Args:
        sampling: how.
        seed: whole number from 0 on, or several, whose streams of numbers are independent of one another.
    """

    def __init__(self, sampling: Sampling, seed: int | tuple[int, ...] = 0) -> None:
        self.sampling = sampling
        seeds: tuple[int, ...] = seed if isinstance(seed, tuple) else (seed,)
        if not seeds or not all(
            isinstance(one, int | np.integer) and not isinstance(one, bool) and one >= 0 for one in seeds
        ):
            raise InvalidInputError(f"seed must be a whole number from 0 on, not {str(seed)[:60]!r}")
        self._random = np.random.Generator(
            np.random.PCG64(np.random.SeedSequence(int(seeds[0]), spawn_key=tuple(map(int, seeds[1:]))))
        )

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the code [books] drawn for each book of logits [books, C]."""
        return _drawn(logits, self.sampling, self.numbers(len(logits)))

    def numbers(self, count: int) -> NDArray[np.float64]:
        """Return the next random numbers, one a book: whatever the logits are, books do not shift one another."""
        return np.zeros(count) if self.sampling.temperature == 0 else self._random.random(count)


def draw_rows(samplers: Sequence[Sampler], logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the code that each sampler draws for its row of logits [rows, C]; all must have the same `Sampling`."""
    return _drawn(logits, samplers[0].sampling, np.array([sampler.numbers(1)[0] for sampler in samplers]))


def _drawn(logits: NDArray[np.float32], sampling: Sampling, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return codes [rows] of logits [rows, C] by random numbers [rows] from 0 to below 1."""
    if sampling.temperature == 0:
        best: NDArray[np.int64] = logits.argmax(-1).astype(np.int64)
        return best
    chances = np.cumsum(probabilities(logits, sampling), axis=-1)
    drawn = numbers[:, None] * chances[:, -1:]
    codes: NDArray[np.int64] = np.minimum((chances <= drawn).sum(-1), logits.shape[-1] - 1).astype(np.int64)
    return codes


def probabilities(logits: NDArray[np.float32], sampling: Sampling) -> NDArray[np.float64]:
    """Return the probabilities [..., C] with which codes are drawn; the temperature must be above 0."""
    values = logits.astype(np.float64) / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < values.shape[-1]:
        last = np.partition(values, -sampling.top_k, axis=-1)[..., -sampling.top_k, None]
        values = np.where(values < last, -np.inf, values)
    values = np.exp(values - values.max(-1, keepdims=True))
    chances: NDArray[np.float64] = values / values.sum(-1, keepdims=True)
    if sampling.top_p is not None:
        order = np.argsort(-chances, axis=-1, kind="stable")
        before = np.take_along_axis(chances, order, -1).cumsum(-1) - np.take_along_axis(chances, order, -1)
        kept = np.empty_like(before, np.bool_)
        np.put_along_axis(kept, order, before < sampling.top_p, -1)
        chances = np.where(kept, chances, 0.0)
        chances /= chances.sum(-1, keepdims=True)
    return chances
