"""How tokens are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt.motion.sampling import Sampler, Sampling, probabilities

LOGITS = np.log(np.array([[0.4, 0.1, 0.3, 0.1, 0.1], [0.05, 0.05, 0.8, 0.05, 0.05]], np.float32))


def test_temperature_divides_logits() -> None:
    np.testing.assert_allclose(probabilities(LOGITS, Sampling()), np.exp(LOGITS), atol=1e-6)
    squared = np.exp(LOGITS) ** 2
    np.testing.assert_allclose(
        probabilities(LOGITS, Sampling(0.5)), squared / squared.sum(-1, keepdims=True), atol=1e-6
    )


def test_top_k_keeps_ties_and_top_p_the_smallest_set() -> None:
    assert (probabilities(LOGITS, Sampling(top_k=2)) > 0).sum(-1).tolist() == [2, 5]  # four are as good as the second
    assert (probabilities(LOGITS, Sampling(top_k=99)) > 0).all()
    assert (probabilities(LOGITS, Sampling(top_p=0.5)) > 0).sum(-1).tolist() == [2, 1]
    np.testing.assert_allclose(probabilities(LOGITS, Sampling(top_p=0.5))[0], [4 / 7, 0, 3 / 7, 0, 0], atol=1e-6)


def test_draws_follow_the_probabilities_and_the_seed() -> None:
    sampler, again = Sampler(Sampling(), 5), Sampler(Sampling(), 5)
    drawn = np.array([sampler(LOGITS) for _ in range(4000)])
    np.testing.assert_array_equal(drawn[:50], [again(LOGITS) for _ in range(50)])
    for book in range(2):
        shares = np.bincount(drawn[:, book], minlength=5) / len(drawn)
        np.testing.assert_allclose(shares, np.exp(LOGITS[book]), atol=0.03)
    assert Sampler(Sampling(temperature=0))(LOGITS).tolist() == [0, 2]
    never = [Sampler(Sampling(top_k=1), seed)(LOGITS).tolist() for seed in range(20)]
    assert never == [[0, 2]] * 20


@pytest.mark.parametrize("seed", [(1, 0), (1, 1), 2])
def test_streams_of_numbers_differ(seed: int | tuple[int, ...]) -> None:
    sampler, other = Sampler(Sampling(), seed), Sampler(Sampling(), 1)
    assert [sampler(0 * LOGITS).tolist() for _ in range(20)] != [other(0 * LOGITS).tolist() for _ in range(20)]
