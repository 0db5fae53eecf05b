"""The published models' numbers through the lean runtime: checkpoint -> bundle -> MultiHMR on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from humanrt import MultiHMR, People
from humanrt.rotation import matrices_from_vectors


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
    whole = model._body._one
    model._body._one = None
    try:
        again = model.infer(case.image, case.expected["K"], threshold=second)
    finally:
        model._body._one = whole
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
