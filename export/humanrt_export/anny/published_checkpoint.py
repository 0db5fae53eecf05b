"""Checkpoints of the published Multi-HMR on Anny: ``{"args": argparse.Namespace, "model_state_dict": ...}``.

Loading is safe (no code of the file runs) and strict: every key is used, known to be unneeded, or refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from humanrt.errors import choices
from humanrt_export.anny.published import BONES, SHAPE, PublishedConfig, PublishedHmr
from humanrt_export.checkpoint import CheckpointError, Names, arguments, fill, read, tensors
from humanrt_export.multihmr.backbone import BACKBONES, SCRATCH
from humanrt_export.multihmr.layouts import Layout, image_size, require, whole_number

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
        ("head.offset.<rest>", "mlp_offset.<rest>"),
        ("head.pose.<rest>", "mlp_pose.<rest>"),
        ("head.shape.<rest>", "mlp_shape.<rest>"),
        ("head.size.<rest>", "mlp_dist.<rest>"),
    )
)
"""Our parameter's name -> the published checkpoints' name."""

_TURNS = "useful_rotmat"
# In the files, and of no use at inference: constants, the token of masked pre-training, and the authors' body model.
_UNNEEDED = rf"{_TURNS}|eye|encoder\.backbone\.mask_token|body_model\..+"
# Arguments that would make another network; where they are absent, these are the authors' defaults.
_FIXED_ARGS: Mapping[str, Any] = {"simple_depth_encoding": 1, "person_center": "head", "num_betas": len(SHAPE)}
_SIZES = {"width": "xat_dim", "depth": "xat_depth", "heads": "xat_heads", "head_width": "xat_dim_head", "mlp": "xat_mlp_dim"}


def load_published(path: str | Path, content: Mapping[str, Any] | None = None) -> PublishedHmr:
    """Read a published `.pt` file (ViT-S/B/L, any S) into a network in evaluation mode.

    Args:
        path: the file.
        content: what `checkpoint.read` made of it, where that is known already.

    Raises:
        CheckpointError: not such a file; hostile; made with arguments that are another network; or a key that is
            missing, unexpected, or of another shape.
    """
    path = Path(path)
    content = read(path, _KIND) if content is None else content
    require(path, content, Layout.PUBLISHED_ANNY)
    args, state = arguments(path, content, _KIND), tensors(path, content, "model_state_dict", _KIND)
    config = _config(path, args, state)
    model = PublishedHmr(config)
    about = f"it is {_KIND}, and its arguments say {config.backbone}, {config.image_size} px"
    fill(path, model, state, published_name, unneeded=_UNNEEDED, about=about)
    return model.eval()


def _config(path: Path, args: Mapping[str, Any], state: Mapping[str, Tensor]) -> PublishedConfig:
    """The configuration that a file's arguments state."""
    for name, wanted in _FIXED_ARGS.items():
        if args.get(name, wanted) != wanted:
            raise CheckpointError(f"{path}: argument `{name}` is {args[name]!r}; only {wanted!r} is supported")
    for name in ("backbone", "img_size"):
        if name not in args:
            raise CheckpointError(f"{path}: argument `{name}` is missing; not a checkpoint of {_KIND}")
    backbone = args["backbone"]
    if backbone not in BACKBONES or backbone in SCRATCH:
        published = choices(name for name in BACKBONES if name not in SCRATCH)
        raise CheckpointError(f"{path}: argument `backbone` is {backbone!r}; supported: {published}")
    sizes = {
        ours: whole_number(path, theirs, args[theirs], least=1) for ours, theirs in _SIZES.items() if theirs in args
    }
    return PublishedConfig(
        backbone=str(backbone), image_size=image_size(path, args["img_size"]), turning=_turning(path, state), **sizes
    )


def _turning(path: Path, state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """The bones that turn: `useful_rotmat` [1, 163] is 1 for them and 0 for others."""
    turns = next((tensor for key, tensor in state.items() if key.removeprefix("module.") == _TURNS), None)
    if turns is None:
        raise CheckpointError(f"{path}: `{_TURNS}` is missing; not a checkpoint of {_KIND}")
    if tuple(turns.shape) != (1, BONES) or not bool(((turns == 0) | (turns == 1)).all()) or not bool(turns[0, 0] == 1):
        raise CheckpointError(
            f"{path}: `{_TURNS}` {list(turns.shape)} must be [1, {BONES}] of 0 and 1, 1 for the root; download it again"
        )
    return tuple(int(bone) for bone in turns[0].nonzero()[:, 0])
