"""Files of PoseEmbroider in the published layout, with random numbers: small ones, and those of the golden case."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from golden_cases import golden_case

MODALITIES = ("image", "pose", "text")
PIECES = (
    "[PAD]",
    *(f"[unused{i}]" for i in range(99)),
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "left",
    "arm",
    "##s",
    "up",
)

Shapes = dict[str, tuple[int, ...]]
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Sizes:
    """Of a set of files. Small, so that exporting takes seconds."""

    width: int = 16
    joints: int = 22
    image: int = 24
    blocks: int = 1
    tasks: int = 3
    trunk: int = 12
    bert: int = 64
    text: int = 12
    pieces: int = len(PIECES)
    positions: int = 70
    shapes: int = 10
    decoder: int = 8


FILES = {
    "image": "smpler_x_b32.pth.tar",
    "text": "posetext_model_bedlamscript.pth",
    "pose": "posevae_model_bedlamscript.pth",
    "core": "poseembroider_model_bedlamscript.pth",
    "body": "hpsestimator_model_poseembroider_bedlamscript.pth",
    "writer": "instructgen_model_poseembroider_bedlamfix_posefix.pth",
}

ARGS: Mapping[str, Mapping[str, Any]] = {
    "text": {
        "model": "PoseText",
        "latentD": 16,
        "text_encoder_name": "distilbertUncased",
        "transformer_topping": "avgp",
    },
    "pose": {"model": "PoseVAE", "latentD": 32, "num_body_joints": 22},
    "core": {
        "model": "PoseEmbroider",
        **{"latentD": 16, "l2normalize": True, "embroider_core_type": "transformer", "no_projection_heads": False},
        **{"encoder_projection_type": "layerplus", "external_encoder_projection_type": "none"},
        **{"text_encoder_name": "posetext", "pose_encoder_name": "posevae", "image_encoder_name": "smplerx_vitb32"},
    },
    "body": {"model": "HPSEstimator", "latentD": 16, "num_shape_coeffs": 10, "predict_bodyshape": True},
    "writer": {
        "model": "InstructionGenerator",
        **{"latentD": 16, "comparison_module_mode": "tirg", "transformer_mode": "crossattention", "decoder_nhead": 2},
        **{"text_decoder_name": "transformer_distilbertUncased"},
    },
}


def linear(where: str, outputs: int, inputs: int) -> Shapes:
    return {f"{where}.weight": (outputs, inputs), f"{where}.bias": (outputs,)}


def norm(where: str, width: int) -> Shapes:
    return {f"{where}.weight": (width,), f"{where}.bias": (width,)}


def batch_norm(where: str, width: int) -> Shapes:
    running: Shapes = {f"{where}.running_mean": (width,), f"{where}.running_var": (width,)}
    return norm(where, width) | running | {f"{where}.num_batches_tracked": ()}


def layer(where: str, width: int, hidden: int) -> Shapes:
    """A post-norm layer as PyTorch names it."""
    joined: Shapes = {f"{where}.self_attn.in_proj_weight": (3 * width, width)}
    joined |= {f"{where}.self_attn.in_proj_bias": (3 * width,)}
    joined |= linear(f"{where}.self_attn.out_proj", width, width) | linear(f"{where}.linear1", hidden, width)
    return (
        joined
        | linear(f"{where}.linear2", width, hidden)
        | norm(f"{where}.norm1", width)
        | norm(f"{where}.norm2", width)
    )


def image_shapes(sizes: Sizes) -> Shapes:
    width = sizes.image
    shapes: Shapes = {"encoder.task_tokens": (1, sizes.tasks, width), "encoder.pos_embed": (1, 193, width)}
    shapes |= {"encoder.patch_embed.proj.weight": (width, 3, 16, 16), "encoder.patch_embed.proj.bias": (width,)}
    for block in range(sizes.blocks):
        where = f"encoder.blocks.{block}"
        shapes |= norm(f"{where}.norm1", width) | norm(f"{where}.norm2", width)
        shapes |= linear(f"{where}.attn.qkv", 3 * width, width) | linear(f"{where}.attn.proj", width, width)
        shapes |= linear(f"{where}.mlp.fc1", 2 * width, width) | linear(f"{where}.mlp.fc2", width, 2 * width)
    shapes |= norm("encoder.last_norm", width) | {"position_net.weight": (5, 5)}
    return {f"module.{key}": shape for key, shape in shapes.items()}


def pose_shapes(sizes: Sizes) -> Shapes:
    where, width, numbers = "pose_encoder.encoder.", sizes.trunk, 3 * sizes.joints
    shapes = batch_norm(f"{where}1", numbers) | linear(f"{where}2", width, numbers) | batch_norm(f"{where}4", width)
    shapes |= linear(f"{where}6", width, width) | linear(f"{where}7", width, width)
    shapes |= linear(f"{where}8.mu", 32, width) | linear(f"{where}8.logvar", 32, width)
    return shapes | linear("pose_decoder.decoder.0", width, 32) | {"decsigma_rot": (1,)}


def text_shapes(sizes: Sizes) -> Shapes:
    bert, width = "text_encoder.pretrained_text_encoder.", sizes.bert
    shapes: Shapes = {f"{bert}embeddings.word_embeddings.weight": (sizes.pieces, width)}
    shapes |= {f"{bert}embeddings.position_embeddings.weight": (sizes.positions, width)}
    shapes |= norm(f"{bert}embeddings.LayerNorm", width)
    where = f"{bert}transformer.layer.0."
    for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
        shapes |= linear(f"{where}attention.{name}", width, width)
    shapes |= norm(f"{where}sa_layer_norm", width) | norm(f"{where}output_layer_norm", width)
    shapes |= linear(f"{where}ffn.lin1", 2 * width, width) | linear(f"{where}ffn.lin2", width, 2 * width)
    shapes |= linear("text_encoder.projection.1", sizes.text, width)
    shapes |= {"text_encoder.positional_encoding.pe": (80, 1, sizes.text)}
    shapes |= layer("text_encoder.transformer_encoder.layers.0", sizes.text, 2 * sizes.text)
    shapes |= {f"{bert}embeddings.position_ids": (1, sizes.positions), "loss_weight": (1,)}
    return shapes | linear("pose_encoder.encoder.2", 5, 66)  # of other shapes than posevae's


def core_shapes(sizes: Sizes) -> Shapes:
    width, inner = sizes.width, sizes.width // 2
    shapes: Shapes = {"intermodality_token": (1, 1, width), "temperature": (1,)}
    trunks = {"image": sizes.image, "pose": sizes.trunk, "text": sizes.text}
    for name in MODALITIES:
        shapes |= {f"modality_encoding_{name}": (1, 1, width)}
        shapes |= linear(f"{name}_encoder.{name}_projection.0", width, trunks[name])
        shapes |= linear(f"modality_projection_{name}.layers.0", width, width)
        shapes |= linear(f"modality_projection_{name}.layers.2", width, width)
    shapes |= linear("embroider_core.0", inner, width) | layer("embroider_core.1", inner, width)
    return shapes | linear("embroider_core.2", width, inner) | norm("norm", width)


def body_shapes(sizes: Sizes) -> Shapes:
    where, numbers = "pose_prediction_head.regressor_residual.", 6 * sizes.joints
    shapes: Shapes = {"pose_prediction_head.init_value": (numbers,)}
    shapes |= linear(f"{where}1", 20, sizes.width + numbers) | linear(f"{where}4", 20, 20)
    shapes |= linear(f"{where}7", numbers, 20)
    if sizes.shapes:
        shapes |= linear("bodyshape_prediction_head.layers.0", 8, sizes.width)
        shapes |= linear("bodyshape_prediction_head.layers.2", sizes.shapes, 8)
    return shapes


def writer_shapes(sizes: Sizes) -> Shapes:
    where, width, both, own = "comparison_module.tirg.", sizes.width, 2 * sizes.width, sizes.decoder
    shapes: Shapes = {f"{where}a": (2,)}
    shapes |= batch_norm(f"{where}gated_feature_composer.1", both) | batch_norm(f"{where}res_info_composer.1", both)
    shapes |= linear(f"{where}gated_feature_composer.3", width, both)
    shapes |= linear(f"{where}res_info_composer.3", both, both) | linear(f"{where}res_info_composer.5", width, both)
    shapes |= linear("modality_input_adapter.encoder_hidden_state_adaptor", own, width)
    shapes |= {"text_decoder.embedding.weight": (sizes.pieces, own)}
    shapes |= {f"text_decoder.{name}positional_encoding.pe": (60, 1, own) for name in ("", "encoder_")}
    shapes |= linear("text_decoder.final_layer", sizes.pieces, own)
    for block in range(2):
        where = f"text_decoder.transformer_decoder.layers.{block}"
        crossed = {key: size for key, size in layer(where, own, 2 * own).items() if "self_attn" in key}
        shapes |= layer(where, own, 2 * own) | norm(f"{where}.norm3", own)
        shapes |= {key.replace("self_attn", "multihead_attn"): size for key, size in crossed.items()}
    return shapes


SHAPES = {
    **{"image": image_shapes, "text": text_shapes, "pose": pose_shapes},
    **{"core": core_shapes, "body": body_shapes, "writer": writer_shapes},
}


def state_of(shapes: Shapes, seed: int) -> State:
    random = np.random.default_rng(seed)
    made: State = {}
    for key, shape in shapes.items():
        value = random.standard_normal(shape)
        if key.endswith("running_var") or ("norm" in key.lower() and key.endswith("weight")):
            value = 1 + 0.2 * np.abs(value)
        elif len(shape) > 1 and "embeddings" not in key:
            value = value / np.sqrt(np.prod(shape[1:]))
        made[key] = torch.from_numpy(np.asarray(value, np.float32))
    return made


def write(folder: Path, kind: str, state: Mapping[str, torch.Tensor], **settings: Any) -> Path:
    """Write a file as the authors do."""
    path = folder / FILES[kind]
    if kind == "image":
        torch.save({"network": dict(state), "epoch": 3}, path)
    else:
        args = argparse.Namespace(**{**ARGS[kind], **settings})
        torch.save({"model": dict(state), "args": args, "epoch": 3}, path)
    return path


def states(sizes: Sizes = Sizes()) -> dict[str, State]:
    return {kind: state_of(make(sizes), seed) for seed, (kind, make) in enumerate(SHAPES.items())}


def checkpoints(folder: Path, sizes: Sizes = Sizes()) -> list[Path]:
    """Write random files, one of each kind."""
    return [write(folder, kind, state) for kind, state in states(sizes).items()]


def vocabulary(folder: Path) -> Path:
    path = folder / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n")
    return path


# --- the golden case ---


def golden() -> tuple[dict[str, Any], dict[str, np.ndarray], ModuleType]:
    """The recorded case: its JSON, its arrays, and the module that makes its weights and pictures; skips without it."""
    return golden_case("poseembroider", "stand_in_embroider")
