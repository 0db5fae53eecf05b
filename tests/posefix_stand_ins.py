"""Checkpoints of PoseFix in the published layout, with random numbers: of any size, and those of the golden cases."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from golden_cases import golden_case

Shapes = dict[str, tuple[int, ...]]


def golden(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray], ModuleType]:
    """A recorded case: its JSON, its arrays, and the module that makes its weights. Skips where absent."""
    return golden_case(name, "stand_in_posefix")


def write(path: Path, state: Mapping[str, np.ndarray], args: Mapping[str, Any]) -> Path:
    """Write a checkpoint as the authors do; returns its file."""
    import torch

    model = {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}
    torch.save({"epoch": 0, "model": model, "args": argparse.Namespace(**args)}, path)
    return path


def golden_checkpoint(folder: Path, case: Mapping[str, Any], module: ModuleType) -> Path:
    """Write a recorded case's checkpoint."""
    return write(folder / "best_model.pth", module.checkpoint(case), case["args"])


# --- small ones ---

WORDS = ("<pad>", "<start>", "<end>", "<unk>", ".", ",", "bend", "raise", "your", "left", "right", "knee", "arm")
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", ",", "bend", "##ing", "raise", "your", "left", "right", "knee")


@dataclass(frozen=True)
class Sizes:
    """Of a checkpoint. Small, so that exporting takes seconds."""

    joints: int = 22
    hidden: int = 24
    code: int = 8
    embedding: int = 16
    text: int = 12
    bert: int = 64
    bert_positions: int = 20
    layers: int = 1
    decoder: int = 16
    heads: int = 4
    rows: int = 40


def _linear(name: str, out: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (out, inputs), f"{name}.bias": (out,)}


