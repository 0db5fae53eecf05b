"""Checkpoints of PoseFix: what is read, and what is refused, in one line that names it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")
pytest.importorskip("onnx", reason="needs humanrt[export]")

import torch
from hostile import refusal, refuse_files_that_are_no_checkpoints, refuse_hostile_file

from humanrt_export.checkpoint import CheckpointError
from humanrt_export.conversion.posefix import text_lengths
from humanrt_export.conversion.posefix_checkpoint import load_posefix
from humanrt_export.networks.posefix import Editor, Retrieval, Writer
from posefix_stand_ins import Sizes, arrays, checkpoint, editor_shapes, retrieval_shapes, write, writer_shapes


@pytest.mark.parametrize(
    "sizes", [Sizes(), Sizes(52, 16, 4, 8, 12, 128, 9, 3, 24, 3, 300), Sizes(5, 7, 3, 4, 4, 64, 6, 2, 8, 1, 3)]
)
def test_any_sizes(sizes: Sizes, tmp_path: Path) -> None:
    joints = sizes.joints
    pose = torch.randn(2, joints, 3)
    for recurrent in (False, True):
        editor = load_posefix(checkpoint(tmp_path, editor_shapes(sizes, recurrent)))
        assert isinstance(editor, Editor)
        with torch.inference_mode():
            text = editor.text(torch.tensor([[2, 6, 3], [2, 3, 0]]), torch.tensor([[True] * 3, [True, True, False]]))
            rotations, mean, scale = editor(pose, text, torch.zeros(2, sizes.code))
        assert rotations.shape == (2, joints, 3, 3)
        assert mean.shape == scale.shape == (2, sizes.code)
    for mode in ("crossattention", "prompt"):
        writer = load_posefix(checkpoint(tmp_path, writer_shapes(sizes, mode)))
        assert isinstance(writer, Writer)
        assert writer.config.decoder.longest == min(sizes.rows - (mode == "prompt"), 256)
        with torch.inference_mode():
            memory = writer.memory(pose, pose.flip(0))
            assert writer.decoder(torch.tensor([[1, 4], [1, 5]]), memory)[0].shape == (2, 2, 13)
    for pairs in (False, True):
        retrieval = load_posefix(checkpoint(tmp_path, retrieval_shapes(sizes, pairs)))
        assert isinstance(retrieval, Retrieval)
        with torch.inference_mode():
            vectors = retrieval.embed_pair(pose, pose) if pairs else retrieval.pose(pose)
        np.testing.assert_allclose(vectors.norm(dim=-1), [1, 1], atol=1e-5)


def test_texts_have_graphs_of_several_lengths(tmp_path: Path) -> None:
    for positions, expected in ((512, (16, 48, 128, 512)), (48, (16, 48)), (20, (16, 20)), (9, (9,))):
        network = load_posefix(checkpoint(tmp_path, editor_shapes(Sizes(bert_positions=positions))))
        assert isinstance(network, Editor)
        assert text_lengths(network.text) == expected
    recurrent = load_posefix(checkpoint(tmp_path, editor_shapes(recurrent=True)))
    assert isinstance(recurrent, Editor)
    assert text_lengths(recurrent.text) == (256,)


def test_what_files_may_hold_besides(tmp_path: Path) -> None:
    """Optimiser, scheduler, names of distributed training, ids of positions; arguments of other trainings."""
    shapes, args = editor_shapes()
    state = {f"module.{key}": torch.from_numpy(value) for key, value in arrays(shapes).items()}
    state["module.text_encoder.pretrained_text_encoder.embeddings.position_ids"] = torch.arange(20)[None]
    del args["num_body_joints"], args["model"]
    content = {"epoch": 3, "model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-5}]}}
    args |= {"output_dir": Path("/somewhere"), "lr": np.float64(1e-5)}
    for joints in (None, 22):
        torch.save({**content, "args": argparse.Namespace(**args, num_body_joints=joints)}, tmp_path / "model.pth")
        assert isinstance(load_posefix(tmp_path / "model.pth"), Editor)
    torch.save({**content, "args": argparse.Namespace(**args)}, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="`num_body_joints` is 52, but the tensors have 22 joints"):
        load_posefix(tmp_path / "model.pth")


EDITOR = "editor"
Change = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (EDITOR, lambda s, a: s.pop("correction_module.tirg.a"), r"missing `correction_module\.tirg\.a`"),
        (EDITOR, lambda s, a: s.update(extra=np.ones(2)), "unexpected `extra`"),
        (EDITOR, lambda s, a: s.update({"pose_encoder.encoder.6.bias": np.ones(3)}), r"misshapen .*6\.bias` \[3\]"),
        (EDITOR, lambda s, a: s["pose_encoder.encoder.6.bias"].fill(np.nan), r"non-finite numbers in .*6\.bias"),
        (EDITOR, lambda s, a: s["pose_encoder.encoder.4.running_var"].fill(-1), "must not be negative"),
        (EDITOR, lambda s, a: s.update({"pose_encoder.encoder.1.weight": np.ones(65)}), "3 for each joint"),
        (EDITOR, lambda s, a: a.update(latentD=32), "`latentD` is 32, but the tensors have 8 numbers in a code"),
        (EDITOR, lambda s, a: a.update(latentD="8"), "`latentD` is 8, but"),
        (EDITOR, lambda s, a: a.update(special_text_latentD=128), "`special_text_latentD` is 128"),
        (EDITOR, lambda s, a: a.update(text_encoder_name="glovebigru_voc"), "its text encoder has no word vectors"),
        (EDITOR, lambda s, a: a.update(text_encoder_name="clip"), "begin with: distilbert, glovebigru"),
        (EDITOR, lambda s, a: a.update(transformer_topping="augtokens"), "augtokens: learned tokens beside the text"),
        (EDITOR, lambda s, a: a.update(correction_module_mode="concat-mlp"), "concat-mlp: pose and text that are"),
        (EDITOR, lambda s, a: a.update(model="PairText"), "`model` is PairText, but its keys are those of the editor"),
        (
            EDITOR,
            lambda s, a: [s.pop(key) for key in list(s) if key.startswith("correction_module.")],
            "turns words to a pose; such models of PoseScript are not read",
        ),
        (
            EDITOR,
            lambda s, a: s.update({"correction_module.tirg.gated_feature_composer.3.weight": np.ones((8, 21))}),
            r"is \[8, 21\]; vectors of 8 and 12 numbers need \[8, 20\]",
        ),
        (EDITOR, lambda s, a: [s.pop(key) for key in list(s)], r"no checkpoint of PoseFix .*its keys: none"),
        (
            EDITOR,
            lambda s, a: s.update({"text_encoder.transformer_encoder.layers.2.norm1.bias": np.ones(12)}),
            "not numbered from 0 on",
        ),
        ("writer", lambda s, a: a.pop("decoder_nhead"), "argument `decoder_nhead` is missing"),
        ("writer", lambda s, a: a.update(decoder_nhead=3), "is 3; it must divide 16, the decoder's width"),
        ("writer", lambda s, a: a.update(decoder_nhead=0), "`decoder_nhead` is 0; a PoseFix checkpoint"),
        ("writer", lambda s, a: a.update(decoder_nlayers=4), "`decoder_nlayers` is 4, but the tensors have 1 blocks"),
        ("writer", lambda s, a: a.update(transformer_mode="prompt"), "is prompt, its keys are of crossattention"),
        (
            "writer",
            lambda s, a: s.update({"text_decoder.positional_encoding.pe": np.ones((1, 1, 16))}),
            "knows 13 words and 1 places; too few for a text",
        ),
        (EDITOR, lambda s, a: s.update({"module.decsigma_rot": np.ones(1)}), "has some keys twice"),
        ("retrieval", lambda s, a: s.pop("loss_weight"), "missing `loss_weight`"),
        ("retrieval", lambda s, a: s.update({"other.0.weight": np.ones((4, 4))}), "layers that are not known"),
        ("retrieval", lambda s, a: s.pop("pose_encoder.encoder.10.weight"), r"10\.weight` is missing"),
    ],
)
def test_what_is_refused(kind: str, change: Change, message: str, tmp_path: Path) -> None:
    shapes, args = {"editor": editor_shapes, "writer": writer_shapes, "retrieval": _pairs}[kind]()
    state = arrays(shapes)
    change(state, args)
    path = write(tmp_path / "best_model.pth", state, args)
    assert re.search(message, refused(path))


def _pairs() -> Any:
    return retrieval_shapes(pairs=True)


def refused(path: Path) -> str:
    return refusal(load_posefix, path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("where", ["model", "args", "optimizer"])
def test_hostile_files(where: str, zipped: bool, tmp_path: Path) -> None:
    content = {"model": {}, "args": argparse.Namespace(), "epoch": 0}
    refuse_hostile_file(refused, tmp_path, content, where, zipped)


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    refuse_files_that_are_no_checkpoints(refused, tmp_path)
    path = tmp_path / "model.pth"
    for content, message in (
        ({"model": {}}, "`args` is missing"),
        ({"args": argparse.Namespace()}, "`model` is missing"),
        ({"model": {"a": 1}, "args": argparse.Namespace()}, "more than numeric tensors"),
    ):
        torch.save(content, path)
        assert message in refused(path)


def test_sizes_of_published_models() -> None:
    """Facts: the numbers of parameters of the published models, counted by their authors' classes."""
    from humanrt_export.networks.distilbert import DistilBertConfig, TransformerTextConfig
    from humanrt_export.networks.posefix import EditorConfig, PoseEncoderConfig, RetrievalConfig, WriterConfig
    from humanrt_export.networks.text_decoder import TextDecoderConfig

    bert = DistilBertConfig(30522, 512, 768, 3072, 6, 12)
    text = TransformerTextConfig(bert, 512, 1024, 4, 4)
    pose = PoseEncoderConfig(156, 512, 32, 512)
    decoder = TextDecoderConfig(2374, 512, 1024, 4, 8, 256, "crossattention")
    with torch.device("meta"):
        networks = {
            68_884_725 - 3: Editor(EditorConfig(replace(pose, embedding=None), replace(text, width=128), 32, 512)),
            15_701_056: Writer(WriterConfig(replace(pose, embedding=32), decoder)),
            77_645_145 - 1: Retrieval(RetrievalConfig(pose, text, (1024, 512, 512))),
            75_808_089 - 1: Retrieval(RetrievalConfig(pose, text)),
        }
    for count, network in networks.items():  # less what only a training needs: scales of losses, the temperature
        assert sum(parameter.numel() for parameter in network.parameters()) == count
