"""Observations and identities: the cheapest pairing."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from humanrt.assignment import assign


def test_it_is_the_cheapest_for_two() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        costs = random.uniform(0, 1, (2, 2)).tolist()
        owner = assign(costs, 2.0)
        straight, crossed = costs[0][0] + costs[1][1], costs[0][1] + costs[1][0]
        assert sum(costs[r][c] for r, c in enumerate(owner) if c is not None) == pytest.approx(min(straight, crossed))
    assert assign([[1.0, 2.0], [1.1, 9.0]], 10.0) == [1, 0]  # not the greedy answer


def test_what_cannot_belong_together_stays_apart() -> None:
    assert assign([], 1.0) == []
    assert assign([[], []], 1.0) == [None, None]
    assert assign([[inf, inf]], 1.0) == [None]
    assert assign([[0.2, inf], [0.1, inf]], 1.0) == [None, 0]
