"""One-Euro: rest is calm, motion is followed, and neither depends on how often the camera looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from humanrt import native
from humanrt.hands.smoother import HandSmoother
from humanrt.hands.tracker import Hand, Hands
from humanrt.smoothing.one_euro import OneEuro, OneEuroOptions


@pytest.fixture(params=["native", "numpy"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test of this file runs with the compiled step and with numpy's."""
    if request.param == "numpy":
        monkeypatch.setattr(native, "LIBRARY", native.LIBRARY.with_name("absent.so"))
    elif problem := native.problem():
        pytest.skip(problem)
    return str(request.param)


def motion(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """[T, 21, 2] px of a hand of about 100 px that rests, moves fast, and rests again."""
    phase = np.clip((t - 0.5) / 0.6, 0, 1)
    path = 300 * (phase - np.sin(2 * np.pi * phase) / (2 * np.pi))
    points = np.linspace(0, 100, 42).reshape(21, 2)
    return points + path[:, None, None]


def smooth(t: NDArray[np.float64], points: NDArray[np.float64], unit: float = 100.0) -> NDArray[np.float64]:
    one_euro = OneEuro()
    return np.array([one_euro(p, float(s), unit) for s, p in zip(t, points, strict=True)])


@pytest.mark.parametrize("fps", [15, 60, 120])
def test_the_result_does_not_depend_on_the_frame_rate(fps: int) -> None:
    t = np.arange(0, 2, 1 / 30)
    other = np.arange(0, 2, 1 / fps)
    reference, result = smooth(t, motion(t)), smooth(other, motion(other))
    common = np.isclose(other[:, None], t[None], atol=1e-9)
    rows, columns = np.nonzero(common)
    gap = np.abs(result[rows] - reference[columns]).max()
    assert len(rows) >= 30
    assert gap < 1.0  # px of a move of 300 px, up to 33 px a frame at 30 fps


@pytest.mark.parametrize("times", [2, 4])
def test_repeated_frames_change_nothing_but_the_stamps(times: int) -> None:
    """A 30 fps camera read at 60 or 120: every picture comes again, with a new stamp."""
    t = np.arange(0, 2, 1 / 30)
    fine = np.arange(0, 2, 1 / 30 / times)
    shown = motion(t)[np.arange(len(fine)) // times]
    once = smooth(t, motion(t))
    last = smooth(fine, shown)[times - 1 :: times][: len(once)]
    # The repeats bring the filter closer to what was shown, never away from it or past it.
    error_once, error_last = np.abs(once - motion(t)).max(), np.abs(last - motion(t)[: len(last)]).max()
    assert error_last <= error_once + 1e-9
    assert np.abs(last - once[: len(last)]).max() < 3


def test_irregular_stamps_are_the_truth_not_the_count() -> None:
    random = np.random.default_rng(0)
    t = np.cumsum(random.uniform(0.005, 0.06, 60))
    even = np.arange(0, t[-1], 1 / 120)
    dense = smooth(even, motion(even))
    jittered = smooth(t, motion(t))
    gap = jittered[:, 0, 0] - np.interp(t, even, dense[:, 0, 0])
    assert np.abs(gap).max() < 1.5


def test_noise_at_rest_is_reduced_and_a_constant_is_kept() -> None:
    random = np.random.default_rng(0)
    t = np.arange(0, 5, 1 / 30)
    noise = random.normal(0, 1.0, (len(t), 21, 2))
    result = smooth(t, 50 + noise)
    assert result[30:].std() < 0.6 * noise[30:].std()
    np.testing.assert_allclose(smooth(t, np.full((len(t), 21, 2), 7.0)), 7.0)


def test_half_the_resolution_smooths_alike() -> None:
    t = np.arange(0, 2, 1 / 30)
    full, half = smooth(t, motion(t), 100.0), smooth(t, motion(t) / 2, 50.0)
    np.testing.assert_allclose(half * 2, full, rtol=1e-9)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0.05, 20), st.floats(0.001, 0.2), st.floats(0.01, 0.99))
