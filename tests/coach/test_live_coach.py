"""The coach in the live loop, on people whose pose is known."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from postures import posture

from command_line import refused
from humanrt import PoseCoach
from humanrt.cli import main
from humanrt.coach.announce import Announcer, Speaker
from humanrt.coach.live_coach import CoachPainter, CoachPipeline, CoachResult
from humanrt.coach.poses import PoseTrack
from humanrt.coach.repetitions import Repetition
from humanrt.coach.trainer import Trainer
from humanrt.commands.coach import _whom
from humanrt.data import PEOPLE_CLIP
from humanrt.errors import MissingDependencyError
from humanrt.geometry.anny import ANNY_BONES, anny_from_smpl
from humanrt.outputs.record import Recorder, read_recording
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.perception.pipeline import Pipeline
from humanrt.sources.opening import Frame, open_source

GOAL = posture(left_knee=(60, 0, 0))
JOINTS = ("upperleg01.L", "lowerleg01.L", "foot.L")


class Somebody(Pipeline[PeopleResult]):
    """People of given identities, depths and poses, by time."""

    task = target = "people"

    def __init__(
        self, people: Callable[[float], dict[int, tuple[float, np.ndarray]]], unconfirmed: Container[int] = ()
    ) -> None:
        self._people, self._unconfirmed = people, unconfirmed

    def __call__(self, frame: Frame) -> PeopleResult:
        people = self._people(frame.t)
        count = len(people)
        rotations = [anny_from_smpl(pose) for _, pose in people.values()]
        floats = np.float32
        found = People(
            np.ones(count, floats),
            np.zeros((count, 2), floats),
            np.array([(0, 0, z) for z, _ in people.values()], floats).reshape(count, 3),
            np.array(rotations, floats).reshape(count, len(ANNY_BONES), 3, 3),
            np.zeros((count, 0), floats),
            np.zeros((count, 0), floats),
            np.eye(3),
            joints=np.ones((count, 3, 3), floats),
            joints_2d=np.tile(np.array([(60, 40), (60, 80), (60, 110)], floats), (count, 1, 1)),
            unconfirmed=np.array([identity in self._unconfirmed for identity in people], bool),
        )
        return PeopleResult(frame, found, tuple(people), (), {"network": 1.0, "total": 1.0})

    def reset(self) -> None: ...

    def about(self) -> dict[str, Any]:
        return {"robots": {}, "bones": list(ANNY_BONES)}


def frames(seconds: float, rate: float = 10.0) -> list[Frame]:
    image = np.zeros((120, 160, 3), np.uint8)
    return [Frame(image, index / rate, index) for index in range(round(seconds * rate))]


def coached(
    people: Callable[[float], dict[int, tuple[float, np.ndarray]]], unconfirmed: Container[int] = ()
) -> CoachPipeline:
    return CoachPipeline(
        Somebody(people, unconfirmed), Trainer(PoseCoach(), PoseTrack(GOAL[None], np.zeros(1))), "goal.npz"
    )


def test_results_hold_people_and_advice() -> None:
    pipeline = coached(lambda t: {3: (2.0, posture())})
    results = [pipeline(frame) for frame in frames(2)]
    record = results[-1].record()
    assert record["coach"]["trainee"] == 3
    assert record["coach"]["advice"] == ["Bend your left knee."]
    assert [one["id"] for one in record["people"]] == [3]
    assert list(record)[-1] == "ms"
    assert set(results[-1].ms) == {"network", "coach", "total"}
    assert results[-1].ids == (3,)
    assert pipeline.about()["reference"] == "goal.npz"
    assert pipeline.notes == ("the reference goal.npz is a pose",)


def test_the_nearest_person_is_coached_and_stays_the_one() -> None:
    pipeline = coached(lambda t: {1: (3.0, posture()), 2: (2.0 if t < 1 else 4.0, posture())})
    assert {pipeline(frame).trainee for frame in frames(2)} == {2}


@pytest.mark.parametrize("cut", [False, True])
def test_who_is_not_confirmed_is_coached_only_if_nobody_is(cut: bool) -> None:
    """Where an unconfirmed person stands is the single-shot network's guess."""
    frame = replace(frames(1)[0], cut=cut)
    people = {1: (3.0, posture()), 2: (2.0, posture()), 3: (2.5, posture())}
    assert coached(lambda t: people, {2})(frame).trainee == 3
    assert coached(lambda t: people, {1, 2, 3})(frame).trainee == 2


