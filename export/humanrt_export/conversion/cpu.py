"""Graphs optimised for the CPU, with ONNX Runtime's faster kernels or our own operators.

`own_operators` replaces the backbone's linear layers and attention by the runtime's own operators. On a CPU with AMX
they compute with products of bfloat16 (`runtime/humanrt/_native/amx.c`): as exact as float with three parts, faster
still with two. On others with products of 16-bit integers (`int16.c`): twice as fast as products of floats, nearly as
exact.

`quantize_linears` keeps 8 bits: fast on every CPU, where its error is acceptable.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt import native
from humanrt.bundle.settings import Variant
from humanrt_export.conversion.quantize.integers import dynamic
from humanrt_export.conversion.quantize.layers import rewrite_linears
from humanrt_export.conversion.rewriting import add_constant, make_node, replace, sole_consumer, tidy

__all__ = ["VARIANTS", "cpu_graphs", "own_operators", "quantize_linears"]

_AMX = ("amx_bf16", "avx512_bf16")
VARIANTS = (
    Variant("network-cpu-amx", "fp32", backend="cpu", cpu=_AMX),
    Variant("network-cpu", "fp32", backend="cpu"),
    Variant("network", "fp32"),
    Variant("network-cpu-bf16x3", "bf16x3", backend="cpu", cpu=_AMX),
    Variant("network-cpu-int16", "int16", backend="cpu"),
    Variant("network-int8-cpu", "int8", backend="cpu"),
)
"""In order of preference: the first of the wanted precision whose demands are met is used."""

_PARTS = {"network-cpu-amx": 3, "network-cpu-bf16x3": 2}
_OWN = "humanrt"
_HEAD = 64  # width of the attention heads that the operator is made for: those of all published backbones

Array = NDArray[np.float32]


def cpu_graphs(fused: ir.Model, width: int, *, int8: bool) -> tuple[dict[str, ir.Model], dict[str, str]]:
    """Return the graphs derived from `network-cpu`, and why others are missing, by name.

    No graph is shipped unchecked, and this machine may not be able to run them.
    """
    graphs = {}
    if not (reason := native.amx_problem()):
        graphs = {name: own_operators(fused, width, parts) for name, parts in _PARTS.items()}
    if not (lacking := native.int16_problem()):
        graphs["network-cpu-int16"] = own_operators(fused, width)
    if int8:
        graphs["network-int8-cpu"] = quantize_linears(fused, width)
    missing = {} if reason is None else dict.fromkeys(_PARTS, reason)
    return graphs, missing if lacking is None else {**missing, "network-cpu-int16": lacking}


def own_operators(model: ir.Model, width: int, parts: int | None = None) -> ir.Model:
    """Return a copy whose backbone's linear layers and attention are the runtime's own operators.

    The operation after a layer is fused into it: GELU, or the addition to the residual stream.

    Args:
        model: `network-cpu`.
        width: of the backbone.
        parts: bfloat16 that a float is written as, for AMX; None: 16-bit integers.
    """
    model = model.clone()
    linear, attention = ("Linear", "Attention") if parts else ("LinearInt16", "AttentionInt16")
    kind: dict[str, int] = {"parts": parts} if parts else {}

    def rewrite(node: ir.Node, target: str, weight: Array, bias: Array | None) -> ir.Node:
        inputs = [node.inputs[0], add_constant(model.graph, f"{target}.weight", weight)]
        if bias is not None:
            inputs.append(add_constant(model.graph, f"{target}.bias", bias))
        return make_node(linear, inputs, target, node.name, domain=_OWN, gelu=0, **kind)

    rewrite_linears(model, _backbone(model, width), rewrite)
    for node in list(model.graph):
        split = node.inputs[0].producer() if node.op_type == "MultiHeadAttention" else None
        heads = node.attributes.get_int("num_heads", 0)
        if split is not None and split.op_type == "Split" and width == _HEAD * heads:
            output = node.outputs[0].name
            qkv = split.inputs[:1]
            replace([node], [make_node(attention, qkv, output, node.name, domain=_OWN, heads=heads, **kind)])
    for node in [node for node in model.graph if node.op_type == linear]:
        after = sole_consumer(node.outputs[0])
        if after is None or after.op_type not in ("Gelu", "Add"):
            continue
        inputs, gelu = list(node.inputs), after.op_type == "Gelu"
        if not gelu:
            residual = next(value for value in after.inputs if value is not node.outputs[0])
            inputs += [*[None] * (3 - len(inputs)), residual]
        output = after.outputs[0].name
        fused = make_node(linear, inputs, output, node.name, domain=_OWN, gelu=int(gelu), **kind)
        replace([node, after], [fused])
    tidy(model)
    return model


def quantize_linears(model: ir.Model, width: int) -> ir.Model:
    """Return a copy whose backbone linear layers have INT8 weights (per output) and INT8 activations (at run time)."""
    return dynamic(model, _backbone(model, width))


def _backbone(model: ir.Model, width: int) -> list[str]:
    """Return the names of the linear layers of the backbone's blocks."""
    shapes = ((width, width), (width, 3 * width), (width, 4 * width), (4 * width, width))
    return [
        node.name
        for node in model.graph
        if node.op_type == "MatMul"
        and node.name.startswith("backbone.blocks.")
        and node.inputs[1].is_initializer()
        and node.inputs[1].shape.numpy() in shapes
    ]
