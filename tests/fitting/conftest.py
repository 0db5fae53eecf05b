from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from humanrt import native
from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle
from humanrt.bundle.settings import LandmarksSettings
from humanrt.people.fitted_body import FittedBody
from shipped import shipped

sys.path.insert(0, str(Path(__file__).parent))

from fitting_cases import Floats, Posed


@pytest.fixture(params=["native", "numpy"])
def kernel(request: pytest.FixtureRequest) -> str:
    if request.param == "native" and (problem := native.problem()):
        pytest.skip(problem)
    return str(request.param)


@pytest.fixture(scope="session")
def posed() -> Iterator[Posed]:
    """The body of the bundle `landmarks`: rotations, shape -> vertices, joints."""
    bundle = load_bundle(shipped("landmarks"), task="people")
    graph = open_backend("cpu", BackendOptions(threads=1)).open(bundle.graph("body"))

    def pose(rotations: Floats, shape: Floats) -> tuple[Floats, Floats]:
        feeds = {
            "rotations": np.asarray(rotations, np.float32)[None, None],
            "shape": np.asarray(shape, np.float32)[None, None],
            "translation": np.zeros((1, 1, 3), np.float32),
        }
        out = graph.run(feeds)
        return np.asarray(out["vertices"][0, 0]), np.asarray(out["joints"][0, 0])

    yield pose
    graph.close()


@pytest.fixture(scope="session")
def body(posed: Posed) -> FittedBody:
    settings = LandmarksSettings.of(load_bundle(shipped("landmarks"), task="people"))
    return FittedBody(posed, settings.body)


@pytest.fixture(scope="session")
def body_with_fingers(posed: Posed) -> FittedBody:
    settings = LandmarksSettings.of(load_bundle(shipped("landmarks"), task="people"))
    return FittedBody(posed, settings.body, fingers=True)