def test_nobody_is_no_trainee_and_who_comes_back_late_begins_anew() -> None:
    pipeline = coached(lambda t: {} if 2 <= t < 6 else {1 if t < 2 else 5: (2.0, posture())})
    results = [pipeline(frame) for frame in frames(8)]
    assert results[30].coaching is None
    assert "coach" not in results[30].record()
    assert results[-1].trainee == 5
    said = [words for one in results if one.coaching for words in one.coaching.said]
    assert said == ["Bend your left knee."] * 2


def test_the_wrong_limb_and_the_words_are_drawn() -> None:
    pipeline = coached(lambda t: {1: (2.0, posture())})
    result = [pipeline(frame) for frame in frames(2)][-1]
    painter = CoachPainter(lambda one, dropped=None: one.frame.image.copy(), JOINTS, PoseCoach().phrases)
    picture = painter(result)
    red = (picture[..., 0] > 200) & (picture[..., 1] < 120)
    assert red[60, 60]  # the thigh
    assert red[95, 60]  # the shank
    assert not red[:, 80:].any()
    assert picture.shape[0] > 120  # the caption is below the picture
    assert (picture[120:].max(axis=2) > 200).any()
    nobody = coached(lambda t: {})(frames(1)[0])
    assert painter(nobody).shape == picture.shape
    assert not picture[:20, -40:].any()
    assert result.coaching is not None
    counted = painter(replace(result, coaching=replace(result.coaching, phase=0.5, count=3)))
    assert counted[:20, -40:].any()


def test_only_what_is_new_is_announced() -> None:
    pipeline = coached(lambda t: {1: (2.0, posture(left_knee=(0 if t < 3 else 60, 0, 0)))})
    lines: list[str] = []
    announcer = Announcer(lines.append)
    for frame in frames(6):
        announcer.put(pipeline(frame), None)
    told = [json.loads(line) for line in lines]
    assert [one["said"] for one in told] == [["Bend your left knee."], ["Good.", "Your pose matches."]]
    assert told[0]["differences"][0]["part"] == "knee"
    assert told[0]["differences"][0]["degrees"] == pytest.approx(60, abs=1)
    assert told[-1]["matches"] is True


def test_a_repetition_is_announced_with_its_numbers() -> None:
    pipeline = coached(lambda t: {1: (2.0, posture())})
    result = pipeline(frames(0.1)[0])
    assert result.coaching is not None
    done = Repetition(3, True, 1.2345, 0.98765, float("nan"), 97.0)
    lines: list[str] = []
    Announcer(lines.append).put(replace(result, coaching=replace(result.coaching, repetition=done)), None)
    (line,) = lines
    told = json.loads(line)["repetition"]
    assert told == {"count": 3, "counts": True, "seconds": 1.23, "depth": 0.99, "error": None, "score": 97.0}
    assert told["counts"] is True  # not 1


def test_words_are_spoken_by_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = tmp_path / "heard.txt"
    program = tmp_path / "voice"
    program.write_text(f'#!/bin/sh\necho "$@" >> {heard}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    pipeline = coached(lambda t: {1: (2.0, posture())})
    with Speaker("en", "voice") as speaker:
        for frame in frames(2):
            speaker.put(pipeline(frame), None)
    assert heard.read_text() == "-v en Bend your left knee.\n"


def test_speech_without_the_program_says_what_to_do() -> None:
    with pytest.raises(MissingDependencyError, match="--speak needs the program no-such-voice"):
        Speaker(program="no-such-voice")


def test_other_results_are_refused() -> None:
    (frame,) = frames(0.1)
    with pytest.raises(TypeError, match="takes a CoachResult"):
        Announcer(print).put(Somebody(lambda t: {})(frame), None)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "goal.npz", rotations=GOAL)
    command = ["coach", str(PEOPLE_CLIP), "--reference", str(tmp_path / "goal.npz"), "--headless", "--backend", "cpu"]
    files = ["--record", str(tmp_path / "out.jsonl"), "--video", str(tmp_path / "out.mp4")]
    assert main([*command, *files, "--bundle", "landmarks", "--max-frames", "25", "--numbers"]) == 0
    printed = capsys.readouterr()
    told = [json.loads(line) for line in printed.out.splitlines()]
    assert told
    assert "degrees." in told[0]["said"][0]
    assert "goal.npz is a pose" in printed.err
    recording = read_recording(tmp_path / "out.jsonl")
    assert recording.header["task"] == "coach"
    assert [line["coach"]["advice"] for line in recording][-1] == told[-1]["advice"]
    assert (tmp_path / "out.mp4").stat().st_size > 1000


