"""Whole bodies: mesh, hands and face of each person, with identities, and robots that follow people's hands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import humanrt
from humanrt.errors import HumanrtError
from humanrt.fitting import BodyFitter
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.camera import project
from humanrt.inference.execution import Execution
from humanrt.people.holistic import HolisticPeople, hand_identities, person_of_hand
from humanrt.people.holistic_pipeline import HolisticPipeline, HolisticResult
from humanrt.people.landmark_people import LandmarkPeople
from humanrt.people.smoothed_pipeline import Shown
from humanrt.sources.opening import Frame, open_source
from humanrt.tasks import PeopleOptions, open_people
from shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "runtime" / "humanrt" / "data" / "demo_people.mp4"


@pytest.fixture(scope="module")
def bundle() -> Path:
    for name in ("landmarks", "hands", "posebert-lift", "posebert-hand"):
        shipped(name)
    return shipped("holistic")


@pytest.fixture(scope="module")
def model(bundle: Path) -> Iterator[HolisticPeople]:
    with HolisticPeople(bundle, quality="fast", threads=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    with open_source(str(CLIP)) as source:
        return [frame for frame, _ in zip(source, range(12), strict=False)]


def test_people_have_bodies_hands_and_identities(model: HolisticPeople, frames: list[Frame]) -> None:
    model.reset()
    for frame in frames:
        tracked = model.track(frame.image, frame.t)
    people = tracked.people
    assert len(people) >= 1
    assert people.vertices is not None
    assert people.joints is not None
    assert people.joints_2d is not None
    assert people.vertices.shape[1:] == (int(model.faces.max()) + 1, 3)
    assert people.rotations.shape[1:] == (len(ANNY_BONES), 3, 3)
    assert people.expression.shape[1] == len(model.expression_units) == 52
    assert np.all((people.expression >= 0) & (people.expression <= 1))
    np.testing.assert_allclose(
        people.rotations @ np.swapaxes(people.rotations, -1, -2), np.eye(3) + 0 * people.rotations, atol=1e-4
    )
    # The mesh is posed as the solver says: its head is where the translation is.
    head = people.joints[:, model.joint_names.index("head")]
    np.testing.assert_allclose(head, people.translations, atol=1e-4)
    for person, hands in tracked.hands_of.items():
        assert set(hands) <= set(hand_identities(person).values())
    assert {hand.id for hand in tracked.hands} >= {hand for hands in tracked.hands_of.values() for hand in hands}


def test_the_body_lies_on_its_landmarks(model: HolisticPeople, frames: list[Frame]) -> None:
    model.reset()
    for frame in frames:
        tracked = model.track(frame.image, frame.t)
    bodies = {body.id: body.landmarks for body in model.tracker(frames[-1].image, frames[-1].t + 0.001)}
    for identity, joints in zip(tracked.ids, tracked.people.joints_2d, strict=True):  # type: ignore[arg-type]
        if identity not in bodies:
            continue
        landmarks = bodies[identity]
        height = np.ptp(landmarks.landmarks_2d[:, 1])
        sure = landmarks.visibility > 0.8
        for index, bone in ((11, "upperarm01.L"), (14, "lowerarm01.R"), (25, "lowerleg01.L"), (28, "foot.R")):
            if sure[index]:
                gap = np.linalg.norm(joints[model.joint_names.index(bone)] - landmarks.landmarks_2d[index])
                assert gap < 0.1 * height, bone


def test_nobody_keeps_all_sizes(model: HolisticPeople) -> None:
    nobody = model(np.zeros((90, 120, 3), np.uint8))
    assert len(nobody) == 0
    assert nobody.vertices is not None
    assert nobody.vertices.shape[0] == 0
    assert nobody.rotations.shape == (0, 74, 3, 3)
    assert nobody.expression.shape == (0, 52)


def test_a_photograph_that_is_refused_leaves_the_next_frame_a_film(model: HolisticPeople, frames: list[Frame]) -> None:
    model.reset()
    ids = model.track(frames[0].image, 0.0).ids
    with pytest.raises(HumanrtError, match="t must be a finite time"):
        model.track(frames[1].image, float("nan"), photograph=True)
    assert set(model.track(frames[1].image, frames[1].t).ids) == set(ids)
    assert not model.tracker.looks


def test_identities_end_with_a_rewind_and_are_not_reused(model: HolisticPeople, frames: list[Frame]) -> None:
    model.reset()
    first = model.track(frames[0].image, 1.0)
    again = model.track(frames[0].image, 0.5)
    assert not set(first.ids) & set(again.ids)


def test_a_pipeline_records_people_with_their_hands(bundle: Path, frames: list[Frame]) -> None:
    options = PeopleOptions(quality="fast", robots=["allegro_right", "shadow_left"])
    with open_people(bundle, "cpu", options) as pipeline:
        assert isinstance(pipeline, HolisticPipeline)
        results = [pipeline(frame) for frame in frames[:6]]
        about = pipeline.about()
    result = results[-1]
    assert isinstance(result, HolisticResult)
    record = result.record()
    sides = {hand["id"]: hand["side"] for hand in record["hands"]}
    for person in record["people"]:
        assert len(person["expression"]) == len(about["expression_units"])
        assert set(person["hands"]) <= set(sides)
    assert set(about["robots"]) == {"allegro_right", "shadow_left"}
    for hand in record["hands"]:
        own = "allegro_right" if hand["side"] == "right" else "shadow_left"
        assert list(hand["robot"]) == [own]
        assert np.isfinite(hand["robot"][own]).all()
    assert set(result.ms) >= {"landmarks", "hands", "face", "smooth", "body", "retarget", "total"}


def test_people_are_posed_from_their_parameters_as_they_were(model: HolisticPeople, frames: list[Frame]) -> None:
    model.reset()
    people = model.track(frames[0].image, 0.0).people
    assert len(people)
    posed = model.posed(replace(people, vertices=None, joints=None, joints_2d=None))
    for name, atol in (("vertices", 1e-3), ("joints", 1e-3), ("joints_2d", 0.5)):
        np.testing.assert_allclose(getattr(posed, name), getattr(people, name), atol=atol)
    model.reset()
    bare = model.track(frames[0].image, 0.0, meshes=False).people
    assert bare.vertices is None
    np.testing.assert_allclose(bare.joints, people.joints, atol=1e-3)
    nobody = model.posed(people.chosen(np.zeros(len(people), bool)))
    assert nobody.vertices is not None
    assert nobody.vertices.shape == (0, *people.vertices.shape[1:])  # type: ignore[union-attr]


@pytest.mark.parametrize("smooth", ["oneeuro", "posebert"])
def test_a_smoother_behind_the_solver_keeps_all_that_is_known(bundle: Path, frames: list[Frame], smooth: str) -> None:
    shipped("posebert-people")
    options = PeopleOptions(quality="fast", robots=["allegro_right"], smooth_after=smooth)
    with open_people(bundle, "cpu", options, threads=2) as pipeline:
        assert isinstance(pipeline, HolisticPipeline)
        assert pipeline.about()["smooth_after"] == smooth
        results = [pipeline(frame) for frame in frames[:6]]
        black = Frame(np.zeros_like(frames[0].image), frames[6].t, 6)
        missed = pipeline(black)
    with open_people(bundle, "cpu", PeopleOptions(quality="fast", robots=["allegro_right"]), threads=2) as pipeline:
        plain = [pipeline(frame) for frame in frames[:6]]
    for one, other in zip(results, plain, strict=True):
        record, usual = one.record(), other.record()
        assert [set(person) for person in record["people"]] == [set(person) for person in usual["people"]]
        assert [person["hands"] for person in record["people"]] == [person["hands"] for person in usual["people"]]
        assert [hand.keys() for hand in record["hands"]] == [hand.keys() for hand in usual["hands"]]
        assert np.linalg.norm(one.people.joints - other.people.joints, axis=-1).mean() < 0.05  # type: ignore[operator]
        np.testing.assert_allclose(one.people.expression, other.people.expression, atol=1e-6)
        assert one.people.vertices is not None
    # Who is missed goes on, marked.
    assert missed.filled == set(missed.ids) == set(results[-1].ids) != set()
    assert not missed.people.scores.any()
    assert all(person["filled"] for person in missed.record()["people"])


def test_at_the_cameras_pace_all_that_is_known_is_predicted(bundle: Path, frames: list[Frame]) -> None:
    options = PeopleOptions(quality="fast", robots=["allegro_right", "shadow_left"], predict=0.1)
    with open_people(bundle, "cpu", options, threads=2) as pipeline:
        assert isinstance(pipeline, HolisticPipeline)
        assert pipeline.needs_live
        assert pipeline.about()["smooth_after"] == "oneeuro"
        results = list(pipeline.stream(frames))
        cut = list(pipeline.at_camera_pace([*frames[:2], replace(frames[2], cut=True)]))
    assert [result.frame.index for result in results] == [frame.index for frame in frames]
    assert {frozenset(result.ids) for result in results} == {frozenset(results[0].ids)}  # in what order, looks tell
    assert results[0].ids
    for result in results:
        assert result.age is not None
        assert result.age >= 0.1 - 1e-9
        record = result.record()
        assert record["age"] == result.age
        for person in record["people"]:
            assert len(person["rotations"]) == len(ANNY_BONES)
            assert len(person["expression"]) == 52
        hands = {hand["id"] for hand in record["hands"]}
        assert {hand for person in record["people"] for hand in person["hands"]} == hands
        assert all(hand["robot"] for hand in record["hands"])
    assert results[0].hands
    assert cut[1].ids
    assert cut[2].ids == ()
    assert cut[2].age is None
    assert not list(cut[2].hands)


@pytest.mark.parametrize("after", [{"smooth_after": "oneeuro"}, {"predict": 0.1}])
def test_hands_end_with_the_person_who_has_them(
    bundle: Path, frames: list[Frame], every_look: Callable[..., None], after: dict[str, Any]
) -> None:
    """Perception fills people in for longer than the smoother goes on with somebody who was seen so shortly."""
    every_look()
    black = np.zeros_like(frames[0].image)
    given = [*frames[:3], *(replace(frame, image=black) for frame in frames[3:9])]
    options = PeopleOptions(quality="fast", robots=["allegro_right", "shadow_left"], **after)
    with open_people(bundle, "cpu", options, threads=2) as pipeline:
        results = [result for result in pipeline.stream(given) if isinstance(result, HolisticResult)]
    assert len(results) == len(given)
    assert results[2].hands
    assert not results[-1].ids
    for result in results:
        assert {person_of_hand(hand.id) for hand in result.hands} <= set(result.ids)
        assert result.robots.keys() == {hand.id for hand in result.hands}


@pytest.mark.parametrize("every", [1, 2])
def test_hands_that_ended_are_told_once_and_their_robots_forgotten(
    bundle: Path, frames: list[Frame], every_look: Callable[..., None], every: int
) -> None:
    """Even if the look that lost them is dropped, for there was another cut, or is shown with several frames."""
    every_look(every)
    given = [replace(frame, cut=frame.index in (3, 4)) for frame in frames[:9]]
    options = PeopleOptions(quality="fast", robots=["allegro_right", "shadow_left"], predict=0.0)
    with open_people(bundle, "cpu", options, threads=2) as pipeline:
        assert isinstance(pipeline, HolisticPipeline)
        results = list(pipeline.stream(given))
        solvers = set(pipeline._robots._solvers)
    before, now = ({hand.id for hand in results[i].hands} for i in (0, -1))
    assert before
    assert now
    assert not before & now
    lost = [id for result in results for id in result.hands.lost]
    assert before <= set(lost)
    assert len(set(lost)) == len(lost)
    assert not solvers & set(lost)


@pytest.mark.parametrize("after", [{"smooth_after": "oneeuro"}, {"predict": 0.0}])
def test_the_time_that_posing_takes_is_a_stage_without_meshes_too(
    bundle: Path, frames: list[Frame], after: dict[str, Any]
) -> None:
    with open_people(bundle, "cpu", PeopleOptions(quality="fast", meshes=False, **after), threads=2) as pipeline:
        result = list(pipeline.stream(frames[:2]))[-1]
    assert result.people.vertices is None
    assert result.people.joints is not None
    assert "body" in result.ms


def test_hands_move_with_the_wrists_of_who_is_predicted(bundle: Path, frames: list[Frame]) -> None:
    with open_people(bundle, "cpu", PeopleOptions(quality="fast", predict=0.0), threads=2) as pipeline:
        assert isinstance(pipeline, HolisticPipeline)
        for frame in frames[:3]:
            seen = pipeline.model.track(frame.image, frame.t, meshes=False)
        people, turn = seen.people, np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])
        hand = next(one for one in seen.hands if one.wrist is not None)
        assert people.joints is not None
        for move, about in ((np.array([0.1, 0, 0]), np.eye(3)), (np.zeros(3), turn)):
            centre = hand.wrist[:3, 3]  # type: ignore[index]
            joints = ((people.joints - centre) @ about.T + centre + move).astype(np.float32)
            for age in (None, 0.1):
                shown = Shown(replace(people, joints=joints), seen.ids, (), frozenset(), age)
                carried = pipeline._carried(hand, seen, shown)
                np.testing.assert_allclose(carried.wrist[:3, 3], centre + move, atol=1e-4)  # type: ignore[index]
                np.testing.assert_allclose(carried.wrist[:3, :3], about @ hand.wrist[:3, :3], atol=1e-4)  # type: ignore[index]
                if age is None:  # where it is seen
                    np.testing.assert_array_equal(carried.keypoints_2d, hand.keypoints_2d)
                    continue
                np.testing.assert_allclose(carried.keypoints_3d, hand.keypoints_3d @ about.T, atol=1e-4)
                if move.any():
                    K = people.intrinsics
                    there = hand.keypoints_3d[0] * 0 + centre
                    moved = project((there + move)[None], K) - project(there[None], K)
                    np.testing.assert_allclose((carried.keypoints_2d - hand.keypoints_2d)[0], moved[0], atol=0.05)


def test_options_that_do_not_exist_are_refused_by_name(bundle: Path) -> None:
    with pytest.raises(HumanrtError, match="quality: no `finest`"):
        HolisticPeople(bundle, quality="finest")  # type: ignore[arg-type]
    with pytest.raises(HumanrtError, match="--robot: bundle `landmarks` does not use it"):
        open_people("landmarks", "cpu", PeopleOptions(robots="allegro_right"))
    with pytest.raises(HumanrtError, match="stature is 17"):
        HolisticPeople(bundle, quality="fast", stature=17.0)
    with pytest.raises(HumanrtError, match="allegro_left"):
        open_people(bundle, "cpu", PeopleOptions(robots="allegro_leftt"))


def test_track_gives_whole_bodies(bundle: Path) -> None:
    with humanrt.track(CLIP, task="people", bundle=bundle, backend="cpu", quality="fast", max_frames=2) as results:
        for result in results:
            assert all(person.vertices is not None for person in result.persons)


def test_a_photograph_is_followed_better_than_by_landmarks_alone(bundle: Path, photograph: NDArray[np.uint8]) -> None:
    """The same people, nearer to where their own landmarks are: shoulders, elbows, wrists, hips, knees, ankles."""
    pairs = {
        f"{s}_{a}": f"{b}.{s[0].upper()}"
        for s in ("left", "right")
        for a, b in (
            ("shoulder", "upperarm01"),
            ("elbow", "lowerarm01"),
            ("wrist", "wrist"),
            ("hip", "upperleg01"),
            ("knee", "lowerleg01"),
            ("ankle", "foot"),
        )
    }
    from humanrt.geometry.skeleton import MEDIAPIPE_33

    def error(model: Any) -> float:
        tracked = model.track(photograph, 0.0)
        gaps = []
        seen = {body.id: body.landmarks for body in model.tracker(photograph, 0.001)}
        for i, identity in enumerate(tracked.ids):
            if identity not in seen:
                continue
            joints = project(tracked.people.joints[i].astype(float), tracked.people.intrinsics)
            height = np.ptp(seen[identity].landmarks_2d[:, 1])
            for landmark, joint in pairs.items():
                index = MEDIAPIPE_33.index(landmark)
                if seen[identity].visibility[index] > 0.8:
                    gap = joints[model.joint_names.index(joint)] - seen[identity].landmarks_2d[index]
                    gaps.append(float(np.linalg.norm(gap)) / height)
        return float(np.median(gaps))

    with HolisticPeople(bundle, quality="fast", threads=2) as whole, LandmarkPeople(threads=2) as landmarks:
        assert error(whole) < 0.75 * error(landmarks)


def test_of_a_person_who_is_not_seen_nothing_is_fitted_to(
    model: HolisticPeople, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hands of the frame before are no observation of this one."""
    given: list[Any] = []
    fit = BodyFitter.fit

    def record(self: BodyFitter, seen: Any, t: float, prior: Any = None) -> Any:
        given.append(seen)
        return fit(self, seen, t, prior)

    monkeypatch.setattr(BodyFitter, "fit", record)
    model.reset()
    for frame in frames:
        model.track(frame.image, frame.t)
    assert any(point.endswith("hand") for seen in given for point in seen.points)
    given.clear()
    tracked = model.track(np.zeros_like(frames[-1].image), frames[-1].t + 0.04)
    assert tracked.filled == set(tracked.ids) != set()
    assert given == [[] for _ in tracked.ids]


def test_an_open_backend_keeps_its_number_of_threads(bundle: Path) -> None:
    with Execution(threads=1).open() as backend, HolisticPeople(bundle, backend, quality="fast") as opened:
        assert opened._beside._pool is None
