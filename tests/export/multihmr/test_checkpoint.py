"""Checkpoints: what is read, and what is refused, by name and without running it."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import refusal, refuse_files_that_are_no_checkpoints, refuse_hostile_file
from multihmr_stand_ins import official_args, official_state

from humanrt_export.checkpoint import read
from humanrt_export.conversion.multihmr_checkpoint import load_checkpoint, official_name
from humanrt_export.networks.checkpoint_layouts import image_size, whole_number
from humanrt_export.networks.multihmr import ModelConfig, MultiHmr

CONFIG = ModelConfig("dinov2_vits14", 42, 10)
HEAD = "x_attention_head."


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    return official_state(CONFIG)


Save = Callable[..., Path]


@pytest.fixture
def save(state: dict[str, Any], tmp_path: Path) -> Save:
    """Saves the checkpoint with some keys changed (None: taken out) and some arguments changed."""

    def write(changes: dict[str, Any] | None = None, drop_args: tuple[str, ...] = (), **args: Any) -> Path:
        merged = {**state, **(changes or {})}
        namespace = official_args(CONFIG, **args)
        for name in drop_args:
            delattr(namespace, name)
        content = {"args": namespace, "model_state_dict": {k: v for k, v in merged.items() if v is not None}}
        torch.save(content, tmp_path / "noise.pt")
        return tmp_path / "noise.pt"

    return write


def refused(path: Path) -> str:
    return refusal(load_checkpoint, path)


def test_every_name_has_one_official_name_and_back(state: dict[str, Any], save: Save) -> None:
    model = load_checkpoint(save())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state[official_name(name)])
    names = [official_name(name) for name in model.state_dict()]
    assert len(set(names)) == len(names)


def test_eleven_betas_take_their_own_mean(state: dict[str, Any], save: Save) -> None:
    config = ModelConfig("dinov2_vits14", 42, 11)
    other = official_state(config, seed=1)
    model = load_checkpoint(save(other, num_betas=11))
    torch.testing.assert_close(model.head.mean_shape, other[HEAD + "init_betas_kid"])


def test_arguments_that_older_files_lack(save: Save) -> None:
    assert load_checkpoint(save(drop_args=("num_betas", "clip_dist", "xat_depth"))).config == CONFIG
    assert load_checkpoint(save(img_size=42)).config.image_size == 42
    assert load_checkpoint(save(clip_dist=False)).config.max_distance == float("inf")


def test_numbers_of_numpy_among_the_arguments_are_harmless(save: Save) -> None:
    args = {"best_error": np.float64(78.9), "epoch": np.int64(3), "phase": np.complex64(1j)}
    assert load_checkpoint(save(**args)).config == CONFIG


class Named(str):
    """Stands in a pickle where another class is written afterwards."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return Named, (str(self),)


def tiny(path: Path, **args: Any) -> Path:
    """A checkpoint of hardly any weights."""
    content = {"args": official_args(CONFIG, **args), "model_state_dict": {"mlp_classif.2.bias": torch.zeros(1)}}
    torch.save(content, path / "tiny.pt")
    return path / "tiny.pt"


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint16, np.int8])
def test_a_size_may_be_a_number_of_numpy(tmp_path: Path, kind: Any) -> None:
    for size in (kind(42), [kind(42)], [42, kind(42)]):
        given = read(tiny(tmp_path, img_size=size, xat_depth=kind(2)), "Multi-HMR")["args"]
        assert image_size(tmp_path, given.img_size) == 42
        assert type(image_size(tmp_path, given.img_size)) is int
        assert whole_number(tmp_path, "xat_depth", given.xat_depth, 1, 64) == 2


def test_all_arguments_may_be_of_numpy(save: Save) -> None:
    args = {"img_size": [np.int64(42)], "xat_depth": np.int32(2), "num_betas": np.uint8(10), "nearness": np.bool_(True)}
    assert load_checkpoint(save(backbone=np.str_(CONFIG.backbone), **args)).config == CONFIG


@pytest.mark.parametrize("size", [True, 42.0, np.float64(42), "42", [], [42, 56], [[42]], 14 * 10**9, -14, None])
def test_sizes_that_are_none(tmp_path: Path, size: Any) -> None:
    assert "argument `img_size` is" in refused(tiny(tmp_path, img_size=size))


def test_what_an_argument_holds_does_not_fill_the_screen(tmp_path: Path) -> None:
    for args in ({"img_size": [1] * 10**5}, {"backbone": "x" * 10**5}, {"nearness": list(range(10**5))}):
        assert len(refused(tiny(tmp_path, **args))) < 400
    for args in ({"backbone": ["dinov2_vits14"]}, {"num_betas": [10]}, {"xat_depth": 10**12}, {"nearness": {}}):
        assert next(iter(args)) in refused(tiny(tmp_path, **args))


def pickled_global(path: Path, module: str, name: str) -> Path:
    """Write another global in a checkpoint's pickle where `Named` is."""
    own = f"c{Named.__module__}\n{Named.__qualname__}\n".encode()
    archive = zipfile.ZipFile(path)
    members = {info.filename: archive.read(info) for info in archive.infolist()}
    archive.close()
    with zipfile.ZipFile(path, "w") as again:
        for file, content in members.items():
            again.writestr(file, content.replace(own, f"c{module}\n{name}\n".encode()))
    return path