def test_two_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_source(PEOPLE_CLIP) as source:
        frames = [frame.image for _, frame in zip(range(40), source, strict=False)]
    me, teacher = (str(tmp_path / name) for name in ("me.png", "teacher.png"))
    for path, image in ((me, frames[0]), (teacher, frames[-1])):
        cv2.imwrite(path, image[:, :, ::-1])
    for reference, matches in ((me, True), (teacher, False)):  # of three people, the nearest is meant in both
        command = ["coach", me, "--reference", reference, "--headless", "--backend", "cpu", "--bundle", "landmarks"]
        assert main([*command, "--tolerance", "5"]) == 0
        said = capsys.readouterr()
        assert "the reference is the nearest of 3 people in the picture" in said.err
        (told,) = [json.loads(line) for line in said.out.splitlines()]
        assert told["matches"] is matches
        assert told["said"]
        assert bool(told["advice"]) is not matches
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, image in (("1.png", frames[-1]), ("2.png", frames[0])):
        cv2.imwrite(str(folder / name), image[:, :, ::-1])
    command = ["coach", str(folder), "--reference", teacher, "--headless", "--backend", "cpu", "--bundle", "landmarks"]
    assert main([*command, "--tolerance", "5"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["frame"], one["matches"]) for one in told] == [(0, True), (1, False)]


def test_whom_a_reference_of_several_people_is_of_is_said() -> None:
    pose = posture()[None]
    assert "the reference is person 7, one of 3;" in _whom(PoseTrack(pose, np.zeros(1), 7, 3))
    assert "the nearest of 2 people" in _whom(PoseTrack(pose, np.zeros(1), among=2))


def test_photographs_are_looked_at_one_by_one() -> None:
    bent = posture(left_knee=(60, 0, 0), right_elbow=(0, 80, 0))
    shown = [posture(), GOAL, bent, posture()]
    pipeline = coached(lambda t: {7: (2.0, shown[round(t * 10)])})
    image = np.zeros((120, 160, 3), np.uint8)
    lines: list[str] = []
    announcer = Announcer(lines.append)
    painter = CoachPainter(lambda one, dropped=None: one.frame.image.copy(), JOINTS, PoseCoach().phrases)
    pictures = []
    for index in range(len(shown)):
        result = pipeline(Frame(image, index / 10, index, cut=True))
        announcer.put(result, None)
        pictures.append(painter(result))
    told = [json.loads(line) for line in lines]
    assert [one["frame"] for one in told] == [0, 1, 2, 3]
    assert [one["said"] for one in told] == [
        ["Bend your left knee."],
        ["Your pose matches."],
        ["Straighten your right elbow a lot."],
        ["Bend your left knee."],
    ]
    assert [one["matches"] for one in told] == [False, True, False, False]
    assert (pictures[0] == pictures[3]).all()  # nothing of the photographs between is left
    # Two sentences are said at once.
    far = coached(lambda t: {7: (2.0, posture(right_elbow=(0, 80, 0)))})
    assert len(far(Frame(image, 0.0, 0, cut=True)).coaching.guidance.sentences) == 2


def test_wrong_uses_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "goal.npz", rotations=GOAL)
    clip = str(PEOPLE_CLIP)
    assert "--reference" in refused(capsys, "coach", clip, "--headless")
    goal = ("coach", clip, "--headless", "--reference", tmp_path / "goal.npz")
    assert "give 1 to 90 degrees" in refused(capsys, *goal, "--tolerance", "nan")
    assert "none.npz: cannot be read" in refused(capsys, "coach", clip, "--headless", "--reference", "none.npz")
    with Recorder(tmp_path / "own.jsonl", {"humanrt": "0"}) as recorder:
        recorder.write({"frame": 0, "t": 0.0, "hands": [], "people": []})
    assert "is a video; record its people first" in refused(capsys, "coach", clip, "--headless", "--reference", clip)
    own = ("coach", clip, "--headless", "--reference", tmp_path / "own.jsonl")
    assert "no people in any frame" in refused(capsys, *own)
    assert "is the --reference" in refused(capsys, *own, "--record", tmp_path / "own.jsonl")


def test_a_result_is_shown_in_words() -> None:
    (frame,) = frames(0.1)
    result = coached(lambda t: {1: (2.0, posture())})(frame)
    assert isinstance(result, CoachResult)
    assert "person 1" in repr(result)
