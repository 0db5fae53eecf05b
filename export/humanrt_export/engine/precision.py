"""The ONNX graph that a plan of a given precision is built from.

Networks are strongly typed: TensorRT computes each layer in the types that the graph says, so precision is decided
here and nowhere else. ``fp16`` is mixed; what stays in FP32, and why:

- LayerNormalization, Softmax and the other operators of `KEEP_OPERATORS`: sums of many terms and exponentials
- everything from the last linear layer before an output onwards (heads): FP16 has 11 bits, so a coordinate of 224 px is
  exact to 0.1 px only, and rotations made from 6 numbers lose their right angles
- what the bundle's ``settings.fp32_nodes`` says (Multi-HMR: all but the backbone: it decides by equality)
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from humanrt.bundle import Bundle, GraphSpec
from humanrt.errors import BackendError, choices

__all__ = ["KEEP_OPERATORS", "find_graphs", "load_graph", "source_files", "to_fp16"]

KEEP_OPERATORS = (
    "LayerNormalization", "Softmax", "LogSoftmax", "ReduceMean", "ReduceSum", "ReduceL2", "InstanceNormalization",
    "Exp", "Log", "Pow", "Sqrt", "Reciprocal", "Sin", "Cos", "TopK", "Range", "CumSum",
)  # fmt: skip
_LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def find_graphs(bundle: Bundle, precision: str) -> list[GraphSpec]:
    """The bundle's standard graphs to build engines from, in this precision.

    FP16 is made from the FP32 graph. INT8 needs ranges of a real recording, so it needs a graph of its own in the
    bundle, called ``<graph>-int8`` or listed under ``settings.variants``, with QuantizeLinear nodes.
    """
    variants = bundle.settings.get("variants", [])
    others = {v["graph"] for v in variants if v.get("backend", "tensorrt") != "tensorrt" or v["precision"] != "fp32"}
    usable = [bundle.graph(name) for name in bundle.graphs]
    if precision == "int8":
        listed = {
            v["graph"] for v in variants if v["precision"] == "int8" and v.get("backend", "tensorrt") == "tensorrt"
        }
        found = [spec for spec in usable if spec.name in listed or spec.name.endswith("-int8")]
        if not found:
            raise BackendError(
                f"bundle {bundle.name} has no INT8 graph with QuantizeLinear nodes (`<graph>-int8`), and its ranges "
                f"need a calibration with real frames; use --precision fp16. Graphs: {choices(bundle.graphs)}"
            )
        return found
    return [
        spec for spec in usable if spec.name not in others and not spec.operators and not spec.name.endswith("-int8")
    ]


def load_graph(spec: GraphSpec) -> onnx.ModelProto:
    """The model with all its weights. BackendError when it is none."""
    return _read(spec, weights=True)


def _read(spec: GraphSpec, *, weights: bool) -> onnx.ModelProto:
    source = spec.source
    try:
        if isinstance(source, bytes):
            return onnx.load_model_from_string(source)
        return onnx.load(source, load_external_data=weights)
    except Exception as error:  # protobuf and onnx raise types of their own
        raise BackendError(f"{spec.path} is no ONNX model ({str(error).splitlines()[0]}); export it again") from error


def source_files(spec: GraphSpec) -> list[Path]:
    """The files that hold the graph: the ONNX file first, then those with its weights."""
    model = _read(spec, weights=False)
    names = {entry.value for item in model.graph.initializer for entry in item.external_data if entry.key == "location"}
    return [spec.path, *(spec.path.parent / name for name in sorted(names))]


def to_fp16(model: onnx.ModelProto, settings: Mapping[str, Any]) -> tuple[onnx.ModelProto, list[str]]:
    """Mixed FP16 with FP32 inputs and outputs, and the names of the nodes that stay in FP32."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    model = onnx.ModelProto.FromString(model.SerializeToString())
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    if len({node.name for node in model.graph.node}) < len(model.graph.node):
        for index, node in enumerate(model.graph.node):
            node.name = f"{node.name}#{index}"
    kept = _heads(model) | {node.name for node in model.graph.node if node.op_type in KEEP_OPERATORS}
    if rule := re.search(r"all whose name does not start with `(.+?)`", str(settings.get("fp32_nodes", ""))):
        kept |= {node.name for node in model.graph.node if not node.name.startswith(rule[1])}
    with warnings.catch_warnings():  # weights below FP16's smallest number become it: meant
        warnings.simplefilter("ignore")
        # The default list is of ONNX Runtime's kernels; TensorRT has Resize in FP16.
        blocked = [name for name in DEFAULT_OP_BLOCK_LIST if name not in ("Resize",)]
        half = convert_float_to_float16(
            model, keep_io_types=True, op_block_list=[*blocked, *KEEP_OPERATORS], node_block_list=sorted(kept)
        )
    return half, sorted(kept)


def _heads(model: onnx.ModelProto) -> set[str]:
    """Nodes from the last linear layer before each output onwards, that layer included."""
    makers = {name: node for node in model.graph.node for name in node.output}
    constant = {item.name for item in model.graph.initializer}
    for node in model.graph.node:  # in the order of computation
        if all(name in constant for name in node.input if name):  # weights, some stored in FP16 behind a Cast
            constant.update(node.output)
    heads: set[str] = set()
    open_ends = [value.name for value in model.graph.output]
    while open_ends:
        node = makers.get(open_ends.pop())
        if node is None or node.name in heads or constant.intersection(node.output):
            continue
        heads.add(node.name)
        if node.op_type not in _LINEAR or not constant.intersection(node.input):
            open_ends += node.input
    return heads
