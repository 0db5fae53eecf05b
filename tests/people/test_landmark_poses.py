"""Poses from landmarks without a network: inverse kinematics, smoothed on SO(3) or not, short gaps filled in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import humanrt
from humanrt.data import PEOPLE_CLIP
from humanrt.errors import HumanrtError
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.people.body_points import rest_landmarks
from humanrt.people.landmark_ik import LandmarkIK
from humanrt.people.landmark_poses import LandmarkPoses
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.people.smoother import PeopleSmootherOptions
from humanrt.posebert.stream import Observation, PoseState

OPTIONS = PeopleSmootherOptions().rotations
IK = LandmarkIK(rest_landmarks())
RATE = 30.0


def seen(number: int, tremble: float = 0.02) -> dict[int, Observation]:
    """A person who turns by 1 rad a second, with landmarks that tremble."""
    noise = np.random.default_rng(number).normal(0, tremble, (33, 3))
    turned = rest_landmarks() @ matrices_from_vectors(np.array([0.0, number / RATE, 0.0])).T
    return {1: Observation((turned + noise).astype(np.float32))}


def path(poses: LandmarkPoses, count: int = 60) -> NDArray[np.float32]:
    return np.array([poses.update(k / RATE, seen(k))[1].rotations for k in range(count)])


def jitter(rotations: NDArray[np.float32]) -> float:
    turns = vectors_from_matrices(np.swapaxes(rotations[:-1], -1, -2) @ rotations[1:])
    return float(np.linalg.norm(np.diff(turns, axis=0), axis=-1).mean())


def test_frame_by_frame_it_is_inverse_kinematics() -> None:
    poses = LandmarkPoses(IK)
    for number in range(3):
        pose = poses.update(number / RATE, seen(number))[1]
        assert isinstance(pose, PoseState)
        np.testing.assert_array_equal(pose.rotations, IK(seen(number)[1].keypoints).astype(np.float32))
    assert poses.update(3 / RATE, {}) == {}  # nobody is filled in


def test_smoothed_it_is_three_times_calmer_and_not_far_behind() -> None:
    raw, smooth = path(LandmarkPoses(IK)), path(LandmarkPoses(IK, OPTIONS))
    assert jitter(smooth) < jitter(raw) / 3
    behind = [vectors_from_matrices(a.T @ b)[1] for a, b in zip(smooth[30:, 0], raw[30:, 0], strict=True)]
    assert 0 < np.mean(behind) < 0.1  # rad, at 1 rad a second


def test_a_short_gap_is_filled_and_the_motion_comes_to_rest() -> None:
    poses = LandmarkPoses(IK, OPTIONS, fill=0.33)
    last = path(poses)[-1]
    filled = [poses.update((60 + k) / RATE, {}) for k in range(12)]
    there = [1 in one for one in filled]
    assert there == [True] * 9 + [False] * 3
    assert all(one[1].filled for one in filled if one)
    assert filled[3][1].age == pytest.approx(4 / RATE)
    turned = [vectors_from_matrices(last[0].T @ one[1].rotations[0])[1] for one in filled[:9]]
    steps = np.diff([0.0, *turned])
    assert (steps > 0).all()
    assert (np.diff(steps) < 0).all()


def test_after_a_long_gap_it_starts_anew() -> None:
    poses = LandmarkPoses(IK, OPTIONS)
    path(poses, 10)
    again = poses.update(5.0, seen(40))[1]
    np.testing.assert_array_equal(again.rotations, IK(seen(40)[1].keypoints).astype(np.float32))


def test_identities_end_and_a_source_is_rewound() -> None:
    poses = LandmarkPoses(IK, OPTIONS)
    path(poses, 10)
    assert poses.update(10 / RATE, {}, lost=[1]) == {}
    path(poses, 10)  # from 0 again: nothing of before is left
    first = LandmarkPoses(IK, OPTIONS)
    np.testing.assert_array_equal(path(poses, 5), path(first, 5))


@pytest.mark.parametrize(("bundle", "network"), [("landmarks", "posebert-body"), ("holistic", "posebert-lift")])
def test_people_of_landmarks_can_be_smoothed_in_every_way(bundle: str, network: str) -> None:
    found: dict[str, list[People]] = {}
    for smooth in ("posebert", "oneeuro", "none"):
        options: dict[str, Any] = {"quality": "fast"} if bundle == "holistic" else {}
        with humanrt.track(
            PEOPLE_CLIP, "people", bundle=bundle, smooth=smooth, meshes=False, max_frames=6, threads=1, **options
        ) as results:
            assert results.header["smooth"] == smooth
            assert results.header["poses"] == (network if smooth == "posebert" else "geometry")
            found[smooth] = [result.people for result in results if isinstance(result, PeopleResult)]
    assert all(len(people) for run in found.values() for people in run)
    heads = [run[-1].translations[0] for run in found.values()]
    assert np.ptp(heads, axis=0)[:2].max() < 0.15  # m beside the line of sight
    paths = {name: np.array([people.rotations[0] for people in run]) for name, run in found.items()}
    assert jitter(paths["oneeuro"]) < jitter(paths["none"])


def test_a_smoothing_that_does_not_exist() -> None:
    with pytest.raises(HumanrtError, match=r"--smooth kalman: .*have one of: none, oneeuro, posebert"):
        humanrt.track(PEOPLE_CLIP, "people", bundle="landmarks", smooth="kalman")
