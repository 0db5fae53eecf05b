"""Where and how networks run is said once, and every model takes it in both forms."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from humanrt import Execution, HandPoseSmoother, HandTracker, MultiHMR, PoseBERT, PoseBERTStream
from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.errors import BackendError
from humanrt.inference.execution import ExecutionOptions
from humanrt.inference.model import Model
from humanrt.people.body_tracker import BodyTracker
from humanrt.people.landmark_people import LandmarkPeople

MODELS = (HandTracker, BodyTracker, MultiHMR, LandmarkPeople, PoseBERT, PoseBERTStream)
OPENERS: dict[str, Callable[..., Model]] = {
    "hands": HandTracker,
    "bodies": BodyTracker,
    "multihmr": lambda **options: MultiHMR(meshes=False, **options),
    "landmarks": lambda **options: LandmarkPeople(poses=None, meshes=False, **options),
    "posebert": lambda **options: PoseBERT("posebert-hand", **options),
    "stream": PoseBERTStream,
    "smoother": lambda **options: HandPoseSmoother(**options).stream,
}


def test_keywords_are_the_fields_of_an_execution() -> None:
    beside_backend = [field.name for field in fields(Execution) if field.name != "backend"]
    assert list(get_type_hints(ExecutionOptions)) == beside_backend


@pytest.mark.parametrize("model", [*MODELS, HandPoseSmoother])
def test_no_constructor_declares_them_again(model: type[Any]) -> None:
    parameters = inspect.signature(model).parameters
    assert "backend" in parameters
    assert not parameters.keys() & set(get_type_hints(ExecutionOptions))


@pytest.mark.parametrize("name", OPENERS)
def test_an_execution_and_keywords_say_the_same(name: str) -> None:
    with (
        OPENERS[name](backend="cpu", threads=1, unverified=True) as keywords,
        OPENERS[name](backend=Execution(threads=2, unverified=True), threads=1) as given,
    ):
        for model in (keywords, given):
            assert (model.execution.threads, model.execution.unverified, model.precision) == (1, True, "fp32")
            assert model.execution.backend is model.backend
            assert model.backend.unverified
            assert model.backend.options.threads == 1  # type: ignore[attr-defined]
    for refused in ({"thread": 1}, {"task": "hands"}):
        with pytest.raises(TypeError, match=f"`{next(iter(refused))}`: .* one of precision, threads, unverified"):
            OPENERS[name](**refused)


def test_an_open_backend_stays_open_and_as_it_was_opened() -> None:
    with open_backend("cpu", BackendOptions(threads=1)) as backend:
        with HandTracker(backend=Execution(backend, threads=2)) as tracker:
            assert tracker.backend is backend
        assert not backend.closed
        with LandmarkPeople(poses=None, backend=backend) as people:
            assert people.tracker.backend is backend


def test_a_stream_runs_as_its_posebert_unless_told_otherwise() -> None:
    with PoseBERT("posebert-hand", threads=1) as model, PoseBERTStream(model) as same:
        assert same.execution == model.execution
        with PoseBERTStream(model, backend="cpu") as other:
            assert other.backend is not model.backend
            assert other.execution.threads == 1
        with PoseBERTStream(model, backend=Execution("cpu")) as other:
            assert other.execution.threads == 0


@pytest.mark.parametrize("backend", ["cuad", None, 0])
def test_an_unknown_backend_is_refused(backend: Any) -> None:
    with pytest.raises(BackendError, match=f"unknown backend `{backend}`"):
        HandTracker(backend=backend)
