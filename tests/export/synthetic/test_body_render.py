"""Dressed people of known pose: truth and picture agree; scenes come from their seed; pairs are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import MEDIAPIPE_33, SMPL_24
from humanrt.people.body_tracker import BodyTracker, BodyTrackerOptions
from humanrt_export.bodies.anny.model import cached_file
from humanrt_export.data.poses import pairs_body
from humanrt_export.motion.clip import Motion
from humanrt_export.synthetic.body_align import fit
from humanrt_export.synthetic.body_model import BodyModel, Outfit, Person, load_body, sample_phenotypes
from humanrt_export.synthetic.body_scene import draw_scene, film, pose_at
from humanrt_export.synthetic.hand_scene import Camera, Look

FACING = np.diag([1.0, -1.0, -1.0])  # the body's axes to those of the camera that it looks at


@pytest.fixture(scope="module")
def model() -> BodyModel:
    if not cached_file("full").is_file():
        pytest.skip("Anny is not in the cache, and building it takes a minute")
    return load_body("full")


def somebody(model: BodyModel, seed: int = 0) -> Person:
    generator = np.random.default_rng(seed)
    return model.person(sample_phenotypes(generator), Outfit.sample(generator, Look.sample(generator).skin))


def waving() -> Motion:
    """Three seconds of somebody who waves and steps aside."""
    t = np.arange(90) / 30
    vectors = np.zeros((90, 24, 3))
    vectors[:, SMPL_24.index("left_shoulder"), 2] = 0.6 * np.sin(3 * t)
    vectors[:, SMPL_24.index("right_shoulder"), 2] = 1.1
    vectors[:, SMPL_24.index("left_knee"), 0] = 0.2 + 0.2 * np.sin(2 * t)
    path = np.stack([0.2 * t, np.full(90, 0.95), np.zeros(90)], axis=1)
    return Motion(30.0, path, matrices_from_vectors(vectors), "made up", "wave", "00")


def test_truth_follows_the_pose(model: BodyModel) -> None:
    person = somebody(model)
    still = np.broadcast_to(np.eye(3), (1, 24, 3, 3))
    posed = model.pose(person, still, np.array([[1.0, 2.0, 3.0]]))
    assert posed.landmarks.shape == (1, 33, 3)
    assert posed.h36m.shape == (1, 17, 3)
    joints = model.smpl(posed.joints)[0]
    np.testing.assert_allclose(joints[0], [1, 2, 3], atol=1e-5)
    place = {name: posed.landmarks[0, k] for k, name in enumerate(MEDIAPIPE_33)}
    # x to the left, y up, z to the front, both sides alike.
    for name in ("shoulder", "hip", "ankle", "ear", "eye"):
        left, right = place[f"left_{name}"] - [1, 2, 3], place[f"right_{name}"] - [1, 2, 3]
        np.testing.assert_allclose(left * (-1, 1, 1), right, atol=4e-3)
        assert left[0] > 0
    assert place["nose"][1] > place["left_shoulder"][1] > place["left_hip"][1] > place["left_ankle"][1]
    assert place["nose"][2] > place["left_ear"][2]
    assert 1.1 < person.stature < 2.1
    np.testing.assert_allclose(model.rest(person), joints - joints[0], atol=1e-5)
    rotations = still.copy()
    rotations[0, 0] = FACING
    turned = model.pose(person, rotations, np.zeros((1, 3)))
    np.testing.assert_allclose(turned.landmarks[0], (posed.landmarks[0] - [1, 2, 3]) @ FACING.T, atol=1e-5)


@pytest.mark.usefixtures("gl")
def test_person_is_drawn_where_truth_says(model: BodyModel) -> None:
    from humanrt_export.synthetic.body_render import BodyRenderer

    camera, person = Camera((320, 240), 1.0), somebody(model, 1)
    rotations = np.broadcast_to(np.eye(3), (1, 24, 3, 3)).copy()
    rotations[0, 0] = FACING
    posed = model.pose(person, rotations, np.array([[0.1, 0.0, 3.0]]))
    with BodyRenderer(camera) as renderer:
        layer = renderer.draw([(posed.vertices[0], person.colours)], model.faces, Look.sample(np.random.default_rng(0)))
    columns, rows = np.floor(project(posed.landmarks[0], camera.intrinsics)).astype(int).T
    assert (layer[rows, columns, 3] > 0.9).mean() > 0.9  # some knuckles lie between the fingers
    assert 0.03 < layer[..., 3].mean() < 0.4
    assert layer[..., :3][layer[..., 3] > 0.99].std() > 0.02


@pytest.mark.usefixtures("gl")
def test_scenes_come_from_their_seed(model: BodyModel) -> None:
    motions = [waving()]
    first, second, other = (draw_scene(model, motions, 3, index, 0.2) for index in (1, 1, 2))
    np.testing.assert_array_equal(first.turn, second.turn)
    assert not np.array_equal(first.turn, other.turn)
    np.testing.assert_allclose(first.turn @ first.turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(first.turn) == pytest.approx(1)
    a, b = (list(film(model, scene, 3, 1)) for scene in (first, second))
    assert len(a) == len(first.t)
    np.testing.assert_array_equal(a[0], b[0])
    _, pelvis = pose_at(first, first.t)
    assert np.all(pelvis[:, 2] > 0.5)


@pytest.mark.usefixtures("gl")
def test_a_pair_is_seen_and_true(model: BodyModel) -> None:
    bundle = Path(__file__).resolve().parents[3] / "engines" / "landmarks"
    if not (bundle / "manifest.json").is_file():
        pytest.skip(f"no bundle in {bundle}")
    tracker = BodyTracker(bundle, options=BodyTrackerOptions(max_people=1), threads=1)
    [clip] = pairs_body.make_pair(model, [waving()], tracker, 4, 0, 0.3)
    count = len(clip["t"])
    assert clip["observed"].shape == clip["keypoints"].shape == (count, 33, 3)
    assert clip["keypoints_h36m"].shape == (count, 17, 3)
    assert clip["rotations"].shape == (count, 24, 3, 3)
    assert np.array_equal(np.isnan(clip["observed"]).all(axis=(1, 2)), clip["score"] == 0)
    hips = [MEDIAPIPE_33.index(f"{side}_hip") for side in ("left", "right")]
    np.testing.assert_allclose(clip["keypoints"][:, hips].mean(axis=1), 0, atol=1e-5)
    seen = clip["score"] > 0
    assert seen.any()
    gap = np.linalg.norm(clip["observed_2d"][seen] - clip["keypoints_2d"][seen], axis=-1)
    assert np.median(gap) < 0.05 * np.ptp(clip["keypoints_2d"][..., 1], axis=-1).mean()


def test_fit_finds_an_offset() -> None:
    rng = np.random.default_rng(0)
    anchors = rng.uniform((-1, -1, 2), (1, 1, 4), (300, 3))
    turns = matrices_from_vectors(rng.normal(0, 1, (300, 3)))
    offset = np.array([0.03, -0.02, 0.05])
    points = anchors + turns @ offset
    seen = points[:, :2] / points[:, 2:] + rng.normal(0, 1e-3, (300, 2))
    seen[:20] += 0.3  # wrong by far
    found, error = fit(anchors, turns, seen)
    np.testing.assert_allclose(found, offset, atol=2e-3)
    assert np.median(error) < 0.01
