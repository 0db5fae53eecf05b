"""Truth files: what they say of the shipped clips agrees with itself and with the videos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from humanrt.data import CLIP
from humanrt.errors import SourceError
from humanrt.geometry.camera import project
from humanrt.hands.truth import Truth, finger_flexion

TESTS = Path(__file__).parents[2] / "data"
CLIPS = [CLIP, *(TESTS / f"{name}.mp4" for name in ("hands_crossing", "hand_lost", "hand_turning"))]


def straight_hand() -> np.ndarray:
    """[21, 3] five straight fingers fanned out from the wrist."""
    points = np.zeros((21, 3))
    for finger, angle in enumerate(np.radians([150, 110, 95, 80, 65])):
        for joint in range(4):
            points[1 + 4 * finger + joint] = (2 + joint) * np.array([np.cos(angle), np.sin(angle), 0.1])
    return points


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_truth_agrees_with_itself_and_with_the_video(path: Path) -> None:
    truth = Truth.load(path.with_suffix(".npz"))
    video = cv2.VideoCapture(str(path))
    frames = 0
    while video.grab():
        frames += 1
    assert frames == len(truth)
    assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == truth.size
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(truth.fps, abs=0.01)
    hands = len(truth.side)
    assert truth.keypoints_2d.shape == (frames, hands, 21, 2)
    assert truth.keypoints_3d.shape == (frames, hands, 21, 3)
    np.testing.assert_allclose(project(truth.keypoints_3d, truth.intrinsics), truth.keypoints_2d, atol=0.01)
    np.testing.assert_allclose(finger_flexion(truth.keypoints_3d), truth.flexion, atol=1e-5)
    inside = np.all((truth.keypoints_2d >= 0) & (truth.keypoints_2d < truth.size), axis=-1)
    np.testing.assert_array_equal(inside, truth.visible)
    np.testing.assert_allclose(np.diff(truth.t), 1 / truth.fps)


def test_lost_hand_leaves_and_comes_back() -> None:
    shown = Truth.load(TESTS / "hand_lost.npz").visible[:, 0].any(axis=1)
    assert shown[0]
    assert shown[-1]
    assert (~shown).sum() > 15


def test_crossing_hands_change_sides_twice() -> None:
    truth = Truth.load(TESTS / "hands_crossing.npz")
    order = np.sign(np.diff(truth.keypoints_2d[:, :, 9, 0], axis=1)[:, 0])
    assert truth.side == ("left", "right")
    assert np.count_nonzero(np.diff(order)) == 2


def test_palm_turns_away_and_back() -> None:
    points = Truth.load(TESTS / "hand_turning.npz").keypoints_2d[:, 0].astype(np.float64)
    index, pinky = points[:, 5] - points[:, 0], points[:, 17] - points[:, 0]
    facing = np.sign(index[:, 0] * pinky[:, 1] - index[:, 1] * pinky[:, 0])
    assert facing[0] == facing[-1] == -facing[len(facing) // 2]


def test_straight_fingers_have_no_flexion() -> None:
    np.testing.assert_allclose(finger_flexion(straight_hand()), 0, atol=1e-7)


def test_a_bend_of_one_joint_is_read_at_that_joint_alone() -> None:
    points = straight_hand()
    for angle in (0.3, 1.2, 2.5):
        bent = points.copy()
        direction = points[8] - points[7]
        normal = np.array([0.0, 0.0, 1.0]) - direction * direction[2] / (direction @ direction)
        side = normal / np.linalg.norm(normal) * np.linalg.norm(direction)
        bent[8] = points[7] + np.cos(angle) * direction + np.sin(angle) * side
        flexion = finger_flexion(bent)
        expected = np.zeros((5, 3))
        expected[1, 2] = angle
        np.testing.assert_allclose(flexion, expected, atol=1e-7)


def test_flexion_ignores_place_turn_size_and_mirror() -> None:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(7, 21, 3))
    rotation = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    moved = 2.5 * points @ rotation.T + generator.normal(size=3)
    np.testing.assert_allclose(finger_flexion(moved), finger_flexion(points), atol=1e-9)
    np.testing.assert_allclose(finger_flexion(points * (-1, 1, 1)), finger_flexion(points), atol=1e-12)


def test_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(20, 3\)"):
        finger_flexion(np.zeros((20, 3)))


def test_missing_and_foreign_truth_files_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no ground-truth file"):
        Truth.load(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("not a zip")
    np.savez(tmp_path / "other.npz", a=1)
    for name in ("text.npz", "other.npz"):
        with pytest.raises(SourceError, match="not a ground-truth file") as error:
            Truth.load(tmp_path / name)
        assert "\n" not in str(error.value)
