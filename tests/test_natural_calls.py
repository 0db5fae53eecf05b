"""Calls that people write without reading: they work, or one line says what is meant."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from humanrt import HandPipeline, HandTracker, MultiHMR
from humanrt.commands.demo import CLIP, PEOPLE_CLIP
from humanrt.errors import SourceError
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
        with pytest.raises(TypeError, match=r"takes frames: of `open_source`, or Frame\(image, t, index\)"):
            pipeline(rgb)  # type: ignore[arg-type]
    with HandPipeline(robots="allegro_right") as pipeline:
        assert list(pipeline.robots) == ["allegro_right"]
