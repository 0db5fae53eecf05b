"""Calls that people write without reading: they work, or one line says what is meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from humanrt import (
    HandPipeline,
    HandSmoother,
    HandTracker,
    MultiHMR,
    OneEuro,
    PeoplePipeline,
    PeopleTracker,
    PoseBERTStream,
    Retargeter,
    open_source,
)
from humanrt.cli import main
from humanrt.data import CLIP, PEOPLE_CLIP
from humanrt.errors import HumanrtError, SourceError
from humanrt.people.body_tracker import BodyTracker, BodyTrackerOptions
from humanrt.sources.image import as_image
from humanrt.sources.opening import Frame


def first_picture(clip: Path, path: Path) -> Path:
    video = cv2.VideoCapture(str(clip))
    for _ in range(20):
        picture = video.read()[1]
    assert cv2.imwrite(str(path), picture)
    return path


def test_the_name_of_an_image_is_an_image(tmp_path: Path) -> None:
    path = first_picture(CLIP, tmp_path / "hand.png")
    rgb = cv2.imread(str(path))[..., ::-1]
    for name in (path, str(path)):
        np.testing.assert_array_equal(as_image(name), rgb)
    with HandTracker() as tracker:
        by_name = tracker(str(path))
        tracker.reset()
        by_array = tracker(rgb)
    assert len(by_name) == 1
    np.testing.assert_array_equal(by_name[0].keypoints_2d, by_array[0].keypoints_2d)


def test_what_is_no_image_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the name of an image file"):
        as_image(str(CLIP))
    with pytest.raises(SourceError, match=r"none\.png"):
        as_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        as_image(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        as_image([1.0, 2.0])


def test_people_without_arguments_and_by_name(tmp_path: Path) -> None:
    path = first_picture(PEOPLE_CLIP, tmp_path / "people.png")
    with MultiHMR(meshes=False) as model:
        assert model.bundle.name == "multihmr-anny"
        assert len(model(path)) == len(model(as_image(path))) > 0


def test_a_pipeline_without_arguments_and_one_robot(tmp_path: Path) -> None:
    rgb = as_image(first_picture(CLIP, tmp_path / "hand.png"))
    with HandPipeline() as pipeline:
        assert len(pipeline(Frame(rgb, 0.0, 0)).hands) == 1
        with pytest.raises(TypeError, match=r"takes frames from `open_source`, or Frame\(image, t, index\)"):
            pipeline(rgb)  # type: ignore[arg-type]
    with HandPipeline(robots="allegro_right") as pipeline:
        assert list(pipeline.robots) == ["allegro_right"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: OneEuro(5), "options must be OneEuroOptions, not 5"),
        (lambda: HandSmoother({"beta": 1}), "options must be OneEuroOptions"),
        (lambda: HandTracker(options=3), "options must be TrackerOptions"),
        (lambda: BodyTracker(options={"max_people": 2}), "options must be BodyTrackerOptions"),
        (lambda: PeopleTracker([]), "options must be PeopleTrackerOptions"),
        (lambda: Retargeter("leap_right", 5), "options must be RetargetOptions"),
        (lambda: Retargeter(None), "robot must be the name"),
        (lambda: Retargeter("leap_right", joint_order=5), "joint_order must be a list"),
        (lambda: Retargeter("leap_right").solve("x"), "keypoints must be an array of numbers"),
        (lambda: Retargeter("leap_right").solve([[1, 2], [3]]), "keypoints must be an array of numbers"),
        (lambda: OneEuro()(None, 0.0), "keypoints must be an array of numbers"),
        (lambda: OneEuro()(np.zeros((21, 3)), 0.0, "m"), "unit must be a length"),
        (lambda: HandSmoother()([], 0.0), "hands must be what a HandTracker returns"),
        (lambda: HandPipeline("hands"), "tracker must be a HandTracker"),
        (lambda: HandPipeline(robots=5), "robots must be names"),
        (lambda: PeoplePipeline("multihmr-anny"), "model must be a MultiHMR"),
        (lambda: PoseBERTStream(5), "model must be a PoseBERT"),
        (lambda: PoseBERTStream(fill="x"), "fill must be a number of seconds"),
        (lambda: PoseBERTStream().update(0.0, []), "observations must be a mapping"),
        (lambda: PoseBERTStream().update(0.0, {1: np.zeros((21, 3))}), "the observation of 1 must be Observation"),
        (lambda: MultiHMR(threads="2"), "threads must be a whole number from 0"),
        (lambda: MultiHMR(threads=2.5), "threads must be a whole number from 0"),
        (lambda: MultiHMR(fov="wide"), "field of view must be a number of degrees"),
        (lambda: MultiHMR()(np.zeros((8, 8, 3), np.uint8), threshold="0.3"), "threshold must be a number from 0 to 1"),
        (lambda: PeopleTracker()(None, 0.0), "people must be what a model"),
        (lambda: BodyTrackerOptions(confirm="x"), "confirm (s) must be a number"),
        (lambda: open_source(None), "source must be a camera's index"),
        (lambda: open_source(""), "the source is empty"),
        (lambda: open_source(".", fps=-1), "fps must be a number above 0"),
    ],
)
def test_an_argument_of_another_kind_is_named(call: Callable[[], object], said: str) -> None:
    with pytest.raises(HumanrtError, match=f"^{re.escape(said)}") as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("image", "remedy"),
    [
        (np.zeros((4, 5), np.uint8), "GRAY2RGB"),
        (np.zeros((4, 5, 1), np.uint8), "GRAY2RGB"),
        (np.zeros((4, 5, 4), np.uint8), r"image\[\.\.\., :3\]"),
        (np.zeros((3, 4, 5), np.uint8), "transpose"),
        (np.zeros((4, 5, 3), np.float32), r"\* 255"),
    ],
)
def test_an_image_of_another_kind_can_be_made_one(image: np.ndarray, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        as_image(image)


def test_a_pipeline_of_people_takes_frames() -> None:
    with MultiHMR(meshes=False) as model, pytest.raises(TypeError, match="a pipeline takes frames"):
        PeoplePipeline(model)(np.zeros((8, 8, 3), np.uint8))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--meshes", ""], "the name is empty"),
        (["--mesh-format", "obj"], "--mesh-format needs --meshes"),
        (["--panels", "side"], "--panels: no picture"),
        (["--fps", "30"], "a frame rate can be requested from cameras and folders only"),
    ],
)
def test_run_says_what_would_do_nothing(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = first_picture(PEOPLE_CLIP, tmp_path / "people.png")
    assert main(["run", str(path), "--task", "people", "--headless", *options]) == 2
    assert said in capsys.readouterr().err
