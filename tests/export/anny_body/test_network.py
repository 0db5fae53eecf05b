"""The network: what each slot may and may not depend on, its geometry, its checkpoints."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import Hostile

from humanrt.errors import HumanrtError
from humanrt_export.networks.anny_head import sincos_positions
from humanrt_export.networks.attention import plain, sdpa
from humanrt_export.networks.camera import default_intrinsics, unproject
from humanrt_export.networks.multihmr_anny import (
    FORMAT,
    AnnyConfig,
    AnnyHmr,
    NetworkOutput,
    load_checkpoint,
    save_checkpoint,
)
from humanrt_export.networks.rotations import matrices_from_rows

UNKNOWN = torch.zeros(1, 3, 3)


def see(
    model: AnnyHmr, seed: int = 0, K: torch.Tensor = UNKNOWN, threshold: float = 0.0, people: int = 4
) -> NetworkOutput:
    size = model.config.image_size
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        output: NetworkOutput = model(image, K, torch.tensor([threshold]), people)
    return output


@pytest.mark.parametrize(
    ("backbone", "size"),
    [("dinov2_vits14", 448), ("dinov2_vitb14", 672), ("dinov2_vitl14", 896), ("dinov2_vits14", 14)],
)
def test_any_backbone_and_size(backbone: str, size: int) -> None:
    with torch.device("meta"):
        model = AnnyHmr(AnnyConfig(backbone=backbone, image_size=size))
    assert model.head.positions.shape == (1, (size // 14) ** 2, 512)
    assert model.head.pose.out_features == 6 * 74


def test_before_training_people_stand_before_the_camera() -> None:
    torch.manual_seed(0)
    model = AnnyHmr(AnnyConfig(image_size=70, depth=1)).eval()
    found = see(model)
    assert found.scores.max() < 0.1
    assert math.isclose(found.camera[0, 0, 0], 35 / math.tan(math.radians(30)), rel_tol=0.3)
    assert (found.translation[..., 2] - 4).abs().max() < 1.5
    # Anny's z is up, the camera's y down; a face looks along Anny's -y, towards the camera.
    up, ahead = found.rotations[0, 0, 0] @ torch.tensor([0.0, 0.0, 1.0]), -found.rotations[0, 0, 0, :, 1]
    torch.testing.assert_close(up, torch.tensor([0.0, -1.0, 0.0]), atol=0.1, rtol=0)
    torch.testing.assert_close(ahead, torch.tensor([0.0, 0.0, -1.0]), atol=0.1, rtol=0)


def test_a_known_camera_moves_people_and_nothing_else(network: AnnyHmr) -> None:
    K = default_intrinsics(1, network.config.image_size)
    K[:, 0, 0] *= 2
    K[:, 1, 1] *= 2
    known, guessed = see(network, K=K), see(network)
    torch.testing.assert_close(known.camera, K)
    for name in ("scores", "cells", "locations", "rotations", "shape"):
        torch.testing.assert_close(getattr(known, name), getattr(guessed, name))
    ratio = known.translation[..., 2] / guessed.translation[..., 2]
    torch.testing.assert_close(ratio, (K[:, 0, 0] / guessed.camera[:, 0, 0]).expand_as(ratio))


@pytest.mark.parametrize("K", [UNKNOWN, torch.tensor([[[60.0, 1.0, 30.0], [0.0, 70.0, 40.0], [0.0, 0.0, 1.0]]])])
def test_translations_project_onto_locations(network: AnnyHmr, K: torch.Tensor) -> None:
    found = see(network, K=K)
    assert found.valid.all()
    ray = found.translation / found.translation[..., 2:]
    torch.testing.assert_close(ray, unproject(found.locations, found.camera), atol=1e-5, rtol=1e-5)


def test_rotations_are_rotations_and_phenotypes_in_range(network: AnnyHmr) -> None:
    found = see(network)
    identity = torch.eye(3).expand_as(found.rotations)
    torch.testing.assert_close(found.rotations @ found.rotations.transpose(-1, -2), identity, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(found.rotations), torch.ones(1, 4, 74), atol=1e-5, rtol=0)
    assert (found.shape >= network.low).all()
    assert (found.shape <= network.low + network.span).all()
    assert found.shape.std(dim=1).max() > 0  # the stand-in's outputs differ from person to person


def test_empty_slots_are_as_if_they_were_not_there(network: AnnyHmr) -> None:
    scores = see(network).scores[0]
    limit = float(scores[1] + scores[2]) / 2
    two, four = see(network, threshold=limit, people=2), see(network, threshold=limit, people=4)
    assert four.valid.tolist() == [[True, True, False, False]]
    for name in ("locations", "translation", "rotations", "shape"):
        torch.testing.assert_close(getattr(four, name)[:, :2], getattr(two, name), atol=1e-5, rtol=1e-5)
        if name != "rotations":
            assert not getattr(four, name)[:, 2:].any()
    assert (four.rotations[:, 2:] == torch.eye(3)).all()


def test_people_see_each_other(network: AnnyHmr) -> None:
    scores = see(network).scores[0]
    alone = see(network, threshold=float(scores[0] + scores[1]) / 2)
    assert alone.valid.sum() == 1
    assert (alone.rotations[0, 0] - see(network).rotations[0, 0]).abs().max() > 1e-4


def test_attention_is_the_same_either_way(network: AnnyHmr) -> None:
    with_sdpa = see(network)
    network.use_attention(plain, plain)
    with_plain = see(network)
    network.use_attention(sdpa, sdpa)
    for a, b in zip(with_sdpa, with_plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_an_unreadable_image_holds_nobody(network: AnnyHmr) -> None:
    size = network.config.image_size
    image = torch.randn(1, 3, size, size)
    image[0, 1, 2, 3] = math.nan
    found: NetworkOutput = network(image, UNKNOWN, torch.tensor([0.0]), 4)
    assert not found.valid.any()
    for name in ("locations", "translation", "rotations", "shape"):
        assert getattr(found, name).isfinite().all()


def test_row_layout() -> None:
    """Six numbers are a 3 x 2 matrix, row by row."""
    R = torch.linalg.qr(torch.randn(5, 3, 3, generator=torch.Generator().manual_seed(2)))[0]
    R = R * torch.linalg.det(R)[:, None, None]
    torch.testing.assert_close(matrices_from_rows(R[..., :2].reshape(5, 6)), R, atol=1e-5, rtol=0)


def test_positions_tell_rows_from_columns() -> None:
    table = sincos_positions(5, 32)
    assert torch.cdist(table, table).add(torch.eye(25) * 9).min() > 0.1
    square = table.unflatten(0, (5, 5))
    torch.testing.assert_close(square.transpose(0, 1), torch.cat((square[..., 16:], square[..., :16]), -1))


# --------------------------------------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def checkpoint(network: AnnyHmr, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("checkpoint") / "small.pt"
    return save_checkpoint(path, network, {"licence": "Apache-2.0", "data": "none"})


def test_a_checkpoint_comes_back_as_it_was(checkpoint: Path, network: AnnyHmr) -> None:
    loaded, about = load_checkpoint(checkpoint)
    assert loaded.config == network.config
    assert about == {"licence": "Apache-2.0", "data": "none"}
    for a, b in zip(see(loaded), see(network), strict=True):
        assert torch.equal(a, b)


def changed(checkpoint: Path, tmp_path: Path, change: Any) -> Path:
    content = torch.load(checkpoint, weights_only=True)
    change(content)
    torch.save(content, tmp_path / "changed.pt")
    return tmp_path / "changed.pt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["state"].pop("head.pose.bias"), "missing `head.pose.bias`"),
        (lambda c: c["state"].update(extra=torch.zeros(1)), "unexpected `extra`"),
        (lambda c: c["state"].update({"view.2.bias": torch.zeros(3)}), r"misshapen `view.2.bias` \[3\] \(need \[1\]\)"),
        (lambda c: c["state"].update({"view.2.bias": torch.tensor([math.nan])}), "non-finite numbers in `view.2.bias`"),
        (lambda c: c["state"].update({"view.2.bias": "text"}), "`state` contains more than numeric tensors"),
        (lambda c: c.update(format="other"), FORMAT),
        (lambda c: c.update(config=3), "`config` needs settings"),
        (lambda c: c["config"].update(colour="red"), "no setting colour; its settings: anchor, backbone"),
        (lambda c: c["config"].update(depth="2"), "setting `depth` is '2'; it must be like 8"),
        (lambda c: c["config"].update(image_size=71), "image_size is 71; it must be a multiple of 14"),
        (lambda c: c["config"].update(backbone="resnet"), "unknown backbone `resnet`; choose one of: dinov2_vitb14"),
        (lambda c: c["config"].update(bones=["head"]), "`root` first"),
    ],
)
def test_a_wrong_checkpoint_is_refused_by_name(checkpoint: Path, tmp_path: Path, change: Any, message: str) -> None:
    path = changed(checkpoint, tmp_path, change)
    with pytest.raises(HumanrtError, match=message) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path / "touched")
    (tmp_path / "hostile.pt").write_bytes(pickle.dumps(hostile))
    torch.save({"format": FORMAT, "state": hostile}, tmp_path / "hostile2.pt")
    for name in ("hostile.pt", "hostile2.pt"):
        with pytest.raises(HumanrtError, match="refused"):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "touched").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HumanrtError, match="no such file"):
        load_checkpoint(tmp_path / "none.pt")
