"""Graphs optimised for the CPU, with ONNX Runtime's faster kernels or our own operators.

`amx_operators` replaces the backbone's linear layers and attention by the runtime's own operators, which compute with
products of bfloat16 (`runtime/humanrt/_native/amx.c`): as exact as float with three parts, faster still with two. They
need a CPU with AMX.

`quantize_linears` keeps 8 bits: fast on every CPU, where its error is acceptable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from humanrt import native
from humanrt_export.conversion.quantize.graph import finish, rewrite_linears, users
from humanrt_export.conversion.quantize.integers import dynamic

__all__ = ["VARIANTS", "amx_operators", "cpu_graphs", "quantize_linears"]

_AMX = ["amx_bf16", "avx512_bf16"]
VARIANTS: tuple[Mapping[str, Any], ...] = (
    {"graph": "network-cpu-amx", "precision": "fp32", "backend": "cpu", "cpu": _AMX},
    {"graph": "network-cpu", "precision": "fp32", "backend": "cpu", "cpu": []},
    {"graph": "network", "precision": "fp32"},
    {"graph": "network-cpu-bf16x3", "precision": "bf16x3", "backend": "cpu", "cpu": _AMX},
    {"graph": "network-int8-cpu", "precision": "int8", "backend": "cpu", "cpu": []},
)
"""For `settings.variants`, in order of preference: the first of the wanted precision whose demands are met is used.
``cpu``: features that the processor must have, as Linux names them."""

_PARTS = {"network-cpu-amx": 3, "network-cpu-bf16x3": 2}
_OWN = "humanrt"
_HEAD = 64  # width of the attention heads that the operator is made for: those of all published backbones

Array = NDArray[np.float32]


def cpu_graphs(fused: onnx.ModelProto, width: int, *, int8: bool) -> tuple[dict[str, onnx.ModelProto], str | None]:
    """Return the graphs derived from `network-cpu`, and the reason if those for AMX are missing.

    No graph is shipped unchecked, and this machine may not be able to run them.
    """
    graphs = {}
    if not (reason := native.amx_problem()):
        graphs = {name: amx_operators(fused, width, parts) for name, parts in _PARTS.items()}
    if int8:
        graphs["network-int8-cpu"] = quantize_linears(fused, width)
    return graphs, reason


def amx_operators(model: onnx.ModelProto, width: int, parts: int) -> onnx.ModelProto:
    """Return a copy whose backbone's linear layers and attention are the runtime's own operators.

    The operation after a layer is fused into it: GELU, or the addition to the residual stream.
    """
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    constants: dict[str, NDArray[np.generic]] = {}

    def rewrite(name: str, source: str, weight: Array, target: str, bias: Array | None) -> list[onnx.NodeProto]:
        constants[f"{target}.weight"] = weight
        inputs = [source, f"{target}.weight"]
        if bias is not None:
            constants[f"{target}.bias"] = bias
            inputs.append(f"{target}.bias")
        return [helper.make_node("Linear", inputs, [target], name=name, domain=_OWN, parts=parts, gelu=0)]

    rewrite_linears(graph, _backbone(graph, width), rewrite)
    following = users(graph)
    linears = {x.output[0]: x for x in graph.graph.node if x.op_type == "Linear" and len(following[x.output[0]]) == 1}
    splits = {x.output[0]: x for x in graph.graph.node if x.op_type == "Split"}
    nodes: list[onnx.NodeProto] = []
    gone: set[str] = set()
    for node in graph.graph.node:
        linear = next((linears[value] for value in node.input if value in linears), None)
        heads = next((item.i for item in node.attribute if item.name == "num_heads"), 0)
        if node.op_type == "MultiHeadAttention" and node.input[0] in splits and width == _HEAD * heads:
            gone.add(node.input[0])
            qkv = [splits[node.input[0]].input[0]]
            made = helper.make_node("Attention", qkv, node.output, node.name, domain=_OWN, parts=parts, heads=heads)
        elif linear is not None and node.op_type in ("Gelu", "Add"):
            gone.add(linear.output[0])
            made = onnx.NodeProto()
            made.CopyFrom(linear)
            made.output[0] = node.output[0]
            if node.op_type == "Gelu":
                next(item for item in made.attribute if item.name == "gelu").i = 1
            else:
                residual = next(value for value in node.input if value != linear.output[0])
                made.input.extend([*[""] * (3 - len(made.input)), residual])
        else:
            made = node
        nodes.append(made)
    nodes = [node for node in nodes if node.output[0] not in gone]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    finish(graph, constants)
    return graph


def quantize_linears(model: onnx.ModelProto, width: int) -> onnx.ModelProto:
    """Return a copy whose backbone linear layers have INT8 weights (per output) and INT8 activations (at run time)."""
    return dynamic(model, _backbone(model, width))


def _backbone(model: onnx.ModelProto, width: int) -> list[str]:
    """Return the names of the linear layers of the backbone's blocks."""
    shapes = ((width, width), (width, 3 * width), (width, 4 * width), (4 * width, width))
    dims = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and node.name.startswith("backbone.blocks.") and dims.get(node.input[1]) in shapes
    ]
