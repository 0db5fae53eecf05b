"""Who is who: pairs of predicted and true people of one picture, by their joints in the picture.

`optimal` is the default: of the pairs whose boxes overlap enough, as many as possible, and among these choices the one
of the least total distance. No predicted person stays alone beside a true one whom nobody else has.

`published` does what the code of AGORA and Multi-HMR does, so that figures can be compared with papers: pairs are taken
greedily by the spectral norm of the differences of their joints (not their mean distance); a pair refused for its
overlap counts as a false positive, and the search ends when every true person is taken or as many predicted people as
there are have been taken or refused. So it can end while pairs are left. It is written from a description of that code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.perception.assignment import assign

__all__ = ["MATCHERS", "MIN_OVERLAP", "Matcher", "box_overlap", "optimal", "published"]

Array = NDArray[Any]
Pairs = list[tuple[int, int]]
Matcher = Callable[[Array, Array, Array, float], Pairs]

MIN_OVERLAP = 0.1
"""Minimum IoU of the boxes of a pair's joints: AGORA's code; Multi-HMR's has 0.05."""

_ALONE = 1e7  # px, cost of leaving somebody alone: more than all pairs of a picture together


def box_overlap(one: Array, other: Array) -> Array:
    """Return the IoU [P, T] of the boxes around points [P, J, 2] and [T, J, 2] px.

    Pixels are counted: a box from 3 to 5 is 3 px wide, as in the published code.
    """
    low, high = one.min(1), one.max(1)
    true_low, true_high = other.min(1), other.max(1)
    shared = np.minimum(high[:, None], true_high[None]) - np.maximum(low[:, None], true_low[None]) + 1
    common = np.maximum(shared, 0).prod(-1)
    area, true_area = (high - low + 1).prod(-1), (true_high - true_low + 1).prod(-1)
    return np.asarray(common / (area[:, None] + true_area[None] - common))


def optimal(predicted: Array, truth: Array, wanted: Array, min_overlap: float = MIN_OVERLAP) -> Pairs:
    """Return pairs (predicted, true) as the module's text says, in the order of the predicted people.

    Args:
        predicted: [P, J, 2] px.
        truth: [T, J, 2] px.
        wanted: [T] bool; of no effect here: whoever is somebody unwanted is paired with them, and not counted later.
        min_overlap: minimum IoU of the boxes of a pair.
    """
    if not len(predicted) or not len(truth):
        return []
    apart = np.linalg.norm(predicted[:, None] - truth[None], axis=-1).mean(-1)
    apart = np.where(box_overlap(predicted, truth) >= min_overlap, np.minimum(apart, _ALONE / 100), inf)
    columns = assign(apart.tolist(), _ALONE)
    return [(row, column) for row, column in enumerate(columns) if column is not None]


def published(predicted: Array, truth: Array, wanted: Array, min_overlap: float = MIN_OVERLAP) -> Pairs:
    """Return pairs (predicted, true) as published code does, in the order in which they are taken.

    Args:
        predicted: [P, J, 2] px.
        truth: [T, J, 2] px.
        wanted: [T] bool: people who are not wanted (``valid`` there) end up in no pair; whoever is one of them is a
            false positive.
        min_overlap: minimum IoU of the boxes of a pair.
    """
    if not len(predicted) or not len(truth):
        return []
    costs = np.linalg.norm(predicted[:, None] - truth[None], ord=2, axis=(-2, -1))
    overlaps = box_overlap(predicted, truth)
    taken, true_taken = np.zeros(len(predicted), bool), np.zeros(len(truth), bool)
    pairs: Pairs = []
    refused = 0
    for flat in np.argsort(costs, axis=None, kind="stable"):
        if true_taken.all() or taken.sum() + refused >= len(predicted):
            break
        i, j = (int(k) for k in np.unravel_index(flat, costs.shape))
        overlapping = overlaps[i, j] >= min_overlap
        if overlapping and (taken[i] or true_taken[j]):
            continue
        refused += not overlapping
        if not wanted[j]:
            true_taken[j] = True
        elif overlapping:
            taken[i] = true_taken[j] = True
            pairs.append((i, j))
    return pairs


MATCHERS: Mapping[str, Matcher] = {"optimal": optimal, "published": published}
"""All matchers by name; the first is the default."""