def test_a_frame_more_on_the_path_changes_nothing(cutoff: float, dt: float, part: float) -> None:
    """The exact low pass: with a fixed cut-off the split of an interval cannot be seen."""
    options = OneEuroOptions(min_cutoff=cutoff, beta=0)
    whole, split = OneEuro(options), OneEuro(options)
    start, end = np.zeros((1, 2)), np.ones((1, 2))
    for one_euro in (whole, split):
        one_euro(start, 0.0)
    split(end * part, part * dt)
    np.testing.assert_allclose(split(end, dt), whole(end, dt), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("fps", [10, 30, 240])
def test_the_lag_behind_a_steady_motion_is_the_same_at_every_rate(fps: int) -> None:
    options = OneEuroOptions(min_cutoff=2, beta=0)
    one_euro = OneEuro(options)
    speed = 80.0
    for index in range(2 * fps + 1):
        result = one_euro(np.array([[speed * index / fps]]), index / fps)
    np.testing.assert_allclose(speed * 2 - result.item(), speed / (2 * np.pi * options.min_cutoff), rtol=1e-6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=30))
def test_the_result_stays_between_the_inputs(values: list[float]) -> None:
    one_euro = OneEuro()
    for index, value in enumerate(values):
        result = one_euro(np.array([[value]]), index / 30)
        assert min(values) - 1e-6 <= result.item() <= max(values) + 1e-6


@pytest.mark.parametrize("dims", [2, 3])
def test_the_compiled_step_is_numpys(dims: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "numpy":
        pytest.skip("compares the two itself")
    compiled = OneEuro()
    monkeypatch.setattr(native, "LIBRARY", native.LIBRARY.with_name("absent.so"))
    in_numpy = OneEuro()
    random = np.random.default_rng(0)
    t = 0.0
    for _ in range(50):
        t += random.uniform(0, 0.2)
        points = random.normal(0, 100, (21, dims))
        a, b = (one_euro(points, t, 30.0) for one_euro in (compiled, in_numpy))
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-9)


def test_the_points_given_are_left_alone_and_the_result_is_the_callers() -> None:
    one_euro, points = OneEuro(), np.ones((3, 2))
    first = one_euro(points, 0.0)
    points[...] = 5
    second = one_euro(points, 0.1)
    kept = second.copy()
    one_euro(np.zeros((3, 2)), 0.2)
    np.testing.assert_array_equal(first, np.ones((3, 2)))
    np.testing.assert_array_equal(second, kept)
    np.testing.assert_array_equal(points, np.full((3, 2), 5.0))


def test_no_time_no_change_and_a_new_shape_needs_a_reset() -> None:
    one_euro = OneEuro()
    first = one_euro(np.zeros((3, 2)), 1.0)
    np.testing.assert_array_equal(one_euro(np.ones((3, 2)), 1.0), first)
    with pytest.raises(ValueError, match="reset"):
        one_euro(np.zeros((4, 2)), 2.0)
    one_euro.reset()
    np.testing.assert_array_equal(one_euro(np.ones((4, 2)), 0.0), np.ones((4, 2)))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        OneEuroOptions(min_cutoff=0)


def hand(identity: int, offset: float) -> Hand:
    points = (np.linspace(0, 100, 42).reshape(21, 2) + offset).astype(np.float32)
    return Hand(identity, "right", 1.0, points, np.zeros((21, 3), np.float32))


def test_state_belongs_to_an_identity_and_ends_with_it() -> None:
    smoother = HandSmoother()
    smoother(Hands((hand(1, 0), hand(2, 500))), 0.0)
    # Two people, exchanged in the list: their filters do not mix (ROMP 302, rtmpose3d 4).
    both = smoother(Hands((hand(2, 500), hand(1, 0))), 1 / 30)
    np.testing.assert_allclose(both[0].keypoints_2d, hand(2, 500).keypoints_2d, atol=1e-3)
    np.testing.assert_allclose(both[1].keypoints_2d, hand(1, 0).keypoints_2d, atol=1e-3)
    moved = smoother(Hands((hand(1, 20),), lost=(2,)), 2 / 30)
    assert 0 < moved[0].keypoints_2d[0, 0] < 20
    back = smoother(Hands((hand(2, 800),)), 3 / 30)
    np.testing.assert_array_equal(back[0].keypoints_2d, hand(2, 800).keypoints_2d)
