"""Published checkpoints: what is read, and what is refused, by name and without running it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import refusal, refuse_files_that_are_no_checkpoints, refuse_hostile_file

from humanrt_export.conversion.posebert_checkpoint import load_checkpoint, official_names
from humanrt_export.networks.posebert import PublishedConfig, PublishedPoseBert

Save = Callable[..., Path]
REGRESSOR = "decoder.layers.{}.2.fn.net.3.weight"


def official_state(inputs: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Noise under the official names; the regressor four times, as in the files."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in PublishedPoseBert(PublishedConfig(inputs=inputs)).state_dict().items():
        noise = 0.05 * torch.randn(value.shape, generator=generator)
        state.update(dict.fromkeys(official_names(name), noise))
    return state


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return official_state(144)


@pytest.fixture
def save(state: dict[str, Any], tmp_path: Path) -> Save:
    """Saves the checkpoint with some keys changed (None: taken out) and other entries beside it."""

    def write(changes: dict[str, Any] | None = None, **beside: Any) -> Path:
        merged = {**state, **(changes or {})}
        content = {"model_state_dict": {k: v for k, v in merged.items() if v is not None}, **beside}
        torch.save(content, tmp_path / "noise.pt")
        return tmp_path / "noise.pt"

    return write


def refused(path: Path) -> str:
    return refusal(load_checkpoint, path)


def test_the_names_are_those_of_the_published_files(golden_case: Callable[[str], Any]) -> None:
    for case, inputs in (("posebert_smpl", 144), ("posebert_h36m", 54)):
        shapes = {key: tuple(value.shape) for key, value in golden_case(case).state.items()}
        assert shapes == {key: tuple(value.shape) for key, value in official_state(inputs).items()}


def test_every_tensor_finds_its_place(state: dict[str, Any], save: Save) -> None:
    model = load_checkpoint(save())
    assert not model.training
    assert sum(value.numel() for value in model.parameters()) == 7_316_112
    for name, value in model.state_dict().items():
        for official in official_names(name):
            torch.testing.assert_close(value, state[official])


def test_the_input_is_found_in_the_file(save: Save, state: dict[str, Any]) -> None:
    assert load_checkpoint(save()).config.inputs == 144
    assert load_checkpoint(save(official_state(54))).config.inputs == 54
    message = refused(save({"emb.weight": torch.zeros(512, 99)}))
    assert "`emb.weight` takes 99 numbers a frame; published models take 144 or 54" in message
    assert "misshapen `emb.weight` [7]" in refused(save({"emb.weight": torch.zeros(7)}))


def test_what_real_files_hold_beside_the_weights(state: dict[str, Any], save: Save) -> None:
    more = {"smpl_layer.v_template": torch.zeros(4, 3), "smpl_layer.bm.lbs_weights": torch.zeros(2)}
    model = load_checkpoint(save(more, args=argparse.Namespace(depth=4), epoch=3, best=torch.zeros(1)))
    prefixed = {**dict.fromkeys(state), **{f"module.{key}": value.half() for key, value in state.items()}}
    halved = load_checkpoint(save(prefixed))
    for name, value in halved.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, model.state_dict()[name], atol=1e-3, rtol=1e-3)


def test_missing_unexpected_and_misshapen_keys_are_named(state: dict[str, Any], save: Save) -> None:
    assert "missing `pos.pe`" in refused(save({"pos.pe": None}))
    assert "missing `emb.weight`" in refused(save({"emb.weight": None}))
    assert f"missing `{REGRESSOR.format(3)}`" in refused(save({REGRESSOR.format(3): None}))
    assert "unexpected `mystery`" in refused(save({"mystery": torch.zeros(2)}))
    deeper = "decoder.layers.4.0.norm.weight"
    assert f"unexpected `{deeper}`" in refused(save({deeper: torch.zeros(512)}))
    assert "misshapen `pos.pe` [1, 64, 512] (need [1, 1024, 512])" in refused(save({"pos.pe": torch.zeros(1, 64, 512)}))
    assert "twice `mask_token`" in refused(save({"module.mask_token": state["mask_token"]}))


@pytest.mark.parametrize("block", [0, 1, 2, 3])
def test_regressors_that_differ_are_refused(state: dict[str, Any], save: Save, block: int) -> None:
    key = REGRESSOR.format(block)
    other = state[key].clone()
    other[3, 5] += 1e-6
    message = refused(save({key: other}))
    assert "must be the same tensor" in message
    assert f"`{key}`" in message


def test_weights_that_are_not_numbers_are_refused(state: dict[str, Any], save: Save) -> None:
    for value in (float("nan"), float("inf")):
        wrong = state["emb.bias"].clone()
        wrong[7] = value
        assert "non-finite numbers in `emb.bias`" in refused(save({"emb.bias": wrong}))
    assert "`init_pose`" in refused(save({"init_pose": torch.zeros(1, 1, 144, dtype=torch.int64)}))
    assert "more than numeric tensors" in refused(save({"mystery": "text"}))
    assert "more than numeric tensors" in refused(save({"emb.bias": torch.zeros(512).to_sparse()}))


@pytest.mark.parametrize("where", ["args", "model_state_dict", "other"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_file_runs_nothing(tmp_path: Path, where: str, zipped: bool) -> None:
    refuse_hostile_file(refused, tmp_path, {"model_state_dict": {}}, where, zipped)


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    refuse_files_that_are_no_checkpoints(refused, tmp_path)
    path = tmp_path / "file.pt"
    torch.save({"state_dict": {}}, path)
    assert "`model_state_dict` is missing" in refused(path)
    torch.save({"model_state_dict": {1: torch.zeros(1)}}, path)
    assert "more than numeric tensors" in refused(path)


def test_another_network_is_named(tmp_path: Path) -> None:
    torch.save({"args": {}, "model_state_dict": {"mlp_classif.2.bias": torch.zeros(1)}}, tmp_path / "other.pt")
    assert "this is NAVER's Multi-HMR on SMPL-X; export it with" in refusal(load_checkpoint, tmp_path / "other.pt")
