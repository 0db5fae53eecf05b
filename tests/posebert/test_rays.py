"""Pixels for PoseBERT: rays of landmarks, the gaze, and answers in the camera's real axes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.bundle import Bundle
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.posebert.rays import Gaze, directions, rays, turn_to
from humanrt.posebert.stream import Observation, PoseBERTStream

Array = NDArray[Any]
Toy = Callable[..., Bundle]

K = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])
ALL = slice(None)
STEP = 1 / 30


def project(points: Array) -> Array:
    at = points @ K.T
    return np.asarray(at[..., :2] / at[..., 2:])


def person(seed: int = 0, count: int = 33) -> Array:
    points = np.random.default_rng(seed).normal(0, (0.25, 0.5, 0.15), (count, 3))
    return points - points[[23, 24]].mean(axis=0) if count > 24 else points - points.mean(axis=0)


def test_directions_are_unit_vectors_through_the_pixels() -> None:
    points = np.array([[0.3, -0.2, 2.0], [-1.0, 0.5, 3.0]])
    found = directions(project(points), K)
    np.testing.assert_allclose(found, points / np.linalg.norm(points, axis=-1, keepdims=True), atol=1e-12)


@pytest.mark.parametrize("place", [(0.0, 0.0, 4.0), (1.5, -0.4, 3.0), (-1.2, 0.9, 2.5)])
def test_rays_are_where_points_are_wherever_the_person_stands(place: tuple[float, float, float]) -> None:
    """In the gaze's axes, at the depth that the person's size says, moved along the ray to each point's own depth."""
    at = np.array(place)
    points = person()
    turn = turn_to(at / np.linalg.norm(at))
    seen = points @ turn  # the same person before the crop's camera, in camera axes
    found = rays(points, directions(project(seen + at), K), turn, ALL)
    depth = 1 / found[0, 2]
    assert depth == pytest.approx(np.linalg.norm(at), rel=0.05)
    assert (found[:, 2] == found[0, 2]).all()
    moved = found[:, :2] * (1 + found[:, 2:] * points[:, 2:])
    moved -= moved[[23, 24]].mean(axis=0)
    scale = float((moved * points[:, :2]).sum() / np.square(points[:, :2]).sum())  # near parts look larger: not quite 1
    assert scale == pytest.approx(1, abs=0.06)
    np.testing.assert_allclose(moved / scale, points[:, :2], atol=0.01)


def test_rays_have_the_scale_of_the_metres() -> None:
    points, at = person(), np.array([0.0, 0.0, 4.0])
    one, two = (rays(size * points, directions(project(points + at), K), np.eye(3), ALL) for size in (1.0, 1.6))
    np.testing.assert_allclose(two[:, :2], 1.6 * one[:, :2], rtol=1e-5)
    np.testing.assert_allclose(two[:, 2], one[:, 2] / 1.6, rtol=1e-5)


@pytest.mark.parametrize("broken", [np.zeros((33, 3)), np.full((33, 3), np.nan)])
def test_rays_of_nothing_are_not_known(broken: Array) -> None:
    looks = directions(project(person() + np.array([0, 0, 3])), K)
    assert not rays(broken, looks, np.eye(3), ALL).any()


def test_a_gaze_follows_but_does_not_tremble() -> None:
    rng, gaze = np.random.default_rng(1), Gaze()
    still = np.array([0.3, 0.1, 1.0]) / np.linalg.norm([0.3, 0.1, 1.0])
    turns = []
    for i in range(90):
        seen = still + rng.normal(0, 0.01, 3)
        turns.append(gaze.follow(seen / np.linalg.norm(seen), i * STEP))
    steps = [np.linalg.norm(vectors_from_matrices(b @ a.T)) for a, b in pairwise(turns[30:])]
    assert np.mean(steps) < 0.004  # rad; the looks themselves change by 0.02
    np.testing.assert_allclose(turns[-1] @ still, (0, 0, 1), atol=0.02)


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_a_gaze_settles_as_fast_at_any_frame_rate(fps: int) -> None:
    gaze, there = Gaze(), np.array([0.6, 0.0, 0.8])
    gaze.follow(np.array([0.0, 0.0, 1.0]), 0.0)
    for i in range(1, fps // 3 + 1):
        turn = gaze.follow(there, i / fps)
    assert (turn @ there)[2] == pytest.approx(0.986, abs=0.004)


# --------------------------------------------------------------------------------------------- streams


def watch(stream: PoseBERTStream, turn: Array, frames: int = 12, pixels: bool = True) -> Any:
    """A person before a camera that is turned by ``turn``: the crop, and so the metres, are the same."""
    answer = None
    for i in range(frames):
        points = person(3, stream.points) + np.array([0.01 * i, 0, 0])
        at = (points + np.array([0.4, 0.1, 3.0])) @ turn.T
        given = (project(at), K) if pixels else (None, None)
        answer = stream.update(i * STEP, {1: Observation(points, None, "right", *given)})[1]
    return answer


def test_a_turned_camera_turns_the_answer(toy: Toy) -> None:
    """Whatever the network says of the crop, it is the same person: turned as the camera is."""
    turn = matrices_from_vectors(np.array([0.05, -0.25, 0.0]))
    bundle = toy("echo", rays=True)
    with PoseBERTStream(bundle) as stream:
        assert stream.sighted
        straight, turned = watch(stream, np.eye(3)), (stream.reset(), watch(stream, turn))[1]
    # The gaze has no roll, the turned camera has: what is compared is free of it.
    back = turn.T @ turned.rotations[0] @ straight.rotations[0].T
    assert np.linalg.norm(vectors_from_matrices(back)) < 0.03
    np.testing.assert_allclose(turned.keypoints @ turn, straight.keypoints, atol=0.03)
    assert np.linalg.norm(turned.keypoints - straight.keypoints, axis=1).max() > 0.1


def test_rays_reach_the_network_and_change_it_only_when_given(toy: Toy) -> None:
    with PoseBERTStream(toy("echo", rays=True)) as stream, PoseBERTStream(toy("echo")) as blind:
        assert not blind.sighted
        without, plain = watch(stream, np.eye(3), pixels=False), watch(blind, np.eye(3))
        stream.reset()
        given = watch(stream, np.eye(3))
    np.testing.assert_allclose(without.keypoints, plain.keypoints, atol=1e-6)
    np.testing.assert_array_equal(without.rotations, plain.rotations)
    assert np.abs(given.keypoints - plain.keypoints).max() > 0.05


def test_pixels_of_another_shape_are_refused(toy: Toy) -> None:
    with PoseBERTStream(toy("echo", rays=True)) as stream:
        points = person(3, 21)
        with pytest.raises(InvalidInputError, match=r"pixels of 1 must be \[21, 2\], not \[20, 2\]"):
            stream.update(0.0, {1: Observation(points, None, "right", np.zeros((20, 2)), K)})
        assert stream.update(0.0, {1: Observation(points, None, "right", np.full((21, 2), np.nan), K)})
