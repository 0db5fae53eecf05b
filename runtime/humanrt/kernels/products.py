"""Products of matrices on the calling thread.

numpy's BLAS (OpenBLAS) shares products above a size among threads, which then wait for the next one in a busy loop, for
tens of milliseconds: on a core that the networks need. One such product a frame made whole bodies take 1.7 times as
long on two cores. So products of the live loop stay below that size, or come here (`tests/people/test_threads.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["combine", "weighted_gram"]

Array = NDArray[np.float64]

_SHARED = 1 << 18  # multiplications from which OpenBLAS shares a product: 4 * 65536 (its interface/gemm.c)


def combine(amounts: Array, terms: Array) -> Array:
    """Return the sum [...] of terms [N, ...] times their amounts [N]."""
    return np.asarray(np.einsum("i,ij->j", amounts, terms.reshape(len(terms), -1)).reshape(terms.shape[1:]))


def weighted_gram(design: Array, weight: Array, target: Array) -> tuple[Array, Array]:
    """Return the normal equations A [N, N], b [N] of a weighted least-squares problem.

    Args:
        design: [N, M], each row the effect of an unknown on the measurements.
        weight: [M] of the measurements.
        target: [M] the measurements.
    """
    count, size = design.shape
    weighted = design * weight
    extended = np.concatenate([design, target[None]])
    result = np.zeros((count, count + 1))
    step = max(_SHARED // (count * (count + 1)), 1)
    for start in range(0, size, step):
        part = slice(start, start + step)
        result += weighted[:, part] @ extended[:, part].T
    return result[:, :count], result[:, count]
