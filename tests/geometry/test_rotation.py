"""Rotations: there and back, at every angle, and the two 6-d layouts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanrt.geometry.rotation import between, matrices_from_6d, matrices_from_vectors, vectors_from_matrices

axes = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda axis: np.linalg.norm(axis) > 1e-3)
angles = st.one_of(st.floats(0, np.pi), st.floats(0, 1e-6), st.floats(np.pi - 1e-6, np.pi))


@settings(deadline=None)
@given(axes, angles)
def test_vectors_go_there_and_back(axis: tuple[float, float, float], angle: float) -> None:
    vector = angle * np.array(axis) / np.linalg.norm(axis)
    R = matrices_from_vectors(vector)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1)
    back = vectors_from_matrices(R)
    assert np.linalg.norm(back) <= np.pi + 1e-9
    np.testing.assert_allclose(matrices_from_vectors(back), R, atol=1e-12)
    if angle < np.pi - 1e-5:
        np.testing.assert_allclose(back, vector, atol=1e-9)
    # float32 matrices, as networks give them, lose no more than float32 holds.
    np.testing.assert_allclose(matrices_from_vectors(vectors_from_matrices(np.float32(R))), R, atol=2e-6)


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    np.testing.assert_allclose(matrices_from_vectors(np.array([0, 0, np.pi / 2])) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_layouts_of_six_numbers() -> None:
    vectors = np.random.default_rng(0).standard_normal((4, 5, 3))
    R = matrices_from_vectors(vectors)
    columns = np.concatenate((R[..., 0], R[..., 1]), axis=-1)
    rows = R[..., :2].reshape(4, 5, 6)
    np.testing.assert_allclose(matrices_from_6d(columns, "columns"), R, atol=1e-12)
    np.testing.assert_allclose(matrices_from_6d(rows, "rows"), R, atol=1e-12)
    np.testing.assert_allclose(matrices_from_6d(3 * columns, "columns"), R, atol=1e-12)
    assert vectors_from_matrices(np.zeros((0, 53, 3, 3))).shape == (0, 53, 3)


def test_between_goes_the_shorter_way() -> None:
    random = np.random.default_rng(0)
    a = matrices_from_vectors(random.normal(0, 1, (50, 3)))
    turn = random.uniform(-1.7, 1.7, (50, 3))  # below half a turn
    b = a @ matrices_from_vectors(turn)
    np.testing.assert_allclose(between(a, b, 0.3), a @ matrices_from_vectors(0.3 * turn), atol=1e-12)
