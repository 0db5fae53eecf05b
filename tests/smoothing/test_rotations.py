"""One-Euro on SO(3): the same filter as on a line, for any axes, with no place where it breaks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.smoothing.one_euro import OneEuro, OneEuroOptions
from humanrt.smoothing.one_euro_rotations import OneEuroRotations

OPTIONS = OneEuroOptions(0.8, 1.5, 1.2)
TIMES = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.06, 60))


def smooth(rotations: NDArray[np.float64], times: NDArray[np.float64] = TIMES) -> NDArray[np.float64]:
    one_euro = OneEuroRotations(OPTIONS)
    return np.array([one_euro(R, float(t)) for R, t in zip(rotations, times, strict=True)])


def wandering(seed: int = 1, size: float = 0.2) -> NDArray[np.float64]:
    """[60, 5, 3, 3], each rotation a small turn about any axis after the last."""
    steps = matrices_from_vectors(np.random.default_rng(seed).normal(0, size, (60, 5, 3)))
    rotations = [steps[0]]
    for step in steps[1:]:
        rotations.append(rotations[-1] @ step)
    return np.array(rotations)


def angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.norm(vectors_from_matrices(np.swapaxes(a, -1, -2) @ b), axis=-1)


def test_about_one_axis_it_is_one_euro_of_the_angle() -> None:
    """Several times around: also across 180 degrees, where rotation vectors jump."""
    rng = np.random.default_rng(2)
    angles = 4 * TIMES + rng.normal(0, 0.05, len(TIMES))
    axis = np.array([1.0, -2, 2]) / 3
    scalar = OneEuro(OPTIONS)
    expected = np.array([scalar(np.array([a]), float(t))[0] for a, t in zip(angles, TIMES, strict=True)])
    assert np.ptp(expected) > 2 * np.pi
    result = smooth(matrices_from_vectors(angles[:, None] * axis))
    np.testing.assert_allclose(result, matrices_from_vectors(expected[:, None] * axis), atol=1e-9)


def test_axes_do_not_matter() -> None:
    rotations = wandering()
    left, right = matrices_from_vectors(np.array([[0.3, -2.0, 1.0], [2.5, 0.4, -0.2]]))
    np.testing.assert_allclose(smooth(left @ rotations @ right), left @ smooth(rotations) @ right, atol=1e-9)


def test_rest_is_calm_and_results_are_rotations() -> None:
    rng = np.random.default_rng(3)
    still = matrices_from_vectors(np.array([3.1, 0.2, -0.4]))
    noisy = still @ matrices_from_vectors(rng.normal(0, 0.03, (60, 4, 3)))
    result = smooth(noisy)
    assert angle(result[20:-1], result[21:]).mean() < 0.25 * angle(noisy[20:-1], noisy[21:]).mean()
    assert angle(result[20:], still).mean() < angle(noisy[20:], still).mean()
    np.testing.assert_allclose(
        result @ np.swapaxes(result, -1, -2), np.broadcast_to(np.eye(3), result.shape), atol=1e-9
    )


def test_a_steady_turn_goes_on_ahead() -> None:
    one_euro = OneEuroRotations(OPTIONS)
    speed = np.array([0.5, 1.0, -0.3])
    for t in TIMES:
        now = one_euro(matrices_from_vectors(speed * t), float(t))
    np.testing.assert_allclose(one_euro.velocity, speed, atol=0.03)
    np.testing.assert_allclose(one_euro.ahead(0.0), now, atol=1e-12)
    np.testing.assert_allclose(one_euro.ahead(0.2), now @ matrices_from_vectors(0.2 * speed), atol=0.01)


def test_a_frame_twice_changes_nothing_and_reset_forgets() -> None:
    one_euro = OneEuroRotations(OPTIONS)
    rotations = wandering(5)
    for R, t in zip(rotations, TIMES, strict=True):
        last = one_euro(R, float(t))
    np.testing.assert_array_equal(one_euro(rotations[0], float(TIMES[-1])), last)
    one_euro.reset()
    np.testing.assert_array_equal(one_euro(rotations[0], 0.0), rotations[0])


def test_what_cannot_be_smoothed_is_refused_and_changes_nothing() -> None:
    one_euro = OneEuroRotations(OPTIONS)
    with pytest.raises(ValueError, match="no velocity before"):
        one_euro.ahead(0.1)
    rotations = wandering()
    first = one_euro(rotations[0], 0.0)
    bad = rotations[1].copy()
    bad[0, 0, 0] = np.nan
    for wrong, words in ((bad, "NaN"), (rotations[1][:2], "call reset"), (np.zeros((4, 3)), r"\[\.\.\., 3, 3\]")):
        with pytest.raises(ValueError, match=words):
            one_euro(wrong, 0.1)
    with pytest.raises(ValueError, match="finite time"):
        one_euro(rotations[1], float("nan"))
    np.testing.assert_array_equal(one_euro(rotations[1], 0.0), first)
