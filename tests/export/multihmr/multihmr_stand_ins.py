"""Stand-ins for what users bring: checkpoints and body models in the official formats, filled with noise."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from humanrt_export.conversion.multihmr_checkpoint import official_name
from humanrt_export.networks.multihmr import ModelConfig, MultiHmr

# The SMPL-X tree: parents of 55 joints.
PARENTS = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15),
    *(20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38),
    *(21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53),
)
VERTICES = 10475

Graph = Callable[..., dict[str, NDArray[Any]]]


def opened(path: Path) -> Graph:
    """A graph on ONNX Runtime: ``graph(name=array, ...)`` -> arrays by name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return lambda **feeds: dict(zip(names, session.run(None, feeds), strict=True))


def official_args(config: ModelConfig, **changes: Any) -> argparse.Namespace:
    """Arguments as the authors save them, with some that loading has no need of."""
    args = {
        "backbone": config.backbone,
        "img_size": [config.image_size],
        "xat_depth": config.head_depth,
        "xat_num_heads": config.head_heads,
        "num_betas": config.num_betas,
        "camera_embedding": "geometric",
        "camera_embedding_num_bands": config.ray_bands,
        "camera_embedding_max_resolution": config.ray_max_resolution,
        "nearness": True,
        "person_center": "head",
        "clip_dist": True,
        "train_return_type": "smplx",
        "learning_rate": 4e-5,
    }
    return argparse.Namespace(**{**args, **changes})


def official_state(config: ModelConfig, seed: int = 0) -> dict[str, Any]:
    """A state dict with the official names: noise of a size that keeps the network alive."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Any] = {}
    for name, value in MultiHmr(config).state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            noise = 1 + 0.1 * noise
        elif name.endswith("gamma"):
            noise = 0.5 + 0.1 * noise
        elif value.ndim >= 2 and name.endswith("weight"):
            noise = noise / value[0].numel() ** 0.5
        else:
            noise = 0.05 * noise
        state[official_name(name, config.num_betas)] = noise
    head = "x_attention_head."
    state[head + "init_body_pose"] = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(53)[None]
    for name, size in (("init_betas", 10), ("init_betas_kid", 11)):
        state.setdefault(head + name, torch.zeros(1, size))
    state["backbone.encoder.mask_token"] = torch.zeros(1, state["backbone.encoder.cls_token"].shape[-1])
    state["smpl_layer.neutral_10.bm_x.v_template"] = torch.zeros(4, 3)
    return state


def smplx_arrays(seed: int = 0) -> dict[str, NDArray[Any]]:
    """A body in the official layout: random geometry around a random tree."""
    r = np.random.default_rng(seed)
    joints = r.standard_normal((55, 3)).astype(np.float32) * 0.3
    weights = r.random((VERTICES, 55), np.float32) ** 8
    weights /= weights.sum(1, keepdims=True)
    regressor = r.random((55, VERTICES), np.float32) ** 20
    faces = r.integers(0, VERTICES, (200, 3)).astype(np.uint32)
    return {
        "v_template": weights @ joints + r.standard_normal((VERTICES, 3)).astype(np.float32) * 0.05,
        "shapedirs": r.standard_normal((VERTICES, 3, 400), np.float32) * 0.01,
        "posedirs": r.standard_normal((VERTICES, 3, 486), np.float32) * 0.001,
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights,
        "kintree_table": np.stack([np.where(np.array(PARENTS) < 0, 2**32 - 1, PARENTS), np.arange(55)]),
        "f": faces,
        "lmk_faces_idx": r.integers(0, len(faces), 51),
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
    }


@dataclass(frozen=True)
class GoldenCase:
    """One recorded case of shared/golden, its checkpoint rebuilt as the authors save it."""

    settings: dict[str, Any]
    expected: dict[str, NDArray[Any]]
    checkpoint: Path
    bodies: Path
    image: NDArray[np.float32]
