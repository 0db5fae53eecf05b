"""The body is Anny's, to 1e-5 m, and what must hold of any posed body."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from humanrt.errors import HumanrtError
from humanrt_export.bodies.anny.body import AnnyBody, _from_quaternions, _nearest_rotations
from humanrt_export.bodies.anny.bones import ACTIVE
from humanrt_export.bodies.anny.model import ANNY_VERSION, TOPOLOGIES, AnnyData, load_anny
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.networks.rotations import matrices_from_vectors

LOW, HIGH = (torch.tensor([getattr(p, end) for p in PHENOTYPES]) for end in ("low", "high"))


def people(count: int, bones: int = len(ACTIVE), angle: float = 0.5, seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations, shapes (some of them at the ends of their ranges) and translations."""
    generator = torch.Generator().manual_seed(seed)
    rotations = matrices_from_vectors(angle * torch.randn(count, bones, 3, generator=generator))
    amount = torch.rand(count, len(PHENOTYPES), generator=generator)
    amount[::3] = amount[::3].round()
    return rotations, LOW + (HIGH - LOW) * amount, torch.randn(count, 3, generator=generator)


def their_own(topology: str) -> Any:
    """``anny.Anny`` of a topology, where Anny itself is cached."""
    if importlib.util.find_spec("anny") is None:
        pytest.skip("needs the package anny")
    import anny
    from anny.paths import get_anny_cache_path

    if not any(Path(get_anny_cache_path()).glob("v*/load_data_*")):
        pytest.skip("Anny's own cache is empty, and filling it takes minutes")
    rig, mesh = TOPOLOGIES[topology]
    return anny.Anny(rig=rig, topology=mesh, skinning_method="lbs")


