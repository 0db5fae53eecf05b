"""Time stamps: whatever a container gives, time goes forward, and what was right stays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanrt.sources.stamps import WINDOW, increasing

NAN = math.nan


def mended(stamps: list[float], step: float = 0.1) -> list[float]:
    items = list(increasing(iter(list(enumerate(stamps))), step))
    assert [item for item, _ in items] == list(range(len(stamps)))
    return [t for _, t in items]


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0, 0.05, 0.3, 0.31], [0, 0.05, 0.3, 0.31]),
        ([0, 0.1, 0.2, 0.2, 0.3, 0.4], [0, 0.1, 0.2, 0.25, 0.3, 0.4]),
        ([0, 0.1, 0.1, 0.1, 0.2], [0, 0.1, 0.4 / 3, 0.5 / 3, 0.2]),
        ([0, 0.1, 0.1, 5.0, 6.0], [0, 0.1, 0.2, 5.0, 6.0]),
        ([0, 0.2, 0.1, 5.0], [0, 0.05, 0.1, 5.0]),
        ([0, 0.1, 0.05, 0.2, 0.3], [0, 0.025, 0.05, 0.2, 0.3]),
        ([0, 0.1, 1000, 0.3, 0.4], [0, 0.1, 0.2, 0.3, 0.4]),
        ([0, 0.1, -5, 0.2, 0.3], [0, 0.1, 0.15, 0.2, 0.3]),
        ([NAN, 0.1, 0.2], [0, 0.1, 0.2]),
        ([0, NAN, math.inf, 0.3], [0, 0.1, 0.2, 0.3]),
        ([0] * 12, [i / 10 for i in range(12)]),
        ([NAN] * 12, [i / 10 for i in range(12)]),
        ([0, -1e16, -1e16, -0.1, 0, 0.1, 0.2, 0.3, 0.4, 0.5], [i / 10 for i in range(10)]),
    ],
    ids=[
        *("variable rate", "repeated", "three times", "repeated, then a gap", "swapped", "back once", "wild"),
        *("negative", "first lost", "two lost", "none", "no number", "zero is elsewhere"),
    ],
)
def test_a_local_fault_is_answered_locally(stamps: list[float], expected: list[float]) -> None:
    assert mended(stamps) == pytest.approx(expected)


def test_a_clock_that_begins_again_goes_on() -> None:
    """Two recordings joined: the second one keeps its own rhythm."""
    second = [0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 3.0]
    expected = [50.0, 50.1, *(50.2 + t for t in second)]
    assert mended([50.0, 50.1, *second])[2:] == pytest.approx(expected[2:])


@given(st.lists(st.floats() | st.floats(-10, 10) | st.sampled_from([0.0, 0.1, 0.2, 0.3]), max_size=40))
def test_any_stamps_increase(stamps: list[float]) -> None:
    times = mended(stamps)
    assert all(math.isfinite(t) for t in times)
    assert all(a < b for a, b in pairwise(times))


@given(st.lists(st.floats(1e-3, 10), min_size=3, max_size=60), st.data())
def test_good_stamps_far_from_a_fault_stay(steps: list[float], data: st.DataObject) -> None:
    stamps = [sum(steps[:i]) for i in range(len(steps))]
    bad = data.draw(st.integers(1, len(stamps) - 1))
    broken = [*stamps[:bad], stamps[bad - 1], *stamps[bad + 1 :]]
    times = mended(broken)
    for index, (t, stamp) in enumerate(zip(times, stamps, strict=True)):
        if index != bad:
            assert t == pytest.approx(stamp)


def test_few_items_are_held() -> None:
    taken = 0

    def source() -> Iterator[tuple[int, float]]:
        nonlocal taken
        for i in range(100):
            taken = i + 1
            yield i, (i / 10 if i < 50 else 0.0)

    for given_out, _ in enumerate(increasing(source(), 0.1), 1):
        assert taken - given_out <= (1 if given_out < 49 else WINDOW)
