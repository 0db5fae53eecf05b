"""What a motion is."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt import Motion
from humanrt.errors import InvalidInputError
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS, SMPLX_55


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


def test_arrays_that_do_not_fit_are_refused() -> None:
    motion = made()
    with pytest.raises(InvalidInputError, match="24 rotations a frame need as many joint_names"):
        Motion(motion.rotations, motion.translation, 30.0, SMPL_24[:3], SMPL_PARENTS)
    with pytest.raises(InvalidInputError, match="translation"):
        Motion(motion.rotations, motion.translation[:2], 30.0, SMPL_24, SMPL_PARENTS)
    with pytest.raises(InvalidInputError, match="fps"):
        Motion(motion.rotations, motion.translation, 0.0, SMPL_24, SMPL_PARENTS)
