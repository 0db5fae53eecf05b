"""At the camera's pace: a result for every frame at once, predicted from the newest frame that was looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest

from command_line import refused
from humanrt import MultiHMR, PeoplePipeline, PoseCoach
from humanrt.cli import main
from humanrt.coach.live_coach import CoachPipeline
from humanrt.coach.poses import PoseTrack
from humanrt.coach.trainer import Trainer
from humanrt.errors import HumanrtError
from humanrt.outputs.record import read_recording
from humanrt.people.smoother import OneEuroPeople, PeopleSmootherOptions
from humanrt.perception.pipeline import SideBySide
from humanrt.sources.opening import Frame

RATE = 30.0


class _Slow(MultiHMR):
    """A network that is done when it is told, as if it needed five frames."""

    waits = 5

    def submit(self, rgb: Any, *arguments: Any, **options: Any) -> None:
        if gate := self.gate:
            assert gate.wait(20)
            gate.clear()
        super().submit(rgb, *arguments, **options)

    gate: Event | None = None


def frames(picture: Callable[..., Any], count: int, size: int = 320, cut: int | None = None) -> list[Frame]:
    """A red person who walks to the right at 5 px a frame."""
    made = []
    for i in range(count):
        image = picture(size, 240, red=(40 + 5 * i, 100))
        made.append(Frame(image, i / RATE, i, cut=i == cut))
    return made


def paced(pipeline: PeoplePipeline, model: _Slow, given: Sequence[Frame], ahead: float = 0.0) -> list[Any]:
    """Results of frames, of which the network has done every fifth by the time that the fifth after it arrives."""
    model.gate = gate = Event()

    def camera() -> Iterator[Frame]:
        for frame in given:
            if frame.index % model.waits == 0:
                gate.set()
                if frame.index:
                    while gate.is_set() or not done():  # the network has taken it, and is done
                        pass
            yield frame
        model.gate = None  # what the network still looks at when the camera ends is not waited for
        gate.set()

    from humanrt.inference import newest

    waiting: list[Any] = []
    offer = newest.Newest.offer

    def offered(self: Any, one: Any) -> None:
        offer(self, one)
        waiting[:] = [self._pending[1]]

    def done() -> bool:
        return bool(waiting[0].done())

    try:
        newest.Newest.offer = offered  # type: ignore[method-assign]
        return list(pipeline.at_camera_pace(camera(), ahead))
    finally:
        newest.Newest.offer = offer  # type: ignore[method-assign]
        gate.set()


def test_every_frame_has_a_result_of_its_own_time(toy_bundle: Callable[..., Path], picture: Callable[..., Any]) -> None:
    given = frames(picture, 46)
    smoother = OneEuroPeople(PeopleSmootherOptions(coast_seconds=0.5))  # a walk that does not stop
    with _Slow(toy_bundle()) as model, PeoplePipeline(model, smoother=smoother, predict=0.0) as pipeline:
        results = paced(pipeline, model, given)
    assert [result.frame.index for result in results] == list(range(46))
    assert {result.ids for result in results} == {(1,)}
    ages = np.array([result.age for result in results])
    assert ages[0] == 0
    assert 0.1 < ages[10:].max() < 0.4
    assert "age" in results[-1].record()
    true = np.array([40.0 + 5 * frame.index for frame in given])
    at = np.array([result.people.locations[0, 0] for result in results])
    held = np.array([40.0 + 5 * (frame.index - round(a * RATE)) for frame, a in zip(given, ages, strict=True)])
    late = slice(25, None)
    assert np.abs(at - true)[late].mean() < 0.6 * np.abs(held - true)[late].mean()
    vertices = results[-1].people.vertices
    np.testing.assert_allclose(vertices[:, 0], results[-1].people.translations, atol=1e-5)
    assert list(results[-1].ms) == ["track", "smooth", "body", "total"]
    jumps = np.abs(np.diff(at[25:], 2)).max()
    assert jumps < np.abs(np.diff(held[25:], 2)).max() / 2


def test_further_ahead_is_further_on(toy_bundle: Callable[..., Path], picture: Callable[..., Any]) -> None:
    at = {}
    for ahead in (0.0, 0.1):
        with _Slow(toy_bundle()) as model, PeoplePipeline(model, smoother=OneEuroPeople(), predict=ahead) as pipeline:
            results = paced(pipeline, model, frames(picture, 31), ahead)
            at[ahead] = results[-1].people.locations[0, 0]
            assert results[-1].age >= ahead
    assert at[0.1] > at[0.0] + 0.5


def test_a_new_scene_begins_with_nobody(toy_bundle: Callable[..., Path], picture: Callable[..., Any]) -> None:
    given = frames(picture, 31, cut=18)
    with _Slow(toy_bundle()) as model, PeoplePipeline(model, smoother=OneEuroPeople(), predict=0.0) as pipeline:
        results = paced(pipeline, model, given)
    ids = [result.ids for result in results]
    assert ids[:18] == [(1,)] * 18
    assert ids[18] == ()
    assert results[18].age is None
    assert 1 not in {id for some in ids[18:] for id in some}
    assert ids[-1]
    assert 1 in {id for result in results[18:] for id in result.lost}


def test_the_command_plays_a_file_like_a_camera(
    tmp_path: Path, toy_bundle: Callable[..., Path], picture: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "frames"
    source.mkdir()
    for frame in frames(picture, 15):
        cv2.imwrite(str(source / f"{frame.index:02}.png"), frame.image[..., ::-1])
    record = tmp_path / "a.jsonl"
    command = ["run", source, "--task", "people", "--headless", "--frames", "--bundle", toy_bundle()]
    command += ["--predict", "0.05"]
    assert main([*map(str, command), "--realtime", "--backend", "cpu", "--record", str(record)]) == 0
    lines = list(read_recording(record))
    assert len(lines) > 5
    assert all(line["age"] >= 0.05 for line in lines)
    capsys.readouterr()
    assert "is no camera" in refused(capsys, *command)
    assert "only smoothed people" in refused(capsys, *command, "--realtime", "--smooth", "none")
    assert "predict (s) must be a number" in refused(capsys, *command[:-1], "7", "--realtime")


def test_it_is_refused_where_it_does_not_apply(
    gpu: Any, toy_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        gpu("tensorrt") as backend,
        MultiHMR(toy_bundle(), backend) as model,
        pytest.raises(HumanrtError, match="--predict: not on backend tensorrt"),
    ):
        PeoplePipeline(model, smoother=OneEuroPeople(), predict=0.0)
    command = ("run", "0", "--task", "people", "--headless", "--predict", "0")
    assert "not on backend tensorrt" in refused(capsys, *command, "--bundle", "landmarks", "--backend", "tensorrt")
    after = ("--bundle", "landmarks", "--backend", "cpu", "--smooth-after", "none")
    assert "only smoothed people are predicted; leave --smooth-after none out" in refused(capsys, *command, *after)
    assert "has --smooth in its place" in refused(
        capsys, *command, "--bundle", str(toy_bundle()), "--smooth-after", "oneeuro"
    )


def test_pipelines_around_it_that_look_at_every_frame_refuse_it(toy_bundle: Callable[..., Path]) -> None:
    with _Slow(toy_bundle()) as model, PeoplePipeline(model, smoother=OneEuroPeople(), predict=0.0) as pipeline:
        with pytest.raises(HumanrtError, match="predict: SideBySide looks at every frame"):
            SideBySide([pipeline])
        trainer = Trainer(PoseCoach(), PoseTrack(np.zeros((1, 22, 3, 3)) + np.eye(3), np.zeros(1)))
        with pytest.raises(HumanrtError, match="predict: CoachPipeline looks at every frame"):
            CoachPipeline(pipeline, trainer, "goal.npz")


def test_a_time_that_goes_back_is_a_new_scene(
    toy_bundle: Callable[..., Path], picture: Callable[..., Any], every_look: Callable[..., None]
) -> None:
    every_look()
    times = (5.0, 5.03, 1.0, 1.03, 1.06)
    given = [replace(frame, t=t) for frame, t in zip(frames(picture, 5), times, strict=True)]
    with _Slow(toy_bundle()) as model, PeoplePipeline(model, smoother=OneEuroPeople(), predict=0.0) as pipeline:
        results = list(pipeline.stream(given))
    assert [result.ids for result in results] == [(1,), (1,), (), (2,), (2,)]
    assert [id for result in results for id in result.lost] == [1]


def test_who_is_no_longer_predicted_is_not_blended_on_at_the_same_instant(
    toy_bundle: Callable[..., Path], picture: Callable[..., Any], every_look: Callable[..., None]
) -> None:
    every_look()
    given = frames(picture, 3)
    black = np.zeros_like(given[0].image)
    given += [Frame(black, given[-1].t, 3 + i) for i in range(3)]
    smoother = OneEuroPeople(PeopleSmootherOptions(fill_seconds=0.0))
    with _Slow(toy_bundle()) as model, PeoplePipeline(model, smoother=smoother, predict=0.0) as pipeline:
        results = list(pipeline.stream(given))
    assert [result.ids for result in results] == [(1,)] * 4 + [()] * 2