@pytest.mark.parametrize("topology", ["full", "10pc", "hand-right"])
def test_it_is_anny(topology: str, request: pytest.FixtureRequest) -> None:
    """All bones turned at random, phenotypes over their whole ranges, in FP32 against Anny's own FP64."""
    request.getfixturevalue("coarse")  # skips where nothing is cached
    anny = their_own(topology)  # first: it skips where the package is missing, which an incomplete cache would need
    data = load_anny(topology)
    anchor = "wrist.R" if topology == "hand-right" else "head"
    rotations, shape, _ = people(24, len(data.names))
    pose = torch.eye(4, dtype=torch.float64).repeat(24, len(data.names), 1, 1)
    pose[..., :3, :3] = rotations.double()
    pose[:, 0, :3, :3] = torch.from_numpy(data.root) @ pose[:, 0, :3, :3]
    with torch.inference_mode():
        wanted = anny(pose, shape.double())
        heads = wanted["bone_poses"][..., :3, 3]
        translation = heads[:, data.names.index(anchor)]
        posed = AnnyBody(data, data.names, anchor)(rotations, shape, translation.float())
    np.testing.assert_allclose(posed.vertices, wanted["vertices"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(posed.joints[:, : len(data.names)], heads, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(data.faces, anny.get_triangular_faces())


def test_points_are_on_the_skin(data: AnnyData) -> None:
    """Tips are where the finest mesh has them, whatever the topology."""
    body, whole = AnnyBody(data), AnnyBody(load_anny("full"))
    with torch.inference_mode():
        posed, fine = body(*people(8)), whole(*people(8))
    np.testing.assert_allclose(posed.joints, fine.joints, atol=1e-5, rtol=0)
    gaps = (fine.joints[:, len(data.names) :, None] - fine.vertices[:, None]).norm(dim=-1).min(dim=-1).values
    assert gaps.max() < 1e-5


def test_the_head_lands_on_the_translation(data: AnnyData) -> None:
    rotations, shape, translation = people(4)
    head = AnnyBody(data)(rotations, shape, translation).joints[:, data.names.index("head")]
    torch.testing.assert_close(head, translation, atol=1e-6, rtol=0)


def test_the_root_turns_the_whole_body(data: AnnyData) -> None:
    rotations, shape, translation = people(3)
    body = AnnyBody(data)
    still = rotations.clone()
    still[:, 0] = torch.eye(3)
    posed, upright = body(rotations, shape, translation), body(still, shape, translation)
    turned = (upright.vertices - translation[:, None]) @ rotations[:, 0].transpose(-1, -2) + translation[:, None]
    torch.testing.assert_close(posed.vertices, turned, atol=1e-5, rtol=0)


def test_phenotypes_mean_what_they_say(data: AnnyData) -> None:
    body = AnnyBody(data)
    names = [phenotype.name for phenotype in PHENOTYPES]

    def size(**given: float) -> float:
        shape = torch.tensor([[given.get(name, 0.5) for name in names]])
        upright = torch.eye(3).expand(1, len(ACTIVE), 3, 3)
        vertices = body(upright, shape, torch.zeros(1, 3)).vertices
        return float(vertices[0, :, 2].max() - vertices[0, :, 2].min())

    newborn, baby, child, adult = (size(age=age) for age in (-1 / 3, 0, 1 / 3, 2 / 3))
    assert 0.4 < newborn < 0.6 < baby < 0.8 < child < 1.6 < adult < 2
    assert size(age=2 / 3, height=0) < adult < size(age=2 / 3, height=1)
    assert size(age=-5) == size(age=-1 / 3)


def test_one_by_one_is_the_same(coarse: AnnyData) -> None:
    body, some = AnnyBody(coarse), people(5)
    together = body(*(value.unflatten(0, (1, 5)) for value in some))
    assert together.vertices.shape == (1, 5, len(coarse.template), 3)
    for index in range(5):
        alone = body(*(value[index] for value in some))
        torch.testing.assert_close(alone.vertices, together.vertices[0, index], atol=2e-6, rtol=0)
        torch.testing.assert_close(alone.joints, together.joints[0, index], atol=2e-6, rtol=0)


def test_it_can_be_trained_through(coarse: AnnyData) -> None:
    some = [value.requires_grad_() for value in people(2)]
    AnnyBody(coarse)(*some).vertices.square().sum().backward()
    for value in some:
        assert value.grad is not None
        assert value.grad.isfinite().all()
        assert value.grad.abs().sum() > 0


def test_newton_finds_the_nearest_rotation() -> None:
    """Against the singular value decomposition, with matrices of negative determinant among them."""
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(200, 3, 3, generator=generator, dtype=torch.float64)
    U, S, V = torch.linalg.svd(matrices)
    sign = torch.linalg.det(U @ V)
    assert (sign < 0).any()
    last = torch.stack((torch.ones_like(sign), torch.ones_like(sign), sign), -1)
    nearest = (U * last[:, None]) @ V
    known = S[:, 1] + sign * S[:, 2] > 0.3 * S[:, 0]
    off = _from_quaternions(
        torch.cat((0.1 * torch.randn(200, 3, generator=generator), torch.ones(200, 1)), -1).double()
    )
    found = _nearest_rotations(matrices, nearest @ off, steps=4)
    torch.testing.assert_close(found[known], nearest[known], atol=1e-10, rtol=0)


def test_quaternions_turn_as_they_say() -> None:
    vectors = torch.randn(50, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    half = vectors.norm(dim=-1, keepdim=True) / 2
    quaternions = torch.cat((vectors / (2 * half) * torch.sin(half), torch.cos(half)), dim=-1)
    torch.testing.assert_close(_from_quaternions(3 * quaternions), matrices_from_vectors(vectors))


def test_an_unknown_topology_is_named() -> None:
    with pytest.raises(HumanrtError, match="unknown topology `fine`; choose one of: 10pc, full"):
        load_anny("fine")


def test_a_damaged_cache_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMANRT_CACHE", str(tmp_path))
    file = tmp_path / "anny" / f"10pc-{ANNY_VERSION}-1.npz"
    file.parent.mkdir()
    file.write_bytes(b"PK\x03\x04 half a file")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HumanrtError, match="pip install anny"):
        load_anny("10pc")


@pytest.mark.slow
def test_it_is_built_from_nothing(tmp_path: Path, coarse: AnnyData) -> None:
    """About a minute: nothing cached anywhere. What comes out is the body of before, and no gigabyte is left."""
    if importlib.util.find_spec("anny") is None:
        pytest.skip("needs the package anny")
    code = "from humanrt_export.bodies.anny.model import load_anny; load_anny('10pc')"
    environment = {**os.environ, "HUMANRT_CACHE": str(tmp_path / "own"), "ANNY_CACHE_DIR": str(tmp_path / "theirs")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert "building the body model Anny, once" in done.stderr
    assert not (tmp_path / "theirs").exists()
    with np.load(tmp_path / "own" / "anny" / f"10pc-{ANNY_VERSION}-1.npz") as built:
        assert built["names"].tolist() == list(coarse.names)
        rest = built["template"] + np.einsum("ck,kvd->cvd", built["corners"], built["blend"])
    np.testing.assert_allclose(
        rest, coarse.template + np.einsum("ck,kvd->cvd", coarse.corners, coarse.blend), atol=1e-5, rtol=0
    )
