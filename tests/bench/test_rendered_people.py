"""The measure of people on rendered films, held to answers whose errors are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from humanrt.data import PEOPLE_TRUTH
from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.people.metrics import Bodies
from humanrt.people.truth import PeopleTruth
from people_rendered import FILMS, Scene, Tally, hand_sizes, measure, report


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Return ten frames of the demo's film, taken with a lens that makes hands large."""
    truth = PeopleTruth.load(PEOPLE_TRUTH)
    zoom = np.diag([4.0, 4.0, 1.0])
    size = (4 * truth.size[0], 4 * truth.size[1])
    joints, visible = truth.joints[:10], np.asarray(truth.visible[:10])
    return Scene("demo", list, zoom @ truth.intrinsics, size, truth.joint_names, joints, visible)


def answer(scene: Scene, joints: np.ndarray) -> list[Bodies]:
    return [Bodies(some, project(some[:, scene.head], scene.intrinsics)) for some in joints]


def tallied(scene: Scene, people: list[Bodies]) -> tuple[dict[str, float], list[set[int]]]:
    tally = Tally(scene.joint_names)
    seen = measure(scene, people, tally)
    return tally.summary(), seen


def test_the_truth_has_no_error(scene: Scene) -> None:
    row, seen = tallied(scene, answer(scene, scene.joints))
    assert (row["recall"], row["false"], row["people"]) == (1, 0, 30)
    assert row["hands"] > 30
    for column in ("camera", "root", "similarity", "fingers"):
        assert row[column] == pytest.approx(0, abs=1e-6)
    assert row["acceleration"] == pytest.approx(row["own"])
    assert row["own"] > 0
    assert all(some == {0, 1, 2} for some in seen)


def test_a_known_offset_is_that_number_in_camera_space_alone(scene: Scene) -> None:
    row, _ = tallied(scene, answer(scene, scene.joints + np.array((0.0, 0.03, 0.04))))
    assert row["camera"] == pytest.approx(50)
    for column in ("root", "similarity", "fingers"):
        assert row[column] == pytest.approx(0, abs=1e-6)


def test_size_counts_about_the_pelvis_and_not_after_similarity(scene: Scene) -> None:
    root = scene.joints[:, :, :1]
    row, _ = tallied(scene, answer(scene, root + 1.1 * (scene.joints - root)))
    assert row["root"] > 20
    assert row["similarity"] == pytest.approx(0, abs=1e-6)


def test_a_person_who_stands_still_has_no_acceleration(scene: Scene) -> None:
    still = np.broadcast_to(scene.joints[:1], scene.joints.shape)
    row, _ = tallied(replace(scene, joints=still), answer(scene, still))
    assert row["acceleration"] == pytest.approx(0, abs=1e-9)


def test_a_bent_finger_is_its_angle(scene: Scene) -> None:
    joints = np.array(scene.joints)
    places = [scene.joint_names.index(f"finger2-{end}.L") for end in ("2", "3", "tip")]
    # A turn of the outer segments about an axis orthogonal to the finger's plane changes the flexion of its PIP joint.
    before = joints[:, :, places[0]] - joints[:, :, scene.joint_names.index("finger2-1.L")]
    after = joints[:, :, places[1]] - joints[:, :, places[0]]
    axis = np.cross(before, after)
    turn = matrices_from_vectors(np.radians(20) * axis / np.linalg.norm(axis, axis=-1, keepdims=True))
    for place in places[1:]:
        joints[:, :, place] = (
            joints[:, :, places[0]] + (turn @ (joints[:, :, place] - joints[:, :, places[0]])[..., None])[..., 0]
        )
    tally = Tally(scene.joint_names)
    measure(scene, answer(scene, joints), tally)
    off = np.degrees(np.array(tally.fingers))
    bent = off.max(axis=1) > 1
    assert 0 < np.count_nonzero(bent) < len(off)
    assert off[bent][:, 4] == pytest.approx(20, abs=1e-6)
    assert np.delete(off, 4, axis=1) == pytest.approx(0, abs=1e-6)


def test_who_is_nobody_is_false_and_who_is_missing_is_missed(scene: Scene) -> None:
    moved = scene.joints[:, :1] + np.array((3.0, 0.0, 9.0))
    row, seen = tallied(scene, answer(scene, np.concatenate([scene.joints[:, :2], moved], axis=1)))
    assert row["recall"] == pytest.approx(2 / 3)
    assert row["false"] == 1
    assert all(some == {0, 1} for some in seen)


def test_only_people_whom_others_find_too_are_measured(scene: Scene) -> None:
    joints = np.array(scene.joints)
    joints[:, 2] += 0.05
    tally = Tally(scene.joint_names)
    measure(scene, answer(scene, joints), tally, [{0, 1}] * len(joints))
    assert tally.summary()["people"] == 20
    assert tally.summary()["camera"] == pytest.approx(0, abs=1e-6)


def test_hands_that_are_not_wholly_in_view_have_no_size(scene: Scene) -> None:
    sizes = hand_sizes(scene.joints[0, 0], scene)
    assert (sizes > 0).all()
    assert (hand_sizes(scene.joints[0, 0] + np.array((0.0, 0.0, -9.0)), scene) == 0).all()


def test_films_differ_and_the_table_has_every_column() -> None:
    assert len({film.seed for film in FILMS}) == len({film.name for film in FILMS}) == len(FILMS)
    text = report({"x": {"people": 1.0, "recall": 0.5}})
    assert len({line.count("|") for line in text.splitlines()}) == 1
