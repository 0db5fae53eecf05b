"""Rigs: a bundle's body as bones, joints at rest and a skin, held against the body graph itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from humanrt import MultiHMR
from humanrt.bundle import load_bundle
from humanrt.errors import HumanrtError
from humanrt.geometry.anny import ANNY_BONES, ANNY_PARENTS
from humanrt.geometry.bones import bone_tree
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SkeletonError, world_rotations
from humanrt.people.rig import BodyRig, open_rig


@pytest.fixture(scope="module", params=["holistic", "multihmr-anny", "landmarks"])
def rig(request: pytest.FixtureRequest) -> Iterator[BodyRig]:
    with open_rig(load_bundle(request.param)) as opened:
        yield opened


def random_body(rig: BodyRig, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = np.clip(rig.default_shape + rng.normal(0, 0.15, len(rig.default_shape)), 0, 1)
    return shape, matrices_from_vectors(rng.normal(0, 0.35, (len(rig.bones), 3)))


def test_bones_carry_joints_exactly(rig: BodyRig) -> None:
    for seed in range(3):
        shape, rotations = random_body(rig, seed)
        heads = rig.bone_heads(rig.pose(shape, rotations)[1])
        world = world_rotations(rotations, rig.parents)
        np.testing.assert_allclose(rig.tree.positions(rig.rest(shape), world, heads[0]), heads, atol=1e-5)
        offsets = rig.tree.offsets(rotations, heads)
        np.testing.assert_allclose(rig.tree.rest(offsets), rig.rest(shape), atol=1e-5)


def test_skin_follows_bones_as_the_body_does(rig: BodyRig) -> None:
    skin = rig.skin
    assert skin.index.dtype == np.uint16
    np.testing.assert_allclose(skin.weight.sum(axis=1), 1, atol=1e-6)
    for seed in range(2):
        shape, rotations = random_body(rig, seed)
        vertices, joints = rig.pose(shape, rotations)
        still = np.broadcast_to(np.eye(3), rotations.shape)
        at_rest, rest_joints = rig.pose(shape, still)
        world, rest, heads = (
            world_rotations(rotations, rig.parents),
            rig.bone_heads(rest_joints),
            rig.bone_heads(joints),
        )
        found = np.zeros(vertices.shape)
        for k in range(skin.index.shape[1]):
            bone = skin.index[:, k]
            moved = np.einsum("vij,vj->vi", world[bone], at_rest - rest[bone]) + heads[bone]
            found += skin.weight[:, k, None] * moved
        errors = 1000 * np.linalg.norm(found - vertices, axis=1)
        assert errors.mean() < 1.0
        assert np.percentile(errors, 95) < 5.0


def test_models_have_their_rig() -> None:
    with MultiHMR() as model:
        assert model.rig.bones == ANNY_BONES
        assert model.rig.parents == ANNY_PARENTS
        assert model.rig is model.rig
        assert len(model.rig.pose(model.rig.default_shape, np.broadcast_to(np.eye(3), (74, 3, 3)))[0]) == 1229


def test_wrong_sizes_and_unknown_bones_are_refused(rig: BodyRig) -> None:
    with pytest.raises(HumanrtError, match=r"rotations must be \[74, 3, 3\]"):
        rig.pose(rig.default_shape, np.eye(3))
    with pytest.raises(HumanrtError, match="shape must be"):
        rig.rest(np.zeros(99))
    with pytest.raises(SkeletonError, match="neither"):
        bone_tree(["a", "b"], 2)
