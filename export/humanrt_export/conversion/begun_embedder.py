"""Weights of a bundle of our own embedder, for a training that goes on from them: `embedder_of_bundle`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import OPEN_EMBEDDER, OpenEmbedderSettings, poseembroider_model
from humanrt.editing.words import read_word_ids
from humanrt.errors import BundleError
from humanrt_export.networks.pose_embedder import PoseEmbedder, PoseEmbedderConfig

__all__ = ["BegunEmbedder", "embedder_of_bundle"]

_READS = (
    "attention.query.weight",
    "attention.key_value.weight",
    "attention.out.weight",
    "mlp.0.weight",
    "mlp.2.weight",
)
"""Matrices of a block that reads words, in the order in which a graph uses them."""

_TAKEN = ("image.", "pose.", "text.", "heading.", "body.")
"""What a training begins with: the encoders, and the heads that read which way a person faces and the body."""


@dataclass(frozen=True)
class BegunEmbedder:
    """What a bundle of our own embedder holds.

    Attributes:
        weights: of the encoders and of the heads that read heading and body, all of them, as `PoseEmbedder` names them.
        words: its list.
        about: of the bundle, for the record: its name and the training that made it.
    """

    weights: Mapping[str, Tensor]
    words: tuple[str, ...]
    about: Mapping[str, Any]


def embedder_of_bundle(name: str) -> BegunEmbedder:
    """Return the weights of a bundle of ``humanrt-export train poseembroider``; what fuses is not among them.

    Nor is the temperature of the contrastive loss, which no graph needs: it begins anew.

    Raises:
        BundleError: it is another bundle, or its graphs are not as this version makes them: a weight is missing, or one
            is not the network's.
    """
    bundle = load_bundle(name, task="poseembroider")
    if poseembroider_model(bundle) != OPEN_EMBEDDER:
        raise BundleError(
            f"bundle {bundle.path} is of published files; give one of `humanrt-export train poseembroider`"
        )
    weights: dict[str, Tensor] = {}
    for graph in ("picture", "pose", "text", "body"):
        weights |= _weights(bundle, graph)
    with torch.device("meta"):  # its names; no random numbers are drawn
        network = PoseEmbedder(PoseEmbedderConfig(1, fused=False))
    wanted = {weight for weight in network.state_dict() if weight.startswith(_TAKEN)}
    for what, others in (("lack", wanted - weights.keys()), ("have an unknown", weights.keys() - wanted)):
        if others:
            raise BundleError(
                f"bundle {bundle.path}: its graphs {what} `{min(others)}`, and are of another version; train from the "
                "beginning"
            )
    settings = OpenEmbedderSettings.of(bundle)
    ids = read_word_ids(bundle.path / settings.file, settings.count)
    training = bundle.manifest.get("provenance", {}).get("training", {})
    about = {
        "bundle": bundle.name,
        "step": training.get("step"),
        "portraits": training.get("task", {}).get("portraits"),
    }
    return BegunEmbedder(weights, tuple(sorted(ids, key=lambda word: ids[word])), about)


def _weights(bundle: Bundle, graph: str) -> dict[str, Tensor]:
    """Return the weights of a graph by the network's names: named ones, and those that products use, transposed."""
    model = onnx.load_from_string(bundle.graph(graph).source)
    held = {one.name: numpy_helper.to_array(one).astype(np.float32) for one in model.graph.initializer}
    restored = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    named = {name.removesuffix("_f16").removeprefix("network."): array for name, array in held.items() if "." in name}
    if graph == "text":
        used = [restored.get(node.input[1], node.input[1]) for node in model.graph.node if node.op_type == "MatMul"]
        matrices = [held[one].T for one in used if one in held and held[one].ndim == 2]
        blocks = len({name.split(".")[2] for name in named if name.startswith("text.blocks.")})
        wanted = [f"text.blocks.{block}.{one}" for block in range(blocks) for one in _READS] + ["text.weight.weight"]
        places = [array for name, array in held.items() if name.startswith("slice") and array.ndim == 2]
        if len(matrices) != len(wanted) or len(places) != 1:
            raise BundleError(f"bundle {bundle.path}: its graph `text` is of another version; train from the beginning")
        named |= dict(zip(wanted, matrices, strict=True)) | {"text.places": places[0]}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in named.items()}
