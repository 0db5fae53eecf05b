"""Forward kinematics, mirror images, speeds, other bodies, and the held-out recordings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import H36M_17, MEDIAPIPE_33, SMPL_24, SMPL_PARENTS, SMPL_REST
from humanrt_export.motion.augment import (
    SWAPPED,
    interpolate,
    mirror,
    random_rotation,
    resample,
    rotate,
    turn_about_vertical,
)
from humanrt_export.motion.body_fk import GROUPS, about_hips, body_points, forward, random_rest, vary
from humanrt_export.motion.clip import Motion, MotionError
from humanrt_export.motion.split import PARTS, part_of


def made(seed: int = 0, frames: int = 9, angle: float = 0.5) -> Motion:
    generator = np.random.default_rng(seed)
    steps = 0.1 * generator.standard_normal((frames, 24, 3)).cumsum(0)
    start = matrices_from_vectors(angle * generator.standard_normal((1, 24, 3)))
    return Motion(
        120.0, generator.standard_normal((frames, 3)), start @ matrices_from_vectors(steps), "made", "a_1", "a"
    )


def bones(joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(joints[..., 1:, :] - joints[..., SMPL_PARENTS[1:], :], axis=-1)


@given(st.integers(0, 10**6))
def test_forward_keeps_bones_and_the_rest_pose(seed: int) -> None:
    motion, rest = made(seed), random_rest(np.random.default_rng(seed))
    joints, world = forward(motion.rotations, rest, motion.translation)
    np.testing.assert_allclose(bones(joints), np.broadcast_to(bones(rest), (9, 23)), atol=1e-12)
    np.testing.assert_allclose(joints[:, 0], motion.translation)
    still, _ = forward(np.broadcast_to(np.eye(3), (24, 3, 3)), rest)
    np.testing.assert_allclose(still, rest, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(world), 1)


@given(st.integers(0, 10**6))
def test_mirror_is_an_involution_and_a_mirror(seed: int) -> None:
    motion = made(seed)
    twice = mirror(mirror(motion))
    np.testing.assert_allclose(twice.rotations, motion.rotations, atol=1e-12)
    np.testing.assert_array_equal(twice.translation, motion.translation)
    for names in (H36M_17, MEDIAPIPE_33, SMPL_24):
        swap = {"left": "right", "right": "left"}
        order = [
            names.index("_".join(swap.get(part, part) for part in name.split("_"))) if "_" in name else place
            for place, name in enumerate(names)
        ]
        before = body_points(motion.rotations, names, translation=motion.translation)
        after = body_points(mirror(motion).rotations, names, translation=mirror(motion).translation)
        np.testing.assert_allclose(after, before[:, order] * (-1, 1, 1), atol=1e-9)


def test_swapped_is_a_permutation() -> None:
    assert sorted(SWAPPED) == list(range(24))
    assert [SWAPPED[place] for place in SWAPPED] == list(range(24))


@given(st.integers(0, 10**6))
def test_turning_all_turns_joints(seed: int) -> None:
    motion, turn = made(seed), random_rotation(np.random.default_rng(seed))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    turned = rotate(motion, turn)
    before, _ = forward(motion.rotations, translation=motion.translation)
    after, _ = forward(turned.rotations, translation=turned.translation)
    np.testing.assert_allclose(after, before @ turn.T, atol=1e-9)
    np.testing.assert_allclose(turn_about_vertical(0.3) @ [0, 1, 0], [0, 1, 0])


def test_resampling() -> None:
    motion = made(3, 121)
    half = resample(motion, 60)
    assert (half.fps, len(half)) == (60, 61)
    np.testing.assert_allclose(half.rotations, motion.rotations[::2], atol=1e-9)
    fast = resample(motion, 120, speed=2)
    assert len(fast) == 61
    np.testing.assert_allclose(fast.rotations, half.rotations, atol=1e-9)
    slow = resample(motion, 120, speed=0.5)
    np.testing.assert_allclose(slow.rotations[::2], motion.rotations, atol=1e-9)
    assert slow.seconds == pytest.approx(2 * motion.seconds)
    with pytest.raises(MotionError, match="above 0"):
        resample(motion, 0)


def test_interpolation_turns_evenly() -> None:
    ends = matrices_from_vectors(np.array([[0.0, 0, 0], [0, 0, 2.0]]))
    angles = vectors_from_matrices(interpolate(ends, [0, 0.25, 0.5, 1]))[:, 2]
    np.testing.assert_allclose(angles, [0, 0.5, 1, 2], atol=1e-12)
    np.testing.assert_allclose(interpolate(ends[:1], [0.0]), ends[:1])
    for wrong in ([1.5], [-0.5], [np.nan]):
        with pytest.raises(MotionError, match="from 0 to 1"):
            interpolate(ends, wrong)


def test_bodies_of_other_shapes() -> None:
    np.testing.assert_allclose(vary({}), SMPL_REST)
    longer = vary({"thigh": 1.2})
    ratio = bones(longer) / bones(SMPL_REST)
    changed = [SMPL_24[place + 1] for place in np.flatnonzero(np.abs(ratio - 1) > 1e-9)]
    assert changed == ["left_knee", "right_knee"]
    np.testing.assert_allclose(vary({}, 1.1), SMPL_REST * 1.1)
    rest = random_rest(np.random.default_rng(0))
    np.testing.assert_allclose(rest[list(SWAPPED)] * (-1, 1, 1), rest, atol=1e-12)
    joints = {joint for joints in GROUPS.values() for joint in joints}
    assert joints == {name.split("_")[-1] for name in SMPL_24[1:]}
    with pytest.raises(MotionError, match="unknown group of bones tail"):
        vary({"tail": 2.0})


def test_points_are_where_they_are_on_people() -> None:
    still = np.broadcast_to(np.eye(3), (24, 3, 3))
    at = dict(zip(MEDIAPIPE_33, body_points(still, MEDIAPIPE_33), strict=True))
    assert at["nose"][2] > at["left_eye"][2] > at["left_ear"][2]
    assert at["left_eye"][1] > at["nose"][1] > at["mouth_left"][1]
    assert at["left_ear"][0] > 0 > at["right_ear"][0]
    assert at["mouth_left"][0] > 0 > at["mouth_right"][0]
    assert at["left_index"][0] > at["left_wrist"][0]
    assert at["left_thumb"][2] > at["left_index"][2] > at["left_pinky"][2]
    assert at["left_heel"][2] < at["left_ankle"][2] < at["left_foot_index"][2]
    human = dict(zip(H36M_17, body_points(still, H36M_17), strict=True))
    assert human["head"][1] > human["neck"][1] > human["thorax"][1] > human["spine"][1] > human["hip"][1]
    np.testing.assert_allclose(about_hips(body_points(still, H36M_17), H36M_17)[0], 0, atol=1e-12)
    smpl = body_points(made().rotations, SMPL_24)
    np.testing.assert_allclose(smpl, forward(made().rotations)[0])
    with pytest.raises(MotionError, match="unknown body point `tail`"):
        body_points(still, ("tail",))


def test_wrong_motions_are_refused() -> None:
    with pytest.raises(MotionError, match="24, 3, 3"):
        Motion(30.0, np.zeros((2, 3)), np.zeros((2, 23, 3, 3)), "made")
    with pytest.raises(MotionError, match="above 0"):
        Motion(0.0, np.zeros((2, 3)), np.zeros((2, 24, 3, 3)), "made")


def test_held_out_recordings(cmu: dict[str, Motion]) -> None:
    parts = {part: [motion for motion in cmu.values() if part_of(motion) == part] for part in PARTS}
    train, val = ({motion.name for motion in parts[part]} for part in ("train", "val"))
    assert not train & val
    assert train | val == set(cmu)
    assert {motion.subject for motion in parts["train"]} == {"01", "02"}
    assert {"03_01", "03_02", "03_04", "02_05"} <= val
    assert part_of(mirror(cmu["02_05"])) == part_of(resample(cmu["02_05"], 30, 1.3)) == "val"
    seconds = {part: sum(motion.seconds for motion in parts[part]) for part in parts}
    assert 0.1 < seconds["val"] / (seconds["train"] + seconds["val"]) < 0.35
