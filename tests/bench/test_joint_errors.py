"""The measure of people on real views, held to cases whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import people_views
from humanrt.evaluation.calibrated import View, ViewsTruth
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.camera import project
from humanrt.geometry.limbs import ANNY_LIMBS, HIPS, LIMBS
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.metrics.silhouette import iou
from joint_errors import MEDIAPIPE, acceleration, beside, hips_aligned, similarity
from people_views import Follower, SeenPerson, bundle_options, measure, score

K = np.array([[1600.0, 0, 540], [0, 1600, 960], [0, 0, 1]])


def somebody(seed: int = 0, frames: int = 1) -> np.ndarray:
    """Return joints [T, 12, 3] m about 4 m from the camera, moving at a constant velocity."""
    generator = np.random.default_rng(seed)
    pose = generator.uniform(-0.7, 0.7, (12, 3)) + np.array((0.1, -0.2, 4.0))
    return pose + np.arange(frames)[:, None, None] * generator.normal(0, 0.01, (12, 3))


def test_the_joints_are_those_of_both_bodies() -> None:
    assert len(HIPS) == 2
    assert len(LIMBS) == len(ANNY_LIMBS) == len(MEDIAPIPE) == 12
    assert set(ANNY_LIMBS) <= set(ANNY_BONES)
    assert ANNY_LIMBS[LIMBS.index("right_knee")] == "lowerleg01.R"
    assert MEDIAPIPE[LIMBS.index("right_knee")] == 26


def test_the_truth_has_no_error() -> None:
    truth = somebody()
    for error in (beside(truth, truth), hips_aligned(truth, truth), similarity(truth, truth)):
        assert error.shape == (1, 12)
        assert error == pytest.approx(0, abs=1e-9)


def test_an_offset_beside_the_line_of_sight_is_measured_and_one_along_it_is_not() -> None:
    truth = somebody()
    line = truth / np.linalg.norm(truth, axis=-1, keepdims=True)
    across = np.cross(line, (0.0, 1.0, 0.0))
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    assert beside(truth + 0.05 * across, truth) == pytest.approx(0.05)
    assert beside(truth + 0.3 * line, truth) == pytest.approx(0, abs=1e-9)
    assert beside(truth + 0.3 * line + 0.05 * across, truth) == pytest.approx(0.05)


def test_hips_aligned_forgets_the_place_and_similarity_also_turn_and_size() -> None:
    truth = somebody()
    assert hips_aligned(truth + np.array((1.0, 2.0, 3.0)), truth) == pytest.approx(0, abs=1e-9)
    turn = matrices_from_vectors(np.array([0.3, -0.5, 1.2]))
    other = 0.6 * truth @ turn.T + (0.1, 0.2, 0.3)
    assert similarity(other, truth) == pytest.approx(0, abs=1e-9)
    assert hips_aligned(other, truth).mean() > 0.1
    mirrored = truth * (-1, 1, 1)
    assert similarity(mirrored, truth).mean() > 0.1


def test_one_wrong_joint_is_an_error_of_that_joint() -> None:
    truth = somebody()
    joints = truth.copy()
    joints[0, LIMBS.index("left_wrist")] += (0.0, 0.12, 0.0)
    error = hips_aligned(joints, truth)[0]
    assert error[LIMBS.index("left_wrist")] == pytest.approx(0.12)
    assert np.delete(error, LIMBS.index("left_wrist")) == pytest.approx(0, abs=1e-9)


def test_acceleration_is_of_hip_aligned_joints_per_frame() -> None:
    steady = somebody(frames=9)
    assert acceleration(steady) == pytest.approx(0, abs=1e-9)
    t = np.arange(9.0)
    shaken = steady + np.sin(t)[:, None, None]  # all joints alike: the hips take it out
    assert acceleration(shaken) == pytest.approx(0, abs=1e-9)
    falling = steady.copy()
    falling[:, LIMBS.index("left_wrist"), 1] += 0.5 * 0.003 * t**2
    found = acceleration(falling)[:, LIMBS.index("left_wrist")]
    assert found == pytest.approx(0.003)
    gap = steady.copy()
    gap[4] = np.nan
    assert np.isnan(acceleration(gap)[:, 0]).tolist() == [False, False, True, True, True, False, False]


def test_iou() -> None:
    one, other = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    one[:, :6], other[:, 3:9] = True, True
    assert iou(one, other) == pytest.approx(3 / 9)
    assert np.isnan(iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)))


def people_of(joints: np.ndarray, *more: SeenPerson, identity: int = 1) -> list[list[SeenPerson]]:
    return [[SeenPerson(identity, one), *more] for one in joints]


def test_a_follower_that_is_right_is_found_in_every_frame() -> None:
    truth = somebody(frames=7)
    score = measure(people_of(truth), truth, K)
    row = score.summary()
    assert (score.frames, score.found, score.extra, score.ids) == (7, 7, 0, [1])
    for column in ("beside", "beside_90", "hips", "similarity", "acceleration"):
        assert row[column] == pytest.approx(0, abs=1e-6)


def test_a_known_offset_is_that_number_in_the_table() -> None:
    truth = somebody(frames=7) * (0.2, 0.2, 1)  # near the optical axis, on which lines of sight are alike
    line = truth / np.linalg.norm(truth, axis=-1, keepdims=True)
    across = np.cross(line, (0.0, 1.0, 0.0))
    moved = truth + 0.04 * across / np.linalg.norm(across, axis=-1, keepdims=True)
    row = measure(people_of(moved), truth, K).summary()
    assert row["beside"] == pytest.approx(40, abs=1e-6)
    assert row["beside_90"] == pytest.approx(40, abs=1e-6)
    assert row["hips"] < 2


def test_who_is_elsewhere_is_extra_and_the_bystander_is_excused_once() -> None:
    truth = somebody(frames=2)
    stranger = somebody(1)[0] + (-1.0, 0.0, 0.0)
    at = project(stranger, K).mean(0)
    box = (at[0] - 50, at[1] - 50, at[0] + 50, at[1] + 50)
    double = SeenPerson(3, truth[0] + (0.05, 0, 0))
    people = people_of(truth, SeenPerson(2, stranger), double)
    assert measure(people, truth, K).extra == 4
    assert measure(people, truth, K, bystander=box).extra == 2
    twice = people_of(truth, SeenPerson(2, stranger), SeenPerson(4, stranger))
    assert measure(twice, truth, K, bystander=box).extra == 2
    away = people_of(truth + np.array((0.9, 0, 0)))
    score = measure(away, truth, K)
    assert (score.found, score.extra) == (0, 2)
    assert "beside" not in score.summary()


def test_identities_stride_and_filled_frames() -> None:
    truth = somebody(frames=6)
    people = people_of(truth)
    people[4] = [SeenPerson(9, truth[4], filled=True)]
    people[3] = []
    score = measure(people, truth, K, stride=2)
    assert (score.frames, score.found, score.filled, score.ids) == (3, 3, 1, [2])
    assert np.isnan(score.acceleration[0][:, 0]).tolist() == [False, True, True, True]


def test_a_bundle_may_name_its_quality() -> None:
    bundle, options = bundle_options("landmarks", intrinsics=K)
    assert bundle.name == "landmarks"
    assert options.intrinsics is K
    assert bundle_options("engines/landmarks")[0].name == "landmarks"


@pytest.mark.parametrize(
    ("seen", "left_out", "counted"), [(6, 0, 6), (4, 2, 4), (5, 0, None), (5, 2, None), (3, 2, None)]
)
def test_a_follower_that_stops_early_is_not_measured_on_fewer_frames(
    seen: int, left_out: int, counted: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_views, "frames_of", lambda view: iter(()))
    joints = somebody(frames=6)
    view = View("cam01", Path("cam01.mp4"), K, np.eye(3), np.zeros(3), (1080, 1920))
    truth = ViewsTruth(joints, np.zeros((1, 6, 4)), np.zeros((1, 6, 128, 128), np.float16))
    follower = Follower(
        "one", lambda view, frames: ([SeenPerson(1, one)] for one in joints[:seen]), left_out=lambda view: left_out
    )
    if counted is None:
        with pytest.raises(SystemExit, match=f"one, cam01: followed through {seen} frames, not {6 - left_out}"):
            score(follower, [view], truth, 1)
    else:
        assert score(follower, [view], truth, 1)[0].frames == counted
