"""The mean of what does not change."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt.smoothing.settling_mean import SettlingMean


def test_it_is_the_mean_at_first_and_then_follows_slowly() -> None:
    values = np.random.default_rng(0).normal(3, 1, (30, 2))
    mean = SettlingMean(10.0)
    for number, value in enumerate(values):
        np.testing.assert_allclose(mean(value, number / 30), values[: number + 1].mean(0))
    for number in range(30, 30 * 61):
        last = mean(np.zeros(2), number / 30)
    assert np.abs(last).max() < 0.02 * np.abs(values.mean(0)).max()
    mean.reset()
    np.testing.assert_array_equal(mean(values[0], 0.0), values[0])


def test_equal_values_are_returned_exactly() -> None:
    mean = SettlingMean(1.0)
    value = np.array([0.1, 1 / 3])
    for number in range(50):
        np.testing.assert_array_equal(mean(value, number / 7), value)


def test_its_time_is_positive() -> None:
    with pytest.raises(ValueError, match="seconds must be a number above 0"):
        SettlingMean(0.0)
