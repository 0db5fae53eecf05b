"""Official Multi-HMR checkpoints: ``{"args": argparse.Namespace, "model_state_dict": ...}`` -> `MultiHmr`.

Loading is safe (no code of the file runs) and strict: every key is used, known to be unneeded, or refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from humanrt_export.checkpoint import CheckpointError, Names, arguments, built, read, tensors
from humanrt_export.networks.backbone import BACKBONES
from humanrt_export.networks.checkpoint_layouts import (
    Layout,
    decoder_layers,
    fixed,
    image_size,
    one_of,
    require,
    whole_number,
)
from humanrt_export.networks.multihmr import ModelConfig, MultiHmr

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
        *decoder_layers(_LAYER),
        ("head.pose.<rest>", _HEAD + "decpose.<rest>"),
        ("head.shape.<rest>", _HEAD + "decshape.<rest>"),
        ("head.camera.<rest>", _HEAD + "deccam.<rest>"),
        ("head.expression.<rest>", _HEAD + "decexpression.<rest>"),
    )
)
# In the files, but not used at inference: the token of masked pre-training, and the authors' body model.
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
    require(path, content, Layout.SMPLX)
    args, state = arguments(path, content, _KIND), tensors(path, content, "model_state_dict", _KIND)
    config = _config(path, args, state)
    model: MultiHmr = built(
        path,
        lambda: MultiHmr(config),
        state,
        lambda name: official_name(name, config.num_betas),
        unneeded=_UNNEEDED,
        about=f"its arguments say {config.backbone}, {config.image_size} px, {config.num_betas} betas",
    )
    model.eval()
    return model


def official_name(name: str, num_betas: int = 10) -> str:
    """Convert our parameter's name to the name in official checkpoints."""
    return _MEAN_SHAPE[num_betas] if name == "head.mean_shape" else _NAMES(name)


def _config(path: Path, args: Mapping[str, Any], state: Mapping[str, Tensor]) -> ModelConfig:
    """Return the configuration given by a file's arguments."""
    fixed(path, args, _FIXED_ARGS)
    for name in ("backbone", "img_size"):
        if name not in args:
            raise CheckpointError(f"{path}: argument `{name}` is missing; not a Multi-HMR checkpoint")
    backbone = one_of(path, "backbone", args["backbone"], BACKBONES)
    size = image_size(path, args["img_size"])
    # Older files do not say how many betas they predict; their last layer does.
    last = state.get(_HEAD + "decshape.weight")
    found = last.shape[0] if last is not None and last.ndim else 10
    least, most = min(_MEAN_SHAPE), max(_MEAN_SHAPE)
    num_betas = whole_number(path, "num_betas", args.get("num_betas", found), least, most)
    return ModelConfig(
        backbone=backbone,
        image_size=size,
        num_betas=num_betas,
        **{
            ours: whole_number(path, theirs, args.get(theirs, usual), 1, most)
            for ours, theirs, usual, most in (
                ("head_depth", "xat_depth", 2, 64),
                ("head_heads", "xat_num_heads", 8, 64),
                ("ray_bands", "camera_embedding_num_bands", 16, 1024),
                ("ray_max_resolution", "camera_embedding_max_resolution", 64, 4096),
            )
        },
        max_distance=50.0 if args.get("clip_dist", True) else float("inf"),
    )
