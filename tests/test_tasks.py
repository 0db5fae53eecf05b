"""The list of tasks, and `humanrt.track`: results from Python in three lines, and one line for a mistake."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import humanrt
from humanrt import tasks
from humanrt.data import CLIP, PEOPLE_CLIP
from humanrt.errors import BundleError, ClosedError, HumanrtError
from humanrt.outputs.record import Recorder
from humanrt.people.holistic_pipeline import HolisticPipeline
from humanrt.people.landmark_pipeline import LandmarkPipeline
from humanrt.people.pipeline import PeoplePipeline
from humanrt.perception.pipeline import SideBySide
from humanrt.sources.opening import Frame


def test_hands_and_a_robot_in_three_lines() -> None:
    with humanrt.track(CLIP, robots="allegro_right", max_frames=30) as results:
        for result in results:
            angles = [robots["allegro_right"] for robots in result.robots.values()]
    assert result.frame.index == 29
    assert [len(q) for q in angles] == [16]
    assert len(results.header["robots"]["allegro_right"]) == 16
    assert next(iter(result.ms)) == "capture"


def test_it_ends_with_the_source_and_closes_itself() -> None:
    results = humanrt.track(CLIP, smooth="none", backend="cpu", max_frames=2, model="lite", threads=1)
    assert results.pipeline.smoother is None  # type: ignore[attr-defined]
    assert len(list(results)) == 2
    assert results.closed
    assert results.source.closed
    assert list(results) == []


def test_closed_before_its_end_it_says_so() -> None:
    with humanrt.track(CLIP) as results:
        next(results)
    with pytest.raises(ClosedError, match="call track again"):
        next(results)


def test_people_by_landmarks() -> None:
    with humanrt.track(PEOPLE_CLIP, "people", bundle="landmarks", meshes=False, max_frames=3) as results:
        *_, last = results
    assert last.people.vertices is None
    assert len(last.ids) >= 1
    assert repr(last).startswith("<PeopleResult of frame 2 at 0.0")
    assert "person 1 (" in repr(last)
    assert "no meshes" in repr(last.people)


def test_results_are_printed_in_a_line() -> None:
    with humanrt.track(CLIP, robots="allegro_right") as results:
        result = next(iter(islice(results, 20, None)))
    for thing in (result, result.hands[0], result.frame):
        assert len(repr(thing)) < 140
    assert "right hand 1 (" in repr(result)
    assert " moves allegro_right, " in repr(result)
    assert repr(results) == f"<Results of task hands on {CLIP}>"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"task": "faces"}, "unknown task `faces`; choose one of: hands, people"),
        ({"task": ["hands", "people"]}, "unknown task `['hands', 'people']`; choose one of: hands, people"),
        ({"source": np.zeros((48, 64, 3), np.uint8)}, "not an array [48, 64, 3]; HandTracker and MultiHMR take"),
        ({"source": None}, "not None; "),
        ({"source": True}, "not True; "),
        ({"robots": "no_hand"}, "no_hand"),
        ({"robots": 5}, "robots are names or files of robot hands, in a list, not 5"),
        ({"robots": [["allegro_right"]]}, "not [['allegro_right']]"),
        ({"smooth": False}, "unknown smoother `False`; choose one of: posebert, oneeuro, none"),
        ({"task": "people", "fov": "wide"}, "fov is 'wide'; give degrees, or `auto`"),
        (
            {"task": "people", "max_hands": 1},
            "task people has no option `max_hands`; its options: arm, collisions, ",
        ),
        ({"task": "people", "robots": "allegro_right", "bundle": "landmarks"}, "bundle `landmarks` does not use it"),
        ({"smoth": "none"}, "task hands has no option `smoth`; its options: "),
        ({"smooth": "kalman"}, "unknown smoother `kalman`; choose one of: posebert, oneeuro, none"),
        ({"max_frames": 0}, "max_frames is 0"),
        ({"max_frames": True}, "max_frames is True"),
        ({"backend": "tpu"}, "tpu"),
        ({"source": "nowhere.mp4"}, "nowhere.mp4"),
        ({"bundle": "nowhere"}, "no bundle `nowhere`"),
        ({"precision": "int3"}, "int3"),
        ({"task": "people", "bundle": "landmarks", "overlap": True}, "overlap"),
    ],
)
def test_a_mistake_is_one_line(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(HumanrtError) as caught:
        humanrt.track(**{"source": CLIP, **arguments})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_was_opened_is_closed_where_the_rest_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(tasks, "open_source", lambda *a, **o: opened.append(humanrt.open_source(*a, **o)) or opened[0])
    with pytest.raises(HumanrtError):
        humanrt.track(CLIP, robots="no_hand")
    assert opened[0].closed


def test_the_bundle_says_which_people_pipeline_it_needs() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    kinds = (("landmarks", LandmarkPipeline), ("multihmr-anny", PeoplePipeline), (None, HolisticPipeline))
    for bundle, kind in kinds:
        with tasks.open_people(bundle, "cpu", tasks.PeopleOptions(meshes=False)) as pipeline:
            assert type(pipeline) is kind
            assert len(pipeline(Frame(image, 0.0, 0)).people) == 0
        with pytest.raises(ClosedError):
            pipeline(Frame(image, 0.1, 1))


def test_a_model_that_nothing_is_known_of_is_refused() -> None:
    bundle = humanrt.load_bundle("landmarks")
    bundle.settings["model"] = "psychic"  # type: ignore[index]
    with pytest.raises(
        BundleError, match=r"`settings.model` is 'psychic'; models of people: holistic, landmarks, multihmr"
    ):
        tasks.open_people(bundle)


def test_a_new_kind_of_people_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(tasks.PEOPLE, "psychic", lambda bundle, *_, **__: bundle)  # type: ignore[arg-type]
    bundle = humanrt.load_bundle("landmarks")
    bundle.settings["model"] = "psychic"  # type: ignore[index]
    assert tasks.open_people(bundle) is bundle


def test_hands_and_people_side_by_side_in_one_recording(tmp_path: Path) -> None:
    hands = tasks.open_hands(backend="cpu", options=tasks.HandOptions("allegro_right"))
    people = tasks.open_people("landmarks", "cpu")
    with humanrt.open_source(PEOPLE_CLIP) as source, SideBySide([hands, people]) as both:
        summary = humanrt.play(source, both, [Recorder(tmp_path / "a.jsonl")], max_frames=2)
        result = both(next(source))
    assert summary.target == "a hand or people"
    assert summary.identities >= len(result.persons) >= 1
    recording = humanrt.read_recording(tmp_path / "a.jsonl")
    *_, line = recording
    assert recording.header["task"] == "hands+people"
    assert len(recording.header["robots"]["allegro_right"]) == 16
    assert recording.header["people"]["bundle"]["name"] == "landmarks"
    assert len(line["people"]) >= 1
    assert len(line["intrinsics"]) == 3
    assert line["ms"]["total"] == pytest.approx(sum(line["ms"].values()) - line["ms"]["capture"] - line["ms"]["total"])
    assert hands.closed
    assert people.closed


def test_everything_of_both_tasks_is_in_the_result() -> None:
    """On the hand clip: a hand and its robot beside the people, whoever is found there."""
    hands = tasks.open_hands(options=tasks.HandOptions("allegro_right", smooth="none"))
    with humanrt.open_source(CLIP) as source, SideBySide([hands, tasks.open_people("landmarks")]) as both:
        *_, result = (both(frame) for frame in islice(source, 20))
    (hand,) = result.hands
    assert (0, hand.id) in result.ids
    (record,) = result.hand_records()
    assert len(record["robot"]["allegro_right"]) == 16
    assert len(result.people_records()) == len(result.persons)


def test_each_person_has_an_identity_a_score_and_arrays() -> None:
    with humanrt.track(PEOPLE_CLIP, "people", bundle="landmarks", max_frames=3) as results:
        *_, result = results
    assert list(result.hands) == []
    for i, person in enumerate(result.persons):
        assert (person.id, person.filled) == (result.ids[i], result.ids[i] in result.filled)
        np.testing.assert_array_equal(person.vertices, result.people.vertices[i])
        np.testing.assert_array_equal(person.joints_2d, result.people.joints_2d[i])
        assert repr(person).startswith(f"Person(id={person.id}, score=")
        assert len(repr(person)) < 80
