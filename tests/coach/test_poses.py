"""Poses of other bodies, and from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from postures import anybody, posture

from humanrt.coach.poses import body_pose, load_pose, load_track
from humanrt.errors import InvalidInputError, SourceError
from humanrt.geometry.anny import ANNY_BONES, anny_from_smpl
from humanrt.geometry.rotation import vectors_from_matrices
from humanrt.geometry.skeleton import SMPLX_55, SMPLX_BODY
from humanrt.outputs.record import Recorder

POSE = anybody(np.random.default_rng(0), 0.3)
POSE[[SMPLX_BODY.index("left_foot"), SMPLX_BODY.index("right_foot")]] = np.eye(3)  # Anny's toes do not turn


def _record(identity: int, rotations: np.ndarray, depth: float = 2.0) -> dict[str, object]:
    place = {"head_2d": [0.0, 0.0], "translation": [0.0, 0.0, depth]}
    rest: dict[str, object] = {"score": 1.0, "shape": [], "expression": [], "joints_3d": []}
    return {"id": identity, "rotations": rotations, **place, **rest}


def _recording(path: Path, header: dict[str, object], frames: int = 3) -> Path:
    anny = vectors_from_matrices(anny_from_smpl(POSE))
    other = vectors_from_matrices(anny_from_smpl(posture()))
    with Recorder(path, {"humanrt": "0", "bones": list(ANNY_BONES), **header}) as recorder:
        for frame in range(frames):
            people = [_record(4, anny)]
            if frame == 1:
                people.append(_record(7, other))
            recorder.write({"frame": frame, "t": frame / 10, "hands": [], "people": people})
    return path


def test_poses_of_anny_are_mapped_by_names() -> None:
    order = np.random.default_rng(1).permutation(len(ANNY_BONES))
    anny = anny_from_smpl(POSE)[order]
    assert np.allclose(body_pose(anny, [ANNY_BONES[i] for i in order]), POSE, atol=1e-6)
    assert np.allclose(body_pose(anny_from_smpl(POSE)), POSE, atol=1e-6)
    assert np.allclose(body_pose(vectors_from_matrices(anny_from_smpl(POSE))), POSE, atol=1e-6)


def test_poses_of_smplx_are_mapped_by_names() -> None:
    whole = np.concatenate([POSE, np.broadcast_to(np.eye(3), (33, 3, 3))])
    order = np.random.default_rng(2).permutation(55)
    assert np.allclose(body_pose(whole[order], [SMPLX_55[i] for i in order]), POSE)
    assert np.allclose(body_pose(vectors_from_matrices(whole)), POSE, atol=1e-6)


@pytest.mark.parametrize(
    ("rotations", "names", "message"),
    [
        (POSE[:5], None, r"expected \[22, 3, 3\]"),
        (POSE[:5], SMPLX_BODY[:5], "joint_names: no head, .*right_knee"),
        (POSE, SMPLX_BODY[:21], r"expected \[21, 3, 3\]"),
        (POSE[:, ::-1], None, "not rotations"),
        ("standing", None, "must be an array of numbers"),
    ],
)
def test_other_arrays_are_refused(rotations: object, names: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        body_pose(rotations, names)  # type: ignore[arg-type]


def test_a_pose_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "pose.npz", rotations=POSE, joint_names=np.array(SMPLX_BODY))
    assert np.allclose(load_pose(tmp_path / "pose.npz"), POSE)
    np.savez(tmp_path / "vectors.npz", rotations=vectors_from_matrices(POSE), joint_names=np.array(SMPLX_BODY))
    assert np.allclose(load_pose(tmp_path / "vectors.npz"), POSE, atol=1e-6)


def test_a_motion_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "motion.npz", rotations=np.stack([POSE] * 5), joint_names=np.array(SMPLX_BODY), fps=20.0)
    track = load_track(tmp_path / "motion.npz")
    assert track.poses.shape == (5, 22, 3, 3)
    assert np.allclose(track.times, [0, 0.05, 0.1, 0.15, 0.2])
    with pytest.raises(SourceError, match="a motion of 5 frames, not a pose"):
        load_pose(tmp_path / "motion.npz")


def test_somebody_in_a_frame_of_a_recording(tmp_path: Path) -> None:
    path = _recording(tmp_path / "clip.jsonl", {})
    assert np.allclose(load_pose(f"{path}:2"), POSE, atol=1e-4)
    assert np.allclose(load_pose(f"{path}:1:7"), posture(), atol=1e-4)
    track = load_track(path)
    assert np.allclose(track.times, [0, 0.1, 0.2])
    assert np.allclose(track.poses, POSE, atol=1e-4)


def test_of_several_people_the_nearest_is_meant_unless_another_is_named(tmp_path: Path) -> None:
    anny, other = (vectors_from_matrices(anny_from_smpl(pose)) for pose in (POSE, posture()))
    path = tmp_path / "two.jsonl"
    with Recorder(path, {"humanrt": "0", "bones": list(ANNY_BONES)}) as recorder:
        for frame in range(3):
            people = [_record(1, anny, 4.0), _record(2, other, 2.0 if frame else 5.0)]
            recorder.write({"frame": frame, "t": frame / 10, "hands": [], "people": people})
    for name, person, pose in (("", 2, posture()), ("::1", 1, POSE), (":0", 1, POSE), (":1", 2, posture())):
        track = load_track(f"{path}{name}")
        assert (track.person, track.among) == (person, 2)
        assert np.allclose(track.poses, pose, atol=1e-4), name
    assert load_track(f"{path}:0:2").person == 2
    with pytest.raises(SourceError, match="no person 5; there are 1, 2"):
        load_track(f"{path}::5")


def test_a_recording_on_smplx_needs_no_names(tmp_path: Path) -> None:
    vectors = np.zeros((53, 3))
    vectors[:22] = vectors_from_matrices(POSE)
    with Recorder(tmp_path / "clip.jsonl", {"humanrt": "0", "body": "smplx"}) as recorder:
        recorder.write({"frame": 0, "t": 0.0, "hands": [], "people": [_record(1, vectors)]})
    assert np.allclose(load_pose(f"{tmp_path}/clip.jsonl:0"), POSE, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clip.jsonl:9", "no people in frame 9"),
        ("clip.jsonl:1:5", "no person 5; there are 4, 7"),
        ("clip.jsonl", "a motion of 3 frames, not a pose; give .*:FRAME"),
        ("none.npz", "cannot be read"),
        ("text.npz", "not a .npz file of arrays"),
        ("empty.npz", "no array `rotations`; it holds shape"),
        ("short.npz", "expected"),
        ("rateless.npz", "2 poses without `fps`"),
        ("clip.mp4", "a pose is a .npz file, or RECORDING.jsonl"),
        ("pose.npz:3", "only recordings"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, message: str) -> None:
    _recording(tmp_path / "clip.jsonl", {})
    (tmp_path / "text.npz").write_text("no zip file")
    np.savez(tmp_path / "empty.npz", shape=np.zeros(3))
    np.savez(tmp_path / "short.npz", rotations=POSE[:3])
    np.savez(tmp_path / "rateless.npz", rotations=np.stack([POSE, POSE]))
    with pytest.raises(SourceError, match=message):
        load_pose(f"{tmp_path}/{name}")
