"""`bench/fit_unconfirmed.py`: who counts as somebody, weights that are known, and counts of made-up pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fit_unconfirmed import Picture, counts, fit, held_out, somebody
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.region import Region
from humanrt.people.confirmation import TrunkDetection
from humanrt.people.proposals import Proposal
from humanrt.people.single_shot import SingleShotBody
from humanrt.people.unconfirmed import Candidate, Weights

SIZE = 100.0
WEIGHTS = Weights(0.8, 1.2, 0.5, -1.0)
LIMBS = np.stack([np.tile([0.0, 10.0, 20.0], 4), np.linspace(0, 60, 12)], axis=-1)  # [12, 2] px


def candidate(x: float, evidence: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Candidate:
    still = np.tile(np.eye(3, dtype=np.float32), (len(ANNY_BONES), 1, 1))
    zeros = np.zeros((2, 2), np.float32)
    body = SingleShotBody(0.5, still, np.full(6, 0.5, np.float32), np.array([0, 0, 3], np.float32), zeros, np.eye(3))
    trunk = TrunkDetection(0.5, np.array([x, 0], np.float32), np.array([x, 30], np.float32))
    return Candidate(Proposal.at(Region(x, 30, SIZE), 0.5, trunk=trunk, body=body), evidence)


def at(*places: float) -> np.ndarray:
    return np.array([LIMBS + np.array([x, 0.0]) for x in places]).reshape(-1, 12, 2)


def picture(
    found: Sequence[float], guessed: Sequence[float], true: Sequence[float], logits: Sequence[float] = ()
) -> Picture:
    seen = [candidate(x, (0.0, value, 0.0)) for x, value in zip(guessed, logits or [0.0] * len(guessed), strict=True)]
    return Picture(at(*found), seen, at(*guessed), at(*true), np.ones(len(true), bool))


def test_somebody_is_where_a_true_person_is_whom_nobody_has() -> None:
    assert somebody(picture([0], [2, 205, 400], [0, 200])).tolist() == [False, True, False]
    assert somebody(picture([], [2, 205], [0, 200])).tolist() == [True, True]
    assert somebody(picture([], [2], [])).tolist() == [False]
    assert somebody(picture([0], [], [0])).tolist() == []
    assert somebody(picture([], [25], [0])).tolist() == [False]  # 25 of 60 px off


def test_weights_that_made_the_people_are_found_again() -> None:
    random = np.random.default_rng(4)
    pictures = []
    for _ in range(600):
        evidence = [(float(a), float(b), float(n)) for a, b, n in random.normal(0, 1.5, (5, 3))]
        seen = [candidate(300.0 * k, one) for k, one in enumerate(evidence)]
        chance = 1 / (1 + np.exp([-one.logit(WEIGHTS) for one in seen]))
        there = [300.0 * k for k in range(5) if random.random() < chance[k]]
        limbs = at(*(300.0 * k for k in range(5)))
        pictures.append(Picture(at(), seen, limbs, at(*there), np.ones(len(there), bool)))
    assert fit(pictures) == pytest.approx(WEIGHTS, abs=0.2)
    assert held_out(pictures)[7] != held_out(pictures)[8]
    np.testing.assert_allclose(held_out(pictures), [WEIGHTS] * len(pictures), atol=0.25)


def test_counts_are_of_those_who_are_kept() -> None:
    logistic = Weights(0.0, 1.0, 0.0, 0.0)
    pictures = [
        picture([0], [200, 400], [0, 200, 600], [1.0, -1.0]),  # one confirmed, one kept, one overlooked
        picture([], [0, 300], [], [0.5, 2.0]),  # a room
    ]
    both = [logistic] * 2
    assert counts(pictures, both, 0.0) == pytest.approx((2 / 3, 1.0, 2))
    assert counts(pictures, both, -2.0) == pytest.approx((2 / 3, 2 / 3, 2))
    assert counts(pictures, both, 1.5) == pytest.approx((1 / 3, 1.0, 1))
