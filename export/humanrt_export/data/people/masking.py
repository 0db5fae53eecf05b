"""Which patches a completion hides: an exact number, at random, more of the person than of the background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["coverage", "hidden_count", "hidden_patches"]


def hidden_count(patches: int, ratio: float) -> int:
    """How many of ``patches`` are hidden at ``ratio``: the nearest number that leaves one to see and one to guess."""
    return min(max(round(ratio * patches), 1), patches - 1)


def hidden_patches(
    person: NDArray[np.floating], ratio: float, bias: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw the patches of one picture without replacement.

    Args:
        person: [N], part of each patch that is a person, 0..1 (`coverage`).
        ratio: part of the N patches that is hidden: exactly `hidden_count` of them.
        bias: a patch full of person is drawn with ``1 + bias`` times the weight of one without.
        generator: what is random.

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
    """Mask [S, S] of people -> the part [(S / patch)^2] of each patch, row by row, that is one."""
    side = len(mask) // patch
    return np.asarray(mask.reshape(side, patch, side, patch).mean(axis=(1, 3)).reshape(-1), np.float32)
