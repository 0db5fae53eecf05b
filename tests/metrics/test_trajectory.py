"""Errors over time on paths whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.metrics.trajectory import bends, jerks, root_translation_error, runs, world_distances

BODY = np.array([[0.0, 0, 0], [0, 0.5, 0], [0.3, 0.2, 0.1], [0, -0.8, 0.2]])


def walk(frames: int, step: tuple[float, float, float] = (0.01, 0, 0)) -> np.ndarray:
    """Return joints [T, 4, 3] of a body that moves by a step a frame."""
    return BODY + np.arange(frames)[:, None, None] * np.array(step)


def test_another_world_is_no_error() -> None:
    truth = walk(250)
    turn = matrices_from_vectors(np.array([0.2, 1.0, -0.5]))
    seen = 1.3 * truth @ turn + [4.0, 0, -2]
    for whole in (False, True):
        assert world_distances(seen, truth, whole=whole) == pytest.approx(0, abs=1e-9)


def test_drift_counts_from_the_first_two_frames_on() -> None:
    # A body that does not turn or deform drifts by 1 cm a frame upwards: after two frames it is off by that drift
    # (the fit to the first two explains half a centimetre of it), and WA sees the deviation from the best line only.
    truth, drift = walk(100, (0, 0, 0)), walk(100, (0, 0.01, 0))
    first = world_distances(drift, truth, whole=False).mean(1)
    assert first[50] == pytest.approx(0.01 * 50 - 0.005, abs=2e-3)
    assert world_distances(drift, truth, whole=True).mean() < first.mean() / 1.9


def test_every_chunk_is_aligned_anew_and_the_last_may_be_short() -> None:
    truth, seen = walk(130), walk(130, (0, 0.01, 0))
    errors = world_distances(seen, truth, whole=False)
    assert errors.shape == (130, 4)
    assert errors[100:] == pytest.approx(world_distances(seen[100:], truth[100:], whole=False))
    assert errors[100].mean() < 0.02 < errors[99].mean()
    assert world_distances(truth[:0], truth[:0], whole=True).shape == (0, 4)


def test_root_translation_error_by_hand() -> None:
    # 10 m straight on; the estimate is 10 % too short. No scale: the best rigid fit leaves 0.1 x |x - 5|, mean 0.25.
    truth = np.linspace([0.0, 0, 0], [10, 0, 0], 100001)
    assert root_translation_error(0.9 * truth + 7, truth) == pytest.approx(2.5, rel=1e-4)


def test_root_translation_error_of_who_stays_is_undefined() -> None:
    still = np.zeros((50, 3))
    assert np.isnan(root_translation_error(still + 1, still))


def test_acceleration_by_hand() -> None:
    t = np.arange(6.0)
    points = np.stack([t**2, 0 * t, 3 * t], -1)[:, None]  # second difference 2 along x
    assert bends(points) == pytest.approx(np.full((4, 1), 2.0))
    points[3] = np.nan
    assert np.isnan(bends(points)[1:]).all()
    assert bends(points)[0] == 2


def test_jitter_by_hand() -> None:
    t = np.arange(6.0) / 30
    points = np.stack([5 * t**3, 0 * t, t], -1)[:, None]  # third derivative 30 m/s^3: 3 in units of 10
    assert jerks(points, 30) == pytest.approx(np.full((3, 1), 3.0))


def test_runs() -> None:
    assert list(runs(np.array([1, 1, 0, 1, 0, 0, 1, 1, 1], bool))) == [slice(0, 2), slice(3, 4), slice(6, 9)]
    assert list(runs(np.zeros(3, bool))) == []
    assert list(runs(np.zeros(0, bool))) == []
