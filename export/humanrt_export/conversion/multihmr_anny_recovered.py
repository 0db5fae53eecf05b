"""The network of a bundle of Multi-HMR on Anny, as PyTorch has it: to train or export it again without its checkpoint.

A graph's constants do not say which parameter they were: some are transposed, some have the names of what computes
them. So a network of the same structure, with random parameters, is traced in the same way, which gives the same
graph with other constants; there each constant is recognised by its content, and the bundle's has the parameter's
value at the same input of the same node. All else must be alike in both, too: then the settings are the network's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from humanrt.bundle import MANIFEST, Bundle, load_bundle, shipped_bundles
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.conversion.multihmr_graphs import plain_graph
from humanrt_export.networks.camera import Window
from humanrt_export.networks.keypoint_backbone import KEYPOINT_BACKBONES, token_step
from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr, NetworkOutput, config_of, load_checkpoint

__all__ = ["is_bundle", "network_of", "network_of_bundle", "refuse_misnamed"]

Array = NDArray[Any]
_Node = tuple[str, str, int]  # operator, module, and which of these

_GRAPH = "network"
_BODY = "Anny"
_SEED = 2026
_ROUNDED = 0.005  # of a constant's greatest number: how far 8 or 16 bits are from it, and a bit more


@dataclass(frozen=True)
class _Place:
    """Where a parameter is: its name; whether it is transposed there, and whether repeated along leading axes."""

    name: str
    turned: bool = False
    expanded: bool = False


def is_bundle(path: Path) -> bool:
    """Return whether a path is a bundle's folder, not a training's."""
    return (path / MANIFEST).is_file()


def refuse_misnamed(path: Path) -> None:
    """Raise `CheckpointError` for the name of a bundle that ships, or a file of a bundle, in place of its folder."""
    if not path.exists() and str(path) in shipped_bundles():
        raise CheckpointError(f"{path}: no such file; of a bundle give the folder, such as engines/{path}")
    if path.is_file() and is_bundle(path.parent) and path.suffix != ".pt":
        raise CheckpointError(f"{path}: a file of a bundle; give the folder, {path.parent}")


def network_of(path: Path, content: Mapping[str, Any] | None = None) -> tuple[AnnyHmr, dict[str, str]]:
    """Return the network of a bundle or of whatever `load_checkpoint` takes, likewise.

    Raises:
        HumanrtError: it is neither; what the two say, or `refuse_misnamed`.
    """
    if is_bundle(path):
        return network_of_bundle(path)
    refuse_misnamed(path)
    if not path.exists():
        raise CheckpointError(
            f"{path}: no such file; give a checkpoint (.pt), a training's folder, or a bundle's folder such as "
            "engines/multihmr-anny"
        )
    return load_checkpoint(path, content)


def network_of_bundle(folder: Path) -> tuple[AnnyHmr, dict[str, str]]:
    """Return the network in evaluation mode, as exact as the bundle stores it, and the description of its weights.

    Args:
        folder: of a bundle that `export_anny` made.

    Raises:
        BundleError: it cannot be read, or is for another task.
        MissingDependencyError: its head corrects poses, for which Anny is needed, once.
        CheckpointError: it has another network than its settings say, or one whose layers were merged for the export.
    """
    bundle = load_bundle(folder, task="people")
    _refuse_other_kinds(folder, bundle)
    about = _about(bundle)
    config = _config(folder, about)
    if config.backbone not in KEYPOINT_BACKBONES:
        raise CheckpointError(
            f"{folder}: layers of {config.backbone} were merged for the export; give the checkpoint that it was made "
            "from"
        )
    source = bundle.graph(_GRAPH).source
    own = onnx.load(source) if isinstance(source, Path) else onnx.load_from_string(source)
    random, given = AnnyHmr(config).eval(), _structure(own)
    _refuse_other_sizes(folder, random, given)
    traced = _structure(ir.to_proto(_random_graph(random, own.graph)))
    places = _places(folder, random, traced)
    _refuse_other_structure(folder, given, traced, places)
    model = AnnyHmr(config).eval()
    state: dict[str, torch.Tensor] = {}
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for node, parameters in places.items():
        for number, place in parameters.items():
            value, shape = given[node][number], shapes[place.name]
            if place.expanded:
                value = value.reshape(-1, *(shape[::-1] if place.turned else shape))[0]
            value = np.ascontiguousarray(value.T if place.turned else value)
            state[place.name] = torch.from_numpy(value.reshape(shape).copy())
    model.load_state_dict(state)
    return model, about


def _refuse_other_kinds(folder: Path, bundle: Bundle) -> None:
    """Raise `CheckpointError` for a bundle of people that has no network as this one is."""
    body = bundle.manifest["settings"].get("body")
    if _GRAPH not in bundle.manifest["graphs"] or not isinstance(body, Mapping) or body.get("model") != _BODY:
        raise CheckpointError(
            f"{folder}: bundle `{bundle.name}` is not a Multi-HMR on Anny; give a folder such as engines/multihmr-anny"
        )


def _about(bundle: Bundle) -> dict[str, str]:
    provenance = bundle.manifest.get("provenance")
    about = provenance.get("weights") if isinstance(provenance, Mapping) else None
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


def _refuse_other_sizes(folder: Path, model: AnnyHmr, given: Mapping[_Node, Mapping[int, Array]]) -> None:
    """Raise `CheckpointError` if a layer's weights are nowhere in a graph, whose structure need not be traced then."""
    sizes = {tuple(sorted(value.shape)) for constants in given.values() for value in constants.values()}
    for name, value in model.state_dict().items():
        if name.endswith(".weight") and value.ndim > 1 and tuple(sorted(value.shape)) not in sizes:
            raise _other_settings(folder, f"nothing has the size of {name}, {list(value.shape)}")


