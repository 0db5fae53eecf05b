"""Official Multi-HMR checkpoints: ``{"args": argparse.Namespace, "model_state_dict": ...}`` -> `MultiHmr`.

Loading is safe (no code of the file runs) and strict: every key is used, known to be unneeded, or refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from humanrt.errors import choices
from humanrt_export.checkpoint import CheckpointError, Names, arguments, fill, read, tensors
from humanrt_export.multihmr.backbone import BACKBONES
from humanrt_export.multihmr.camera import PATCH
from humanrt_export.multihmr.model import ModelConfig, MultiHmr

__all__ = ["CheckpointError", "load_checkpoint", "official_name"]

_KIND = "Multi-HMR"
_HEAD = "x_attention_head."
_LAYER = _HEAD + "transformer.transformer.layers.<n>."

_NAMES = Names(
    (
        ("backbone.<rest>", "backbone.encoder.<rest>"),
        ("detection.score.<rest>", "mlp_classif.<rest>"),
        ("detection.offset.<rest>", "mlp_offset.<rest>"),
        ("head.query_rows", _HEAD + "cross_queries_x"),
        ("head.query_columns", _HEAD + "cross_queries_y"),
        ("head.value_rows", _HEAD + "cross_values_x"),
        ("head.value_columns", _HEAD + "cross_values_y"),
        ("head.mean_pose", _HEAD + "init_body_pose"),
        ("head.mean_camera", _HEAD + "init_cam"),
        ("head.mean_expression", _HEAD + "init_expression"),
        ("head.position", _HEAD + "transformer.pos_embedding"),
        ("head.embed.<rest>", _HEAD + "transformer.to_token_embedding.<rest>"),
        ("head.layers.<n>.self_norm.<rest>", _LAYER + "0.norm.<rest>"),
        ("head.layers.<n>.self_qkv.<rest>", _LAYER + "0.fn.to_qkv.<rest>"),
        ("head.layers.<n>.self_out.<rest>", _LAYER + "0.fn.to_out.0.<rest>"),
        ("head.layers.<n>.cross_norm.<rest>", _LAYER + "1.norm.<rest>"),
        ("head.layers.<n>.cross_q.<rest>", _LAYER + "1.fn.to_q.<rest>"),
        ("head.layers.<n>.cross_kv.<rest>", _LAYER + "1.fn.to_kv.<rest>"),
        ("head.layers.<n>.cross_out.<rest>", _LAYER + "1.fn.to_out.0.<rest>"),
        ("head.layers.<n>.mlp_norm.<rest>", _LAYER + "2.norm.<rest>"),
        ("head.layers.<n>.mlp_in.<rest>", _LAYER + "2.fn.net.0.<rest>"),
        ("head.layers.<n>.mlp_out.<rest>", _LAYER + "2.fn.net.3.<rest>"),
        ("head.pose.<rest>", _HEAD + "decpose.<rest>"),
        ("head.shape.<rest>", _HEAD + "decshape.<rest>"),
        ("head.camera.<rest>", _HEAD + "deccam.<rest>"),
        ("head.expression.<rest>", _HEAD + "decexpression.<rest>"),
    )
)
# In the files, and of no use at inference: the token of masked pre-training, and the authors' body model.
_MEAN_SHAPE = {10: _HEAD + "init_betas", 11: _HEAD + "init_betas_kid"}
_UNNEEDED = r"smpl_layer\..+|backbone\.encoder\.mask_token|" + "|".join(map(re.escape, _MEAN_SHAPE.values()))

# Arguments that choose another network than this one, and the only value that is published. Files may leave them out.
_FIXED_ARGS: dict[str, object] = {
    "camera_embedding": "geometric",
    "nearness": True,
    "person_center": "head",
    "train_return_type": "smplx",
}


def load_checkpoint(path: str | Path) -> MultiHmr:
    """Read an official `.pt` file (ViT-S/B/L, any S, 10 or 11 betas) into a network in evaluation mode.

    Raises:
        CheckpointError: not such a file; hostile; made with arguments that are another network; or a key that is
            missing, unexpected, or of another shape.
    """
    path = Path(path)
    content = read(path, _KIND)
    args, state = arguments(path, content, _KIND), tensors(path, content, "model_state_dict", _KIND)
    config = _config(path, args, state)
    model = MultiHmr(config)
    fill(
        path,
        model,
        state,
        lambda name: official_name(name, config.num_betas),
        unneeded=_UNNEEDED,
        about=f"its arguments say {config.backbone}, {config.image_size} px, {config.num_betas} betas",
    )
    model.eval()
    return model


def official_name(name: str, num_betas: int = 10) -> str:
    """Our parameter's name -> the official checkpoints' name."""
    return _MEAN_SHAPE[num_betas] if name == "head.mean_shape" else _NAMES(name)


def _config(path: Path, args: Mapping[str, Any], state: Mapping[str, Tensor]) -> ModelConfig:
    """The configuration that a file's arguments state."""
    for name, wanted in _FIXED_ARGS.items():
        if args.get(name, wanted) != wanted:
            raise CheckpointError(f"{path}: argument `{name}` is {args[name]!r}; only {wanted!r} is supported")
    for name in ("backbone", "img_size"):
        if name not in args:
            raise CheckpointError(f"{path}: argument `{name}` is missing; not a Multi-HMR checkpoint")
    backbone, sizes = args["backbone"], args["img_size"]
    if backbone not in BACKBONES:
        raise CheckpointError(f"{path}: argument `backbone` is {backbone!r}; supported: {choices(BACKBONES)}")
    sizes = list(sizes) if isinstance(sizes, list | tuple) else [sizes]
    if not sizes or not all(isinstance(s, int) and s == sizes[0] and s > 0 and s % PATCH == 0 for s in sizes):
        raise CheckpointError(f"{path}: argument `img_size` is {sizes}; need one multiple of {PATCH}")
    # Older files do not say how many betas they predict; their last layer does.
    betas_key = _HEAD + "decshape.weight"
    found = state[betas_key].shape[0] if betas_key in state else 10
    num_betas = args.get("num_betas", found)
    if num_betas not in _MEAN_SHAPE:
        raise CheckpointError(f"{path}: argument `num_betas` is {num_betas!r}; supported: 10, 11")
    return ModelConfig(
        backbone=backbone,
        image_size=sizes[0],
        num_betas=num_betas,
        head_depth=args.get("xat_depth", 2),
        head_heads=args.get("xat_num_heads", 8),
        ray_bands=args.get("camera_embedding_num_bands", 16),
        ray_max_resolution=args.get("camera_embedding_max_resolution", 64),
        max_distance=50.0 if args.get("clip_dist", True) else float("inf"),
    )
