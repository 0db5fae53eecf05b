"""Report on an engine: its layers after fusion, and which attentions became one kernel.

TensorRT for RTX lists the layers in its log during the build, without a GPU. ``tensorrt`` lists those of an opened
engine (IEngineInspector), whose JSON changed in version 11. Without either, the layers are those parsed from the graph:
their types are final, but which of them are fused is not known.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import onnx_ir as ir

from humanrt_export.conversion.rewriting import constant_values

__all__ = ["Layer", "Report", "attentions", "from_inspector", "from_log", "from_network"]

LOG_HEADING = "Layers:"
"""Beginning of the message in which TensorRT for RTX lists the engine's layers."""

_FUSED = "mha"  # in the names of the library's fused multi-head attention: _gemm_mha_v2, fmha, ...
_BETWEEN = ("Cast", "Mul", "Div", "Add", "Sub", "Where", "Reshape", "Identity", "QuantizeLinear", "DequantizeLinear")
_MOVED = ("CONSTANT", "CAST", "SHUFFLE", "SHAPE")
"""Kinds of layers, as parsed, that compute nothing."""


@dataclass(frozen=True)
class Layer:
    """A layer: its name, kind, the types of its outputs, and the nodes of the graph that it computes."""

    name: str
    kind: str
    dtypes: tuple[str, ...]
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Layers of an engine.

    Attributes:
        of: ``engine`` (after fusion) or ``network`` (as parsed, if the library reports no more).
        layers: its layers.
        attentions: names of the nodes at the centre of an attention (its Softmax).
    """

    of: Literal["engine", "network"]
    layers: Sequence[Layer]
    attentions: Sequence[str]

    @property
    def fused(self) -> list[str] | None:
        """Return the attentions that became one kernel; None if it is not known."""
        if self.of == "network":
            return None
        inside = {node for layer in self.layers if _FUSED in layer.name.lower() for node in layer.nodes}
        return [name for name in self.attentions if name in inside]

    @property
    def types(self) -> dict[str, int]:
        """Return the number of layers by output type, largest first, without layers that compute nothing."""
        computing = [layer for layer in self.layers if layer.dtypes and layer.kind not in _MOVED]
        return dict(Counter("/".join(dict.fromkeys(layer.dtypes)) for layer in computing).most_common())

    def lines(self) -> str:
        """Return a summary such as ``kernels: 83 Half, 90 Float; attention fused: 12 of 14``."""
        what = "kernels" if self.of == "engine" else "layers as parsed"
        text = ", ".join(f"{count} {dtype}" for dtype, count in self.types.items())
        fused = self.fused
        if not self.attentions:
            return f"{what}: {text}"
        return f"{what}: {text}; attention fused: {'?' if fused is None else len(fused)} of {len(self.attentions)}"

    def to_json(self) -> dict[str, Any]:
        return {
            "of": self.of,
            "types": self.types,
            "attention": {"nodes": list(self.attentions), "fused": self.fused},
            "layers": [asdict(layer) for layer in self.layers],
        }


def attentions(model: ir.Model) -> list[str]:
    """Return the names of the nodes at the centre of an attention.

    Such a node is ``Attention`` itself, or the Softmax of a product of two computed tensors (queries, keys) that enters
    another such product (with values).
    """
    constant = constant_values(model.graph)

    def reaches(start: ir.Node, neighbours: Callable[[ir.Node], Sequence[ir.Node]]) -> bool:
        """Return whether such a product is on this side, with only scaling, masks, casts and the like in between."""
        open_ends, seen = list(neighbours(start)), set()
        while open_ends:
            node = open_ends.pop()
            if node.op_type == "MatMul" and not constant.intersection(node.inputs):
                return True
            if node.op_type in _BETWEEN and node not in seen:
                seen.add(node)
                open_ends += neighbours(node)
        return False

    return [
        node.name
        for node in model.graph
        if node.op_type == "Attention"
        or (node.op_type == "Softmax" and reaches(node, ir.Node.predecessors) and reaches(node, ir.Node.successors))
    ]


def from_log(message: str) -> list[Layer]:
    """Parse an engine's layers from the message of TensorRT for RTX that begins with `LOG_HEADING`."""
    layers = []
    for line in message.splitlines():
        if found := re.match(r"Name: (.*?), LayerType: (\w+), ", line):
            outputs = line.partition("Outputs: [")[2].partition("], TacticName:")[0]
            types = tuple(re.findall(r"Datatype: (\w+)", outputs))
            layers.append(Layer(found[1], found[2], types, _nodes(line.partition("Metadata: ")[2])))
    return layers


def from_inspector(text: str) -> list[Layer]:
    """Parse an engine's layers from ``IEngineInspector.get_engine_information(JSON)`` of TensorRT 10 or 11.

    In 10 a tensor has one field ``Format/Datatype``, in 11 two. An engine built without detailed profiling lists only
    names.
    """
    layers = []
    for layer in json.loads(text).get("Layers", []):
        if isinstance(layer, str):
            layers.append(Layer(layer, "", ()))
            continue
        outputs = layer.get("Outputs", [])
        types = tuple(str(_first(tensor, "Datatype", "DataType", "Format/Datatype")) for tensor in outputs)
        nodes = _nodes(str(layer.get("Metadata", "")))
        layers.append(Layer(str(layer.get("Name", "")), str(layer.get("LayerType", "")), types, nodes))
    return layers


def from_network(network: Any) -> list[Layer]:
    """Return the layers of an INetworkDefinition."""
    layers = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        outputs = [layer.get_output(i) for i in range(layer.num_outputs)]
        types = tuple(tensor.dtype.name for tensor in outputs if tensor is not None)
        layers.append(Layer(layer.name, layer.type.name, types, _nodes(layer.metadata or "")))
    return layers


def _nodes(metadata: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\[ONNX Layer: (.*?)\]", metadata))


def _first(tensor: dict[str, Any], *names: str) -> Any:
    return next((tensor[name] for name in names if name in tensor), "")