def _other_settings(folder: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{folder}: the settings (provenance.weights.training) are not its graph's own, or other versions traced it "
        f"({what}); give the checkpoint that it was made from"
    )


def _refuse_other_structure(
    folder: Path,
    given: Mapping[_Node, Mapping[int, Array]],
    traced: Mapping[_Node, Mapping[int, Array]],
    places: Mapping[_Node, Mapping[int, _Place]],
) -> None:
    """Raise `CheckpointError` unless two graphs have the same nodes, and the same constants but for parameters.

    Args:
        folder: for messages.
        given, traced: of the bundle's graph and of the one that its settings make, see `_structure`.
        places: where parameters are.
    """
    for node in (*traced, *given):
        own, wanted = given.get(node), traced.get(node)
        fits = own is not None and wanted is not None and own.keys() == wanted.keys()
        if own is not None and wanted is not None and fits:
            fits = all(_fits(own[number], wanted[number], places[node].get(number)) for number in wanted)
        if not fits:
            operator, module, _ = node
            raise _other_settings(folder, f"{operator} in {module or 'the network'} is another")


def _fits(own: Array, wanted: Array, place: _Place | None) -> bool:
    """Return whether a constant may be in the place of another: a parameter by its shape, all else by its numbers."""
    if own.shape != wanted.shape:
        return False
    if place is None:
        far = _ROUNDED * np.abs(wanted[np.isfinite(wanted)]).max(initial=0) if wanted.dtype.kind == "f" else 0
        return np.allclose(own, wanted, rtol=0, atol=far, equal_nan=wanted.dtype.kind == "f")
    return not place.expanded or len(_contents(own)) > 1


def _random_graph(model: AnnyHmr, like: onnx.GraphProto) -> ir.Model:
    """Fill the network, in place, with random numbers, of which no two are alike, and trace it.

    Args:
        model: the network; it is changed.
        like: a graph with the same picture, batch and slots.
    """
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.copy_(0.1 + 0.01 * torch.randn(value.shape, generator=generator))
    shapes = {
        value.name: [one.dim_value for one in value.type.tensor_type.shape.dim] for value in (*like.input, *like.output)
    }
    batch, _, height, width = shapes["image"]
    window = Window.of(model.config.side, (width, height), token_step(model.config.backbone))
    if not window.square:
        model.crop(window)
    feeds = {
        "image": torch.zeros(batch, 3, window.size[1], window.size[0]),
        "intrinsics": torch.eye(3).repeat(batch, 1, 1),
        "threshold": torch.full((1,), 0.5),
    }
    return plain_graph(model, feeds, NetworkOutput._fields, shapes["scores"][1])


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


def _places(folder: Path, model: AnnyHmr, nodes: Mapping[_Node, Mapping[int, Array]]) -> dict[_Node, dict[int, _Place]]:
    """Return for each node which parameter is at which input.

    Args:
        folder: for messages.
        model: the network; nodes: its graph's, see `_structure`.
    """
    known: dict[bytes, _Place] = {}
    for name, value in model.state_dict().items():
        array = value.detach().numpy()
        if array.ndim == 2:
            known[np.ascontiguousarray(array.T).tobytes()] = _Place(name, turned=True)
        known[array.tobytes()] = _Place(name)  # a row is its own transpose
    found: dict[_Node, dict[int, _Place]] = {}
    for node, constants in nodes.items():
        found[node] = {}
        for number, value in constants.items():
            whole, *parts = _contents(value)
            if whole in known:
                found[node][number] = known[whole]
            elif part := next((part for part in parts if part in known), None):
                found[node][number] = replace(known[part], expanded=True)
    missing = model.state_dict().keys() - {one.name for parameters in found.values() for one in parameters.values()}
    if missing:
        raise CheckpointError(f"{folder}: {sorted(missing)[0]} is not a constant of the graph")
    return found


def _contents(value: Array) -> list[bytes]:
    """Return a constant's bytes, and those of its first part where all parts are alike, as of what is expanded."""
    parts = [value.reshape(-1, *value.shape[axis:]) for axis in range(1, value.ndim)]
    return [np.ascontiguousarray(value).tobytes()] + [
        np.ascontiguousarray(part[0]).tobytes() for part in parts if (part == part[:1]).all()
    ]
