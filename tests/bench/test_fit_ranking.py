"""Ranking by fits against ranking by the truth."""

from __future__ import annotations

import numpy as np
import pytest

from fit_ranking import RANKED, Errors, _pairs, agreement, halved, people_of
from humanrt.data import PEOPLE_CLIP
from humanrt.evaluation.formats import read_data
from humanrt.evaluation.running import Candidate, RunOptions, score_bundles
from humanrt.inference.execution import Execution


def test_the_same_order_has_tau_one_and_the_reverse_minus_one() -> None:
    people = np.random.default_rng(0).normal(0, 1, (4, 20))
    truth = np.array([[50.0], [60.0], [70.0], [90.0]]) + people
    same = agreement(Errors(tuple("abcd"), truth, truth - 5, np.arange(20)))
    assert same["tau"] == same["tau_everybody"] == same["tau_told_apart"] == 1
    assert same["tau_interval"] == [1, 1]
    assert (same["pairs"], same["told_apart"], same["people"], same["wrong"]) == (6, 6, 20, [])
    reverse = agreement(Errors(tuple("abcd"), truth, -truth, np.arange(20)))
    assert reverse["tau"] == reverse["tau_told_apart"] == -1
    assert len(reverse["wrong"]) == 6


def test_pairs_that_the_truth_does_not_tell_apart_count_only_in_tau() -> None:
    random = np.random.default_rng(1)
    truth = np.array([[50.0], [50.01], [90.0]]) + random.normal(0, 10, (3, 30))
    truth[1] = truth[0] + random.normal(0.1, 5, 30)
    fits = truth.copy()
    fits[1] = truth[0] - (truth[1] - truth[0]).mean() * 2  # the other order of the first two
    found = agreement(Errors(tuple("abc"), truth, fits, np.arange(30)))
    assert found["tau"] == pytest.approx(1 / 3)
    assert (found["told_apart"], found["tau_told_apart"]) == (2, 1)
    assert found["tau_interval"][0] < 1


def test_rows_are_compared_on_the_people_whom_both_find() -> None:
    truth = np.array([[50.0, 60.0, 70.0], [55.0, 65.0, np.nan], [80.0, np.nan, 20.0]])
    found = agreement(Errors(tuple("abc"), truth, truth, np.arange(3)))
    assert found["tau"] == 1
    nobody = agreement(Errors(tuple("ab"), truth[[0, 1]] * [[1], [np.nan]], truth[:2], np.arange(3)))
    assert np.isnan(nobody["tau"])
    assert nobody["tau_interval"] is None


def test_everybody_and_the_accepted_are_drawn_together() -> None:
    random = np.random.default_rng(2)
    truth = np.array([[50.0], [52.0], [54.0], [56.0]]) + random.normal(0, 10, (4, 12))
    fits = truth + random.normal(0, 10, (4, 12))
    order = random.permutation(12)
    all_of_them = agreement(Errors(tuple("abcd"), truth, fits[:, order], order))
    # If everybody is accepted, both intervals are of the same samples.
    assert all_of_them["tau_everybody_interval"] == all_of_them["tau_interval"]
    assert all_of_them["tau_interval"][0] < all_of_them["tau_interval"][1]
    some = Errors(tuple("abcd"), truth, fits[:, [3, 5, 7]], np.array([3, 5, 7]))
    assert np.array_equal(some.truth, truth[:, [3, 5, 7]])
    assert (agreement(some)["people"], agreement(some)["everybody"]) == (3, 12)


def test_a_fit_is_of_one_person_and_a_person_has_one_fit() -> None:
    inf = np.inf
    assert _pairs(np.array([[5.0, 90.0], [80.0, 4.0]])) == [(0, 0), (1, 1)]
    assert _pairs(np.array([[inf, inf], [80.0, 4.0]])) == [(1, 1)]  # who shares no frame with anybody is nobody
    assert _pairs(np.array([[5.0, 90.0], [4.0, 80.0]])) == [(1, 0)]  # two of one person: the other stays nobody
    assert _pairs(np.array([[4.0], [4.0]])) == [(0, 0)]
    assert _pairs(np.zeros((0, 2))) == []


def test_people_of_fits_are_those_of_the_truth() -> None:
    data = read_data(PEOPLE_CLIP, "films")
    options = RunOptions(max_frames=3, execution=Execution("cpu", threads=1))
    runs = score_bundles([Candidate.of("landmarks")], data, options)
    errors = people_of(runs, runs)
    assert np.array_equal(errors.truth, errors.fits, equal_nan=True)
    assert np.array_equal(errors.truth, errors.everybody, equal_nan=True)
    assert errors.names == ("landmarks",)
    assert 20 < np.nanmean(errors.truth) < 300


def test_pictures_of_half_the_size_show_the_same_places() -> None:
    data = read_data(PEOPLE_CLIP, "films")
    whole, half = (next(iter(one.clips[0].shots())) for one in (data, halved(data)))
    assert half.frame.image.shape[0] == whole.frame.image.shape[0] // 2
    point = np.array([0.3, 0.2, 3.0])
    assert (half.intrinsics @ point)[:2] == pytest.approx((whole.intrinsics @ point)[:2] / 2)
    assert np.array_equal(half.people.joints, whole.people.joints)
    assert len(set(RANKED)) == len(RANKED)
