"""Graphs for ONNX Runtime's CPU kernels: linear layers of the backbone in integer arithmetic.

`split_linears` keeps 16 bits of weights and activations. Both are written as two digits of 8 bits,
``a = s (a1 + a2 / 254)``, and ``a w ~ a1 w1 + (a1 w2 + a2 w1) / 254``: three integer products, of which the last two
are one product with the digits side by side. On CPUs with AMX an integer product costs a tenth of a float one, so this
is faster. Other CPUs have no use for it, and those before VNNI would even overflow in it.

`quantize_linears` keeps 8 bits: fastest on every CPU, and for those who can live with its error.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["quantize_linears", "split_linears"]

_CONTRIB = "com.microsoft"
_LEVELS = 127
_BASE = 2 * _LEVELS
_ZERO = 128
_TINY = 1e-20

Array = NDArray[np.float32]
Rewrite = Callable[[str, str, Array, str, Array | None], list[onnx.NodeProto]]


def split_linears(model: onnx.ModelProto, width: int) -> onnx.ModelProto:
    """A copy whose widening layers of the backbone (query-key-value, first of the MLP) compute with 16 bits.

    The narrowing layers stay float: splitting their four times wider input costs as much as it gains.
    """
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    constants: dict[str, NDArray[np.generic]] = {
        "split.zero": np.array(_ZERO, np.uint8),
        "split.step": np.array(1 / _LEVELS, np.float32),
        "split.second": np.array(1 / _BASE, np.float32),
        "split.tiny": np.array(_TINY, np.float32),
    }
    ready: set[str] = set()

    def rewrite(name: str, source: str, weight: Array, target: str, bias: Array | None) -> list[onnx.NodeProto]:
        nodes: list[onnx.NodeProto] = []

        def add(op: str, inputs: list[str], output: str, domain: str = "", **attributes: object) -> None:
            nodes.append(helper.make_node(op, inputs, [output], name=f"{name}/{output}", domain=domain, **attributes))

        s = f"{source}.split"
        if source not in ready:
            ready.add(source)
            add("Abs", [source], f"{s}.abs")
            add("ReduceMax", [f"{s}.abs"], f"{s}.max", keepdims=0)
            add("Mul", [f"{s}.max", "split.step"], f"{s}.raw")
            add("Max", [f"{s}.raw", "split.tiny"], f"{s}.scale")
            add("Mul", [f"{s}.scale", "split.second"], f"{s}.scale2")
            add("QuantizeLinear", [source, f"{s}.scale", "split.zero"], f"{s}.digit1")
            add("DequantizeLinear", [f"{s}.digit1", f"{s}.scale", "split.zero"], f"{s}.rounded")
            add("Sub", [source, f"{s}.rounded"], f"{s}.rest")
            add("QuantizeLinear", [f"{s}.rest", f"{s}.scale2", "split.zero"], f"{s}.digit2")
            add("Concat", [f"{s}.digit1", f"{s}.digit2"], f"{s}.digits", axis=-1)
        scale, first = _quantized(weight)
        rest = weight.astype(np.float64) / scale - first
        second = np.rint(rest * _BASE).clip(-_LEVELS, _LEVELS)
        w = f"{target}.weight"
        constants[f"{w}.1"] = first.astype(np.int8)
        constants[f"{w}.21"] = np.concatenate((second, first)).astype(np.int8)
        constants[f"{w}.scale"] = scale
        optional = [f"{s}.scale", f"{w}.scale", "split.zero"]
        with_bias = [*optional, "", f"{w}.bias"] if bias is not None else optional
        if bias is not None:
            constants[f"{w}.bias"] = bias
        add("MatMulIntegerToFloat", [f"{s}.digit1", f"{w}.1", *with_bias], f"{target}.high", _CONTRIB)
        optional[0] = f"{s}.scale2"
        add("MatMulIntegerToFloat", [f"{s}.digits", f"{w}.21", *optional], f"{target}.low", _CONTRIB)
        add("Add", [f"{target}.high", f"{target}.low"], target)
        return nodes

    _rewrite_linears(graph, ((width, 3 * width), (width, 4 * width)), rewrite)
    _finish(graph, constants)
    return graph


def quantize_linears(model: onnx.ModelProto, width: int) -> onnx.ModelProto:
    """A copy whose linear layers of the backbone have INT8 weights (per output) and INT8 activations (at run time)."""
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    constants: dict[str, NDArray[np.generic]] = {}

    def rewrite(name: str, source: str, weight: Array, target: str, bias: Array | None) -> list[onnx.NodeProto]:
        scale, quantized = _quantized(weight)
        w = f"{target}.weight"
        constants[w], constants[f"{w}.scale"] = quantized.astype(np.int8), scale
        inputs = [source, w, f"{w}.scale"]
        if bias is not None:
            constants[f"{w}.bias"] = bias
            inputs += ["", f"{w}.bias"]
        return [helper.make_node("DynamicQuantizeMatMul", inputs, [target], name=name, domain=_CONTRIB)]

    _rewrite_linears(graph, ((width, width), (width, 3 * width), (width, 4 * width), (4 * width, width)), rewrite)
    _finish(graph, constants)
    return graph


def _quantized(weight: Array) -> tuple[Array, NDArray[np.float64]]:
    """Scale of every output [N], and the weights [K, N] as integers in -127..127."""
    scale = np.maximum(np.abs(weight).max(axis=0) / _LEVELS, _TINY).astype(np.float32)
    return scale, np.rint(weight.astype(np.float64) / scale).clip(-_LEVELS, _LEVELS)


def _rewrite_linears(model: onnx.ModelProto, shapes: tuple[tuple[int, int], ...], rewrite: Rewrite) -> None:
    """Replace ``MatMul`` by a constant (with the ``Add`` of a bias after it) in the backbone's blocks."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for value in node.input:
            users.setdefault(value, []).append(node)
    nodes: list[onnx.NodeProto] = []
    merged: set[str] = set()
    for node in model.graph.node:
        if node.output[0] in merged:
            continue
        weight = constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None or tuple(weight.dims) not in shapes or not node.name.startswith("backbone.blocks."):
            nodes.append(node)
            continue
        target, bias = node.output[0], None
        following = users.get(target, [])
        if len(following) == 1 and following[0].op_type == "Add":
            vector = next((constants[x] for x in following[0].input if x in constants), None)
            if vector is not None and list(vector.dims) == [weight.dims[1]]:
                target, bias = following[0].output[0], numpy_helper.to_array(vector)
                merged.add(target)
        nodes += rewrite(node.name, node.input[0], numpy_helper.to_array(weight), target, bias)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _finish(model: onnx.ModelProto, constants: dict[str, NDArray[np.generic]]) -> None:
    """Add the new constants, drop those that nothing uses any more, and declare the contrib operators."""
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    used = {value for node in model.graph.node for value in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    if all(opset.domain != _CONTRIB for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_CONTRIB, 1))
