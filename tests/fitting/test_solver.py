"""The numbers: kinematics, derivatives, limits, truth recovered, and that the compiled solver is the numpy one."""

from __future__ import annotations

import numpy as np
import pytest
from fitting_cases import STATE, Posed, joints_of, needs_native, problem, state, truth
from hypothesis import given
from hypothesis import strategies as st

from humanrt.fitting.kernel import make_kernel
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.people.fitted_body import FittedBody


@pytest.mark.parametrize("fingers", [False, True])
def test_kinematics_are_the_body_s(
    body: FittedBody, body_with_fingers: FittedBody, posed: Posed, kernel: str, fingers: bool
) -> None:
    """Joints of a random pose, from the links and from the mesh's own graph."""
    for seed in range(3):
        p, rig, shape = problem(body_with_fingers if fingers else body, seed)
        p.shape[...] = 0  # exact at the reference
        p.max_iterations = 1
        make_kernel(p, kernel).solve()
        _, joints = posed(rig.rotations(p.world), shape.reference)
        mine = joints_of(p, rig, shape)
        assert np.abs((mine - mine[0]) - (joints - joints[0])).max() < 1e-5


def test_derivatives_by_differences(body_with_fingers: FittedBody, kernel: str) -> None:
    p, _, _ = problem(body_with_fingers, 1, views=2)
    solver = make_kernel(p, kernel)
    gradient = solver.model().gradient
    was = {name: getattr(p, name).copy() for name in STATE}
    n, step = len(p.x), 1e-6
    # Every variable with the compiled solver, some of each kind with the slow one.
    places = range(len(gradient)) if kernel == "native" else (0, 4, 5, 7, 20, 40, 70, len(gradient) - 1)
    for k in places:
        costs = []
        for sign in (-1, 1):
            d = np.zeros(len(gradient))
            d[k] = sign * step
            p.rotation[...] = matrices_from_vectors(d[:3]) @ was["rotation"]
            p.position[...], p.x[...], p.shape[...] = (
                was["position"] + d[3:6],
                was["x"] + d[6 : 6 + n],
                was["shape"] + d[6 + n :],
            )
            costs.append(solver.model().cost)
        assert (costs[1] - costs[0]) / (4 * step) == pytest.approx(gradient[k], rel=1e-5, abs=1e-3)
        for name, value in was.items():
            getattr(p, name)[...] = value


@needs_native
def test_compiled_and_numpy_agree(body_with_fingers: FittedBody) -> None:
    for seed in range(3):
        p, _, _ = problem(body_with_fingers, seed, views=1 + seed)
        fast, slow = make_kernel(p, "native"), make_kernel(p, "numpy")
        one, other = fast.model(), slow.model()
        assert one.cost == pytest.approx(other.cost, rel=1e-12)
        scale = np.abs(other.hessian).max()
        assert np.abs(one.gradient - other.gradient).max() < 1e-12 * scale
        assert np.abs(one.hessian - other.hessian).max() < 1e-12 * scale
        was = {name: getattr(p, name).copy() for name in STATE}
        p.max_iterations = 6
        evaluations, found = fast.solve(), state(p)
        wanted = np.ones(len(p.place), np.int32)
        outputs = (
            *("world", "origin", "place", "moved_variance", "placed_variance", "x_variance"),
            *("moved_believed", "placed_believed", "shape_known"),
        )
        assert fast.spread(wanted)
        there = {name: getattr(p, name).copy() for name in outputs}
        for name, value in was.items():
            getattr(p, name)[...] = value
        assert slow.solve() == evaluations
        assert np.abs(state(p) - found).max() < 1e-9
        assert slow.spread(wanted)
        for name, value in there.items():
            assert np.abs(getattr(p, name) - value).max() < 1e-7 * np.abs(value).max(), name


def test_truth_is_recovered(body: FittedBody, kernel: str) -> None:
    for seed in range(8 if kernel == "native" else 1):
        p, places, exact = truth(body, seed)
        make_kernel(p, kernel).solve()
        assert np.abs(p.place - places).max() < 1e-6, seed
        assert np.abs(state(p) - exact).max() < 1e-6, seed


def test_truth_is_recovered_from_pictures_without_metres(body: FittedBody) -> None:
    for seed in range(4):
        p, places, _ = truth(body, seed, views=3, away=0.1)
        p.metric_weight[...] = 0
        make_kernel(p, "auto").solve()
        assert np.abs(p.place - places).max() < 1e-6, seed


@needs_native
@given(seed=st.integers(0, 10_000))
def test_limits_are_never_exceeded(body: FittedBody, seed: int) -> None:
    p, rig, _ = problem(body, seed)
    p.x[...] = np.random.default_rng(seed).normal(scale=3, size=p.x.shape)  # even from outside
    p.metric[...] *= 5
    make_kernel(p, "native").solve()
    assert (p.x >= rig.lower).all()
    assert (p.x <= rig.upper).all()
    assert (p.shape >= p.shape_lower).all()
    assert (p.shape <= p.shape_upper).all()
    assert np.abs(p.rotation @ p.rotation.T - np.eye(3)).max() < 1e-9


def test_limits_hold_to_the_last_bit(body: FittedBody, kernel: str) -> None:
    """Metres that pull an elbow the wrong way leave it at its limit, and everything else where it belongs."""
    p, rig, _ = problem(body, 3)
    p.seen_weight[...] = p.metric_weight[...] = p.moved_weight[...] = 0
    elbow = next(int(rig.first[k]) for k in range(len(rig.parent)) if rig.count[k] == 1)
    p.prior[...] = rig.rest
    p.prior[elbow], p.prior_weight[...] = rig.lower[elbow] - 1.0, 1.0
    make_kernel(p, kernel).solve()
    assert p.x[elbow] == rig.lower[elbow]
    others = np.arange(len(p.x)) != elbow
    assert np.abs(p.x - rig.rest)[others].max() < 1e-6
