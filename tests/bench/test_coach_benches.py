"""What the coach's benches measure, on poses that are known: no network, no picture."""

from __future__ import annotations

import numpy as np
import pytest
from postures import posture

from coach_film import FAULTS, SECONDS, performed, reference
from coach_live import changes, still_frames
from humanrt import PoseCoach
from humanrt.coach.poses import PoseTrack
from humanrt.coach.trainer import Coaching, Trainer
from humanrt.geometry.rotation import matrices_from_vectors


def test_known_faults_are_told_in_their_repetition() -> None:
    trainer = Trainer(PoseCoach(), reference())
    told: dict[str, list[Coaching]] = {}
    for index, frame in enumerate(performed(FAULTS, 15.0).rotations):
        pose = frame[:22].copy()
        pose[0] = np.diag([1.0, -1.0, -1.0]) @ pose[0]
        number = min(int(index / 15.0 / SECONDS), len(FAULTS) - 1)
        told.setdefault(f"{number} {FAULTS[number]}", []).append(trainer.update(index / 15.0, pose))
    said = {name: " ".join(words for one in moments for words in one.said) for name, moments in told.items()}
    counted = [one.repetition.counts for moments in told.values() for one in moments if one.repetition]
    assert counted == [True, True, False, True, True, True]
    assert said["0 none"] == "Your pose matches."
    assert said["1 none"] == ""
    assert said["2 half as deep"] == "Bend both knees."
    assert said["3 left arm hangs"] == "Raise your left arm outward a lot."
    assert "less far to your left" in said["4 leans to the left"]
    assert "Bend" not in said["5 none"]


def test_feet_stay_where_they_are() -> None:
    motion = performed(("none",), 15.0)
    assert np.ptp(motion.translation[:, 1]) > 0.2  # the pelvis sinks


def test_changes_of_advice_are_counted() -> None:
    goal = posture(left_knee=(60, 0, 0))
    times = np.arange(0, 14, 0.1)
    ms: list[float] = []
    still = PoseTrack(np.stack([posture()] * len(times)), times)
    assert changes(still, goal, 4.0, ms) == 0
    assert len(ms) == len(times)
    moving = PoseTrack(np.stack([posture(left_knee=(60 if 6 < t < 10 else 0, 0, 0)) for t in times]), times)
    assert changes(moving, goal, 4.0, ms) == pytest.approx(2 * 5 / 9.9, rel=0.02)  # done, and advised again


def test_a_still_picture_moves_by_less_than_pixels() -> None:
    picture = np.full((40, 60, 3), 90, np.uint8)
    picture[10:30, 20:40] = 200
    frames = list(still_frames(picture, 2.0, 10.0))
    assert [round(frame.t, 3) for frame in frames[:3]] == [0.0, 0.1, 0.2]
    assert len(frames) == 20
    for frame in frames:
        assert abs(frame.image[15:25, 25:35].mean() - 200) < 2
    assert (frames[0].image != frames[1].image).any()


def test_trembling_is_seen_by_the_measure() -> None:
    generator = np.random.default_rng(0)
    times = np.arange(0, 9, 0.1)
    poses = np.stack([posture() @ matrices_from_vectors(generator.normal(0, 0.5, (22, 3))) for _ in times])
    assert changes(PoseTrack(poses, times), posture(left_knee=(30, 0, 0)), 3.0, []) > 0.5
