"""Observations and identities: the cheapest pairing."""

from __future__ import annotations

from itertools import permutations
from math import inf, nan

import numpy as np
import pytest

from humanrt.perception.assignment import assign, gated


def total(costs: list[list[float]], owners: list[int | None], unmatched: list[float]) -> float:
    assert len({c for c in owners if c is not None}) == sum(c is not None for c in owners), owners
    return sum(unmatched[r] if c is None else costs[r][c] for r, c in enumerate(owners))


def lowest(costs: list[list[float]], unmatched: list[float]) -> float:
    """The lowest total cost, by trying every pairing."""
    rows, columns = len(costs), len(costs[0])
    places = [*range(columns), *[None] * rows]
    return min(total(costs, list(owners), unmatched) for owners in set(permutations(places, rows)))


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
@pytest.mark.parametrize("columns", [0, 1, 2, 3, 4])
def test_it_is_the_lowest_of_all_pairings(rows: int, columns: int) -> None:
    random = np.random.default_rng([rows, columns])
    for trial in range(12):
        values = random.uniform(-0.2, 1, (rows, columns))
        if trial % 3 == 1:
            values[random.uniform(0, 1, values.shape) < 0.4] = inf
        if trial % 3 == 2:
            values = np.round(values, 1)  # ties
        costs = values.tolist()
        for unmatched in ([0.3] * rows, [5.0] * rows, random.uniform(0, 1, rows).tolist()):
            assert total(costs, assign(costs, unmatched), unmatched) == pytest.approx(lowest(costs, unmatched))


def test_crowds_cost_no_more_than_any_exchange_makes_them() -> None:
    random = np.random.default_rng(1)
    for rows, columns in ((7, 7), (30, 20), (20, 30)):
        costs = random.uniform(0, 1, (rows, columns)).tolist()
        owners = assign(costs, 2.0)
        assert sum(owner is not None for owner in owners) == min(rows, columns)
        matched = [(r, c) for r, c in enumerate(owners) if c is not None]
        # No rows can lower the sum by taking each other's columns: there is no cycle of negative cost.
        gain = np.array([[costs[a][d] - costs[a][b] for _, d in matched] for a, b in matched])
        for k in range(len(matched)):
            gain = np.minimum(gain, gain[:, k : k + 1] + gain[k : k + 1])
        assert gain.diagonal().min() > -1e-9


def test_a_greedy_answer_is_not_taken() -> None:
    assert assign([[1.0, 2.0], [1.1, 9.0]], 10.0) == [1, 0]
    # Three rows that must all move on: no exchange of two lowers the sum.
    assert assign([[1.0, 2.0, 9.0], [9.0, 1.0, 2.0], [1.0, 9.0, 9.0]], 50.0) == [1, 2, 0]


def test_what_cannot_belong_together_stays_apart() -> None:
    assert assign([], 1.0) == []
    assert assign([[], []], 1.0) == [None, None]
    assert assign([[inf, inf]], 1.0) == [None]
    assert assign([[0.2, inf], [0.1, inf]], 1.0) == [None, 0]
    assert assign([[nan, 0.5]], 1.0) == [1]


def test_an_infinite_cost_of_being_unmatched_matches_as_many_as_possible() -> None:
    assert assign([[0.1, 0.9], [0.1, inf]], inf) == [1, 0]
    assert assign([[0.1], [0.2]], inf) == [0, None]


def test_behind_a_gate_nobody_stays_alone_beside_a_free_identity() -> None:
    assert assign([[3.0]], 2.0) == [None]
    assert assign([[3.0]], gated([[3.0]], 2.0)) == [0]
    assert gated([[inf, 0.5], [inf, inf], []], 2.0) == [2.0, 2.0, 2.0]