@pytest.mark.parametrize("module", ["pathlib", "pathlib._local"])
@pytest.mark.parametrize("name", ["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"])
def test_paths_among_the_arguments_are_text(tmp_path: Path, module: str, name: str) -> None:
    path = pickled_global(tiny(tmp_path, save_dir=Named("logs")), module, name)
    assert read(path, "Multi-HMR")["args"].save_dir == "logs"


def test_what_is_asked_for_is_named(tmp_path: Path) -> None:
    for module, name in (("datetime", "datetime"), ("os", "system"), ("builtins", "eval")):
        message = refused(pickled_global(tiny(tmp_path, when=Named("x")), module, name))
        assert f"asks for `{module}.{name}`" in message
        assert len(message) < 400


def test_a_damaged_archive_is_refused_by_its_member(save: Save) -> None:
    path = save()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    assert any(content[middle : middle + 4000])
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    message = refused(path)
    assert "damaged: its member `noise/data/" in message
    assert message.endswith("; download it again")


def test_a_download_that_was_cut_off_is_damaged(save: Save) -> None:
    content = save().read_bytes()
    path = save()
    for length in (len(content) // 2, len(content) - 10):
        path.write_bytes(content[:length])
        assert "damaged: its end is missing" in refused(path)


def test_an_archive_without_checksums_is_read(save: Save) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = save()
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_checkpoint(path).config == CONFIG


def test_a_damaged_pickle_in_a_whole_archive(tmp_path: Path) -> None:
    path = tiny(tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    pickle_name = next(name for name in members if name.endswith("data.pkl"))
    for place in range(3, len(members[pickle_name]), 7):
        spoilt = bytearray(members[pickle_name])
        spoilt[place] ^= 0xFF
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, bytes(spoilt) if name == pickle_name else content)
        assert len(refused(path)) < 600


def test_files_of_july_2024_are_recognised(state: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"state_dict_model": state}, path)
    assert "the authors have replaced these files" in refused(path)


def test_half_precision_weights_are_read(state: dict[str, Any], save: Save) -> None:
    model = load_checkpoint(save({key: value.half() for key, value in state.items()}))
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())


def test_missing_unexpected_and_misshapen_keys_are_named(save: Save) -> None:
    assert f"missing `{HEAD}deccam.bias`" in refused(save({HEAD + "deccam.bias": None}))
    assert "unexpected `mystery.weight`" in refused(save({"mystery.weight": torch.zeros(2)}))
    assert "`backbone.encoder.blocks.99.norm1.bias`" in refused(
        save({"backbone.encoder.blocks.99.norm1.bias": torch.zeros(384)})
    )
    message = refused(save({HEAD + "cross_values_y": torch.zeros(4, 483)}))
    assert f"misshapen `{HEAD}cross_values_y` [4, 483] (need [3, 483])" in message


def test_the_table_of_another_size_is_refused(save: Save) -> None:
    assert "cross_queries_x" in refused(save(img_size=[56]))


def test_weights_that_are_not_numbers_are_refused(save: Save) -> None:
    assert "mlp_offset.2.bias" in refused(save({"mlp_offset.2.bias": torch.tensor([0.0, float("nan")])}))


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"backbone": "resnet50"}, "resnet50"),
        ({"img_size": [43]}, "43"),
        ({"num_betas": 12}, "12"),
        ({"camera_embedding": None}, "camera_embedding"),
        ({"nearness": False}, "nearness"),
        ({"person_center": "pelvis"}, "person_center"),
    ],
)
def test_other_networks_are_refused(save: Save, args: dict[str, Any], named: str) -> None:
    assert named in refused(save(**args))


@pytest.mark.parametrize("where", ["args", "model_state_dict", "other"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_file_runs_nothing(tmp_path: Path, where: str, zipped: bool) -> None:
    refuse_hostile_file(refused, tmp_path, {"args": argparse.Namespace(), "model_state_dict": {}}, where, zipped)


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    refuse_files_that_are_no_checkpoints(refused, tmp_path)
    path = tmp_path / "file.pt"
    torch.save({"state_dict": {}}, path)
    assert "`args` is missing (found: state_dict)" in refused(path)
    torch.save({f"key{k}": {} for k in range(500)}, path)
    assert len(refused(path)) < 400
    torch.save({"args": 3, "model_state_dict": {}}, path)
    assert "args" in refused(path)
    path.write_bytes(b"")
    assert "empty" in refused(path)
    assert "is a folder" in refused(tmp_path)


def test_tensors_without_numbers_are_refused(tmp_path: Path) -> None:
    state = {"mlp_classif.2.bias": torch.zeros(1, device="meta")}
    torch.save({"args": official_args(CONFIG), "model_state_dict": state}, tmp_path / "meta.pt")
    assert "contains more than numeric tensors" in refused(tmp_path / "meta.pt")


def test_every_backbone_and_size_has_its_shapes() -> None:
    with torch.device("meta"):
        for backbone, context in (("dinov2_vits14", 483), ("dinov2_vitb14", 867), ("dinov2_vitl14", 1123)):
            for size in (224, 672, 896):
                shapes = {
                    official_name(name): tuple(value.shape)
                    for name, value in MultiHmr(ModelConfig(backbone, size)).state_dict().items()
                }
                assert shapes[HEAD + "cross_values_x"] == (size // 14, context)
                assert shapes[HEAD + "transformer.to_token_embedding.weight"] == (1024, context + 331)
