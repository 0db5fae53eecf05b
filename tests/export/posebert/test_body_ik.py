"""Inverse kinematics in torch: the runtime's, with gradients."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra `train`)")

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices  # noqa: E402
from humanrt.geometry.skeleton import MEDIAPIPE_33, SMPL_24  # noqa: E402
from humanrt.people.body_points import rest_landmarks  # noqa: E402
from humanrt.people.landmark_ik import LandmarkIK  # noqa: E402
from humanrt_export.networks.body_ik import BodyIK  # noqa: E402

_BLENDED = ("spine", "collar", "neck", "head", "shoulder")
"""Joints beside the bend of the trunk, which torch blends linearly where numpy goes along the arc."""


def test_rest_landmarks_stand_upright_and_are_symmetric() -> None:
    rest = rest_landmarks()
    at = dict(zip(MEDIAPIPE_33, rest, strict=True))
    assert at["left_wrist"][0] > at["left_shoulder"][0] > 0  # the person's left is x
    assert at["nose"][1] > at["left_shoulder"][1] > at["left_hip"][1] > at["left_ankle"][1]
    assert at["nose"][2] > at["left_ear"][2]
    np.testing.assert_allclose(at["left_knee"] * (-1, 1, 1), at["right_knee"])


def test_torch_and_numpy_agree() -> None:
    rng, rest = np.random.default_rng(0), rest_landmarks()
    poses = rest + rng.normal(0, 0.03, (5, 8, 33, 3))
    poses = poses @ matrices_from_vectors(np.array([0.3, 2.0, 0.4])).T
    ik = LandmarkIK(rest)
    expected = np.array([[ik(frame) for frame in window] for window in poses])
    found = BodyIK(torch.from_numpy(rest))(torch.from_numpy(poses).float()).numpy()
    angle = np.linalg.norm(vectors_from_matrices(np.swapaxes(expected, -1, -2) @ found), axis=-1)
    for joint, name in enumerate(SMPL_24):
        assert angle[..., joint].max() < (0.3 if any(part in name for part in _BLENDED) else 1e-3), name


def test_scale_and_place_do_not_matter() -> None:
    rest = rest_landmarks()
    poses = torch.from_numpy(rest + np.random.default_rng(1).normal(0, 0.1, (1, 4, 33, 3))).float()
    ik = BodyIK(torch.from_numpy(rest))
    torch.testing.assert_close(ik(poses), ik(2.5 * poses + 3.0), atol=2e-4, rtol=0)


def test_gradients_are_finite_where_limbs_are_straight_or_nothing_is_there() -> None:
    rest = torch.from_numpy(rest_landmarks()).float()
    straight = rest.clone()
    for first, second, third in (
        ("left_shoulder", "left_elbow", "left_wrist"),
        ("left_hip", "left_knee", "left_ankle"),
    ):
        a, b, c = (MEDIAPIPE_33.index(name) for name in (first, second, third))
        straight[c] = 2 * straight[b] - straight[a]
    for points in (straight, torch.zeros(33, 3)):
        points = points[None, None].clone().requires_grad_()
        turned = BodyIK(rest)(points)
        (turned * torch.randn(turned.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
        assert points.grad is not None
        assert torch.isfinite(points.grad).all()
