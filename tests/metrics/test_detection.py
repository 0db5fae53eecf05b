"""Counts of who was found, by hand."""

from __future__ import annotations

import pytest

from humanrt.metrics.detection import Detection


def test_counts() -> None:
    some = Detection(found=8, wrong=2, missed=4)
    assert some.precision == 0.8
    assert some.recall == pytest.approx(8 / 12)
    assert some.f1 == pytest.approx(8 / 11)
    assert some.f1 == pytest.approx(2 * some.precision * some.recall / (some.precision + some.recall))


def test_errors_are_divided_by_f1_and_published_code_rounds_it() -> None:
    some = Detection(8, 2, 4)  # F1 0.7273
    assert some.normalised(100) == pytest.approx(137.5)
    assert some.normalised(100, rounded=True) == pytest.approx(100 / 0.73)


def test_nobody() -> None:
    none = Detection(0, 0, 3)
    assert (none.precision, none.recall, none.f1) == (0, 0, 0)
    assert none.normalised(0.0) == float("inf")
    assert Detection(0, 0, 0).f1 == 0