def _norm(name: str, width: int, statistics: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    if statistics:
        shapes |= {f"{name}.running_mean": (width,), f"{name}.running_var": (width,), f"{name}.num_batches_tracked": ()}
    return shapes


def _pose_encoder(sizes: Sizes, embedding: int | None, where: str = "pose_encoder.encoder.") -> Shapes:
    numbers, hidden = 3 * sizes.joints, sizes.hidden
    shapes = _norm(f"{where}1", numbers) | _linear(f"{where}2", hidden, numbers) | _norm(f"{where}4", hidden)
    shapes |= _linear(f"{where}6", hidden, hidden) | _linear(f"{where}7", hidden, hidden)
    shapes |= _linear(f"{where}8", sizes.code, hidden)
    return shapes | (_linear(f"{where}10", embedding, sizes.code) if embedding else {})


def _attention(where: str, width: int) -> Shapes:
    shapes: Shapes = {f"{where}.in_proj_weight": (3 * width, width), f"{where}.in_proj_bias": (3 * width,)}
    return shapes | _linear(f"{where}.out_proj", width, width)


def _layer(where: str, width: int, crossed: bool = False) -> Shapes:
    shapes = _attention(f"{where}self_attn", width)
    shapes |= _linear(f"{where}linear1", 2 * width, width) | _linear(f"{where}linear2", width, 2 * width)
    for index in range(1, 4 if crossed else 3):
        shapes |= _norm(f"{where}norm{index}", width, statistics=False)
    return shapes | (_attention(f"{where}multihead_attn", width) if crossed else {})


def _text_encoder(sizes: Sizes, width: int, recurrent: bool) -> Shapes:
    where = "text_encoder."
    if recurrent:
        shapes: Shapes = {f"{where}embed.weight": (len(WORDS), 10)}
        for direction in ("", "_reverse"):
            for name, shape in (("weight_ih", (10,)), ("weight_hh", (width // 2,)), ("bias_ih", ()), ("bias_hh", ())):
                shapes[f"{where}sent_enc.{name}_l0{direction}"] = (3 * width // 2, *shape)
        return shapes
    bert, size = f"{where}pretrained_text_encoder.", sizes.bert
    shapes = {f"{bert}embeddings.word_embeddings.weight": (len(PIECES), size)}
    shapes |= {f"{bert}embeddings.position_embeddings.weight": (sizes.bert_positions, size)}
    shapes |= _norm(f"{bert}embeddings.LayerNorm", size, statistics=False)
    for index in range(sizes.layers):
        layer = f"{bert}transformer.layer.{index}."
        for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
            shapes |= _linear(f"{layer}attention.{name}", size, size)
        shapes |= _linear(f"{layer}ffn.lin1", 2 * size, size) | _linear(f"{layer}ffn.lin2", size, 2 * size)
        for name in ("sa_layer_norm", "output_layer_norm"):
            shapes |= _norm(f"{layer}{name}", size, statistics=False)
    shapes |= _linear(f"{where}projection.1", width, size)
    shapes[f"{where}positional_encoding.pe"] = (sizes.bert_positions + 30, 1, width)
    for index in range(sizes.layers):
        shapes |= _layer(f"{where}transformer_encoder.layers.{index}.", width)
    return shapes


def _tirg(where: str, main: int, other: int) -> Shapes:
    both = main + other
    shapes: Shapes = {f"{where}a": (2,)}
    for name, outs in (("gated_feature_composer", {3: main}), ("res_info_composer", {3: both, 5: main})):
        shapes |= _norm(f"{where}{name}.1", both)
        for place, out in outs.items():
            shapes |= _linear(f"{where}{name}.{place}", out, both)
    return shapes


def editor_shapes(sizes: Sizes = Sizes(), recurrent: bool = False) -> tuple[Shapes, dict[str, Any]]:
    """Keys and arguments of a `PoseBGenerator`."""
    shapes = _pose_encoder(sizes, None) | _text_encoder(sizes, sizes.text, recurrent)
    shapes |= _tirg("correction_module.tirg.", sizes.code, sizes.text)
    for head in ("pose_text_fusion_distribution_layer", "pose_decoder_distribution_layer"):
        shapes |= _linear(f"{head}.mu", sizes.code, sizes.code) | _linear(f"{head}.logvar", sizes.code, sizes.code)
    shapes |= _linear("pose_decoder.decoder.0", sizes.hidden, sizes.code)
    shapes |= _linear("pose_decoder.decoder.3", sizes.hidden, sizes.hidden)
    shapes |= _linear("pose_decoder.decoder.5", 6 * sizes.joints, sizes.hidden)
    shapes |= {f"decsigma_{name}": (1,) for name in ("v2v", "jts", "rot")}
    return shapes, {
        "model": "PoseBGenerator",
        "text_encoder_name": "glovebigru_vocPF" if recurrent else "distilbertUncased",
        "transformer_topping": None if recurrent else "avgp",
        "correction_module_mode": "tirg",
        "latentD": sizes.code,
        "special_text_latentD": sizes.text,
        "num_body_joints": sizes.joints,
    }


def writer_shapes(sizes: Sizes = Sizes(), mode: str = "crossattention") -> tuple[Shapes, dict[str, Any]]:
    """Keys and arguments of a `FeedbackGenerator`."""
    width, words = sizes.decoder, len(WORDS)
    shapes = _pose_encoder(sizes, sizes.embedding)
    shapes |= _tirg("comparison_module.tirg.", sizes.embedding, sizes.embedding)
    shapes |= _linear("modalityInputAdapter.encoder_hidden_state_adaptor", width, sizes.embedding)
    shapes |= {"text_decoder.embedding.weight": (words, width)} | _linear("text_decoder.final_layer", words, width)
    shapes["text_decoder.positional_encoding.pe"] = (sizes.rows, 1, width)
    if mode == "crossattention":
        shapes["text_decoder.encoder_positional_encoding.pe"] = (sizes.rows, 1, width)
    for index in range(sizes.layers):
        shapes |= _layer(f"text_decoder.transformer_decoder.layers.{index}.", width, mode == "crossattention")
    return shapes, {
        "model": "FeedbackGenerator",
        "text_decoder_name": "transformer_vocPF",
        "transformer_mode": mode,
        "comparison_module_mode": "tirg",
        "latentD": sizes.embedding,
        "comparison_latentD": sizes.embedding,
        "decoder_latentD": width,
        "decoder_nhead": sizes.heads,
        "decoder_nlayers": sizes.layers,
        "num_body_joints": sizes.joints,
    }


def retrieval_shapes(sizes: Sizes = Sizes(), pairs: bool = False) -> tuple[Shapes, dict[str, Any]]:
    """Keys and arguments of a `PairText` or a `PoseText`."""
    width = sizes.embedding
    shapes = _pose_encoder(sizes, width) | _text_encoder(sizes, width, recurrent=False) | {"loss_weight": (1,)}
    if pairs:
        for place, (out, inputs) in enumerate(((2 * width, 2 * width), (width, 2 * width), (width, width))):
            shapes |= _linear(f"pose_pair_mlp.{2 * place}", out, inputs)
    return shapes, {
        "model": "PairText" if pairs else "PoseText",
        "text_encoder_name": "distilbertUncased",
        "latentD": width,
        "num_body_joints": sizes.joints,
    }


def arrays(shapes: Shapes, seed: int = 0) -> dict[str, np.ndarray]:
    """Random numbers that keep what a network computes near one."""
    random = np.random.default_rng(seed)
    made: dict[str, np.ndarray] = {}
    for key, shape in shapes.items():
        value = random.standard_normal(shape)
        if key.endswith("num_batches_tracked"):
            made[key] = np.array(1)
            continue
        if key.endswith(("running_var", "tirg.a")) or (key.endswith("weight") and len(shape) == 1):
            value = 1 + 0.2 * np.tanh(value)
        elif key.endswith(("bias", "pe", "running_mean")):
            value *= 0.1
        elif len(shape) > 1 and "embed" not in key:
            value *= 1.5 / np.sqrt(shape[-1])
        made[key] = value.astype(np.float32)
    return made


def checkpoint(folder: Path, made: tuple[Shapes, Mapping[str, Any]], seed: int = 0) -> Path:
    """Write a random checkpoint; returns its file."""
    return write(folder / "best_model.pth", arrays(made[0], seed), made[1])
