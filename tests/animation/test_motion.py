"""Motions on a body: as animation files, and as recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from glb_reader import GlbReader

from humanrt import Motion, convert, read_recording
from humanrt.animation.motion import record_motion, take_of_motion
from humanrt.errors import HumanrtError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS
from humanrt.people.rig import BodyRig

FRAMES = 12
UPRIGHT = {"y": (0, 0, 0), "-y": (np.pi, 0, 0), "z": (np.pi / 2, 0, 0)}
FORWARD = {"y": (0, 0, 1), "-y": (0, 0, -1), "z": (0, -1, 0)}


def walk(up: str, joints: int = 22) -> Motion:
    """Somebody upright who moves to their own front by 10 cm a frame, the left arm raised sideways."""
    vectors = np.zeros((FRAMES, joints, 3))
    vectors[:, 0] = UPRIGHT[up]
    vectors[:, SMPL_24.index("left_shoulder"), 2] = np.linspace(0, np.pi / 2, FRAMES)
    path = 0.1 * np.arange(FRAMES)[:, None] * np.array(FORWARD[up])
    return Motion(
        matrices_from_vectors(vectors).astype(np.float32),
        path.astype(np.float32),
        25.0,
        SMPL_24[:joints],
        SMPL_PARENTS[:joints],
        up,
    )


@pytest.mark.parametrize("up", list(UPRIGHT))
def test_a_motion_stands_upright_before_the_camera_whatever_its_world(up: str, rig: BodyRig) -> None:
    take = take_of_motion(walk(up), rig)
    heads = dict(zip(rig.bones, take.heads().transpose(1, 0, 2), strict=True))
    assert (heads["head"][:, 1] < heads["root"][:, 1] - 0.5).all()  # y is down
    assert heads["wrist.L"][-1, 1] < heads["head"][-1, 1]  # the raised arm
    steps = np.diff(heads["root"], axis=0)
    np.testing.assert_allclose(steps, np.tile([0, 0, -0.1], (FRAMES - 1, 1)), atol=1e-6)  # towards the camera
    assert heads["root"][:, 2].min() > 2


@pytest.mark.parametrize("joints", [22, 24])
def test_recordings_of_motions_are_read_and_converted(joints: int, rig: BodyRig, tmp_path: Path) -> None:
    record_motion(walk("y", joints), tmp_path / "motion.jsonl", rig, "holistic", {"label": "walk"})
    recording = read_recording(tmp_path / "motion.jsonl")
    assert (recording.header["label"], recording.header["fps"]) == ("walk", 25.0)
    (track,) = recording.tracks().people.values()
    assert len(track) == FRAMES
    (path,) = convert(walk("y", joints), tmp_path / "motion.glb")
    heads = GlbReader(path).heads(1, track.t[-1])
    expected = rig.bone_heads(track.joints[-1]) * (1, -1, -1)
    np.testing.assert_allclose([heads[bone] for bone in rig.bones], expected, atol=1e-4)
    assert convert(walk("y"), tmp_path / "motion.bvh", names="mixamo")
    assert convert(walk("y"), tmp_path / "motion.csv")


def test_other_worlds_and_joints_are_refused(rig: BodyRig, tmp_path: Path) -> None:
    motion = walk("y")
    with pytest.raises(HumanrtError, match="up is one of"):
        take_of_motion(Motion(motion.rotations, motion.translation, 25.0, motion.joint_names, motion.parents, "x"), rig)
    other = Motion(motion.rotations, motion.translation, 25.0, ("hip", *motion.joint_names[1:]), motion.parents, "y")
    with pytest.raises(HumanrtError, match="no joints pelvis"):
        convert(other, tmp_path / "x.glb")
