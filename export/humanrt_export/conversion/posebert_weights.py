"""Read the weights of a PoseBERT bundle of ours back from its graph, as the start of a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from humanrt.bundle import load_bundle
from humanrt.errors import BundleError
from humanrt.geometry.skeleton import SMPL_24
from humanrt.posebert.graphs import graphs_of
from humanrt_export.conversion.half_graphs import load_graph
from humanrt_export.conversion.rewriting import fold_constants
from humanrt_export.networks.posebert import LEARNED, READER_WIDTH, StreamingPoseBert
from humanrt_export.runs import LAST, load_run

__all__ = ["begin_with", "bundle_weights", "initial_weights"]

_BLOCK = ("qkv", "attention_out", "mlp_in", "mlp_out")
_PREFIX = "network."


def bundle_weights(bundle: str | Path) -> dict[str, Tensor]:
    """Return the parameters of the network in a bundle, by their names in `StreamingPoseBert`.

    Biases, norms and tokens keep their names in a graph; matrices are found by the order in which they are used.

    Raises:
        BundleError: it is no bundle of one of our networks that take keypoints without rays.
    """
    found = load_bundle(bundle, task="posebert")
    try:
        return _parameters(load_graph(next(iter(graphs_of(found).values()))))
    except (KeyError, ValueError, IndexError) as error:
        raise BundleError(
            f"{found.path}: its weights cannot be read back ({error!r}); give a bundle of `humanrt-export posebert` "
            "whose network takes keypoints without rays, such as posebert-body"
        ) from error


def initial_weights(source: str | Path) -> dict[str, Tensor]:
    """Return the averaged weights of a training's folder, or those of a bundle (`bundle_weights`)."""
    if (Path(source) / LAST).is_file():
        return dict(load_run(Path(source))[1])
    return bundle_weights(source)


def begin_with(network: StreamingPoseBert, weights: Mapping[str, Tensor]) -> None:
    """Fill a network with weights of one with fewer inputs or heads: what is new begins as if it were not there.

    New columns of the embedding are 0, so that the answers are those of the weights; of a network that starts from
    inverse kinematics, rotations of the joints that do begin as these say. BundleError where shapes differ.
    """
    state = network.state_dict()
    for name, value in weights.items():
        own = state.get(name)
        shapes = [list(value.shape), [] if own is None else list(own.shape)]
        if own is None or (own.shape != value.shape and (name != "embed.weight" or shapes[1] < shapes[0])):
            raise BundleError(
                f"`{name}` is {shapes[0]}, the network's {shapes[1] or 'missing'}; train with its settings"
            )
        with torch.no_grad():
            if own.shape != value.shape:
                own.zero_()
                own = own[:, : value.shape[1]]
            own.copy_(value)
    if network.config.rest and "ik_share" not in weights:
        first = network.config.values
        with torch.no_grad():
            for joint, name in enumerate(SMPL_24):
                if name not in LEARNED:
                    rows = slice(first + 6 * joint, first + 6 * joint + 6)
                    network.regressor.out.weight[rows] = 0
                    network.regressor.out.bias[rows] = 0


def _parameters(model: ir.Model) -> dict[str, Tensor]:
    fold_constants(model)
    stored = {name: value.const_value.numpy() for name, value in model.graph.initializers.items()}
    found = {name.removeprefix(_PREFIX): value for name, value in stored.items() if name.startswith(_PREFIX)}
    products = (node for node in model.graph if node.op_type == "MatMul" and node.inputs[1].is_initializer())
    matrices = (value for value in (stored[node.inputs[1].name] for node in products) if value.ndim == 2)
    depth = sum(name.endswith("attention_norm.weight") for name in found)
    blocks = [f"blocks.{block}.{part}" for block in range(depth) for part in _BLOCK]
    for name in ("embed", *blocks, "reader_query", "reader_key", "regressor.hidden", "regressor.out"):
        found[f"{name}.weight"] = next(matrices).T
    # Folded into constants: -exp(decay) * age [readers, T, T]; softmax of the mixture [1, readers, 1, points, 1].
    readers = len(found["reader_query.weight"]) // READER_WIDTH
    frames = model.graph.inputs[0].shape[1]
    decays = [value for value in stored.values() if value.shape == (readers, frames, frames)]
    mixtures = [value for value in stored.values() if value.ndim == 5 and value.shape[:3] == (1, readers, 1)]
    found["reader_decay"] = np.log(-decays[0][:, 1, 0].astype(np.float32))
    found["reader_mix"] = np.log(np.maximum(mixtures[0][0, :, 0, :, 0].astype(np.float32), 1e-9)).T
    return {name: torch.from_numpy(np.array(value, np.float32)) for name, value in found.items()}
