"""The pose of a wrist in the room: exact on exact keypoints, near the truth on a rendered clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from command_line import refused
from humanrt.data import TRUTH
from humanrt.errors import HumanrtError
from humanrt.geometry.camera import CameraError, field_of_view_intrinsics, project
from humanrt.geometry.hand import CHAINS
from humanrt.geometry.mirror import MIRROR
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.hands.pipeline import HandPipeline
from humanrt.hands.pose_smoother import HandPoseSmoother
from humanrt.hands.tracker import Hand, Hands
from humanrt.hands.truth import Truth
from humanrt.hands.wrist_pose import WristPoses, wrist_pose
from humanrt.outputs.record import Recorder, read_recording
from humanrt.retarget import wrist_frame
from humanrt.sources.opening import open_source

DATA = Path(__file__).resolve().parents[1] / "data"
K = field_of_view_intrinsics((640, 480), 60)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth.load(TRUTH)


def length_of(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(points[list(CHAINS[2])], axis=0), axis=1).sum())


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.linalg.norm(vectors_from_matrices(a[:3, :3].T @ b[:3, :3]))))


def observed(points: np.ndarray, facing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and metric keypoints of a hand, as a model that looks at the hand gives them."""
    return project(points, K), 1.07 * (points - points.mean(axis=0)) @ facing


@pytest.mark.parametrize("frame", [0, 90, 200])
@pytest.mark.parametrize("place", [(0.0, 0.0, 0.0), (0.15, -0.1, 0.2), (-0.2, 0.1, 0.6)])
def test_exact_keypoints_give_the_exact_pose(truth: Truth, frame: int, place: tuple[float, float, float]) -> None:
    points = truth.keypoints_3d[frame, 0].astype(np.float64) + place
    centre = points.mean(axis=0)
    axis = np.array([-centre[1], centre[0], 0.0])
    towards = matrices_from_vectors(axis / np.linalg.norm(axis) * np.arctan2(np.linalg.norm(centre[:2]), centre[2]))
    pose = wrist_pose(*observed(points, towards), K, "right", length_of(points))
    assert pose is not None
    # The expected turn is that of the middle of the pixels, not of the points: a degree at most.
    np.testing.assert_allclose(pose[:3, 3], points[0], atol=2e-3)
    assert np.degrees(np.linalg.norm(vectors_from_matrices(pose[:3, :3].T @ wrist_frame(points, "right")))) < 0.5
    np.testing.assert_allclose(pose[3], (0, 0, 0, 1))


def test_the_hands_length_scales_the_distance_and_nothing_else(truth: Truth) -> None:
    points = truth.keypoints_3d[40, 0].astype(np.float64)
    seen = observed(points, np.eye(3))
    short, long = (wrist_pose(*seen, K, "right", length) for length in (0.15, 0.18))
    assert short is not None
    assert long is not None
    np.testing.assert_allclose(long[:3, 3], 1.2 * short[:3, 3])
    np.testing.assert_array_equal(long[:3, :3], short[:3, :3])


def test_a_mirrored_picture_gives_the_same_place(truth: Truth) -> None:
    points = truth.keypoints_3d[40, 0].astype(np.float64)
    pixels, metres = (array.astype(np.float32) for array in observed(points, np.eye(3)))
    off_centre = K.copy()
    off_centre[0, 2] = 300.0
    hand = Hand(1, "right", 1.0, pixels, metres)
    (plain,) = WristPoses(off_centre)(Hands((hand,)), 0.0, (640, 480))
    mirrored = replace(hand, keypoints_2d=((640, 0) - pixels * (1, -1)).astype(np.float32))
    off_centre[0, 2] = 340.0
    (other,) = WristPoses(off_centre, mirrored=True)(Hands((mirrored,)), 0.0, (640, 480))
    np.testing.assert_allclose(other.wrist, plain.wrist, atol=1e-5)


def test_a_left_hand_is_the_mirror_image_of_a_right_one(truth: Truth) -> None:
    points = truth.keypoints_3d[40, 0].astype(np.float64)
    right = wrist_pose(*observed(points, np.eye(3)), K, "right")
    left = wrist_pose(*observed(points * MIRROR, np.eye(3)), K, "left")
    assert right is not None
    assert left is not None
    np.testing.assert_allclose(left[:3, 3], right[:3, 3] * MIRROR, atol=1e-9)
    flip = np.array((1, -1, 1))  # x out of the palm and z along it are mirrored, y = z x x is not
    np.testing.assert_allclose(left[:3, :3], right[:3, :3] * MIRROR[:, None] * flip, atol=1e-9)


