"""Motions as recordings, there and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from humanrt import Motion, read_recording
from humanrt.errors import SourceError
from humanrt.geometry.anny import ANNY_BONES, anny_from_smpl
from humanrt.geometry.bones import SMPLX_BONES
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS, SMPLX_BODY, SMPLX_BODY_PARENTS
from humanrt.motion.rest import joint_positions, rest_joints
from humanrt.outputs.motions import read_motion, write_motion


def made(frames: int = 31, up: str = "y") -> Motion:
    random = np.random.default_rng(0)
    vectors = 0.3 * random.standard_normal((1, 22, 3)) + 0.02 * random.standard_normal((frames, 22, 3)).cumsum(0)
    places = np.outer(np.arange(frames), [0.02, 0.0, 0.03]) + np.array([5.0, 0.9, 1.0])
    return Motion(
        matrices_from_vectors(vectors).astype(np.float32),
        places.astype(np.float32),
        30.0,
        SMPLX_BODY,
        SMPLX_BODY_PARENTS,
        up,
    )


def test_a_motion_is_written_and_read_back(tmp_path: Path) -> None:
    motion, path = made(), tmp_path / "motion.jsonl"
    assert write_motion(path, motion, {"source": "a test"}, placed=False) == 31
    recording = read_recording(path)
    assert (recording.header["bones"], recording.header["joints"]) == (list(SMPLX_BONES),) * 2
    first = next(iter(recording))["people"][0]
    np.testing.assert_allclose(first["joints_3d"][0], [0, 0, 4], atol=1e-5)
    assert first["joints_3d"][SMPLX_BONES.index("head")] == first["translation"]
    found = read_motion(path, 30.0)
    assert (found.up, len(found)) == ("-y", 31)
    back = found.turned("y")
    np.testing.assert_allclose(back.rotations[:, :22], motion.rotations, atol=2e-5)
    np.testing.assert_allclose(back.rotations[:, 22:], np.tile(np.eye(3), (31, 31, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(np.diff(back.translation, axis=0), np.diff(motion.translation, axis=0), atol=3e-5)
    # At another rate: the last frame is the last that was recorded.
    slow = read_motion(path, 10.0)
    assert len(slow) == 11
    np.testing.assert_allclose(slow.rotations, found.rotations[::3], atol=1e-4)


def test_a_motion_of_a_camera_stays_where_it_is(tmp_path: Path) -> None:
    motion, path = made(up="-y"), tmp_path / "motion.jsonl"
    write_motion(path, motion, {}, placed=True)
    np.testing.assert_allclose(read_motion(path, 30.0).translation, motion.translation, atol=1e-5)


def rewritten(path: Path, header: dict[str, object], people: list[list[dict[str, object]]]) -> Path:
    lines = [{"humanrt": "0", **header}]
    lines += [{"frame": i, "t": i / 30, "people": one} for i, one in enumerate(people)]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


def test_people_on_anny_and_without_names(tmp_path: Path) -> None:
    vectors = 0.2 * np.random.default_rng(1).standard_normal((24, 3))
    vectors[[10, 11, 22, 23]] = 0  # toes and bases of the hands, which Anny's bones do not tell
    smpl = matrices_from_vectors(vectors)
    anny = vectors_from_matrices(anny_from_smpl(smpl[None])[0])
    person = {"id": 3, "translation": [0, 0, 3], "rotations": anny.tolist(), "joints_3d": [[0, 0, 1], [0, 1, 2]]}
    header = {"bones": list(ANNY_BONES), "joints": ["head", "root"]}
    found = read_motion(rewritten(tmp_path / "anny.jsonl", header, [[person]] * 4), 30.0)
    assert found.joint_names == SMPL_24
    np.testing.assert_allclose(found.rotations[-1], smpl, atol=1e-4)
    np.testing.assert_allclose(found.translation[-1], [0, 1, 2])
    smplx = {"id": 1, "translation": [0, 0, 3], "rotations": vectors.tolist() + 29 * [[0, 0, 0]]}
    found = read_motion(rewritten(tmp_path / "smplx.jsonl", {}, [[smplx]] * 3), 30.0)
    assert found.joint_names == SMPLX_BONES
    np.testing.assert_allclose(found.rotations[0, :22], smpl[:22], atol=1e-5)


def test_the_last_uninterrupted_part_of_the_person_seen_longest(tmp_path: Path) -> None:
    def one(identity: int, x: float) -> dict[str, object]:
        return {"id": identity, "translation": [x, 0, 3], "rotations": 22 * [[0, 0, 0]]}

    people = [[one(1, 0.0)]] * 20 + [[one(2, 9.0)]] * 30 + [[one(1, i / 30), one(2, 9.0)] for i in range(20)]
    path = rewritten(tmp_path / "two.jsonl", {}, people)
    assert len(read_motion(path, 30.0)) == 50
    assert read_motion(path, 30.0).translation[0, 0] == 9
    again = read_motion(path, 30.0, person=1)
    assert len(again) == 20
    np.testing.assert_allclose(again.translation[:, 0], np.arange(20) / 30, atol=1e-5)
    with pytest.raises(SourceError, match="holds no person 7; people: 1, 2"):
        read_motion(path, 30.0, person=7)


@pytest.mark.parametrize(
    ("header", "person", "message"),
    [
        ({}, None, "holds no people; record them"),
        (
            {},
            {"rotations": 5 * [[0, 0, 0]], "translation": [0, 0, 1]},
            "5 rotations without names; known are 53",
        ),
        (
            {"bones": ["a", "b"]},
            {"rotations": 2 * [[0, 0, 0]], "translation": [0, 0, 1]},
            "its bones are neither SMPL's nor Anny's",
        ),
        ({}, {"rotations": 22 * [[0, 0, None]], "translation": [0, 0, 1]}, "has values that are not numbers"),
        ({}, {"translation": [0, 0, 1]}, "lacks rotations or joints"),
    ],
)
def test_recordings_without_a_motion(header: dict[str, object], person: object, message: str, tmp_path: Path) -> None:
    people = [[{"id": 1, **person}] if isinstance(person, dict) else []] * 3
    with pytest.raises(SourceError, match=message):
        read_motion(rewritten(tmp_path / "bad.jsonl", header, people), 30.0)


def test_the_rest_pose_is_symmetric_and_fingers_point_away() -> None:
    names = (*SMPLX_BODY, "left_index1", "left_index3", "right_index1", "right_index3")
    rest = dict(zip(names, rest_joints(names), strict=True))
    np.testing.assert_allclose(rest["left_index1"] * [-1, 1, 1], rest["right_index1"], atol=1e-9)
    assert rest["left_wrist"][0] < rest["left_index1"][0] < rest["left_index3"][0]
    motion = made(2)
    still = Motion(
        np.tile(np.eye(3, dtype=np.float32), (2, 24, 1, 1)), motion.translation, 30.0, SMPL_24, SMPL_PARENTS, "y"
    )
    np.testing.assert_allclose(joint_positions(still), rest_joints(SMPL_24) + still.translation[:, None], atol=1e-6)
