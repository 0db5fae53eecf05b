"""Official Multi-HMR checkpoints: ``{"args": argparse.Namespace, "model_state_dict": ...}`` -> `MultiHmr`.

Loading is safe (no code of the file runs) and strict: every key is used, known to be unneeded, or refused by name.
"""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from humanrt.errors import HumanrtError, choices
from humanrt_export.multihmr.backbone import BACKBONES
from humanrt_export.multihmr.camera import PATCH
from humanrt_export.multihmr.model import ModelConfig, MultiHmr

__all__ = ["CheckpointError", "load_checkpoint", "official_name"]


class CheckpointError(HumanrtError):
    """A checkpoint is not what this network is made of; the message names the key or argument."""


_HEAD = "x_attention_head."
_LAYER = _HEAD + r"transformer.transformer.layers."

# Official name (a regular expression) -> ours. The first that matches whole counts.
_NAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern.replace(".", r"\.").replace("<n>", r"(\d+)").replace("<rest>", r"(.+)")), ours)
    for pattern, ours in (
        ("backbone.encoder.<rest>", r"backbone.\1"),
        ("mlp_classif.<rest>", r"detection.score.\1"),
        ("mlp_offset.<rest>", r"detection.offset.\1"),
        (_HEAD + "cross_queries_x", "head.query_rows"),
        (_HEAD + "cross_queries_y", "head.query_columns"),
        (_HEAD + "cross_values_x", "head.value_rows"),
        (_HEAD + "cross_values_y", "head.value_columns"),
        (_HEAD + "init_body_pose", "head.mean_pose"),
        (_HEAD + "init_cam", "head.mean_camera"),
        (_HEAD + "init_expression", "head.mean_expression"),
        (_HEAD + "transformer.pos_embedding", "head.position"),
        (_HEAD + "transformer.to_token_embedding.<rest>", r"head.embed.\1"),
        (_LAYER + "<n>.0.norm.<rest>", r"head.layers.\1.self_norm.\2"),
        (_LAYER + "<n>.0.fn.to_qkv.<rest>", r"head.layers.\1.self_qkv.\2"),
        (_LAYER + "<n>.0.fn.to_out.0.<rest>", r"head.layers.\1.self_out.\2"),
        (_LAYER + "<n>.1.norm.<rest>", r"head.layers.\1.cross_norm.\2"),
        (_LAYER + "<n>.1.fn.to_q.<rest>", r"head.layers.\1.cross_q.\2"),
        (_LAYER + "<n>.1.fn.to_kv.<rest>", r"head.layers.\1.cross_kv.\2"),
        (_LAYER + "<n>.1.fn.to_out.0.<rest>", r"head.layers.\1.cross_out.\2"),
        (_LAYER + "<n>.2.norm.<rest>", r"head.layers.\1.mlp_norm.\2"),
        (_LAYER + "<n>.2.fn.net.0.<rest>", r"head.layers.\1.mlp_in.\2"),
        (_LAYER + "<n>.2.fn.net.3.<rest>", r"head.layers.\1.mlp_out.\2"),
        (_HEAD + "decpose.<rest>", r"head.pose.\1"),
        (_HEAD + "decshape.<rest>", r"head.shape.\1"),
        (_HEAD + "deccam.<rest>", r"head.camera.\1"),
        (_HEAD + "decexpression.<rest>", r"head.expression.\1"),
    )
)
# In the files, and of no use at inference: the token of masked pre-training, and the authors' body model.
_UNNEEDED = re.compile(r"smpl_layer\..+|backbone\.encoder\.mask_token")
_MEAN_SHAPE = {10: _HEAD + "init_betas", 11: _HEAD + "init_betas_kid"}

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
    args, state = _read(path)
    config = _config(path, args, state)
    model = MultiHmr(config)
    _check_and_load(path, model, _renamed(path, config, state))
    model.eval()
    return model


