"""The body of a bundle as a rig: shapes by stature, weights of landmarks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle
from humanrt.bundle.settings import LandmarksSettings
from humanrt.errors import HumanrtError
from humanrt.geometry.region import Region
from humanrt.people.fitted_body import FittedBody, seen_body
from humanrt.people.landmarks import BodyLandmarks
from shipped import shipped


@pytest.fixture(scope="module")
def body() -> FittedBody:
    bundle = load_bundle(shipped("landmarks"), task="people")
    graph = open_backend("cpu", BackendOptions(threads=1)).open(bundle.graph("body"))

    def pose(rotations: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        feeds = {"rotations": rotations, "shape": shape, "translation": np.zeros(3)}
        out = graph.run({name: np.asarray(value, np.float32)[None, None] for name, value in feeds.items()})
        return out["vertices"][0, 0], out["joints"][0, 0]

    return FittedBody(pose, LandmarksSettings.of(bundle).body)


def test_shapes_have_the_stature_that_was_asked_for(body: FittedBody) -> None:
    for stature in (1.0, 1.25, 1.7, 1.9):
        assert body.rest(body.phenotypes(stature))[1] == pytest.approx(stature, abs=0.02)
    known, assumed = body.shape(1.7), body.shape()
    assert (known.mean == assumed.mean).all()
    assert known.spread[4] < assumed.spread[4] / 3
    with pytest.raises(HumanrtError, match="stature is 4 m; give"):
        body.shape(4.0)


def test_what_is_guessed_beyond_the_picture_weighs_little() -> None:
    places = np.full((33, 2), 50, np.float32)
    places[5], places[6] = (-3, 50), (50, 100)
    ones = np.ones(33, np.float32)
    marks = BodyLandmarks(1.0, places, ones, np.zeros((33, 3), np.float32), ones, ones, Region(50, 50, 80))
    seen = seen_body(replace(marks, visibility=0.5 * ones), (100, 100))
    assert seen.weight[0] == pytest.approx(0.5)
    assert seen.weight[[5, 6]] == pytest.approx(0.025)
