"""Scene cuts are found, and what happens within a scene is none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.data import CLIP, PEOPLE_CLIP
from humanrt.perception.cuts import CutDetector
from humanrt.sources.opening import open_source

Image = NDArray[np.uint8]


def scene(seed: int, width: int = 960, height: int = 240) -> Image:
    """A picture with structure at all sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, 1, (height // size, width // size, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        for size in (8, 24, 60)
    ]
    total = sum(layers)
    return np.clip(120 + 45 * total, 0, 255).astype(np.uint8)


def view(image: Image, x: int = 0) -> Image:
    return image[:, x : x + 320]


def found(images: list[Image]) -> list[int]:
    cuts = CutDetector()
    return [k for k, image in enumerate(images) if cuts(image)]


A, B, C = (scene(seed) for seed in (1, 2, 3))


def test_a_cut_is_found_when_it_comes() -> None:
    assert found([view(A)] * 4 + [view(B)] * 4) == [4]
    assert found([view(A)] + [view(B)] * 2 + [view(C)] * 2) == [1, 3]  # two in quick succession
    assert found([view(A) // 6] * 4 + [view(B) // 6] * 4) == [4]  # in the dark


def test_another_size_is_another_scene() -> None:
    assert found([view(A), cv2.resize(view(A), (160, 120))]) == [1]


@pytest.mark.parametrize("length", [8, 16, 24])
def test_a_dissolve_is_one_cut(length: int) -> None:
    mixed = [cv2.addWeighted(view(A), 1 - k / length, view(B), k / length, 0) for k in range(length + 1)]
    (at,) = found([view(A)] * 10 + mixed + [view(B)] * 20)
    assert 10 < at <= 10 + length


def test_black_is_the_end_of_a_scene_and_a_glitch_is_not() -> None:
    black, grey = np.zeros_like(view(A)), np.full_like(view(A), 90)
    assert found([view(A)] * 4 + [black] * 3 + [view(B)] * 3) == [7]
    assert found([view(A)] * 4 + [black] * 3 + [view(A)] * 3) == []
    assert found([view(A)] * 4 + [grey] * 9 + [view(A)] * 3) == []
    assert found([view(A)] * 4 + [black] * 30) == [9]
    assert found([view(A)] * 4 + [black] * 8 + [view(A)] * 3)
    assert found([np.minimum(view(A), 8)] * 30) == []  # a film in the dark is one scene


@pytest.mark.parametrize("step", [4, 16, 40])
def test_a_pan_is_no_cut(step: int) -> None:
    assert found([view(A, x) for x in range(0, 640, step)]) == []


def test_light_and_exposure_are_no_cuts() -> None:
    image = view(A).astype(np.float32)

    def lit(gain: float) -> Image:
        return np.clip(image * gain, 0, 255).astype(np.uint8)

    assert found([lit(1)] * 3 + [lit(0.3)] * 3 + [lit(1.6)] * 3) == []
    for gain in (2.5, 8, 100):
        assert found([lit(1)] * 3 + [lit(gain)] * 2 + [lit(1)] * 3) == [], gain


def test_a_cut_to_a_white_picture_is_found_late() -> None:
    paper = np.full_like(view(A), 255)
    cv2.rectangle(paper, (120, 60), (200, 200), (30, 60, 90), -1)
    (at,) = found([view(A)] * 3 + [paper] * 9)
    assert 3 <= at <= 7


def test_whatever_moves_before_a_still_background_is_no_cut() -> None:
    black = np.zeros((240, 320, 3), np.uint8)
    images = []
    for k in range(12):
        images.append(black.copy())
        cv2.circle(images[-1], (30 + 24 * k, 120), 20, (220, 190, 160), -1)
    assert found(images) == []


@pytest.mark.parametrize("clip", [CLIP, PEOPLE_CLIP])
def test_no_cut_in_what_ships(clip: Path) -> None:
    with open_source(clip) as source:
        assert found([frame.image for frame in source]) == []
