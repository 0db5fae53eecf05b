"""Patch masking for completion: an exact number of random patches, more of the person than of the background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["coverage", "hidden_count", "hidden_patches"]


def hidden_count(patches: int, ratio: float) -> int:
    """Return how many of ``patches`` are hidden at ``ratio``, rounded; at least one stays visible and one is hidden."""
    return min(max(round(ratio * patches), 1), patches - 1)


def hidden_patches(
    person: NDArray[np.floating], ratio: float, bias: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw the patches of one picture without replacement.

    Args:
        person: [N], fraction of each patch covered by a person, 0..1 (`coverage`).
        ratio: fraction of the N patches to hide: exactly `hidden_count` of them.
        bias: a patch completely covered by a person has ``1 + bias`` times the weight of one without.
        generator: source of randomness.

    Returns:
        [N] bool.
    """
    # Weighted sampling without replacement: the largest of u ** (1 / w) (Efraimidis and Spirakis, 2006), as logarithms.
    weights = 1 + bias * person
    keys = np.log(generator.uniform(np.finfo(float).tiny, 1.0, len(person))) / weights
    hidden = np.zeros(len(person), bool)
    hidden[np.argsort(-keys)[: hidden_count(len(person), ratio)]] = True
    return hidden


def coverage(mask: NDArray[np.bool_], patch: int) -> NDArray[np.float32]:
    """Return the fraction [(S / patch)^2] of each patch, in row-major order, that the mask [S, S] of people covers."""
    side = len(mask) // patch
    return np.asarray(mask.reshape(side, patch, side, patch).mean(axis=(1, 3)).reshape(-1), np.float32)
