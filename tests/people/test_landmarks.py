"""Bodies from landmarks: detection, landmarks, identities, and the mesh that stands where the person stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from humanrt.backends import open_backend
from humanrt.bundle import load_bundle
from humanrt.errors import HumanrtError
from humanrt.geometry.anny import anny_from_smpl
from humanrt.geometry.camera import field_of_view_intrinsics, project
from humanrt.geometry.region import Region
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import HAND_16, MEDIAPIPE_33, SMPL_24, SMPL_PARENTS, world_rotations
from humanrt.people import landmark_model
from humanrt.people.body_points import HIPS, OFFSETS_MM, plain_name
from humanrt.people.body_tracker import BodyTracker, BodyTrackerOptions
from humanrt.people.landmark_people import LandmarkPeople, _Identity, solve_translation
from humanrt.people.landmark_pipeline import LandmarkPipeline
from humanrt.people.landmarks import BONES, BodyLandmarks
from humanrt.people.person import PersonDetector, is_grey, region_from_circle
from humanrt.people.windows import windows
from humanrt.posebert.stream import PoseState
from humanrt.sources.opening import Frame
from humanrt.tasks import PeopleOptions, open_people
from shipped import shipped

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bundle() -> Path:
    return shipped("landmarks")


@pytest.fixture(scope="module")
def people(bundle: Path) -> LandmarkPeople:
    return LandmarkPeople(bundle, poses=None, threads=2)


# ------------------------------------------------------------------------------------------- geometry


def test_region_holds_the_circle_head_up() -> None:
    region = region_from_circle((100, 200), (100, 120), 1.25)
    assert (region.x, region.y, region.size) == (100, 200, 200)
    assert region.angle == pytest.approx(0)
    lying = region_from_circle((100, 200), (180, 200), 1.25)
    assert lying.angle == pytest.approx(np.pi / 2)
    # The circle's point is straight above the middle of the crop.
    inverse = cv2.invertAffineTransform(lying.to_image(256))
    np.testing.assert_allclose(inverse @ [180, 200, 1], [128, 128 - 256 / 2.5], atol=1e-6)


def test_windows_cover_the_picture() -> None:
    seen = np.zeros((533, 799), int)
    for x, y, side in windows((799, 533)):
        assert 0 <= x <= 799 - side
        assert 0 <= y <= 533 - side
        seen[y : y + side, x : x + side] += 1
    assert seen.min() >= 2
    assert windows((640, 640))[0][2] < 640  # the whole picture is looked at anyway
    assert windows((500, 40), parts=(1.0,))[-1] == (460, 0, 40)


@pytest.mark.parametrize("size", [(16, 9000), (20000, 20), (1080, 20000), (20000, 60), (100000, 100)])
def test_windows_of_a_long_thin_picture_are_few(size: tuple[int, int]) -> None:
    found = windows(size)
    assert len(found) <= 200
    assert all(0 <= x <= size[0] - side and 0 <= y <= size[1] - side for x, y, side in found)


def test_windows_of_a_screenshot_leave_no_gap() -> None:
    seen = np.zeros(20000, bool)
    for _, y, side in windows((1080, 20000)):
        seen[y : y + side] = True
    assert seen.all()


def test_every_landmark_has_a_place() -> None:
    names = {plain_name(landmark)[1] for landmark in MEDIAPIPE_33}
    assert names == set(OFFSETS_MM)
    assert {k for bone in BONES for k in bone} == set(range(33))


def test_place_finds_where_points_are_seen_despite_outliers() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(0, 0.4, (33, 3))
    K = field_of_view_intrinsics((640, 480), 60)
    position = np.array([0.3, -0.2, 3.1])
    seen = project(points + position, K)
    np.testing.assert_allclose(solve_translation(points, seen, np.ones(33), K), position, atol=1e-6)
    seen[:4] += 150
    weights = np.ones(33)
    np.testing.assert_allclose(solve_translation(points, seen, weights, K), position, atol=0.1)
    weights[:4] = 0
    np.testing.assert_allclose(solve_translation(points, seen, weights, K), position, atol=5e-3)


def test_somebody_is_as_far_away_as_they_are_large_whatever_the_pose(people: LandmarkPeople) -> None:
    """The pose of a body upside down does not fit what is seen: by itself it would stand before the lens."""
    K = field_of_view_intrinsics((640, 480), 60)
    body, _ = people._rest_pose(people._shape)
    position = np.array([0.4, 0.1, 4.0])
    points = project(body + position, K)
    landmarks = replace(
        _body_landmarks(0, 0, 300.0), landmarks_2d=points.astype(np.float32), landmarks_3d=body.astype(np.float32)
    )
    landmarks.visibility[:] = landmarks.presence[:] = 1
    for pose in (body, body * (-1, -1, 1)):
        found = people._solve_translation(_Identity(), pose, landmarks, (640, 480), K, 0.0)
        np.testing.assert_allclose(found[2], 4.0, rtol=0.1)
        assert np.linalg.norm((found - position)[:2]) < 0.6  # the middle of a body and its pelvis are apart


def test_place_is_never_behind_the_camera() -> None:
    points = np.zeros((33, 3))
    points[:, 0] = np.linspace(-1, 1, 33)
    K = field_of_view_intrinsics((640, 480), 60)
    mirrored = project(points + np.array([0, 0, 2.0]), K)[::-1]
    assert solve_translation(points, mirrored, np.ones(33), K)[2] > 0


# ------------------------------------------------------------------------------------------- tracker


def _body_landmarks(x: float, y: float, size: float = 100.0) -> BodyLandmarks:
    points = np.tile(np.array([x, y], np.float32), (33, 1))
    zeros = np.zeros(33, np.float32)
    return BodyLandmarks(1.0, points, zeros, np.zeros((33, 3), np.float32), zeros, zeros, Region(x, y, size))


def test_two_regions_on_one_body_are_one_person(bundle: Path) -> None:
    assert (
        len(
            BodyTracker(bundle, threads=1)._without_duplicates(
                [_body_landmarks(100, 100), _body_landmarks(104, 100), _body_landmarks(150, 100)]
            )
        )
        == 2
    )


def test_one_face_is_one_person(bundle: Path) -> None:
    tracker, points = BodyTracker(bundle, threads=1), _body_landmarks(0, 0).landmarks_2d.copy()
    points[:11] += np.random.default_rng(0).uniform(-20, 20, (11, 2)).astype(np.float32)  # a face
    one = replace(_body_landmarks(100, 100), landmarks_2d=points)
    other = points.copy()
    other[11:] += (0, 300)  # the same face on quite another body
    assert len(tracker._without_duplicates([one, replace(one, landmarks_2d=other)])) == 1
    assert len(tracker._without_duplicates([one, replace(one, landmarks_2d=other + np.float32((60, 0)))])) == 2
    upside_down = 2 * points[:11].mean(axis=0) - points  # as a second region makes one of a face that fills the picture
    assert len(tracker._without_duplicates([one, replace(one, landmarks_2d=upside_down)])) == 1


def test_who_appears_in_a_film_is_told_when_they_stay(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = BodyTracker(bundle, options=BodyTrackerOptions(proposals=("detector",)), threads=1)
    seen: list[Any] = [_body_landmarks(100, 200)]
    monkeypatch.setattr(tracker, "_detect", lambda *_: [landmarks.region for landmarks in seen])
    monkeypatch.setattr(
        tracker, "_observe_region", lambda _, region: next((m for m in seen if m.region == region), None)
    )
    images = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    ids = []
    for k in range(30):
        # A ghost for two frames and an unsure one for ten; and from frame 15 on somebody.
        seen[1:] = [_body_landmarks(500, 200)] if k in (3, 4) or k >= 15 else []
        seen[1:] += [replace(_body_landmarks(900, 200), score=0.7)] if 2 < k < 13 else []
        ids.append([body.id for body in tracker(images, k / 30)])
    assert ids[0] == [1]
    assert all(one == [1] for one in ids[:15])
    assert ids[20] == [1, 2]
    tracker.new_scene()
    after = tracker(images, 1.0)
    assert [body.id for body in after] == [3, 4]  # all at once, in the first image
    assert after.lost == (1, 2)


def test_pictures_without_colour(bundle: Path, photograph: np.ndarray[Any, Any]) -> None:
    one = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)
    grey = np.repeat(one[..., None], 3, axis=2)
    assert is_grey(grey)
    assert is_grey(
        np.clip(grey.astype(int) + np.random.default_rng(0).integers(-1, 2, grey.shape), 0, 255).astype(np.uint8)
    )
    assert not is_grey(photograph)
    assert not is_grey(photograph // 10)
    tracker = BodyTracker(bundle, threads=2)
    colour = [body.landmarks for body in tracker(photograph, 0.0)]
    tracker.reset()
    found = [body.landmarks for body in tracker(grey, 0.0)]
    gaps = [
        [np.linalg.norm(a.landmarks_2d - b.landmarks_2d, axis=1).mean() / a.region.size for b in found] for a in colour
    ]
    assert sum(min(row, default=1) < 0.15 for row in gaps) >= 2


def test_tracker_keeps_identities(bundle: Path, photograph: np.ndarray[Any, Any]) -> None:
    tracker = BodyTracker(bundle, options=BodyTrackerOptions(max_people=3), threads=2)
    first = tracker(photograph, 0.0)
    assert len(first) == 3
    assert set(first.ms) == {"landmarks", "detect"}
    second = tracker(photograph, 0.03)
    assert {body.id for body in second} <= {body.id for body in first} == {1, 2, 3}
    if len(second) == 3:
        assert "detect" not in second.ms  # there is no room for more
    for body in second:
        landmarks = body.landmarks
        assert landmarks.landmarks_2d.shape == (33, 2)
        assert np.ptp(landmarks.landmarks_2d[:, 1]) > 50
        assert 0.7 < np.ptp(landmarks.landmarks_3d[:, 1]) < 2.2
        assert np.all((landmarks.visibility >= 0) & (landmarks.visibility <= 1))
        assert np.linalg.norm(landmarks.landmarks_3d[HIPS].mean(axis=0)) < 0.05
    tracker.reset()
    assert tracker(photograph, 0.0)[0].id == 4
    black = np.zeros_like(photograph)
    assert len(tracker(black, 0.1)) == 0
    assert set(tracker(black, 2.0).lost) >= {4}


def test_tracker_refuses_what_is_no_image(bundle: Path) -> None:
    tracker = BodyTracker(bundle, threads=1)
    wrongs: list[Any] = [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="uint8"):
            tracker(wrong)
    with pytest.raises(ValueError, match="max_people"):
        BodyTrackerOptions(max_people=0)


# ------------------------------------------------------------------------------------------- geometry to rotations


def _articulated(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """[24, 3, 3]: a body whose elbows and knees bend about their hinges."""
    vectors = np.zeros((24, 3))
    for name in ("shoulder", "hip"):
        for side in ("left", "right"):
            vectors[SMPL_24.index(f"{side}_{name}")] = rng.normal(0, 0.4, 3)
    for side, left in (("left", 1), ("right", -1)):
        vectors[SMPL_24.index(f"{side}_elbow"), 1] = -left * rng.uniform(0.7, 1.8)
        vectors[SMPL_24.index(f"{side}_knee"), 0] = rng.uniform(0.7, 1.8)
    vectors[0] = rng.normal(0, 1, 3)
    return matrices_from_vectors(vectors)


def test_geometry_gives_rotations_back(people: LandmarkPeople) -> None:
    rest, _ = people._rest_pose(people._shape)
    still = people._ik(rest)
    np.testing.assert_allclose(still, np.broadcast_to(np.eye(3), (24, 3, 3)), atol=0.03)
    rng = np.random.default_rng(1)
    for _ in range(5):
        local = _articulated(rng)
        posed = people._posed(anny_from_smpl(local).astype(np.float32), people._shape)
        points = people._points(posed["joints"], local, people.stature)
        found = people._ik(points + rng.normal(0, 1, 3))
        turn = np.swapaxes(world_rotations(found, SMPL_PARENTS), -1, -2) @ world_rotations(local, SMPL_PARENTS)
        angle = np.degrees(np.arccos(np.clip((np.trace(turn, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
        # Offsets of landmarks from joints bend the limbs a little.
        assert angle[SMPL_24.index("pelvis")] < 3
        assert angle.max() < 25
        assert angle.mean() < 8


# ------------------------------------------------------------------------------------------- people


def test_meshes_stand_where_the_people_stand(people: LandmarkPeople, photograph: np.ndarray[Any, Any]) -> None:
    found = people(photograph)
    assert len(found) >= 3
    assert found.vertices is not None
    assert found.joints is not None
    assert found.joints_2d is not None
    assert np.all(np.diff(found.scores) <= 0)
    assert np.all(found.translations[:, 2] > 2)
    people.tracker.reset()
    seen = {tuple(body.landmarks.landmarks_2d[0]): body.landmarks for body in people.tracker(photograph, 0.0)}
    head = people.joint_names.index("head")
    for location, joints in zip(found.locations, found.joints_2d, strict=True):
        landmarks = min(seen.values(), key=lambda one: np.linalg.norm(one.landmarks_2d[[7, 8]].mean(axis=0) - location))
        height = np.ptp(landmarks.landmarks_2d[:, 1])
        if height < 150:  # spectators who sit, small and half hidden
            continue
        assert np.linalg.norm(joints[head] - location) < 0.12 * height
        for side, end in (("left", "L"), ("right", "R")):
            for landmark, joint in (("shoulder", "upperarm01"), ("hip", "upperleg01")):
                place_2d = landmarks.landmarks_2d[MEDIAPIPE_33.index(f"{side}_{landmark}")]
                gap = np.linalg.norm(joints[people.joint_names.index(f"{joint}.{end}")] - place_2d)
                assert gap < 0.15 * height, (side, landmark)


def test_nobody_keeps_all_sizes(people: LandmarkPeople) -> None:
    nobody = people(np.zeros((90, 120, 3), np.uint8))
    assert len(nobody) == 0
    assert nobody.vertices is not None
    assert nobody.vertices.shape == (0, 1229, 3)
    assert nobody.rotations.shape == (0, 74, 3, 3)
    assert nobody.shape.shape == (0, 6)
    assert nobody.locations.shape == (0, 2)


def test_stature_moves_people_away_and_not_aside(bundle: Path, photograph: np.ndarray[Any, Any]) -> None:
    short, tall = (LandmarkPeople(bundle, poses=None, stature=m, threads=2)(photograph) for m in (1.5, 1.9))
    ratio = tall.translations[:, 2] / short.translations[:, 2]
    assert ratio == pytest.approx(1.9 / 1.5, rel=0.1)
    assert short.joints_2d is not None
    assert tall.joints_2d is not None
    assert np.abs(short.joints_2d - tall.joints_2d).mean() < 6
    with pytest.raises(HumanrtError, match="stature"):
        LandmarkPeople(bundle, poses=None, stature=17.0)


def test_a_missed_person_is_filled_in(
    bundle: Path, photograph: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream:
        """Remembers everybody."""

        points, joints, bundle = 33, SMPL_24, SimpleNamespace(name="any")

        def __init__(self, *_: object, **__: object) -> None:
            self.known: dict[int, PoseState] = {}

        def close(self) -> None: ...

        def reset(self) -> None:
            self.known = {}

        def update(self, t: float, seen: Any, lost: Any) -> dict[int, PoseState]:
            one = np.broadcast_to(np.eye(3, dtype=np.float32), (24, 3, 3))
            self.known |= {k: PoseState(o.keypoints, one, False, 0.0, t) for k, o in seen.items()}
            return self.known

    monkeypatch.setattr(landmark_model, "PoseBERTStream", Stream)
    model = LandmarkPeople(bundle, "any", options=BodyTrackerOptions(max_people=2), threads=2)
    pipeline = LandmarkPipeline(model)
    first = pipeline(Frame(photograph, 0.0, 0))
    assert len(first.people) == 2
    assert first.filled == set()
    assert not any("filled" in person for person in first.record()["people"])
    assert set(first.ms) == {"landmarks", "detect", "smooth", "body", "decode", "total"}
    tracked = model.track(np.zeros_like(photograph), 0.05)
    assert tracked.filled == set(first.ids)
    assert not tracked.people.scores.any()
    assert set(tracked.ids) == set(first.ids)
    order = [first.ids.index(identity) for identity in tracked.ids]
    np.testing.assert_allclose(tracked.people.translations, first.people.translations[order], atol=1e-5)
    missed = pipeline(Frame(np.zeros_like(photograph), 0.1, 2))
    assert [person["filled"] for person in missed.record()["people"]] == [True, True]


def test_people_of_landmarks_are_predicted_and_filled_in_by_the_smoother_behind_them(
    bundle: Path, photograph: np.ndarray[Any, Any]
) -> None:
    shipped("posebert-body")
    options = PeopleOptions(smooth_after="oneeuro", predict=0.1)
    with open_people(bundle, "cpu", options, threads=2) as pipeline:
        assert isinstance(pipeline, LandmarkPipeline)
        assert pipeline.about()["smooth_after"] == "oneeuro"
        results = list(pipeline.stream([Frame(photograph, number / 30, number) for number in range(4)]))
        assert len(results[0].ids) >= 2
        for result in results:
            assert result.ids == results[0].ids
            assert result.age is not None
            assert result.age >= 0.1 - 1e-9
            people = result.people
            assert people.joints is not None
            assert people.vertices is not None
            head = people.joints[:, pipeline.model.joint_names.index("head")]
            np.testing.assert_allclose(head, people.translations, atol=1e-4)
        pipeline.reset()
        first = pipeline(Frame(photograph, 1.0, 4))
        pipeline(Frame(photograph, 1.03, 5))
        again = pipeline(Frame(photograph, 1.07, 6))
        missed = pipeline(Frame(np.zeros_like(photograph), 1.1, 7))
    assert not first.filled
    assert missed.filled == set(missed.ids) <= set(again.ids)
    assert missed.ids
    assert not missed.people.scores.any()


def test_poses_that_are_not_of_33_landmarks_are_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hands:
        points, joints, bundle = 21, HAND_16, SimpleNamespace(path="hands")

        def __init__(self, *_: object, **__: object) -> None: ...

    monkeypatch.setattr(landmark_model, "PoseBERTStream", Hands)
    with pytest.raises(HumanrtError, match="does not fit"):
        LandmarkPeople(bundle, "hands", threads=1)


def test_scores_of_detections_are_above_the_threshold_that_was_asked_for(
    bundle: Path, photograph: np.ndarray[Any, Any]
) -> None:
    detector = PersonDetector(load_bundle(bundle), open_backend("cpu"))
    window = windows((photograph.shape[1], photograph.shape[0]))[1]
    usual, all_boxes = detector(photograph, None, window), detector(photograph, 0.0, window)
    assert usual
    assert min(person.score for person in all_boxes) < 0.1 < min(person.score for person in usual)
    assert detector(photograph, 1.0, window) == []
