"""Camera axes to AMASS's and back."""

from __future__ import annotations

import numpy as np

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.posefix.axes import from_training_axes, to_training_axes


def test_somebody_who_faces_the_camera() -> None:
    """Facts: the root of a frontal T-pose is (pi / 2, 0, 0)."""
    facing = matrices_from_vectors(np.array([[np.pi, 0.0, 0.0], [0.1, 0.2, 0.3]]))
    turned, turn = to_training_axes(facing)
    np.testing.assert_allclose(vectors_from_matrices(turned), [[np.pi / 2, 0, 0], [0.1, 0.2, 0.3]], atol=1e-9)
    np.testing.assert_allclose(from_training_axes(turned, turn), facing, atol=1e-12)


def test_the_heading_does_not_count() -> None:
    poses = matrices_from_vectors(0.7 * np.random.default_rng(0).standard_normal((6, 4, 3)))
    turned, turn = to_training_axes(poses)
    np.testing.assert_allclose(turned[:, 0, 1, 0], 0, atol=1e-12)
    assert (turned[:, 0, 0, 0] >= 0).all()
    np.testing.assert_allclose(from_training_axes(turned, turn), poses, atol=1e-12)
    around = poses.copy()
    around[:, 0] = matrices_from_vectors(np.array([0.0, 1.1, 0.0])) @ poses[:, 0]  # about the camera's vertical
    again, other = to_training_axes(around)
    np.testing.assert_allclose(again, turned, atol=1e-12)
    assert np.abs(other - turn).max() > 0.1
