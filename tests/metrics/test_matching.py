"""Both matchers: cases worked out by hand, and 4,000 random scenes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from matching_scenes import scenes

from humanrt.metrics.matching import MATCHERS, MIN_OVERLAP, box_overlap, optimal, published

SQUARE = np.array([[0.0, 0], [9, 0], [0, 9], [9, 9]])  # 10 px wide, counted in pixels


def at(*places: tuple[float, float]) -> np.ndarray:
    return np.array([SQUARE + place for place in places]).reshape(-1, 4, 2)


def everybody(people: np.ndarray) -> np.ndarray:
    return np.ones(len(people), bool)


def test_the_optimal_one_is_the_default() -> None:
    assert next(iter(MATCHERS)) == "optimal"
    assert MIN_OVERLAP == 0.1


def test_overlap_counts_pixels() -> None:
    # 10 x 10 px, moved by 5: 50 px in common of 150.
    assert box_overlap(at((0, 0)), at((5, 0), (10, 0), (0, 0))) == pytest.approx(np.array([[50 / 150, 0, 1]]))


@pytest.mark.parametrize("matcher", MATCHERS.values())
def test_nobody_is_paired_with_nobody(matcher: object) -> None:
    assert callable(matcher)
    some, none = at((0, 0)), at()
    assert matcher(some, none, everybody(none), 0.1) == []
    assert matcher(none, some, everybody(some), 0.1) == []


@pytest.mark.parametrize("matcher", MATCHERS.values())
def test_everybody_is_who_is_nearest(matcher: object) -> None:
    assert callable(matcher)
    pairs = matcher(at((101, 0), (1, 0)), at((0, 0), (100, 0)), np.ones(2, bool), 0.1)
    assert sorted(pairs) == [(0, 1), (1, 0)]


def test_the_optimal_one_gives_the_nearest_up_if_all_are_paired_then() -> None:
    # The first overlaps both, the second only the one at 4: greedily, the first takes 4 and the second has nobody.
    predicted, truth = at((3, 0), (12, 0)), at((-4, 0), (4, 0))
    assert sorted(published(predicted, truth, everybody(truth), 0.1)) == [(0, 1)]
    assert optimal(predicted, truth, everybody(truth), 0.1) == [(0, 0), (1, 1)]


def test_published_ends_when_refusals_use_up_the_predictions() -> None:
    # Two are found wrongly, far from everybody; each of their pairs that comes first is refused and counts.
    truth = at((0, 0), (60, 0))
    predicted = at((20, 0), (40, 0), (4, 9))
    # By the norm: (2, 0) is the nearest pair, overlapping by 6 x 1 px only: refused. Then the others, all refused.
    assert published(predicted, truth, everybody(truth), 0.1) == []
    assert optimal(predicted, truth, everybody(truth), 0.02) == [(2, 0)]


def test_the_published_cost_is_the_spectral_norm() -> None:
    # Off by 6 px, to the right in two points and down in two: the norm is sqrt(72), for the two are orthogonal, and the
    # mean distance 6. Off by 5 px to the right in all four: the norm is 10, the mean distance 5.
    truth = at((0, 0))
    crossed = SQUARE + np.array([[6, 0], [6, 0], [0, 6], [0, 6]])
    assert np.linalg.norm(crossed - SQUARE, 2) == pytest.approx(72**0.5)
    shifted = np.add(SQUARE, (5.0, 0))
    predicted = np.array([shifted, crossed])
    assert published(predicted, truth, everybody(truth), 0.05) == [(1, 0)]
    assert optimal(predicted, truth, everybody(truth), 0.05) == [(0, 0)]


def test_unwanted_people_are_in_no_published_pair() -> None:
    truth, wanted = at((0, 0), (100, 0)), np.array([False, True])
    assert published(at((1, 0), (101, 0)), truth, wanted, 0.1) == [(1, 1)]
    assert optimal(at((1, 0), (101, 0)), truth, wanted, 0.1) == [(0, 0), (1, 1)]


def test_the_optimal_one_prefers_the_nearer_of_two_predictions() -> None:
    truth = at((0, 0))
    assert optimal(at((5, 0), (1, 0)), truth, everybody(truth), 0.1) == [(1, 0)]


def test_4000_scenes() -> None:
    """The optimal matcher leaves no valid pair; how often the published one does is known."""
    left = differ = 0
    for predicted, truth, _ in scenes(4000):
        pairs = optimal(predicted, truth, everybody(truth), MIN_OVERLAP)
        assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
        valid = box_overlap(predicted, truth) >= MIN_OVERLAP
        assert all(valid[pair] for pair in pairs)
        assert not _free(valid, pairs).any()
        greedy = published(predicted, truth, everybody(truth), MIN_OVERLAP)
        left += bool(_free(valid, greedy).any())
        differ += sorted(pairs) != sorted(greedy)
    # Measured. Both matchers are deterministic: other numbers are other matchers.
    assert (left, differ) == (53, 87)


@pytest.mark.parametrize("seed", range(3))
def test_the_optimal_one_is_optimal(seed: int) -> None:
    """Against all assignments, of the most pairs, on scenes of few people."""
    for predicted, truth, _ in scenes(40, seed + 100):
        cost = np.linalg.norm(predicted[:, None] - truth[None], axis=-1).mean(-1)
        cost = np.where(box_overlap(predicted, truth) >= MIN_OVERLAP, cost, np.nan)
        pairs = optimal(predicted, truth, everybody(truth), MIN_OVERLAP)
        assert (-len(pairs), sum(cost[pair] for pair in pairs)) == pytest.approx(_best(cost))


def _best(cost: np.ndarray) -> tuple[float, float]:
    """Return the best of all assignments: minus the number of pairs, and their total cost."""
    if cost.shape[0] > cost.shape[1]:
        cost = cost.T
    rows = np.arange(len(cost))
    some = (cost[rows, list(columns)] for columns in permutations(range(cost.shape[1]), len(cost)))
    return min((-float(np.isfinite(one).sum()), float(np.nansum(one))) for one in some)


def _free(valid: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Return which valid pairs are of two people who are both alone."""
    left = valid.copy()
    for i, j in pairs:
        left[i] = False
        left[:, j] = False
    return left
