"""The descriptor: what it sees, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.search.coarse import COARSE
from humanrt.search.descriptor import GROUPS, POINTS, describe, points_of

INDEX = {name: place for place, name in enumerate(SMPLX_BODY)}
UPRIGHT = np.diag([1.0, -1.0, -1.0])  # before a camera whose y is down, facing it


def pose(**turned: tuple[float, float, float]) -> np.ndarray:
    """A T-pose facing the camera, with joints turned by degrees."""
    vectors = np.zeros((22, 3))
    for name, degrees in turned.items():
        vectors[INDEX[name]] = np.radians(degrees)
    found = matrices_from_vectors(vectors)
    found[0] = UPRIGHT @ found[0]
    return found


def point(points: np.ndarray, name: str) -> np.ndarray:
    return points[POINTS.index(name)]


def test_points_are_in_the_body_s_axes() -> None:
    points = points_of(pose())
    assert points.shape == (len(POINTS), 3)
    assert point(points, "left_wrist")[0] > 0.5
    assert point(points, "right_wrist")[0] < -0.5
    assert point(points, "head")[1] > 0.4
    assert point(points, "left_ankle")[1] < -0.6
    assert point(points, "face")[2] > point(points, "head")[2] + 0.1
    raised = points_of(pose(left_shoulder=(0, 0, 90)))
    assert point(raised, "left_wrist")[1] > 0.8
    np.testing.assert_allclose(point(raised, "right_wrist"), point(points, "right_wrist"), atol=1e-6)


@pytest.mark.parametrize("lean", [(0, 0, 0), (30, 0, 0), (-80, 0, 0), (20, 0, 40), (90, 0, 0)])
def test_heading_does_not_count_and_leaning_does(lean: tuple[float, float, float]) -> None:
    first = describe(pose(pelvis=lean, left_elbow=(0, -70, 0)))
    for turn in (10, 90, 180, -120):
        turned = pose(pelvis=lean, left_elbow=(0, -70, 0))
        about = matrices_from_vectors(np.radians([0.0, turn, 0.0]))
        turned[0] = UPRIGHT @ about @ UPRIGHT @ turned[0]
        np.testing.assert_allclose(describe(turned), first, atol=1e-5)
    if any(lean):
        assert np.linalg.norm(describe(pose(left_elbow=(0, -70, 0))) - first) > 0.1


def test_the_distance_is_the_root_mean_square_of_the_points() -> None:
    a, b = pose(), pose(left_shoulder=(0, 0, 60), right_knee=(50, 0, 0))
    expected = np.sqrt(((points_of(a) - points_of(b)) ** 2).sum(-1).mean())
    assert np.linalg.norm(describe(a) - describe(b)) == pytest.approx(expected, abs=1e-6)
    assert expected > 0.1


def test_left_is_not_right() -> None:
    left, right = describe(pose(left_shoulder=(0, 0, 70))), describe(pose(right_shoulder=(0, 0, -70)))
    assert np.linalg.norm(left - right) > 0.15


def test_batches_are_the_same_as_single_poses() -> None:
    poses = np.stack([pose(), pose(left_knee=(40, 0, 0)), pose(pelvis=(10, 50, 0))])
    np.testing.assert_allclose(describe(poses), np.stack([describe(one) for one in poses]), atol=1e-7)
    assert describe(poses.reshape(1, 3, 22, 3, 3)).shape == (1, 3, len(GROUPS))


def test_groups_are_limbs_by_axis() -> None:
    assert len(GROUPS) == 3 * len(POINTS)
    sizes = np.bincount(np.array([group for group in GROUPS if group >= 0]), minlength=COARSE - 1)
    assert (sizes == 3).all()
