"""ONNX graphs from which engines of a given precision are built.

Networks are strongly typed: TensorRT computes each layer in the types of the graph, so precision is decided only
here. ``fp16`` is mixed: the nodes kept in FP32 are listed in ``calibration/recipe.toml`` and in the bundle's
``settings.fp32_nodes`` (Multi-HMR: everything but the backbone, because it compares for equality).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import onnx

from humanrt.bundle import Bundle, GraphSpec
from humanrt.errors import BackendError, choices
from humanrt.inference.variants import EXACT, variants
from humanrt_export.conversion.quantize.graph import copied, fold_constants, heads
from humanrt_export.conversion.quantize.recipe import load_recipe

__all__ = ["find_graphs", "load_graph", "source_files", "to_fp16"]

_FLOAT, _HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def find_graphs(bundle: Bundle, precision: str) -> list[GraphSpec]:
    """Find the bundle's standard graphs to build engines of this precision from.

    FP16 is made from the FP32 graph. INT8 needs ranges of a real recording, so it needs a graph of its own in the
    bundle, called ``<graph>-int8`` or listed under ``settings.variants``, with QuantizeLinear nodes.
    """
    listed_variants = variants(bundle)
    others = {v.graph for v in listed_variants if not v.on("tensorrt") or v.precision != EXACT}
    usable = [bundle.graph(name) for name in bundle.graphs]
    if precision == "int8":
        listed = {v.graph for v in listed_variants if v.precision == "int8" and v.on("tensorrt")}
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
    """Load the model with all its weights. BackendError if it is not a valid model."""
    return _read(spec, weights=True)


def _read(spec: GraphSpec, *, weights: bool) -> onnx.ModelProto:
    source = spec.source
    try:
        if isinstance(source, bytes):
            return onnx.load_model_from_string(source)
        return onnx.load(source, load_external_data=weights)
    except Exception as error:  # protobuf and onnx raise their own types
        raise BackendError(f"{spec.path} is no ONNX model ({str(error).splitlines()[0]}); export it again") from error


def source_files(spec: GraphSpec) -> list[Path]:
    """Return the graph's files: the ONNX file first, then those with its weights."""
    model = _read(spec, weights=False)
    names = {entry.value for item in model.graph.initializer for entry in item.external_data if entry.key == "location"}
    return [spec.path, *([spec.weights] if spec.weights else []), *(spec.path.parent / name for name in sorted(names))]


def to_fp16(model: onnx.ModelProto, settings: Mapping[str, Any]) -> tuple[onnx.ModelProto, list[str]]:
    """Convert to mixed FP16 with FP32 inputs and outputs; also returns the names of the nodes kept in FP32."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    recipe = load_recipe()
    model = copied(model)
    fold_constants(model)
    operators = recipe.fp32_operators
    kept = {node.name for node in model.graph.node if node.op_type in operators}
    kept |= heads(model, recipe.fp32_heads)
    only = recipe.only("fp16", model.graph.name)
    kept |= {node.name for node in model.graph.node if not any(fnmatchcase(node.name, pattern) for pattern in only)}
    own = str(settings.get("fp32_nodes", ""))
    if rule := re.search(r"all whose name does not start with `(.+?)`", own):
        kept |= {node.name for node in model.graph.node if not node.name.startswith(rule[1])}
    elif rule := re.fullmatch(r"all but (\w+(?:, \w+)*)", own):
        kept |= {node.name for node in model.graph.node if node.op_type not in rule[1].split(", ")}
    elif own:
        raise BackendError(f"settings.fp32_nodes: `{own}` is not understood; export the bundle with this version")
    with warnings.catch_warnings():  # weights below FP16's smallest number become it, intentionally
        warnings.simplefilter("ignore")
        # The default list is for ONNX Runtime's kernels; TensorRT supports Resize in FP16.
        blocked = [name for name in DEFAULT_OP_BLOCK_LIST if name not in ("Resize",)]
        half = convert_float_to_float16(
            model, keep_io_types=True, op_block_list=[*blocked, *operators], node_block_list=sorted(kept)
        )
    return _without_detours(half), sorted(kept)


def _without_detours(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove casts of FP32 to FP16 and back.

    The converter inserts them between any two nodes kept in FP32, which rounds every value of a head to 11 bits.
    """
    made = onnx.shape_inference.infer_shapes(model)
    values = (*made.graph.value_info, *made.graph.input, *made.graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    kinds |= {item.name: item.data_type for item in made.graph.initializer}
    casts = {node.output[0]: node.input[0] for node in made.graph.node if node.op_type == "Cast"}
    outputs = {value.name for value in made.graph.output}
    same: dict[str, str] = {}
    for node in made.graph.node:
        down = node.input[0] if node.op_type == "Cast" and kinds.get(node.output[0]) == _FLOAT else ""
        start = casts.get(down, "")
        if kinds.get(down) == _HALF and kinds.get(start) == _FLOAT:
            same[node.output[0]] = start
    for node in made.graph.node:
        if node.output[0] in outputs and node.output[0] in same:
            node.op_type = "Identity"
            del node.attribute[:]
        for place, name in enumerate(node.input):
            if name in same and node.op_type != "Identity":
                node.input[place] = same[name]
        if node.op_type == "Identity" and node.output[0] in same:
            node.input[0] = same[node.output[0]]
    # Only nodes that lead to an output, in topological order: the converter appends its casts at the end.
    makers = {name: node for node in made.graph.node for name in node.output}
    order: list[onnx.NodeProto] = []
    done: set[str] = set()
    open_ends = [(makers[name], False) for name in sorted(outputs, reverse=True)]
    while open_ends:
        node, ready = open_ends.pop()
        if node.name in done:
            continue
        if ready:
            done.add(node.name)
            order.append(node)
        else:
            open_ends.append((node, True))
            open_ends += [(makers[name], False) for name in node.input if name in makers]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in order]
    del made.graph.value_info[:]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made
