"""Files of PoseEmbroider: what is read from them, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")

import torch

from humanrt.errors import HumanrtError
from humanrt_export.conversion.poseembroider_checkpoint import FileKind, load_checkpoints
from poseembroider_stand_ins import FILES, Sizes, checkpoints, states, write

SIZES = Sizes()


def test_sizes_are_read_from_the_files_in_any_order_and_under_any_name(tmp_path: Path) -> None:
    sizes = Sizes(width=32, joints=24, image=48, blocks=1, tasks=5, trunk=20, text=16, shapes=0, positions=9)
    files = [path.rename(tmp_path / f"{index}.bin") for index, path in enumerate(checkpoints(tmp_path, sizes))]
    loaded = load_checkpoints(files[::-1])
    assert set(loaded.files) == set(FileKind)
    assert (loaded.embroider.core.config.width, loaded.embroider.core.config.inner) == (32, 16)
    assert loaded.image.trunk.config.size == (256, 192)
    assert (loaded.image.trunk.config.blocks, loaded.image.trunk.config.tasks) == (1, 5)
    assert (loaded.pose.trunk.joints, loaded.body.joints, loaded.body.shapes) == (24, 24, 0)
    assert (loaded.text.trunk.bert.config.positions, loaded.writer.decoder.config.heads) == (9, 2)
    assert loaded.together == 2
    (tmp_path / "triplets").mkdir()
    core = write(tmp_path / "triplets", "core", states(sizes)["core"], triplet_partial=True)
    assert load_checkpoints([core]).together == 3


def test_each_encoder_is_read_from_its_own_file(tmp_path: Path) -> None:
    """`posetext` holds an encoder of poses under the names of `posevae`'s."""
    made = states()
    loaded = load_checkpoints(checkpoints(tmp_path))
    name = "pose_encoder.encoder.2.weight"
    torch.testing.assert_close(loaded.pose.trunk.first.weight, made["pose"][name])
    assert made["text"][name].shape != made["pose"][name].shape


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("core", lambda s: s | {"extra": torch.zeros(2)}, r"poseembroider_\S+: unexpected `extra`"),
        ("core", lambda s: without(s, "norm.bias"), r"missing `norm\.bias`"),
        ("core", lambda s: s | {"norm.bias": torch.zeros(3)}, r"misshapen `norm\.bias` \[3\] \(need \[16\]\)"),
        ("core", lambda s: s | {"norm.bias": torch.full((16,), torch.nan)}, r"non-finite numbers in `norm\.bias`"),
        (
            "core",
            lambda s: s | {"embroider_core.0.weight": torch.zeros(6, 16)},
            r"has 6 rows; the published .* 4 heads",
        ),
        ("image", lambda s: without(s, "module.encoder.last_norm.bias"), r"missing `encoder\.last_norm\.bias`"),
        ("image", lambda s: s | {"module.encoder.more": torch.zeros(2)}, r"unexpected `(module\.)?encoder\.more`"),
        (
            "image",
            lambda s: s | {"module.encoder.pos_embed": torch.zeros(1, 50, 24)},
            r"is for 49 patches; .* have 192",
        ),
        ("image", lambda s: {}, r"`encoder\.patch_embed\.proj\.weight` is missing"),
        (
            "text",
            lambda s: without(s, "text_encoder.projection.1.bias"),
            r"missing `text_encoder\.projection\.1\.bias`",
        ),
        ("pose", lambda s: s | {"pose_encoder.encoder.2.weight": torch.zeros(12, 30)}, r"takes 30 numbers; .* 66, 72"),
        (
            "body",
            lambda s: without(s, "pose_prediction_head.init_value"),
            r"`pose_prediction_head\.init_value` is missing",
        ),
        ("writer", lambda s: without(s, "comparison_module.tirg.a"), r"missing `comparison_module\.tirg\.a`"),
        ("writer", lambda s: s | {"text_decoder.new": torch.zeros(1)}, r"unexpected `text_decoder\.new`"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_key(kind: str, change: Any, message: str, tmp_path: Path) -> None:
    files = checkpoints(tmp_path)
    write(tmp_path, kind, change(states()[kind]))
    with pytest.raises(HumanrtError, match=message) as caught:
        load_checkpoints(files)
    assert "\n" not in str(caught.value)
    assert FILES[kind] in str(caught.value)


def without(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    assert name in state
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (
            "core",
            {"embroider_core_type": "mlp"},
            r"`args\.embroider_core_type` is 'mlp'; this version reads 'transformer'",
        ),
        ("core", {"no_projection_heads": True}, r"`args\.no_projection_heads` is 'True'"),
        ("core", {"external_encoder_projection_type": "mediummlpxs"}, "mediummlpxs"),
        ("core", {"model": "Aligner"}, r"holds a model `Aligner`, which is no part of a PoseEmbroider"),
        ("core", {"model": 3}, "holds a model `3`"),
        ("text", {"transformer_topping": "augtokens"}, r"`args\.transformer_topping` is 'augtokens'"),
        ("text", {"text_encoder_name": "glovebigru_vocA1H1"}, "glovebigru_vocA1H1"),
        ("writer", {"transformer_mode": "prompt"}, r"`args\.transformer_mode` is 'prompt'"),
        ("writer", {"decoder_nhead": 3}, r"`args\.decoder_nhead` is 3; it must divide 8"),
        ("writer", {"decoder_nhead": "8"}, r"`args\.decoder_nhead` is 8; it must divide 8"),
    ],
)
def test_settings_of_another_computation_are_refused_by_name(
    kind: str, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    files = checkpoints(tmp_path)
    write(tmp_path, kind, states()[kind], **settings)
    with pytest.raises(HumanrtError, match=message):
        load_checkpoints(files)


def test_a_core_is_needed_and_nothing_twice(tmp_path: Path) -> None:
    files = checkpoints(tmp_path)
    with pytest.raises(
        HumanrtError, match=r"the core \(poseembroider\) is missing among the files; here are: .*smpler"
    ):
        load_checkpoints([path for path in files if path.name != FILES["core"]])
    with pytest.raises(HumanrtError, match=r"the core \(poseembroider\) is given twice"):
        load_checkpoints([*files, tmp_path / FILES["core"]])
    with pytest.raises(HumanrtError, match=r"no such file; download a PoseEmbroider checkpoint"):
        load_checkpoints([tmp_path / "nothing.pth"])


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        ("pose", {"trunk": 8}, r"gives 8 numbers, but the core in \S+ takes 12 from it; they do not belong together"),
        ("image", {"image": 48}, "gives 48 numbers, but the core in .* takes 24"),
        ("text", {"text": 8}, "gives 8 numbers, but the core in .* takes 12"),
        ("body", {"width": 32}, "reads tokens of 32 numbers, but those of the core have 16"),
        ("writer", {"width": 32}, "compares tokens of 32 numbers, but those of the core have 16"),
    ],
)
def test_files_of_different_models_are_refused(kind: str, sizes: dict[str, int], message: str, tmp_path: Path) -> None:
    files = checkpoints(tmp_path)
    write(tmp_path, kind, states(replace(SIZES, **sizes))[kind])
    with pytest.raises(HumanrtError, match=message):
        load_checkpoints(files)


class Asks:
    """Asks for code when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("code of a checkpoint ran",)


@pytest.mark.parametrize("kind", ["image", "core"])
def test_code_in_a_file_is_refused_and_not_run(kind: str, tmp_path: Path, capsys: Any) -> None:
    key = "network" if kind == "image" else "model"
    torch.save({key: states()[kind], "args": Asks(), "epoch": 0}, tmp_path / "bad.pth")
    with pytest.raises(HumanrtError, match=r"bad\.pth: refused: it asks for `(builtins\.)?print`"):
        load_checkpoints([tmp_path / "bad.pth"])
    assert "ran" not in capsys.readouterr().out
