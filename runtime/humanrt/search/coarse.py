"""A few numbers of a descriptor that bound distances from below, so that most poses need not be looked at.

The numbers of a descriptor are divided into groups that do not overlap; a group's sum, divided by the square root of
its size, is one number of the coarse vector. That is a projection onto orthogonal unit vectors, so two coarse vectors
are never farther apart than their descriptors: what is too far by them is too far. The last number of a row is half of
the coarse vector's squared length, so that one product of a row with a query's vector gives half of a squared distance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["COARSE", "bounds", "coarse_rows"]

Floats = NDArray[np.float32]

COARSE = 16
"""Numbers of a row: 64 bytes, a line of a processor's cache."""


def coarse_rows(vectors: Floats, groups: NDArray[np.int64]) -> Floats:
    """Return the coarse rows [N, `COARSE`] of descriptors [N, D].

    Args:
        vectors: the descriptors.
        groups: [D] group of each number, from 0 to `COARSE` - 2; -1: of none.
    """
    rows = np.empty((len(vectors), COARSE), np.float32)
    rows[:, :-1] = vectors @ _projection(groups)
    rows[:, -1] = np.einsum("nc,nc->n", rows[:, :-1], rows[:, :-1]) / 2
    return rows


def bounds(rows: Floats, query: Floats, groups: NDArray[np.int64]) -> Floats:
    """Return lower bounds [N] of the squared distances of descriptors to a query [D], from their coarse rows."""
    coarse = query @ _projection(groups)
    found: Floats = rows @ np.append(-coarse, np.float32(1))
    found *= 2
    found += coarse @ coarse
    return found


def _projection(groups: NDArray[np.int64]) -> Floats:
    matrix = np.zeros((len(groups), COARSE - 1), np.float32)
    there = groups >= 0
    matrix[np.flatnonzero(there), groups[there]] = 1
    projection: Floats = matrix / np.sqrt(np.maximum(matrix.sum(0), 1))
    return projection
