"""Motion in variety: arms and bends of others, and from pose to pose."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPL_24
from humanrt_export.data.poses.made_up import made_up_motions
from humanrt_export.motion.augment import varied
from humanrt_export.motion.clip import Motion


def motion(frames: int = 240, size: float = 0.3, name: str = "one") -> Motion:
    t = np.arange(frames) / 120
    vectors = size * np.sin(t[:, None, None] + np.arange(24)[:, None]) * np.ones(3)
    return Motion(120.0, np.zeros((frames, 3)), matrices_from_vectors(vectors), name, name)


def test_varied_takes_arms_of_another_and_bends_the_trunk() -> None:
    own, other = motion(), motion(400, -0.5, "other")
    arms, legs = SMPL_24.index("left_elbow"), SMPL_24.index("left_knee")
    taken = bent = 0
    for seed in range(40):
        made = varied(own, [own, other], np.random.default_rng(seed))
        assert len(made) == len(own)
        np.testing.assert_allclose(
            made.rotations @ np.swapaxes(made.rotations, -1, -2), np.eye(3) + 0 * made.rotations, atol=1e-9
        )
        np.testing.assert_array_equal(made.rotations[:, legs], own.rotations[:, legs])
        taken += not np.array_equal(made.rotations[:, arms], own.rotations[:, arms])
        angle = np.linalg.norm(
            vectors_from_matrices(np.swapaxes(own.rotations[:, 3], -1, -2) @ made.rotations[:, 3]), axis=-1
        )
        bent += angle.max() > 0.01
        assert angle.max() < 1.6
    assert 2 <= taken <= 20  # a third, half of which are of the motion itself
    assert 10 <= bent <= 30


@pytest.mark.parametrize("recorded", [True, False])
def test_made_up_motions_go_smoothly_from_pose_to_pose(recorded: bool) -> None:
    made = made_up_motions([motion(600)] if recorded else [], 2, seed=3, seconds=3.0)
    assert len(made) == 2
    for one in made:
        assert (len(one), one.fps) == (360, 120.0)
        steps = np.linalg.norm(
            vectors_from_matrices(np.swapaxes(one.rotations[:-1], -1, -2) @ one.rotations[1:]), axis=-1
        )
        assert np.degrees(steps.max()) < 12  # at 120 frames a second: no jump
        assert (
            np.degrees(
                np.linalg.norm(vectors_from_matrices(one.rotations[0].swapaxes(-1, -2) @ one.rotations[-1]), axis=-1)
            ).max()
            > 15
        )
    again = made_up_motions([motion(600)] if recorded else [], 1, seed=3, seconds=3.0)
    np.testing.assert_array_equal(again[0].rotations, made[0].rotations)
