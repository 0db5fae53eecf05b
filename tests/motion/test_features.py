"""Poses relative to the body's heading."""

from __future__ import annotations

import numpy as np

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.motion.features import Heading, frame_numbers, frames_from_motion, motion_from_frames

RANDOM = np.random.default_rng(0)
VECTORS = 0.7 * RANDOM.standard_normal((1, 22, 3)) + 0.1 * RANDOM.standard_normal((40, 22, 3)).cumsum(0)
ROTATIONS = matrices_from_vectors(VECTORS)
PLACES = 0.05 * RANDOM.standard_normal((40, 3)).cumsum(0) + [3.0, 1.0, -2.0]


def test_frames_are_turned_back_into_the_motion() -> None:
    frames = frames_from_motion(ROTATIONS, PLACES, 30.0)
    assert frames.shape == (40, frame_numbers(22))
    rotations, places = motion_from_frames(frames, 30.0, Heading.of(ROTATIONS[0, 0], PLACES[0]))
    np.testing.assert_allclose(rotations, ROTATIONS, atol=1e-6)
    np.testing.assert_allclose(places, PLACES, atol=1e-5)
    # And piece by piece.
    heading = Heading.of(ROTATIONS[19, 0], PLACES[19])
    rotations, places = motion_from_frames(frames[20:], 30.0, heading)
    np.testing.assert_allclose(places, PLACES[20:], atol=1e-5)
    np.testing.assert_allclose(rotations[:, 0], ROTATIONS[20:, 0], atol=1e-5)


def test_frames_do_not_depend_on_where_somebody_is_and_looks() -> None:
    turn = matrices_from_vectors(np.array([0.0, 2.0, 0.0]))
    turned = ROTATIONS.copy()
    turned[:, 0] = turn @ turned[:, 0]
    moved = PLACES @ turn.T + np.array([7.0, 0.0, 1.0])
    expected = frames_from_motion(ROTATIONS, PLACES, 30.0)
    np.testing.assert_allclose(frames_from_motion(turned, moved, 30.0), expected, atol=1e-5)


def test_walking_ahead_is_a_speed_ahead() -> None:
    """SMPL's pelvis looks along z; a body turned by a quarter walks along x."""
    still = np.tile(np.eye(3), (10, 22, 1, 1))
    still[:, 0] = matrices_from_vectors(np.array([0.0, np.pi / 2, 0.0]))
    places = np.outer(np.arange(10), [0.05, 0.0, 0.0]) + np.array([0.0, 0.9, 0.0])
    frames = frames_from_motion(still, places, 30.0)
    np.testing.assert_allclose(frames[1:, -4:], np.tile([0.9, 0.0, 1.5, 0.0], (9, 1)), atol=1e-5)
    np.testing.assert_allclose(frames[:, :6], np.tile([1, 0, 0, 1, 0, 0], (10, 1)), atol=1e-6)