def test_what_determines_no_pose_gives_none(truth: Truth) -> None:
    metres = truth.keypoints_3d[0, 0].astype(np.float64)
    pixels = project(metres, K)
    assert wrist_pose(pixels, np.zeros((21, 3)), K, "right") is None
    # The picture of a hand that is turned about: it would lie behind the camera.
    assert wrist_pose(pixels, -metres * (1, 1, 0), K, "right") is None


def test_state_ends_with_the_identity_and_time_is_real(truth: Truth) -> None:
    def hand(frame: int) -> Hand:
        points = truth.keypoints_3d[frame, 0].astype(np.float64)
        return Hand(1, "right", 1.0, *(a.astype(np.float32) for a in observed(points, np.eye(3))))

    raw, wrists = WristPoses(K, smooth=False), WristPoses(K)
    first, second = Hands((hand(0),)), Hands((hand(60),))
    wrists(first, 0.0, (640, 480))
    (late,) = wrists(second, 100.0, (640, 480))
    (plain,) = raw(second, 0.0, (640, 480))
    np.testing.assert_allclose(late.wrist, plain.wrist, atol=1e-3)  # 100 s later nothing is left of the first
    wrists.reset()
    wrists(first, 0.0, (640, 480))
    (soon,) = wrists(second, 0.01, (640, 480))
    assert np.linalg.norm(soon.wrist[:3, 3] - plain.wrist[:3, 3]) > 0.01
    wrists(Hands((), {}, (1,)), 0.02, (640, 480))
    (anew,) = wrists(second, 0.03, (640, 480))
    np.testing.assert_array_equal(anew.wrist, plain.wrist)


def test_on_a_rendered_clip_and_in_the_recording(tmp_path: Path) -> None:
    clip = DATA / "hand_turning.mp4"
    truth = Truth.load(clip.with_suffix(".npz"))
    length = float(np.median([length_of(points) for points in truth.keypoints_3d[:, 0]]))
    off, turned, wrists = [], [], []
    recorder = Recorder(tmp_path / "hands.jsonl")
    smoother = HandPoseSmoother(threads=1)
    pipeline = HandPipeline(None, (), smoother, intrinsics=truth.intrinsics, hand_length=length)
    with open_source(str(clip)) as source, pipeline:
        recorder.start(pipeline.header(source))
        for frame in source:
            result = pipeline(frame)
            recorder.put(result, None)
            points = truth.keypoints_3d[frame.index, 0].astype(np.float64)
            for hand in result.hands:
                assert hand.wrist is not None
                off.append(np.linalg.norm(hand.wrist[:3, 3] - points[0]) / (0.015 + 0.05 * np.linalg.norm(points[0])))
                turn = hand.wrist[:3, :3].T @ wrist_frame(points, "right")
                turned.append(np.degrees(np.linalg.norm(vectors_from_matrices(turn))))
                wrists.append(hand.wrist)
    recorder.close()
    assert len(off) > 95
    assert np.median(off) < 1.0
    assert np.median(turned) < 10.0
    recording = read_recording(tmp_path / "hands.jsonl")
    assert recording.header["hand_length"] == pytest.approx(length, abs=1e-5)
    track = recording.tracks().hands[1].wrist
    assert track is not None
    np.testing.assert_allclose(track[:, :3], np.array(wrists)[:, :3, 3], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(track[:, 3:], axis=1), 1.0, atol=1e-4)
    first = next(iter(read_recording(tmp_path / "hands.jsonl")))
    np.testing.assert_allclose(first["intrinsics"], truth.intrinsics, atol=1e-4)


def test_impossible_cameras_and_hands_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CameraError, match="field of view"):
        WristPoses(fov=200)
    with pytest.raises(HumanrtError, match="give only one"):
        WristPoses(K, 60)
    with pytest.raises(HumanrtError, match=r"hand_length \(m\) must be a number from 0.05 to 0.4, not 180"):
        WristPoses(hand_length=180)
    assert "nothing estimates the field of view" in refused(capsys, "run", "0", "--headless", "--fov", "auto")
    assert "--hand-length is for --task hands" in refused(
        capsys, "run", "0", "--headless", "--task", "people", "--hand-length", "0.2"
    )
