"""The published models' numbers through the lean runtime: checkpoint -> bundle -> MultiHMR on the CPU."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from golden_people import GOLDEN, load_module
from humanrt import MultiHMR, People
from humanrt.geometry.camera import Letterbox
from humanrt.geometry.letterbox import pillow_resize
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.sources.opening import open_source


@pytest.fixture(scope="module")
def model(golden: Any) -> MultiHMR:
    return MultiHMR(golden.bundle, backend="cpu")


@pytest.fixture(scope="module")
def results(golden: Any, model: MultiHMR) -> list[People]:
    expected = golden.case.expected
    return model.infer(golden.case.image, expected["K"], threshold=float(expected["det_thresh"]))


def test_the_runtime_gives_the_published_numbers(golden: Any, results: list[People]) -> None:
    expected = golden.case.expected
    images = expected["image_index"]
    assert [len(people) for people in results] == np.bincount(images, minlength=len(results)).tolist()
    rotations = matrices_from_vectors(expected["rotvec"])
    for index, image in enumerate(images):
        people = results[image]
        row = int(np.linalg.norm(people.locations - expected["loc"][index], axis=1).argmin())
        np.testing.assert_allclose(people.locations[row], expected["loc"][index], atol=0.05)
        np.testing.assert_allclose(people.scores[row], expected["scores"][index], atol=1e-5)
        np.testing.assert_allclose(people.rotations[row], rotations[index], atol=1e-4)
        np.testing.assert_allclose(people.translations[row], expected["transl"][index], rtol=1e-4)
        np.testing.assert_allclose(people.shape[row], expected["shape"][index], atol=1e-4)
        np.testing.assert_allclose(people.expression[row], expected["expression"][index], atol=1e-4)
        np.testing.assert_allclose(people.vertices[row, ::16], expected["v3d"][index], atol=1e-4)
        np.testing.assert_allclose(people.joints[row], expected["j3d"][index], atol=1e-4)
        np.testing.assert_allclose(people.joints_2d[row], expected["j2d"][index], atol=0.05)
    for people in results:
        assert (np.diff(people.scores) <= 0).all()


def test_few_people_are_posed_as_all_are(golden: Any, model: MultiHMR, results: list[People]) -> None:
    """Two people go through the graph for one person, all of them through the one for all slots."""
    case = golden.case
    second = sorted((float(score) for people in results for score in people.scores), reverse=True)[1]
    few = model.infer(case.image, case.expected["K"], threshold=second)
    assert sum(map(len, few)) == 2
    whole = model._networks.body._one
    model._networks.body._one = None
    try:
        again = model.infer(case.image, case.expected["K"], threshold=second)
    finally:
        model._networks.body._one = whole
    for a, b in zip(few, again, strict=True):
        np.testing.assert_allclose(a.vertices, b.vertices, atol=1e-5)
        np.testing.assert_allclose(a.joints, b.joints, atol=1e-5)


def test_images_of_zeros_and_of_nan(golden: Any, model: MultiHMR) -> None:
    case = golden.case
    zeros = model.infer(np.zeros_like(case.image), case.expected["K"])
    for people in zeros:
        assert len(people) <= 16
        assert all(np.isfinite(value).all() for value in (people.scores, people.rotations, people.vertices))
    spoilt = case.image.copy()
    spoilt[0, 0, 3, 5] = np.nan
    limit = float(case.expected["det_thresh"])
    results = model.infer(spoilt, case.expected["K"], threshold=limit)
    assert len(results[0]) == 0
    for index, people in enumerate(results[1:], start=1):  # the other images of a batch are not touched
        assert len(people) == (case.expected["image_index"] == index).sum()


def test_a_photograph_through_the_model(golden: Any, model: MultiHMR) -> None:
    """Stand-in weights: whom it sees is nonsense, but all must hang together."""
    rgb = np.random.default_rng(1).integers(0, 256, (300, 500, 3), np.uint8)
    people = model(rgb, threshold=0.01)
    assert len(people) == 16  # more are present: the best
    assert (people.translations[:, 2] >= 0).all()
    head = model.joint_names.index("head")
    np.testing.assert_allclose(people.joints[:, head], people.translations, atol=1e-4)
    deep = people.translations[:, 2] > 0.1
    np.testing.assert_allclose(people.joints_2d[deep, head], people.locations[deep], atol=0.05)
    assert model.faces.max() < people.vertices.shape[1]
    assert golden.case.settings["img_size"] == model.image_size


def same_people(found: People, expected: People, box: Letterbox) -> None:
    """Everybody who is expected and nobody else, at most 1 mm off; ``expected`` is in pixels of the square."""
    assert len(found) == len(expected) > 2
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(box.points_to_input(found.locations), expected.locations, atol=0.05)
    np.testing.assert_allclose(found.translations, expected.translations, atol=1e-3)
    np.testing.assert_allclose(found.vertices, expected.vertices, atol=1e-3)


def test_a_file_gives_the_people_of_the_authors_own_input(make_golden: Any, tmp_path: Path) -> None:
    """The input that the authors' code made of a PNG is recorded by its sha256 (golden case `letterbox`)."""
    golden = make_golden("multihmr_448_s")
    letterbox = json.loads((GOLDEN / "letterbox.json").read_text())
    case = letterbox["cases"]["799x533_448"]
    source = letterbox["pictures"][case["picture"]]
    rgb = load_module(GOLDEN / "stand_in_picture.py").picture(source["width"], source["height"], source["seed"])
    cv2.imwrite(str(tmp_path / "picture.png"), rgb[..., ::-1])

    scaled = pillow_resize(rgb, tuple(case["scaled"]))
    levels = np.zeros((448, 448, 3), np.uint8)
    x, y = case["offset"]
    levels[y : y + len(scaled), x : x + scaled.shape[1]] = scaled
    assert hashlib.sha256(levels.tobytes()).hexdigest() == case["sha256"]
    mean, std = np.array(letterbox["mean"]), np.array(letterbox["std"])
    image = ((levels.astype(np.float32) / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)
    assert hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() == case["input_sha256"]

    with MultiHMR(golden.bundle) as model, open_source(str(tmp_path / "picture.png")) as frames:
        assert model.resize == "pillow-bicubic"
        box = Letterbox.fit((source["width"], source["height"]), 448)
        (expected,) = model.infer(np.ascontiguousarray(image[None]), threshold=0.02)
        (found,) = (model(frame.image, threshold=0.02) for frame in frames)
        same_people(found, expected, box)


@pytest.mark.skipif(find_spec("PIL") is None, reason="Pillow is not installed: the test above has a recorded input")
@pytest.mark.parametrize("size", [(501, 333), (180, 300), (120, 300)])
def test_a_jpeg_gives_the_people_that_pillows_input_gives(
    make_golden: Any, tmp_path: Path, size: tuple[int, int]
) -> None:
    """Decoding too: opened, scaled and centred by Pillow, as the authors' `open_image` does."""
    from PIL import Image, ImageOps

    file = tmp_path / "picture.jpg"
    coarse = np.random.RandomState(1).randint(0, 256, (size[1] // 12, size[0] // 12, 3)).astype(np.uint8)
    cv2.imwrite(str(file), cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))
    with MultiHMR(make_golden("multihmr_448_s").bundle) as model, open_source(str(file)) as frames:
        levels = np.asarray(ImageOps.pad(Image.open(file).convert("RGB"), (448, 448)), np.float32)
        mean, std = (np.array(model.bundle.setting("normalisation", key)) for key in ("mean", "std"))
        image = ((levels / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)
        (expected,) = model.infer(np.ascontiguousarray(image[None]), threshold=0.02)
        (found,) = (model(frame.image, threshold=0.02) for frame in frames)
        same_people(found, expected, Letterbox.fit(size, 448))
