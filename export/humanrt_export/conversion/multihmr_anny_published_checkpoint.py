"""Checkpoints of the published Multi-HMR on Anny: ``{"args": argparse.Namespace, "model_state_dict": ...}``.

Loading is safe (no code of the file runs) and strict: every key is used, known to be unneeded, or refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from humanrt_export.checkpoint import CheckpointError, Names, arguments, built, read, tensors
from humanrt_export.networks.backbone import BACKBONES, SCRATCH
from humanrt_export.networks.checkpoint_layouts import (
    Layout,
    decoder_layers,
    fixed,
    image_size,
    one_of,
    require,
    whole_number,
)
from humanrt_export.networks.multihmr_anny_published import BONES, SHAPE, PublishedConfig, PublishedHmr

__all__ = ["load_published", "published_name"]

_KIND = "NAVER's Multi-HMR on Anny"
_LAYER = "decoder.transformer.layers.<n>."

published_name = Names(
    (
        ("backbone.<rest>", "encoder.backbone.<rest>"),
        ("detection.score.<rest>", "encoder.mlp_det.<rest>"),
        ("view.<rest>", "encoder.mlp_fov_unique.<rest>"),
        ("fov_max", "encoder.fov_max"),
        ("head.positions", "dec_pos_emb"),
        ("head.initial_pose", "init_body_pose"),
        ("head.embed.<rest>", "dec_to_token.<rest>"),
        *decoder_layers(_LAYER),
        ("head.offset.<rest>", "mlp_offset.<rest>"),
        ("head.pose.<rest>", "mlp_pose.<rest>"),
        ("head.shape.<rest>", "mlp_shape.<rest>"),
        ("head.size.<rest>", "mlp_dist.<rest>"),
    )
)
"""Our parameter's name -> the published checkpoints' name."""

_TURNS = "useful_rotmat"
# In the files, but not used at inference: constants, the token of masked pre-training, and the authors' body model.
_UNNEEDED = rf"{_TURNS}|eye|encoder\.backbone\.mask_token|body_model\..+"
# Arguments that change the network; these are the authors' defaults for absent ones.
_FIXED_ARGS: Mapping[str, Any] = {"simple_depth_encoding": 1, "person_center": "head", "num_betas": len(SHAPE)}
# Sizes of the decoder by their names in the arguments, and their maxima.
_SIZES = {
    "width": ("xat_dim", 4096),
    "depth": ("xat_depth", 64),
    "heads": ("xat_heads", 64),
    "head_width": ("xat_dim_head", 256),
    "mlp": ("xat_mlp_dim", 16384),
}


def load_published(path: str | Path, content: Mapping[str, Any] | None = None) -> PublishedHmr:
    """Read a published `.pt` file (ViT-S/B/L, any S) into a network in evaluation mode.

    Args:
        path: the file.
        content: result of `checkpoint.read` for the file, if already read.

    Raises:
        CheckpointError: not such a file; hostile; made with arguments that are another network; or a key that is
            missing, unexpected, or of another shape.
    """
    path = Path(path)
    content = read(path, _KIND) if content is None else content
    require(path, content, Layout.PUBLISHED_ANNY)
    args, state = arguments(path, content, _KIND), tensors(path, content, "model_state_dict", _KIND)
    turns = _turning(state)
    config = _config(path, args, turns)
    about = f"it is {_KIND}, and its arguments say {config.backbone}, {config.image_size} px"
    model: PublishedHmr = built(
        path, lambda: PublishedHmr(config), state, published_name, unneeded=_UNNEEDED, about=about
    )
    if turns is None:  # checked only now: an error about missing keys is more informative
        raise CheckpointError(
            f"{path}: `{_TURNS}` must be [1, {BONES}] of 0 and 1, 1 for the root; it is {_KIND}: download it again"
        )
    model.eval()
    return model


def _config(path: Path, args: Mapping[str, Any], turns: Tensor | None) -> PublishedConfig:
    """Return the configuration given by a file's arguments."""
    fixed(path, args, _FIXED_ARGS)
    for name in ("backbone", "img_size"):
        if name not in args:
            raise CheckpointError(f"{path}: argument `{name}` is missing, and this is {_KIND}; download it again")
    backbone = one_of(path, "backbone", args["backbone"], [name for name in BACKBONES if name not in SCRATCH])
    turning = (0,) if turns is None else tuple(int(bone) for bone in turns.nonzero()[:, 0])
    sizes = {
        ours: whole_number(path, theirs, args[theirs], 1, most)
        for ours, (theirs, most) in _SIZES.items()
        if theirs in args
    }
    return PublishedConfig(backbone=backbone, image_size=image_size(path, args["img_size"]), turning=turning, **sizes)


def _turning(state: Mapping[str, Tensor]) -> Tensor | None:
    """Return `useful_rotmat` [1, 163], 1 for bones that rotate and 0 for others; None if it is not of this form."""
    turns = next((tensor for key, tensor in state.items() if key.removeprefix("module.") == _TURNS), None)
    if turns is None or tuple(turns.shape) != (1, BONES) or not bool(((turns == 0) | (turns == 1)).all()):
        return None
    return turns[0] if bool(turns[0, 0] == 1) else None
