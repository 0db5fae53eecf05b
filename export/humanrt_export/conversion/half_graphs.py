"""ONNX graphs from which engines of a given precision are built.

Networks are strongly typed: TensorRT computes each layer in the types of the graph, so precision is decided only
here. ``fp16`` is mixed: the nodes kept in FP32 are listed in ``calibration/recipe.toml`` and in the bundle's
``settings.fp32_nodes`` (Multi-HMR: everything but the backbone, because it compares for equality).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt.bundle import Bundle, GraphSpec
from humanrt.errors import BackendError, choices
from humanrt.inference.variants import EXACT, variants
from humanrt_export.conversion.quantize.layers import heads
from humanrt_export.conversion.quantize.recipe import load_recipe
from humanrt_export.conversion.rewriting import (
    add_constant,
    fold_constants,
    infer_types,
    make_node,
    name_nodes,
    tidy,
)

__all__ = ["find_graphs", "load_graph", "source_files", "to_fp16"]

_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
_FLOAT_INPUTS = {"Resize": (2,)}
"""Inputs that are FP32 whatever the operator computes in."""


def find_graphs(bundle: Bundle, precision: str) -> list[GraphSpec]:
    """Return the bundle's standard graphs from which engines of this precision are built.

    FP16 is converted from the FP32 graph. INT8 needs ranges from a real recording, and so its own graph in the bundle
    with QuantizeLinear nodes, called ``<graph>-int8`` or listed under ``settings.variants``.
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


def load_graph(spec: GraphSpec) -> ir.Model:
    """Load a graph; weights in files of their own stay there until used. BackendError if it is not a valid model."""
    try:
        if isinstance(spec.source, bytes):
            return ir.from_proto(onnx.load_model_from_string(spec.source))
        return ir.load(spec.source)
    except Exception as error:  # protobuf and onnx raise their own types
        reason = str(error).splitlines()[0]
        raise BackendError(f"{spec.path} is not an ONNX model ({reason}); export it again") from error


def source_files(spec: GraphSpec) -> list[Path]:
    """Return the graph's files: the ONNX file first, then those with its weights."""
    tensors = (value.const_value for value in load_graph(spec).graph.initializers.values())
    names = {str(tensor.location) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}
    return [spec.path, *([spec.weights] if spec.weights else []), *(spec.path.parent / name for name in sorted(names))]


def to_fp16(model: ir.Model, settings: Mapping[str, Any]) -> tuple[ir.Model, list[str]]:
    """Convert to mixed FP16 with FP32 inputs and outputs; also returns the names of the nodes kept in FP32."""
    model = model.clone()
    name_nodes(model)
    fold_constants(model)
    kept = _fp32_nodes(model, settings)
    infer_types(model)
    converted: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def as_type(value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Return a value in FP16 or FP32: a constant rounded, a result behind one Cast, anything else as it is."""
        if value.dtype == dtype or value.dtype not in (_FLOAT, _HALF):
            return value
        if (value, dtype) not in converted:
            name = f"{value.name}.{'fp16' if dtype == _HALF else 'fp32'}"
            if value.is_initializer():
                result = add_constant(model.graph, name, _half(value.const_value.numpy()))
            else:
                cast = make_node("Cast", [value], name, to=dtype)
                result = cast.outputs[0]
                result.type = ir.TensorType(dtype)
                model.graph.append(cast)
            converted[value, dtype] = result
        return converted[value, dtype]

    for node in list(model.graph):  # in topological order: the types of its inputs are final
        dtype = _FLOAT if node.name in kept else _HALF
        for index, value in enumerate(node.inputs):
            if value is not None:
                wanted = _FLOAT if index in _FLOAT_INPUTS.get(node.op_type, ()) else dtype
                node.replace_input_with(index, as_type(value, wanted))
        if dtype == _FLOAT:
            continue
        if node.op_type == "Cast" and node.attributes.get_int("to") == _FLOAT:
            node.attributes.add(ir.AttrInt64("to", _HALF))
        for value in [value for value in node.outputs if value.dtype == _FLOAT]:
            value.type = ir.TensorType(_HALF)
    for index, value in enumerate(model.graph.outputs):
        if value.dtype == _HALF:
            name, value.name = value.name, f"{value.name}.fp16"
            model.graph.outputs[index] = as_type(value, _FLOAT)
            model.graph.outputs[index].name, model.graph.outputs[index].shape = name, value.shape
    tidy(model)
    return model, sorted(kept)


def _fp32_nodes(model: ir.Model, settings: Mapping[str, Any]) -> set[str]:
    """Return the names of the nodes that stay in FP32, by the recipe and by the bundle's own setting."""
    recipe = load_recipe()
    names = {node.name for node in model.graph}
    only = recipe.only("fp16", model.graph.name)
    kept = {node.name for node in model.graph if node.op_type in recipe.fp32_operators}
    kept |= heads(model, recipe.fp32_heads)
    kept |= {name for name in names if not any(fnmatchcase(name, pattern) for pattern in only)}
    own = str(settings.get("fp32_nodes", ""))
    if rule := re.search(r"all whose name does not start with `(.+?)`", own):
        kept |= {name for name in names if not name.startswith(rule[1])}
    elif rule := re.fullmatch(r"all but (\w+(?:, \w+)*)", own):
        kept |= {node.name for node in model.graph if node.op_type not in rule[1].split(", ")}
    elif own:
        raise BackendError(f"settings.fp32_nodes: `{own}` is not understood; export the bundle with this version")
    return kept


def _half(array: NDArray[np.float32]) -> NDArray[np.float16]:
    """Round to FP16, and neither to zero nor to infinity what is neither."""
    limits = np.finfo(np.float16)
    magnitude = np.abs(array)
    clipped = np.where(np.isfinite(array), np.minimum(magnitude, limits.max), magnitude)
    clipped = np.where(magnitude > 0, np.maximum(clipped, limits.smallest_subnormal), clipped)
    return np.copysign(clipped, array).astype(np.float16)
