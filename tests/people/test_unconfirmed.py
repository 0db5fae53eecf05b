"""People of photographs whom only coarse networks see: kept once, where two agree, marked, gone with the picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import humanrt.people.holistic as holistic
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.camera import directions, field_of_view_intrinsics, project
from humanrt.geometry.region import Region
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.people.body_tracker import Bodies, Body
from humanrt.people.confirmation import TrunkDetection
from humanrt.people.holistic import HolisticPeople
from humanrt.people.holistic_pipeline import HolisticPipeline
from humanrt.people.landmark_model import View
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.multipose import PoseDetection
from humanrt.people.proposals import Look, Proposal
from humanrt.people.single_shot import SingleShotBody
from humanrt.people.unconfirmed import body_of, splits, two_in_one, unconfirmed
from humanrt.sources.opening import Frame, open_source
from shipped import shipped

CLIP = Path(__file__).resolve().parents[2] / "runtime" / "humanrt" / "data" / "demo_people.mp4"
PICTURE = (1280, 960)
K = field_of_view_intrinsics((640, 480), 60.0)
SIZE = 310.0  # px, of the region of somebody whose head is 100 px above the hips


def body(score: float) -> SingleShotBody:
    still = np.tile(np.eye(3, dtype=np.float32), (len(ANNY_BONES), 1, 1))
    root, pixels = np.array([0, 0, 3], np.float32), np.zeros((2, 2), np.float32)
    return SingleShotBody(score, still, np.full(6, 0.5, np.float32), root, pixels, K)


def seen(x: float, score: float) -> Proposal:
    """Return a body whose head is at x, 100 px and whose hips are at x, 200 px."""
    trunk = TrunkDetection(score, np.array([x, 100], np.float32), np.array([x, 200], np.float32))
    there = replace(body(score), pixels=np.tile(np.array([[x, 150]], np.float32), (2, 1)))
    return Proposal.at(Region(x, 200, SIZE), score, trunk=trunk, body=there)


def pose(x: float, score: float = 0.3) -> Proposal:
    points = np.tile(np.array([[x, 150]], np.float32), (17, 1))
    points[:5, 1], points[11:13, 1] = 100, 200
    found = PoseDetection(score, points, points, np.ones(17, np.float32))
    return Proposal.at(Region(x, 200, SIZE), score, found)


def landmarks(x: float) -> BodyLandmarks:
    points = np.tile(np.array([[x, 150]], np.float32), (33, 1))
    points[7:9, 1], points[23:25, 1] = 100, 200
    ones = np.ones(33, np.float32)
    return BodyLandmarks(1.0, points, 0 * ones, np.zeros((33, 3), np.float32), ones, ones, Region(x, 200, SIZE))


def looks(bodies: Sequence[Proposal], poses: Sequence[Proposal], part: Sequence[Proposal] | None = None) -> list[Look]:
    window = (0, 0, 300)
    return [Look(None, bodies), Look(window, bodies if part is None else part), Look(None, poses), Look(window, poses)]


def test_whoever_two_networks_see_is_kept_once() -> None:
    found = unconfirmed(looks([seen(100, 0.6), seen(110, 0.5), seen(180, 0.4)], [pose(104)]), [], PICTURE, 8)
    assert len(found) == 1
    assert 0.5 < found[0].score < 1


def test_hints_alone_are_nobody() -> None:
    assert unconfirmed(looks([seen(100, 0.2)], []), [], PICTURE, 8) == []
    assert unconfirmed(looks([], [pose(100)]), [], PICTURE, 8) == []
    assert unconfirmed(looks([seen(100, 0.6)], [pose(400)]), [], PICTURE, 8) == []  # they do not agree
    assert len(unconfirmed(looks([seen(100, 0.6)], [pose(100)]), [], PICTURE, 8)) == 1


def test_what_fills_the_picture_is_left_to_the_landmark_network() -> None:
    assert unconfirmed(looks([seen(100, 0.9)], [pose(100)]), [], (500, 2000), 8) == []


def test_whoever_is_confirmed_is_not_kept_twice() -> None:
    two = looks([seen(100, 0.6), seen(400, 0.7)], [pose(100), pose(400)])
    assert len(unconfirmed(two, [], PICTURE, 8)) == 2
    assert len(unconfirmed(two, [landmarks(120)], PICTURE, 8)) == 1
    assert unconfirmed(two, [landmarks(120), landmarks(390)], PICTURE, 8) == []
    assert len(unconfirmed(two, [], PICTURE, 1)) == 1
    assert unconfirmed(two, [], PICTURE, 0) == []


def test_two_who_hug_are_two() -> None:
    both = [seen(90, 0.6), seen(130, 0.5)]
    once = [Look((0, 0, 300 + k), both if k < 4 else both[:1]) for k in range(9)]
    assert two_in_one(landmarks(110), once) == ()  # too few looks show both
    often = [Look((0, 0, 300 + k), both) for k in range(5)]
    assert [one.score for one in two_in_one(landmarks(110), often)] == [0.6, 0.5]
    assert two_in_one(landmarks(400), often) == ()  # they are elsewhere
    assert two_in_one(landmarks(110), [Look(None, [seen(90, 0.6), seen(130, 0.3)])] * 5) == ()


def places(two: Sequence[SingleShotBody]) -> list[float]:
    return [float(one.pixels[0, 0]) for one in two]


def test_two_confirmed_people_who_stand_close_stay_two() -> None:
    both = [Look(None, [seen(90, 0.6), seen(130, 0.5)])] * 5
    assert two_in_one(landmarks(90), both)  # for each by itself it looks as if they were two
    assert two_in_one(landmarks(130), both)
    assert splits({1: landmarks(90), 2: landmarks(130)}, both) == {}
    assert splits({1: landmarks(108), 2: landmarks(155)}, both) == {}  # both bodies are nearer to the first
    assert places(splits({1: landmarks(110)}, both)[1]) == [90, 130]
    # Somebody else whose body is not among those two: the pair is still one person to the landmark network.
    third = [Look(None, [seen(90, 0.6), seen(130, 0.5), seen(180, 0.7)])] * 5
    found = splits({5: landmarks(180), 3: landmarks(110)}, third)
    assert {identity: places(two) for identity, two in found.items()} == {3: [90, 130]}


def test_no_body_is_given_twice() -> None:
    # The body between two people is nearer to one in some looks and to the other in others.
    left = [Look(None, [seen(90, 0.6), seen(109, 0.5), seen(130, 0.9)])] * 5
    right = [Look(None, [seen(90, 0.9), seen(111, 0.45), seen(130, 0.6)])] * 5
    two = {1: landmarks(90), 2: landmarks(130)}
    assert set(splits(two, left)) == {1}
    assert set(splits(two, right)) == {2}
    found = splits(two, [*left, *right])
    assert {identity: places(pair) for identity, pair in found.items()} == {1: [90, 109]}
    # Two pairs side by side share nobody; the surer comes first.
    pairs = [Look(None, [seen(90, 0.6), seen(130, 0.45), seen(490, 0.6), seen(530, 0.5)])] * 5
    apart = splits({1: landmarks(110), 2: landmarks(510)}, pairs)
    assert [(identity, places(pair)) for identity, pair in apart.items()] == [(2, [490, 530]), (1, [90, 130])]


def test_a_body_is_believed_of_whoever_has_its_place() -> None:
    both = looks([seen(100, 0.6), seen(400, 0.9)], [])
    assert body_of(landmarks(110), both) is not None
    assert body_of(landmarks(110), both).score == pytest.approx(0.6)  # type: ignore[union-attr]
    assert body_of(landmarks(250), both) is None
    assert body_of(landmarks(100), []) is None


def test_a_body_keeps_its_pixel_and_the_side_that_it_shows() -> None:
    # Seen by a camera that looks at the middle of a part of the picture, of half the focal length.
    part = np.array([[300.0, 0, 500], [0, 300, 120], [0, 0, 1]])
    turned = np.tile(np.eye(3, dtype=np.float32), (len(ANNY_BONES), 1, 1))
    turned[0] = matrices_from_vectors(np.array([0.1, 0.7, -0.2]))
    one = replace(body(0.5), rotations=turned, root=np.array([0.4, 0.1, 2.0], np.float32), intrinsics=part)
    rotations, root = one.before(part)
    np.testing.assert_allclose(rotations, turned, atol=1e-6)
    np.testing.assert_allclose(root, one.root, atol=1e-6)
    camera = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
    rotations, root = one.before(camera)
    pixel = project(one.root[None], part)[0]
    np.testing.assert_allclose(project(root[None], camera)[0], pixel, atol=1e-3)
    assert root[2] == pytest.approx(2 * one.root[2])  # as large in the picture at twice the focal length
    rays = [np.append(directions(pixel, view), 1.0) for view in (part, camera)]
    sides = [turn.T @ ray / np.linalg.norm(ray) for turn, ray in zip((turned[0], rotations[0]), rays, strict=True)]
    np.testing.assert_allclose(sides[0], sides[1], atol=1e-6)


@pytest.fixture(scope="module")
def model() -> Iterator[HolisticPeople]:
    for name in ("landmarks", "hands", "posebert-lift", "posebert-hand", "multipose", "multihmr-anny"):
        shipped(name)
    with HolisticPeople(shipped("holistic"), quality="balanced", threads=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    with open_source(str(CLIP)) as source:
        return next(frame.image for frame in source if frame.index == 60)


def test_they_are_marked_and_end_with_the_picture(
    model: HolisticPeople, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(looks: Sequence[Look], confirmed: object, size: object, room: int) -> list[SingleShotBody]:
        found = [one.body for look in looks for one in look.proposals if one.body is not None]
        return [replace(max(found, key=lambda one: one.score), score=0.4)]

    monkeypatch.setattr(holistic, "unconfirmed", kept)
    pipeline = HolisticPipeline(model)
    first = pipeline(Frame(picture, 0.0, 0, cut=True))
    marked = [one for one in first.persons if one.unconfirmed]
    assert len(marked) == 1
    assert marked[0].id not in first.filled
    records = {record["id"]: record for record in first.record()["people"]}
    assert records[marked[0].id]["unconfirmed"] is True
    assert all("unconfirmed" not in record for id, record in records.items() if id != marked[0].id)
    assert any("0.40, unconfirmed" in line for line in first.entities())
    # The mesh, its joints, rotations and place are those of one body.
    assert marked[0].joints is not None
    head = model.joint_names.index("head")
    np.testing.assert_allclose(marked[0].joints[head], marked[0].translation, atol=1e-5)
    assert marked[0].translation[2] > 0.5
    second = pipeline(Frame(picture, 1.0, 1, cut=True))
    assert marked[0].id in second.lost
    assert not set(first.ids) & set(second.ids)
    doubtful = HolisticPipeline(model, threshold=0.5)(Frame(picture, 2.0, 2, cut=True))
    assert not any(one.unconfirmed for one in doubtful.persons)


def test_films_do_not_keep_them(model: HolisticPeople, picture: NDArray[np.uint8]) -> None:
    model.reset()
    film = model.track(picture, 0.0)
    assert not model.tracker.looks
    assert film.people.unconfirmed is not None
    assert not film.people.unconfirmed.any()


def test_what_the_single_shot_network_sees_is_weighed(model: HolisticPeople) -> None:
    from humanrt.fitting import PosePrior

    still = np.tile(np.eye(3), (len(ANNY_BONES), 1, 1))
    prior = PosePrior(still, spread=dict.fromkeys(ANNY_BONES, 0.3), root_spread=0.3)
    turned = np.tile(matrices_from_vectors(np.array([0.0, 0.0, 0.6])).astype(np.float32), (len(ANNY_BONES), 1, 1))
    both = holistic._combined(prior, replace(body(0.5), rotations=turned), K)
    angles = np.linalg.norm(vectors_from_matrices(np.asarray(both.rotations)), axis=-1)
    fingers = np.array([bone.startswith(("finger", "metacarpal")) for bone in ANNY_BONES])
    np.testing.assert_allclose(angles[~fingers], 0.3, atol=1e-6)  # as sure as each other
    np.testing.assert_allclose(angles[fingers], 0.0, atol=1e-6)
    assert both.spread["head"] == pytest.approx(0.3 / np.sqrt(2))  # type: ignore[index]
    assert both.spread["finger2-1.L"] == 0.3  # type: ignore[index]


def test_two_take_the_place_of_one_only_if_both_are_reported(
    model: HolisticPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.reset()
    bodies = Bodies((Body(1, landmarks(110)), Body(2, landmarks(510))))
    seen_now = {body.id: body.landmarks for body in bodies}
    pairs = [Look(None, [seen(90, 0.6), seen(130, 0.45), seen(490, 0.6), seen(530, 0.5)])] * 5
    monkeypatch.setattr(model.tracker, "looks", pairs)

    def taken(threshold: float, most: int) -> list[int]:
        monkeypatch.setattr(model.tracker, "max_people", most)
        return list(model._twos(bodies, seen_now, View(PICTURE, K, 0.0, threshold)))

    assert taken(0.0, 8) == [2, 1]
    assert taken(0.47, 8) == [2]  # of the other pair, one would be refused: the confirmed person stays
    assert taken(0.55, 8) == []
    assert taken(0.0, 3) == [2]  # room for one more
    assert taken(0.0, 2) == []


@pytest.mark.parametrize(("threshold", "most", "coarse"), [(None, 8, 2), (0.5, 8, 0), (None, 1, 0)])
def test_two_who_hug_never_vanish(
    model: HolisticPeople,
    picture: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    threshold: float | None,
    most: int,
    coarse: int,
) -> None:
    size = (picture.shape[1], picture.shape[0])
    monkeypatch.setattr(model.tracker, "max_people", most)
    monkeypatch.setattr(holistic, "unconfirmed", lambda *_: [])

    def split(confirmed: Mapping[int, BodyLandmarks], looks: object) -> dict[int, tuple[SingleShotBody, ...]]:
        return {min(confirmed): (body(0.6), body(0.4))}

    alone = model(picture, field_of_view_intrinsics(size, 60.0), threshold)
    monkeypatch.setattr(holistic, "splits", split)
    people = model(picture, field_of_view_intrinsics(size, 60.0), threshold)
    assert people.unconfirmed is not None
    assert len(alone) >= 1
    assert int(people.unconfirmed.sum()) == coarse
    assert len(people) == len(alone) + coarse // 2
    assert len(people) <= most


def test_a_film_that_begins_with_a_photograph_forgets_it(
    model: HolisticPeople, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(looks: Sequence[Look], confirmed: object, size: object, room: int) -> list[SingleShotBody]:
        found = [one.body for look in looks for one in look.proposals if one.body is not None]
        return [replace(max(found, key=lambda one: one.score), score=0.4)] if found else []

    monkeypatch.setattr(holistic, "unconfirmed", kept)
    first = model(picture)
    assert first.unconfirmed is not None
    assert first.unconfirmed.sum() == 1
    confirmed = {body.id for body in model.tracker(picture, 0.0)}
    assert model.tracker.looks == ()  # the tracker has been shown the same scene once more
    model(picture)
    identities = []
    for frame in (1, 2):
        film = model.track(picture, frame / 30)  # the same scene: no cut
        assert model.tracker.looks == ()
        assert film.people.unconfirmed is not None
        assert not film.people.unconfirmed.any()
        assert len(film.ids) == len(confirmed) == len(first) - 1
        identities.append(set(film.ids))
    assert identities[0] == identities[1]
