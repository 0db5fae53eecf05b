"""The network of a bundle of Multi-HMR on Anny, as PyTorch has it: to train or export it again without its checkpoint.

A graph's constants do not say which parameter they were: some are transposed, some have the names of what computes
them. So a network of the same structure, with random parameters, is traced in the same way, which gives the same
graph with other constants; there each constant is recognised by its content, and the bundle's has the parameter's
value at the same input of the same node.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from humanrt.bundle import MANIFEST, load_bundle
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.conversion.multihmr_graphs import plain_graph
from humanrt_export.networks.keypoint_backbone import KEYPOINT_BACKBONES
from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr, NetworkOutput, config_of, load_checkpoint

__all__ = ["is_bundle", "network_of", "network_of_bundle"]

Array = NDArray[Any]
_Node = tuple[str, str, int]  # operator, module, and which of these

_GRAPH = "network"
_SEED = 2026


def is_bundle(path: Path) -> bool:
    """Return whether a path is a bundle's folder, not a training's."""
    return (path / MANIFEST).is_file()


def network_of(path: Path, content: Mapping[str, Any] | None = None) -> tuple[AnnyHmr, dict[str, str]]:
    """Return the network of a bundle or of whatever `load_checkpoint` takes, likewise; it says what is raised."""
    return network_of_bundle(path) if is_bundle(path) else load_checkpoint(path, content)


def network_of_bundle(folder: Path) -> tuple[AnnyHmr, dict[str, str]]:
    """Return the network in evaluation mode, as exact as the bundle stores it, and the description of its weights.

    Args:
        folder: of a bundle that `export_anny` made.

    Raises:
        BundleError: it cannot be read.
        CheckpointError: it has another network, or one whose layers were merged for the export.
    """
    bundle = load_bundle(folder)
    about = _about(folder)
    config = _config(folder, about)
    if config.backbone not in KEYPOINT_BACKBONES:
        raise CheckpointError(
            f"{folder}: layers of {config.backbone} were merged for the export; give the checkpoint that it was made "
            "from"
        )
    source = bundle.graph(_GRAPH).source
    own = onnx.load(source) if isinstance(source, Path) else onnx.load_from_string(source)
    slots = own.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    model = AnnyHmr(config).eval()
    places = _places(folder, model, _structure(ir.to_proto(_random_graph(model, slots))))
    given = _structure(own)
    state: dict[str, torch.Tensor] = {}
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for node, parameters in places.items():
        for place, (name, turned) in parameters.items():
            value = given.get(node, {}).get(place)
            if value is None:
                raise CheckpointError(f"{folder}: {name} is not in its graph; other versions traced it")
            value = np.ascontiguousarray(value.T if turned else value).reshape(-1)[: np.prod(shapes[name], dtype=int)]
            if len(value) != np.prod(shapes[name], dtype=int):
                raise CheckpointError(f"{folder}: `{name}` has another size at {node}; the settings are not its own")
            state[name] = torch.from_numpy(value.reshape(shapes[name]).copy())
    model.load_state_dict(state)
    return model, about


def _about(folder: Path) -> dict[str, str]:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    about = manifest.get("provenance", {}).get("weights")
    return {str(key): str(value) for key, value in about.items()} if isinstance(about, Mapping) else {}


def _config(folder: Path, about: Mapping[str, str]) -> AnnyConfig:
    """Return the settings that the weights' description contains."""
    try:
        told = json.loads(about["training"])
        settings = told["task"]["settings"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder}: its manifest does not say what the network is (provenance.weights.training); give the "
            "checkpoint that it was made from"
        ) from error
    return config_of(folder, settings)


def _random_graph(model: AnnyHmr, slots: int) -> ir.Model:
    """Fill the network, in place, with random numbers, of which no two are alike, and trace it."""
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.copy_(0.1 + 0.01 * torch.randn(value.shape, generator=generator))
    side = model.config.image_size
    feeds = {
        "image": torch.zeros(1, 3, side, side),
        "intrinsics": torch.eye(3)[None],
        "threshold": torch.full((1,), 0.5),
    }
    return plain_graph(model, feeds, NetworkOutput._fields, slots)


def _structure(model: onnx.ModelProto) -> dict[_Node, dict[int, Array]]:
    """Return the constant inputs of each node by their places.

    Nodes that only compute constants, from integers and scales, are replaced by these.
    """
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes: dict[_Node, dict[int, Array]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in values and values[node.input[0]].dtype in (np.int8, np.float16):
            values[node.output[0]] = values[node.input[0]].astype(np.float32)
        elif node.op_type == "Mul" and set(node.input) <= values.keys():
            values[node.output[0]] = values[node.input[0]] * values[node.input[1]]
        else:
            constants = {place: values[name] for place, name in enumerate(node.input) if name in values}
            kind = node.op_type, node.name.rpartition("/")[0]  # beyond, it is numbered through the whole graph
            nodes[*kind, counts[kind]] = constants
            counts[kind] += 1
    return nodes


def _places(
    folder: Path, model: AnnyHmr, nodes: Mapping[_Node, Mapping[int, Array]]
) -> dict[_Node, dict[int, tuple[str, bool]]]:
    """Return for each node which parameter is at which input, and whether it is transposed there.

    Args:
        folder: for messages.
        model: the network; nodes: its graph's, see `_structure`.
    """
    known: dict[bytes, tuple[str, bool]] = {}
    for name, value in model.state_dict().items():
        array = value.detach().numpy()
        if array.ndim == 2:
            known[np.ascontiguousarray(array.T).tobytes()] = (name, True)
        known[array.tobytes()] = (name, False)  # a row is its own transpose
    found = {
        node: {place: known[own] for place, value in constants.items() for own in _contents(value) if own in known}
        for node, constants in nodes.items()
    }
    missing = model.state_dict().keys() - {name for parameters in found.values() for name, _ in parameters.values()}
    if missing:
        raise CheckpointError(f"{folder}: {sorted(missing)[0]} is not a constant of the graph")
    return found


def _contents(value: Array) -> list[bytes]:
    """Return a constant's bytes, and those of its first part where all parts are alike, as of what is expanded."""
    parts = [value.reshape(-1, *value.shape[axis:]) for axis in range(1, value.ndim)]
    return [np.ascontiguousarray(value).tobytes()] + [
        np.ascontiguousarray(part[0]).tobytes() for part in parts if (part == part[:1]).all()
    ]
