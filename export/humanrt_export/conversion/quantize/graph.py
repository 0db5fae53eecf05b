"""Graphs and their layers: constants folded, the layers with constant weights, and what is rewritten in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from humanrt_export.conversion.quantize.recipe import LayerRule

__all__ = [
    "LINEAR", "Layer", "copied", "finish", "fold_constants", "heads", "linear_layers", "name_nodes", "rewrite_linears",
    "users",
]  # fmt: skip

LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_FOLDED = ("Cast", "Identity", "Mul", "Transpose")
_DOMAINS = ("com.microsoft", "humanrt")

Array = NDArray[Any]
Rewrite = Callable[[str, str, Array, str, "Array | None"], list[onnx.NodeProto]]
"""(node's name, source, weights [K, N], target, bias [N] or None) -> the nodes in its place."""


@dataclass(frozen=True)
class Layer:
    """A layer with constant weights.

    Attributes:
        name: of its node, unique in the graph.
        group: layers that are looked at together: of one module.
        operator: MatMul, Gemm or Conv.
        source: the activation that goes in.
        weight: name of the weights.
        axis: of the weights' output channels.
    """

    name: str
    group: str
    operator: str
    source: str
    weight: str
    axis: int


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which every node has a unique name."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    name_nodes(copy)
    return copy


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a name of its own: reports and lists of what stays in FP32 speak of nodes by name."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        name = node.name or f"{node.op_type}_{index}"
        node.name = name if name not in taken else f"{name}#{index}"
        taken.add(node.name)


def fold_constants(model: onnx.ModelProto) -> None:
    """In place: weights behind ``Cast``, ``Mul`` or ``Transpose`` become weights: some are stored in FP16 or INT8."""
    constants = {item.name: item for item in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type not in _FOLDED or not all(name in constants for name in node.input):
            kept.append(node)
            continue
        value = numpy_helper.to_array(constants[node.input[0]])
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "Cast":
            value = value.astype(helper.tensor_dtype_to_np_dtype(attributes["to"]))
        elif node.op_type == "Mul":
            value = value * numpy_helper.to_array(constants[node.input[1]])
        elif node.op_type == "Transpose":
            value = np.ascontiguousarray(value.transpose(attributes.get("perm")))
        constants[node.output[0]] = numpy_helper.from_array(value, node.output[0])
        model.graph.initializer.append(constants[node.output[0]])
    outputs = {value.name for value in model.graph.output}
    if outputs.isdisjoint(constants):
        del model.graph.node[:]
        model.graph.node.extend(kept)
        finish(model, {})


def users(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return the nodes that read each value."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for value in node.input:
            found.setdefault(value, []).append(node)
    return found


def finish(model: onnx.ModelProto, constants: Mapping[str, Array]) -> None:
    """Add constants, drop those that nothing uses any more, and declare the domains of the operators."""
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    used = {value for node in model.graph.node for value in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    domains = {node.domain for node in model.graph.node}
    for domain in _DOMAINS:
        if domain in domains and all(opset.domain != domain for opset in model.opset_import):
            model.opset_import.append(helper.make_opsetid(domain, 1))


def heads(model: onnx.ModelProto, depth: int) -> set[str]:
    """Names of the nodes from the last ``depth`` linear layers before the outputs onwards, those included.

    The last one is that on every way to an output; one before it counts where all that it gives goes into those after
    it, as what feeds a head alone does, and a layer of a residual stream does not.
    """
    if depth < 1:
        return set()
    makers = {name: node for node in model.graph.node for name in node.output}
    constant = {item.name for item in model.graph.initializer}
    for node in model.graph.node:  # in the order of computation
        if all(name in constant for name in node.input if name):  # weights, some stored in FP16 behind a Cast
            constant.update(node.output)
    found: set[str] = set()
    open_ends = [value.name for value in model.graph.output]
    while open_ends:
        node = makers.get(open_ends.pop())
        if node is None or node.name in found or constant.intersection(node.output):
            continue
        found.add(node.name)
        if not _linear(node, constant):
            open_ends += node.input
    following = users(model)
    for _ in range(depth - 1):
        reached: set[str] = set()  # layers of this round, behind which it ends
        for node in reversed(model.graph.node):
            takers = {taker.name for name in node.output for taker in following.get(name, [])}
            if node.name in found or constant.intersection(node.output) or not takers:
                continue
            if takers <= found - reached:
                found.add(node.name)
                if _linear(node, constant):
                    reached.add(node.name)
    return found


def _linear(node: onnx.NodeProto, constant: set[str]) -> bool:
    return node.op_type in LINEAR and bool(constant.intersection(node.input))


def linear_layers(model: onnx.ModelProto, rule: LayerRule) -> list[Layer]:
    """The layers of a graph (`copied`, its constants folded) that a rule is for."""
    constants = {item.name: item for item in model.graph.initializer}
    last = heads(model, rule.keep_heads)
    layers = []
    for node in model.graph.node:
        weight = constants.get(node.input[1]) if node.op_type in rule.operators and len(node.input) > 1 else None
        if weight is None or node.input[0] in constants or node.domain not in ("", "ai.onnx"):
            continue
        wanted = any(fnmatchcase(node.name, p) for p in rule.only)
        if not wanted or node.name in last:
            continue
        if node.op_type == "MatMul" and len(weight.dims) != 2:
            continue
        if node.op_type == "Conv" and np.prod(weight.dims) == weight.dims[0]:
            continue  # one number a channel, a PRelu's: nothing is summed, so INT8 would only round
        turned = any(item.name == "transB" and item.i for item in node.attribute)
        axis = 0 if node.op_type == "Conv" or turned else 1
        group = node.name.partition("/")[0] or node.name
        layers.append(Layer(node.name, group, node.op_type, node.input[0], node.input[1], axis))
    return layers


def rewrite_linears(model: onnx.ModelProto, names: Sequence[str], rewrite: Rewrite) -> None:
    """In place: other nodes for these ``MatMul`` by a constant, each with the ``Add`` of a bias after it."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    chosen, following = set(names), users(model)
    nodes: list[onnx.NodeProto] = []
    merged: set[str] = set()
    for node in model.graph.node:
        if node.output[0] in merged:
            continue
        if node.op_type != "MatMul" or node.name not in chosen:
            nodes.append(node)
            continue
        weight = constants[node.input[1]]
        target, bias = node.output[0], None
        after = following.get(target, [])
        if len(after) == 1 and after[0].op_type == "Add":
            vector = next((constants[x] for x in after[0].input if x in constants), None)
            if vector is not None and list(vector.dims) == [weight.dims[1]]:
                target, bias = after[0].output[0], numpy_helper.to_array(vector)
                merged.add(target)
        nodes += rewrite(node.name, node.input[0], numpy_helper.to_array(weight), target, bias)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
