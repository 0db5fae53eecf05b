"""Expressions from face landmarks: exact landmarks give the exact amounts, and amounts never leave their bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.people.expression import (
    ExpressionOptions,
    ExpressionSolver,
    FaceModel,
    bounded_least_squares,
    unit_spreads,
)

K = np.array([[800.0, 0, 320], [0, 800.0, 240], [0, 0, 1]])
FACING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # Anny's axes to the camera's, facing it


def face(seed: int = 0, points: int = 200, units: int = 8) -> FaceModel:
    """A bulging face of random points, each unit of which moves a part of it by up to a centimetre."""
    rng = np.random.default_rng(seed)
    xz = rng.uniform(-0.08, 0.08, (points, 2))
    neutral = np.column_stack([xz[:, 0], -0.1 + 6 * (xz**2).sum(axis=1), xz[:, 1]])
    centres = rng.uniform(-0.06, 0.06, (units, 2))
    near = np.exp(-((xz[None] - centres[:, None]) ** 2).sum(axis=-1) / 0.02**2)
    return FaceModel(neutral.T, near[:, None] * rng.normal(0, 0.008, (units, 3, 1)))


def seen(model: FaceModel, amounts: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    points = model.neutral + np.tensordot(amounts, model.units, 1)
    return np.asarray(project((turn @ points).T + np.array([0.02, -0.05, 0.6]), K))


def test_exact_landmarks_give_the_amounts_and_the_rotation() -> None:
    model = face()
    amounts = np.array([0.0, 0.7, 0.0, 0.3, 1.0, 0.0, 0.0, 0.5])
    turn = matrices_from_vectors(np.array([0.1, 0.3, -0.05])) @ FACING
    solver = ExpressionSolver(ExpressionOptions(new_spread=0.001, unit_spread=100.0, iterations=25))
    found, rotation = solver(model, seen(model, amounts, turn), K, FACING, np.array([0.0, 0.0, 0.7]), 0.0)
    np.testing.assert_allclose(found, amounts, atol=0.02)
    np.testing.assert_allclose(rotation, turn, atol=0.01)


def test_a_persons_own_face_is_learned_and_is_no_expression() -> None:
    model = face()
    rng = np.random.default_rng(3)
    own = FaceModel(model.neutral + rng.normal(0, 0.003, model.neutral.T.shape).T, model.units)
    learned, fresh = ExpressionSolver(), ExpressionSolver()
    pixels = seen(own, np.zeros(8), FACING)
    for frame in range(60):
        learned(model, pixels, K, FACING, np.array([0.02, -0.05, 0.6]), frame / 30)
    smile = np.eye(8)[2]
    for frame in range(7):  # a smile takes a sixth of a second
        pixels = seen(own, min(frame / 5, 1.0) * smile, FACING)
        after = learned(model, pixels, K, FACING, np.array([0.02, -0.05, 0.6]), 2 + frame / 30)[0]
    before = fresh(model, seen(own, smile, FACING), K, FACING, np.array([0.02, -0.05, 0.6]), 0.0)[0]
    assert np.abs(after - smile).max() < 0.35
    assert np.abs(after - smile).sum() < np.abs(before - smile).sum() + 0.1


def test_brows_follow_more_readily_than_the_rest() -> None:
    """The same landmarks, half a brow and half a jaw: what is known to move little is not held still."""
    model = face()
    spreads = unit_spreads(["browInnerUp", *("jawOpen" for _ in range(7))])
    assert spreads[0] > spreads[1] == ExpressionOptions().unit_spread
    raised = 0.5 * np.eye(8)[0]
    pixels = seen(model, raised, FACING)
    even, weighted = (
        ExpressionSolver(options)(model, pixels, K, FACING, np.array([0.02, -0.05, 0.6]), 0.0)[0]
        for options in (ExpressionOptions(), ExpressionOptions(unit_spread=spreads))
    )
    assert even[0] < weighted[0] <= 0.55
    assert np.abs(weighted - raised).sum() < np.abs(even - raised).sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_bounds_hold_and_no_point_within_them_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 12))
    root = rng.normal(size=(size, size))
    hessian, gradient = root @ root.T + 0.1 * np.eye(size), rng.normal(0, 3, size)
    low, high = np.zeros(size), np.ones(size)
    x = bounded_least_squares(hessian, gradient, low, high, rng.uniform(-1, 2, size))
    assert ((x >= low) & (x <= high)).all()
    slope = hessian @ x - gradient
    assert np.all(slope[(x > 1e-9) & (x < 1 - 1e-9)] == pytest.approx(0, abs=1e-4))
    assert np.all(np.where(x <= 1e-9, slope > -1e-4, True) & np.where(x >= 1 - 1e-9, slope < 1e-4, True))