def official_name(name: str, num_betas: int = 10) -> str:
    """Our parameter's name -> the official checkpoints' name: the inverse of what loading does."""
    if name == "head.mean_shape":
        return _MEAN_SHAPE[num_betas]
    for pattern, ours in _NAMES:
        groups = re.fullmatch(re.sub(r"\\\\(\d)", r"(.+)", re.escape(ours)), name)
        if groups:
            official = pattern.pattern.replace(r"\.", ".")
            for value in groups.groups():
                official = re.sub(r"\(\\d\+\)|\(\.\+\)", value, official, count=1)
            return official
    raise KeyError(name)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The arguments and the tensors of a file, unpickled as `_safe_globals` allows."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; download a Multi-HMR checkpoint (.pt) from its authors")
    try:
        with torch.serialization.safe_globals(_safe_globals()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols: what it says here must be one line
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"(?:GLOBAL|global:?)\s+`?([\w.]+)`?", str(error))
        what = f"it asks for `{asked[1]}`, which" if asked else "it holds more than tensors and arguments, which"
        raise CheckpointError(
            f"{path}: refused: {what} no Multi-HMR checkpoint needs; download it again from its authors"
        ) from error
    except Exception as error:  # a damaged archive raises nearly anything
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: not a PyTorch checkpoint ({reason}); download it again") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a Multi-HMR checkpoint")
    for key in ("args", "model_state_dict"):
        if key not in content:
            raise CheckpointError(
                f"{path}: `{key}` is missing (found: {choices(map(str, content))}); not a Multi-HMR checkpoint"
            )
    args = content["args"]
    if not isinstance(args, Mapping | argparse.Namespace):
        raise CheckpointError(f"{path}: `args` is a {type(args).__name__}; not a Multi-HMR checkpoint")
    state = content["model_state_dict"]
    arguments: dict[str, Any] = dict(args) if isinstance(args, Mapping) else dict(vars(args))
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: `model_state_dict` holds more than tensors; not a Multi-HMR checkpoint")
    return arguments, dict(state)


def _safe_globals() -> list[Any]:
    """All that a file may ask for beside tensors and plain containers: the arguments, and numbers of numpy's."""
    number = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    names = [(number, f"{module}.multiarray.scalar") for module in ("numpy.core", "numpy._core")]
    return [argparse.Namespace, np.dtype, *kinds, *names]


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


def _renamed(path: Path, config: ModelConfig, state: Mapping[str, Tensor]) -> dict[str, tuple[str, Tensor]]:
    """Our name -> (official name, tensor). CheckpointError for a key that is neither known nor known as unneeded."""
    renamed: dict[str, tuple[str, Tensor]] = {}
    unexpected = []
    for key, tensor in state.items():
        # Distributed training prefixes every name.
        official = key.removeprefix("module.")
        if official in _MEAN_SHAPE.values():
            if official == _MEAN_SHAPE[config.num_betas]:
                renamed["head.mean_shape"] = key, tensor
        elif not _UNNEEDED.fullmatch(official):
            for pattern, ours in _NAMES:
                if match := pattern.fullmatch(official):
                    renamed[match.expand(ours)] = key, tensor
                    break
            else:
                unexpected.append(f"`{key}`")
    if unexpected:
        raise CheckpointError(f"{path}: unexpected {_listed(unexpected)}; not a Multi-HMR checkpoint of this kind")
    return renamed


def _check_and_load(path: Path, model: MultiHmr, found: Mapping[str, tuple[str, Tensor]]) -> None:
    """Fill the model, or say by their official names which keys do not fit."""
    wanted = model.state_dict()
    unexpected = [f"`{key}`" for name, (key, _) in found.items() if name not in wanted]
    missing = [f"`{official_name(name, model.config.num_betas)}`" for name in wanted if name not in found]
    misshapen = [
        f"`{key}` {list(tensor.shape)} (need {list(wanted[name].shape)})"
        for name, (key, tensor) in found.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    problems = (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
    if any(keys for _, keys in problems):
        what = "; ".join(f"{problem} {_listed(keys)}" for problem, keys in problems if keys)
        config = model.config
        raise CheckpointError(
            f"{path}: {what}; its arguments say {config.backbone}, {config.image_size} px, {config.num_betas} betas"
        )
    unreal = [
        f"`{key}`" for key, tensor in found.values() if not tensor.is_floating_point() or not tensor.isfinite().all()
    ]
    if unreal:
        raise CheckpointError(f"{path}: not finite numbers in {_listed(unreal)}; download it again")
    model.load_state_dict({name: tensor.float() for name, (_, tensor) in found.items()})


def _listed(keys: list[str], at_most: int = 6) -> str:
    shown = ", ".join(keys[:at_most])
    return shown + (f" and {len(keys) - at_most} more" if len(keys) > at_most else "")
