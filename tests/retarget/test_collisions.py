"""Fingers that do not penetrate each other: by capsules, in both kernels."""

from __future__ import annotations

import numpy as np
import pytest

from hands import human_hand
from humanrt import native
from humanrt.data import TRUTH
from humanrt.errors import HumanrtError
from humanrt.hands.truth import Truth
from humanrt.kernels.retarget import problem_arrays
from humanrt.retarget import Retargeter
from humanrt.retarget.capsules import TIP, capsule_radius, nearest

ROBOTS = ("allegro_right", "leap_right", "shadow_right")
_NONE = native.problem() or ""
KERNELS = ["numpy", pytest.param("native", marks=pytest.mark.skipif(bool(_NONE), reason=_NONE))]


@pytest.fixture(scope="module")
def hands() -> np.ndarray:
    """Every 8th frame of the clip that ships: fist, pinches, pointing."""
    points = Truth.load(TRUTH).keypoints_3d[::8, 0].astype(np.float64)
    return points - points[:, :1]


def deepest(retargeter: Retargeter, q: np.ndarray) -> float:
    p, hand = Retargeter(retargeter.hand, collisions=True)._problem, retargeter.hand
    at = hand.positions(q, (hand.wrist, *(point for finger in hand.fingers.values() for point in finger)))
    pairs = zip(p.collision_points, p.collision_reach, strict=True)
    return max(float(reach) - nearest(*at[ends])[0] for ends, reach in pairs)


def test_nearest_places_of_segments_by_search() -> None:
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 1, 201)
    for case in range(60):
        a0, a1, b0, b1 = rng.normal(size=(4, 3))
        if case % 4 == 1:
            b1 = b0 + (a1 - a0) * 0.7  # parallel
        if case % 4 == 2:
            a1 = a0.copy()
        d, s, t = nearest(a0, a1, b0, b1)
        assert d == pytest.approx(float(np.linalg.norm(a0 + s * (a1 - a0) - b0 - t * (b1 - b0))), abs=1e-12)
        first, second = a0 + grid[:, None] * (a1 - a0), b0 + grid[:, None] * (b1 - b0)
        least = float(np.linalg.norm(first[:, None] - second[None], axis=-1).min())
        assert d <= least + 1e-12
        assert d >= least - 0.02


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("robot", ROBOTS)
def test_the_gradient_by_differences(robot: str, kernel: str) -> None:
    retargeter = Retargeter(robot, collisions=True, kernel=kernel)
    plain = Retargeter(robot, kernel=kernel)
    p, rng, met = retargeter._problem, np.random.default_rng(1), 0
    for each in (retargeter, plain):
        each._kernel.targets(human_hand(0.4), False, True)
    for _ in range(12):
        x, zero = rng.uniform(p.lower, p.upper), np.zeros(len(p.x))
        here, h = retargeter._kernel.evaluate(x, zero, zero), 1e-7
        met += here.cost > plain._kernel.evaluate(x, zero, zero).cost + 1e-6
        for i, step in enumerate(h * np.eye(len(x))):
            up, down = (retargeter._kernel.evaluate(x + sign * step, zero, zero).cost for sign in (1, -1))
            assert (up - down) / (2 * h) == pytest.approx(here.gradient[i], abs=1e-5 * (1 + abs(here.cost)))
    assert met >= 2  # otherwise nothing was tested


@pytest.mark.skipif(bool(_NONE), reason=_NONE)
@pytest.mark.parametrize("robot", ROBOTS)
def test_both_kernels_agree(robot: str, hands: np.ndarray) -> None:
    compiled, numpy = (Retargeter(robot, collisions=True, kernel=kernel) for kernel in ("native", "numpy"))
    for keypoints in hands[::5]:
        np.testing.assert_allclose(compiled.solve(keypoints), numpy.solve(keypoints), atol=1e-7)


@pytest.mark.skipif(bool(_NONE), reason=_NONE)
@pytest.mark.parametrize("robot", ROBOTS)
def test_nothing_penetrates_and_pinches_touch(robot: str, hands: np.ndarray) -> None:
    apart, free = Retargeter(robot, collisions=True), Retargeter(robot)
    deep, without, gaps = [], [], []
    for keypoints in hands:
        q = apart.solve(keypoints)
        low, high = apart.limits.T
        assert ((q >= low) & (q <= high)).all()
        deep.append(deepest(apart, q))
        without.append(deepest(free, free.solve(keypoints)))
        tips = apart.hand.positions(q, [points[3] for points in apart.hand.fingers.values()])
        touching = [
            slot for slot in range(1, len(tips)) if np.linalg.norm(keypoints[4 * slot + 4] - keypoints[4]) < 0.025
        ]
        gaps += [np.linalg.norm(tips[slot] - tips[0]) - 2 * capsule_radius(apart.hand, TIP) for slot in touching]
    assert max(deep) < 0.002
    assert max(without) > 0.01
    assert len(gaps) > 3
    assert max(gaps) < 0.01


def test_without_it_nothing_changes_and_grippers_have_none() -> None:
    assert len(Retargeter("allegro_right")._problem.collision_reach) == 0
    assert len(Retargeter("allegro_right", collisions=True, kernel="numpy")._problem.collision_reach) > 30


def test_the_gpu_refuses_it() -> None:
    with pytest.raises(HumanrtError, match="the GPU does not keep fingers apart"):
        problem_arrays(Retargeter("allegro_right", collisions=True, kernel="numpy")._problem)
