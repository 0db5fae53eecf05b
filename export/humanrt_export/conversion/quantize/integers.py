"""INT8 layers: with Q/DQ nodes and calibrated ranges for TensorRT, with ranges at run time for ONNX Runtime's CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt_export.conversion.quantize.layers import Layer, rewrite_linears
from humanrt_export.conversion.rewriting import add_constant, make_node, tidy

__all__ = ["LEVELS", "dynamic", "quantized", "with_qdq"]

LEVELS = 127
"""Largest integer of either sign: symmetric, so that zero is zero."""

_TINY = 1e-20
_MIN_HALF_SCALE = 2.0**-14
_CONTRIB = "com.microsoft"

Array = NDArray[np.float32]


def quantized(weight: Array, axis: int, *, half: bool = False) -> tuple[Array, NDArray[np.int8]]:
    """Return the scale of every output channel, and the weights as integers in -127..127.

    Args:
        weight: the weights.
        axis: their axis of output channels.
        half: make scales that FP16 can represent.
    """
    others = tuple(d for d in range(weight.ndim) if d != axis)
    scale = _scale(np.abs(weight).max(axis=others), half)
    shaped = scale.reshape([-1 if d == axis else 1 for d in range(weight.ndim)])
    return scale, np.rint(weight.astype(np.float64) / shaped).clip(-LEVELS, LEVELS).astype(np.int8)


def _scale(largest: NDArray[np.floating], half: bool) -> Array:
    """Return the step in which magnitudes up to ``largest`` are counted. FP16 has its full accuracy from 2^-14 on."""
    scale = np.maximum(largest / LEVELS, _MIN_HALF_SCALE if half else _TINY)
    return np.asarray(scale, np.float16 if half else np.float32).astype(np.float32)


def with_qdq(model: ir.Model, layers: Sequence[Layer], clips: Mapping[str, float], *, half: bool = False) -> ir.Model:
    """Return a copy whose layers have Q/DQ nodes before their activations and weights.

    Args:
        model: the graph, its constants folded.
        layers: its layers that become INT8.
        clips: activation -> the largest magnitude that it keeps.
        half: make scales that FP16 can represent, for a graph whose rest becomes FP16.
    """
    made = model.clone()
    graph = made.graph
    chosen = {layer.name: layer for layer in layers}
    zero = add_constant(graph, "int8.zero", np.zeros((), np.int8))
    done: dict[ir.Value, ir.Value] = {}
    for node in [node for node in graph if node.name in chosen]:
        source, weight = node.inputs[:2]
        if source not in done:
            # Named after the layer that reads it: precision goes by names of nodes.
            scale = add_constant(graph, f"{source.name}.scale", _scale(np.array(clips[source.name]), half))
            q = make_node("QuantizeLinear", [source, scale, zero], f"{source.name}.q", f"{node.name}.q")
            dq = make_node("DequantizeLinear", [q.outputs[0], scale, zero], f"{source.name}.dq", f"{node.name}.dq")
            node.prepend([q, dq])
            done[source] = dq.outputs[0]
        if weight not in done:
            axis = chosen[node.name].axis
            scales, integers = quantized(weight.const_value.numpy(), axis, half=half)
            arrays: dict[str, NDArray[Any]] = {
                "int8": integers,
                "scale": scales,
                "zero": np.zeros(len(scales), np.int8),
            }
            parts = [add_constant(graph, f"{weight.name}.{part}", array) for part, array in arrays.items()]
            dq = make_node("DequantizeLinear", parts, f"{weight.name}.dq", f"{node.name}.weight", axis=axis)
            node.prepend(dq)
            done[weight] = dq.outputs[0]
        node.replace_input_with(0, done[source])
        node.replace_input_with(1, done[weight])
    tidy(made)
    return made


def dynamic(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """Return a copy in which these ``MatMul`` have INT8 weights (per output) and INT8 activations (run-time ranges)."""
    made = model.clone()

    def rewrite(node: ir.Node, target: str, weight: Array, bias: Array | None) -> ir.Node:
        scale, integers = quantized(weight, 1)
        w = f"{target}.weight"
        inputs = [node.inputs[0], add_constant(made.graph, w, integers), add_constant(made.graph, f"{w}.scale", scale)]
        if bias is not None:
            inputs += [None, add_constant(made.graph, f"{w}.bias", bias)]
        return make_node("DynamicQuantizeMatMul", inputs, target, node.name, domain=_CONTRIB)

    rewrite_linears(made, names, rewrite)
    tidy(made)
    return made
