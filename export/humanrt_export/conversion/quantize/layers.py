"""Layers with constant weights: which ones become INT8, which are heads, and their replacement by other operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from humanrt_export.conversion.quantize.recipe import LayerRule
from humanrt_export.conversion.rewriting import constant_values, replace, sole_consumer

__all__ = ["LINEAR", "Layer", "heads", "linear_layers", "rewrite_linears"]

LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")

Array = NDArray[Any]
Rewrite = Callable[[ir.Node, str, Array, "Array | None"], ir.Node]
"""(MatMul, name of the output, weights [K, N], bias [N] or None) -> the node that replaces it."""


@dataclass(frozen=True)
class Layer:
    """A layer with constant weights.

    Attributes:
        name: name of its node, unique in the graph.
        group: module that it belongs to; layers of one group are examined together.
        operator: MatMul, Gemm or Conv.
        source: name of the activation that goes in.
        size: number of weights.
        axis: axis of the weights' output channels.
    """

    name: str
    group: str
    operator: str
    source: str
    size: int
    axis: int


def heads(model: ir.Model, depth: int) -> set[str]:
    """Return the names of the last ``depth`` linear layers before the outputs, and of all nodes behind them.

    The last layer is the one closest to an output on each path. A layer before it counts if only layers already found
    read its output: a layer that feeds nothing but a head counts, a layer of a residual stream does not.
    """
    if depth < 1:
        return set()
    constant = constant_values(model.graph)
    found: set[ir.Node] = set()
    open_ends = [value.producer() for value in model.graph.outputs]
    while open_ends:
        node = open_ends.pop()
        if node is None or node in found or constant.intersection(node.outputs):
            continue
        found.add(node)
        if not _linear(node, constant):
            open_ends += node.predecessors()
    for _ in range(depth - 1):
        reached: set[ir.Node] = set()  # linear layers of this round: it does not go beyond them
        for node in reversed(model.graph):
            takers = set(node.successors())
            if takers and takers <= found - reached and node not in found and not constant.intersection(node.outputs):
                found.add(node)
                if _linear(node, constant):
                    reached.add(node)
    return {node.name for node in found}


def _linear(node: ir.Node, constant: set[ir.Value]) -> bool:
    return node.op_type in LINEAR and bool(constant.intersection(node.inputs))


def linear_layers(model: ir.Model, rule: LayerRule) -> list[Layer]:
    """Return the layers that a rule selects; the graph's constants are folded and its nodes named uniquely."""
    last = heads(model, rule.keep_heads)
    layers = []
    for node in model.graph:
        if node.op_type not in rule.operators or node.domain or node.name in last:
            continue
        source, weight = node.inputs[:2]
        if source.is_initializer() or not weight.is_initializer():
            continue
        if not any(fnmatchcase(node.name, pattern) for pattern in rule.only):
            continue
        shape = weight.shape.numpy()
        if node.op_type == "MatMul" and len(shape) != 2:
            continue
        if node.op_type == "Conv" and math.prod(shape) == shape[0]:
            continue  # one number a channel, a PRelu's: nothing is summed, so INT8 would only round
        axis = 0 if node.op_type == "Conv" or node.attributes.get_int("transB", 0) else 1
        group = node.name.partition("/")[0] or node.name
        layers.append(Layer(node.name, group, node.op_type, source.name, math.prod(shape), axis))
    return layers


def rewrite_linears(model: ir.Model, names: Sequence[str], rewrite: Rewrite) -> None:
    """Replace these ``MatMul`` by a constant, each with the ``Add`` of a bias after it, in place."""
    for node in [node for node in model.graph if node.op_type == "MatMul" and node.name in names]:
        weight, old, bias = node.inputs[1].const_value.numpy(), [node], None
        after = sole_consumer(node.outputs[0])
        if after is not None and after.op_type == "Add":
            vector = next((value.const_value for value in after.inputs if value.is_initializer()), None)
            if vector is not None and vector.shape == weight.shape[1:]:
                old, bias = [node, after], vector.numpy()
        replace(old, [rewrite(node, old[-1].outputs[0].name, weight, bias)])
