"""INT8 layers: with Q/DQ nodes and calibrated ranges for TensorRT, with ranges at run time for ONNX Runtime's CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from humanrt_export.conversion.quantize.graph import Layer, finish, rewrite_linears

__all__ = ["LEVELS", "dynamic", "quantized", "with_qdq"]

LEVELS = 127
"""Of a sign: symmetric, so that zero is zero."""

_TINY = 1e-20
_HALF_LEAST = 2.0**-14
_CONTRIB = "com.microsoft"

Array = NDArray[np.float32]


def quantized(weight: Array, axis: int, *, half: bool = False) -> tuple[Array, NDArray[np.int8]]:
    """Scale of every output channel, and the weights as integers in -127..127; ``half``: scales that FP16 has."""
    others = tuple(d for d in range(weight.ndim) if d != axis)
    scale = _scale(np.abs(weight).max(axis=others), half)
    shaped = scale.reshape([-1 if d == axis else 1 for d in range(weight.ndim)])
    return scale, np.rint(weight.astype(np.float64) / shaped).clip(-LEVELS, LEVELS).astype(np.int8)


def _scale(largest: NDArray[np.floating], half: bool) -> Array:
    """Steps in which numbers up to ``largest`` are counted. FP16 has its full accuracy from 2^-14 on."""
    scale = np.maximum(largest / LEVELS, _HALF_LEAST if half else _TINY)
    return np.asarray(scale, np.float16 if half else np.float32).astype(np.float32)


def with_qdq(
    model: onnx.ModelProto, layers: Sequence[Layer], clips: Mapping[str, float], *, half: bool = False
) -> onnx.ModelProto:
    """A copy whose layers have Q/DQ nodes before their activations and weights.

    Args:
        model: `copied` and folded.
        layers: of it.
        clips: activation -> the largest value that it keeps.
        half: with scales that FP16 has, for a graph whose rest becomes FP16.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {item.name: item for item in made.graph.initializer}
    chosen = {layer.name: layer for layer in layers}
    constants: dict[str, NDArray[np.generic]] = {"int8.zero": np.zeros((), np.int8)}
    nodes: list[onnx.NodeProto] = []
    done: dict[str, str] = {}
    for node in made.graph.node:
        layer = chosen.get(node.name)
        if layer is None:
            nodes.append(node)
            continue
        if layer.source not in done:
            scale = f"{layer.source}.scale"
            constants[scale] = _scale(np.array(clips[layer.source]), half)
            done[layer.source] = f"{layer.source}.dq"
            nodes += _pair(node.name, layer.source, scale, "int8.zero")
        if layer.weight not in done:
            name = done[layer.weight] = f"{layer.weight}.dq"
            scales, integers = quantized(numpy_helper.to_array(weights[layer.weight]), layer.axis, half=half)
            constants[f"{layer.weight}.int8"], constants[f"{layer.weight}.scale"] = integers, scales
            constants[f"{layer.weight}.zero"] = np.zeros(len(scales), np.int8)
            parts = [f"{layer.weight}.{part}" for part in ("int8", "scale", "zero")]
            nodes.append(helper.make_node("DequantizeLinear", parts, [name], f"{node.name}.weight", axis=layer.axis))
        node.input[0], node.input[1] = done[layer.source], done[layer.weight]
        nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    finish(made, constants)
    return made


def _pair(layer: str, value: str, scale: str, zero: str) -> list[onnx.NodeProto]:
    """Q/DQ of a value, named after the layer that takes it: precision goes by names."""
    return [
        helper.make_node("QuantizeLinear", [value, scale, zero], [f"{value}.q"], name=f"{layer}.q"),
        helper.make_node("DequantizeLinear", [f"{value}.q", scale, zero], [f"{value}.dq"], name=f"{layer}.dq"),
    ]


def dynamic(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy in which these ``MatMul`` have INT8 weights (per output) and INT8 activations (ranges at run time)."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    constants: dict[str, NDArray[np.generic]] = {}

    def rewrite(name: str, source: str, weight: Array, target: str, bias: Array | None) -> list[onnx.NodeProto]:
        scale, integers = quantized(weight, 1)
        w = f"{target}.weight"
        constants[w], constants[f"{w}.scale"] = integers, scale
        inputs = [source, w, f"{w}.scale"]
        if bias is not None:
            constants[f"{w}.bias"] = bias
            inputs += ["", f"{w}.bias"]
        return [helper.make_node("DynamicQuantizeMatMul", inputs, [target], name=name, domain=_CONTRIB)]

    rewrite_linears(made, names, rewrite)
    finish(made, constants)
    return made
