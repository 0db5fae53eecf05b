"""The generator of hand motion: limits, smoothness, determinism, and pinches that touch."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt.geometry.hand import FINGERS
from humanrt_export.synthetic import hand_motion as motion
from humanrt_export.synthetic.clips import KINDS, ClipSpec, plan
from humanrt_export.synthetic.hand_model import JOINTS, LIMITS, Arm, index_of, load_arm, pose
from humanrt_export.synthetic.hand_motion import Drift, Keyframe, Motion


@pytest.fixture(scope="module")
def arm() -> Arm:
    return load_arm("right", levels=0, sleeve=False)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_joint_limits_hold_at_every_instant(kind: str) -> None:
    t, hands = plan(ClipSpec(kind), seed=5)
    for hand in hands:
        q = hand.motion.at(np.linspace(0, t[-1], 3 * len(t)))
        assert np.all(q >= LIMITS[:, 0])
        assert np.all(q <= LIMITS[:, 1])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_same_seed_same_motion_other_seed_another(kind: str) -> None:
    t, first = plan(ClipSpec(kind), seed=5)
    same, other = plan(ClipSpec(kind), seed=5)[1], plan(ClipSpec(kind), seed=6)[1]
    np.testing.assert_array_equal(first[0].motion.at(t), same[0].motion.at(t))
    assert np.abs(first[0].motion.at(t) - other[0].motion.at(t)).max() > 1e-3


def test_motion_is_twice_continuously_differentiable(arm: Arm) -> None:
    moving = motion.random_motion(arm, np.random.default_rng(1), seconds=2.0)
    # The jump of the second difference between neighbouring samples shrinks with the step only if the
    # acceleration is continuous; a corner in speed would keep it growing as 1 / step instead.
    jumps = []
    for step in (1e-3, 2.5e-4):
        q = moving.at(np.arange(0.0, 2.0, step))
        jumps.append(np.abs(np.diff(np.diff(q, n=2, axis=0) / step**2, axis=0)).max())
    assert jumps[1] < 0.4 * jumps[0]


def test_soft_limits_are_smooth_and_leave_the_middle_alone() -> None:
    joint = index_of("index_pip_flexion")
    low, high = LIMITS[joint]
    line = np.zeros((4001, len(JOINTS)))
    line[:, joint] = np.linspace(low - 0.3, high + 0.3, 4001)
    held = motion.inside(line)[:, joint]
    middle = (line[:, joint] > low + 0.0201) & (line[:, joint] < high - 0.0201)
    np.testing.assert_allclose(held[middle], line[middle, joint], atol=1e-12)
    assert low <= held.min() + 1e-12
    assert held.max() <= high + 1e-12
    assert np.all(np.diff(held) >= -1e-12)


def test_minimum_jerk_starts_and_ends_at_rest() -> None:
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(motion.minimum_jerk(x), [0, 0, 0.5, 1, 1])
    near = motion.minimum_jerk(np.array([1e-4, 1 - 1e-4]))
    assert near[0] < 1e-10
    assert 1 - near[1] < 1e-10


def test_movements_that_overlap_are_refused() -> None:
    q = pose()
    with pytest.raises(ValueError, match="begins before"):
        Motion((Keyframe(0.0, q, 0.1), Keyframe(0.5, q, 0.2), Keyframe(0.6, q, 0.2)))


def test_drift_repeats_after_its_period() -> None:
    drift = Drift.sample(np.random.default_rng(0), period=6.0)
    t = np.linspace(0, 1, 20)
    np.testing.assert_allclose(drift.at(t), drift.at(t + 6.0), atol=1e-12)


@pytest.mark.parametrize("finger", FINGERS[1:])
@pytest.mark.parametrize("shape", [(), (1.5, -1.0), (-1.5, 1.0, 1.0)])
def test_pinch_touches_for_any_hand(finger: str, shape: tuple[float, ...]) -> None:
    own = load_arm("right", shape, levels=0, sleeve=False)
    q = motion.pinch(own, finger)
    points, normals = own.fingertips(q)
    number = FINGERS.index(finger)
    assert np.linalg.norm(points[0] - points[number]) < 0.002
    assert normals[0] @ normals[number] < -0.3  # pulp against pulp
    assert np.all(q >= LIMITS[:, 0])
    assert np.all(q <= LIMITS[:, 1])


def test_demo_pinches_stay_closed_while_held() -> None:
    t, (hand,) = plan(ClipSpec("demo"), seed=11)
    points, _ = hand.arm.fingertips(hand.motion.at(t))
    gaps = np.linalg.norm(points[:, 1:4] - points[:, :1], axis=-1)
    assert np.all((gaps < 0.003).sum(axis=0) >= 6)  # index, middle, ring: at least 0.2 s each


def test_demo_ends_as_it_began() -> None:
    t, (hand,) = plan(ClipSpec("demo"), seed=11)
    step = np.abs(np.diff(hand.arm.keypoints(hand.motion.at(t)), axis=0)).max()
    seam = np.abs(hand.arm.keypoints(hand.motion.at(t[[0, -1]]))[0] - hand.arm.keypoints(hand.motion.at(t[-1:]))).max()
    assert 8.0 < len(t) / 30 < 11.0
    assert seam < min(step, 0.002)


def test_left_hand_is_the_mirror_of_the_right() -> None:
    right, left = load_arm("right", levels=0, sleeve=False), load_arm("left", levels=0, sleeve=False)
    q = motion.clip(pose(motion.fist(right), x=0.0, y=0.05, z=0.5, yaw=20, roll=10, supination=30))
    np.testing.assert_allclose(left.keypoints(q), right.keypoints(q) * (-1, 1, 1), atol=1e-12)


def test_open_right_hand_shows_its_thumb_on_the_pictures_right(arm: Arm) -> None:
    keypoints = arm.keypoints(pose(motion.open_hand(), z=0.5))
    assert keypoints[4, 0] > keypoints[0, 0] + 0.04  # x right
    assert keypoints[12, 1] < keypoints[0, 1] - 0.12  # fingers up, y down


def test_flexion_bends_towards_the_palm(arm: Arm) -> None:
    rest = arm.keypoints(pose(z=0.5))
    for finger, tip in zip(FINGERS[1:], (8, 12, 16, 20), strict=True):
        for joint in ("mcp", "pip", "dip"):
            bent = arm.keypoints(pose(None, {f"{finger}_{joint}_flexion": 30}, z=0.5))
            assert bent[tip, 2] < rest[tip, 2] - 0.003  # the palm faces the camera: nearer to it
