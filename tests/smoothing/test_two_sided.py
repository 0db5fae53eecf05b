"""Recordings, smoothed from both sides: noise falls, motion stays, nothing lags, ends and gaps are no exception."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.people.two_sided import TwoSidedOptions, smooth_track
from humanrt.smoothing.two_sided import two_sided_points, two_sided_rotations

RNG = np.random.default_rng(0)
TIMES = np.cumsum(RNG.uniform(0.01, 0.06, 90))
TIMES[40:] += 0.5  # frames are missing


def test_a_steady_motion_stays_exactly_as_it_is() -> None:
    line = np.outer(TIMES, [1.0, -2, 0.5]) + 3
    np.testing.assert_allclose(two_sided_points(line, TIMES, 0.1), line, atol=1e-9)
    turning = matrices_from_vectors(np.outer(4 * TIMES, [2, -1, 2]) / 3)[:, None]
    np.testing.assert_allclose(two_sided_rotations(turning, TIMES, 0.1), turning, atol=1e-9)


def test_noise_falls_and_nothing_lags() -> None:
    t = np.arange(180) / 30
    true = np.stack([np.sin(2 * t), np.cos(3 * t)], 1)
    noisy = true + RNG.normal(0, 0.05, true.shape)
    smooth = two_sided_points(noisy, t, 0.1)
    assert np.abs(np.diff(smooth, 2, axis=0)).mean() < np.abs(np.diff(noisy, 2, axis=0)).mean() / 8
    assert np.abs(smooth - true).mean() < 0.6 * np.abs(noisy - true).mean()
    shifts = range(-4, 5)
    errors = [np.abs(smooth[10:-10] - np.roll(true, s, axis=0)[10:-10]).mean() for s in shifts]
    assert shifts[int(np.argmin(errors))] == 0


def test_backwards_is_the_same() -> None:
    rotations = matrices_from_vectors(RNG.normal(0, 0.4, (90, 3, 3)))
    forwards = two_sided_rotations(rotations, TIMES, 0.08)
    backwards = two_sided_rotations(rotations[::-1], -TIMES[::-1], 0.08)[::-1]
    np.testing.assert_allclose(forwards, backwards, atol=1e-9)
    left, right = matrices_from_vectors(np.array([[0.3, -2, 1], [2.5, 0.4, -0.2]]))
    np.testing.assert_allclose(
        two_sided_rotations(left @ rotations @ right, TIMES, 0.08), left @ forwards @ right, atol=1e-7
    )


def test_rotations_become_calm() -> None:
    t = np.arange(120) / 30
    true = matrices_from_vectors(np.outer(t, [3.0, 0, 0]))
    noisy = true @ matrices_from_vectors(RNG.normal(0, 0.1, (120, 3)))
    smooth = two_sided_rotations(noisy[:, None], t, 0.1)[:, 0]

    def off(a: np.ndarray) -> float:
        return float(np.linalg.norm(vectors_from_matrices(np.swapaxes(true, -1, -2) @ a), axis=-1).mean())

    assert off(smooth) < 0.5 * off(noisy)
    np.testing.assert_allclose(np.linalg.det(smooth), 1)


def test_a_track_is_smoothed_most_in_depth() -> None:
    t = np.arange(150) / 30
    z = 4 * np.exp(RNG.normal(0, 0.04, 150))
    translations = np.stack([0.1 * z, -0.05 * z, z], 1)
    rotations = matrices_from_vectors(RNG.normal(0, 0.05, (150, 5, 3)))
    turned, moved = smooth_track(t, rotations, translations)
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], np.tile([0.1, -0.05], (150, 1)), atol=1e-9)
    assert np.std(moved[:, 2]) < np.std(z) / 3
    assert turned.shape == rotations.shape
    one = smooth_track(t[:1], rotations[:1], translations[:1])
    np.testing.assert_allclose(one[1], translations[:1])


def test_what_cannot_be_smoothed_is_refused() -> None:
    points = np.zeros((3, 2))
    for arguments, words in (
        ((points, [0, 1], 0.1), "one time each"),
        ((points, [0, 2, 1], 0.1), "times must increase"),
        ((points, [0, 1, 2], 0.0), "seconds must be"),
        ((np.full((3, 2), np.nan), [0, 1, 2], 0.1), "points"),
    ):
        with pytest.raises(ValueError, match=words):
            two_sided_points(*arguments)
    with pytest.raises(ValueError, match=r"\[T, \.\.\., 3, 3\]"):
        two_sided_rotations(points, [0, 1, 2], 0.1)
    with pytest.raises(ValueError, match="distance"):
        TwoSidedOptions(distance=-1)
