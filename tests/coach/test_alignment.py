"""Following a motion faster, slower, again, and somebody else's noise."""

from __future__ import annotations

import numpy as np
import pytest
from movements import squats, track, waving
from postures import posture

from humanrt.coach.alignment import RATE, Follower, Reference, resampled
from humanrt.coach.poses import PoseTrack
from humanrt.coach.readings import read_pose
from humanrt.geometry.rotation import matrices_from_vectors


def reference_of(movement: PoseTrack) -> Reference:
    return Reference.of([read_pose(pose) for pose in resampled(movement)])


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_of(track(waving, 4.0))


def test_a_track_is_resampled_in_time() -> None:
    poses = resampled(track(squats, 2.0, fps=24.0))
    assert len(poses) == round(2 * RATE) + 1
    for index in (0, 7, 15):
        assert np.allclose(poses[index], squats(index / RATE), atol=0.02)


@pytest.mark.parametrize("pace", [0.5, 0.75, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
def test_a_motion_is_followed_at_other_paces(reference: Reference, pace: float, fps: float) -> None:
    follower = Follower(reference)
    late = []
    for frame in range(int(4.0 / pace * fps)):
        t = frame / fps
        moment = reference.time_of(follower.update(t, read_pose(waving(t * pace))))
        where = t * pace
        if any(start + 0.15 < where < start + 0.85 for start in (0.0, 1.3, 2.6)):  # while something moves
            late.append(abs(moment - where))
    assert np.median(late) < 0.15
    assert np.percentile(late, 95) < 0.4


def test_noise_does_not_lose_the_place(reference: Reference) -> None:
    generator = np.random.default_rng(0)
    follower = Follower(reference)
    late = []
    for frame in range(80):
        t = frame / 20
        pose = waving(t) @ matrices_from_vectors(generator.normal(0, 0.06, (22, 3)))
        late.append(abs(reference.time_of(follower.update(t, read_pose(pose))) - t))
    assert np.mean(late) < 0.3


def test_a_motion_may_be_repeated(reference: Reference) -> None:
    follower = Follower(reference)
    moments = [reference.time_of(follower.update(t, read_pose(waving(t % 4.0)))) for t in np.arange(0, 8, 0.05)]
    assert moments[12] < 1.0  # 0.6 s
    assert moments[70] > 3.0  # 3.5 s
    assert moments[92] < 1.2  # 4.6 s, the second time


def test_a_pose_has_one_moment() -> None:
    pose = PoseTrack(posture()[None], np.zeros(1))
    follower = Follower(reference_of(pose))
    assert [follower.update(t, read_pose(squats(t))) for t in (0.0, 0.5, 1.0)] == [0, 0, 0]


def test_a_long_gap_begins_anew(reference: Reference) -> None:
    follower = Follower(reference)
    for t in np.arange(0, 3, 0.1):
        follower.update(t, read_pose(waving(t)))
    assert reference.time_of(follower.update(60.0, read_pose(waving(0.5)))) == pytest.approx(0.5, abs=0.1)
