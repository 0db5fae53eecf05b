"""What a motion is."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt import Motion
from humanrt.errors import InvalidInputError
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS, SMPLX_55
from humanrt.motion.motion import parents_of


def made(frames: int = 5) -> Motion:
    rotations = np.tile(np.eye(3, dtype=np.float32), (frames, 24, 1, 1))
    rotations[:, 3] = np.diag([-1.0, 1.0, -1.0])
    return Motion(rotations, np.arange(3 * frames, dtype=np.float32).reshape(-1, 3), 30.0, SMPL_24, SMPL_PARENTS)


def test_its_duration_and_its_parts() -> None:
    motion = made()
    assert (len(motion), motion.seconds) == (5, pytest.approx(1 / 6))
    part = motion.cut(1, -1)
    np.testing.assert_array_equal(part.translation, motion.translation[1:4])
    assert part.joint_names == SMPL_24


def test_joints_of_another_skeleton_are_found_by_name() -> None:
    rotations = made().with_joints(SMPLX_55)
    assert rotations.shape == (5, 55, 3, 3)
    np.testing.assert_array_equal(rotations[:, 3], made().rotations[:, 3])
    np.testing.assert_array_equal(rotations[:, 22], np.tile(np.eye(3), (5, 1, 1)))


def test_parents_are_known_by_name_and_numbers_are_taken_as_they_come() -> None:
    motion = made()
    plain = Motion(motion.rotations.tolist(), motion.translation.astype(float), 30, list(SMPL_24))
    assert (plain.parents, plain.joint_names, plain.up) == (SMPL_PARENTS, SMPL_24, "-y")
    np.testing.assert_array_equal(plain.rotations, motion.rotations)
    hands = parents_of(SMPLX_55)
    assert [SMPLX_55[hands[SMPLX_55.index(name)]] for name in ("jaw", "left_ring1", "right_thumb3")] == [
        *("head", "left_wrist", "right_thumb2")
    ]
    with pytest.raises(InvalidInputError, match="no parent is known of joint `Hips`; give Motion its parents"):
        Motion(motion.rotations[:, :1], motion.translation, 30.0, ("Hips",))
    with pytest.raises(InvalidInputError, match="rotations: nan is not a finite number"):
        Motion(motion.rotations * np.nan, motion.translation, 30.0, SMPL_24)


def test_turning_to_another_axis_up_and_back() -> None:
    motion = made()
    for up in ("y", "z", "-z", "x", "-x", "-y"):
        turned = motion.turned(up)
        assert turned.up == up
        # What was up is up: the height above the first frame is the same.
        height = turned.translation @ np.eye(3)["xyz".index(up[-1])] * (-1 if up[0] == "-" else 1)
        np.testing.assert_allclose(height, -motion.translation[:, 1], atol=1e-5)
        np.testing.assert_allclose(np.linalg.det(turned.rotations[:, 0]), 1, atol=1e-5)
        np.testing.assert_array_equal(turned.rotations[:, 1:], motion.rotations[:, 1:])
    back = motion.turned("y").turned("-y")
    np.testing.assert_allclose(back.rotations, motion.rotations, atol=1e-6)
    np.testing.assert_allclose(back.translation, motion.translation, atol=1e-5)
    with pytest.raises(InvalidInputError, match="up is 'up'; axes: -x, -y, -z, x, y, z"):
        motion.turned("up")


def test_arrays_that_do_not_fit_are_refused() -> None:
    motion = made()
    with pytest.raises(InvalidInputError, match="24 rotations a frame need as many joint_names"):
        Motion(motion.rotations, motion.translation, 30.0, SMPL_24[:3], SMPL_PARENTS)
    with pytest.raises(InvalidInputError, match="translation"):
        Motion(motion.rotations, motion.translation[:2], 30.0, SMPL_24, SMPL_PARENTS)
    with pytest.raises(InvalidInputError, match="fps"):
        Motion(motion.rotations, motion.translation, 0.0, SMPL_24, SMPL_PARENTS)
