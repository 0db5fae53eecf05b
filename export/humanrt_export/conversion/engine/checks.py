"""Pre-build checks for what a library refuses: a build takes minutes and reports errors in its own terms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from humanrt.bundle import GraphSpec
from humanrt.errors import BackendError, choices
from humanrt_export.conversion.engine.library import Library
from humanrt_export.conversion.engine.report import attentions
from humanrt_export.conversion.rewriting import infer_types

__all__ = ["check_graph", "check_targets"]

FIRST_WITH_SOUND_ATTENTION = (10, 5)
"""Earlier releases give wrong results for vision transformers (NVIDIA/TensorRT issues 4723, 4742)."""

JETSONS = frozenset({72, 87, 110})
"""Compute capabilities of Xavier, Orin and Thor."""

_PRODUCTS = ("Attention", "Einsum", "Gemm", "MatMul")
_IO_TYPES = ("float32", "float16", "int32", "int64", "int8", "bool")


def check_targets(library: Library, sm: Sequence[int], here: int | None) -> tuple[int, ...]:
    """Return the compute capabilities to build for, ascending.

    Args:
        library: from `library.load`.
        sm: those asked for; empty: that of this machine's GPU.
        here: that of this machine's GPU; None: there is none.

    Raises:
        BackendError: the library cannot build for one of them, or cannot build without a GPU.
    """
    wanted = tuple(sorted(set(sm)))
    if library.rtx:
        wanted = wanted or ((here,) if here in library.targets else ())
        if not wanted:
            known = ", ".join(map(str, library.targets))
            raise BackendError(f"give the GPUs: --sm with one or more of {known} (e.g. 86: RTX 30, 89: RTX 40)")
        for target in wanted:
            if target in (90, 100, 103):
                raise BackendError(
                    f"TensorRT for RTX does not support sm {target} (data-centre GPUs); on such a machine use "
                    "--for tensorrt, or run with --backend cuda"
                )
            if target not in library.targets:
                known = ", ".join(map(str, library.targets))
                raise BackendError(
                    f"{library.name} {library.version} does not support sm {target}; it supports: {known}"
                )
        return wanted
    if here is None:
        raise BackendError(
            "tensorrt builds on the GPU that runs the engine, and none is visible here (check `nvidia-smi`); "
            "--for tensorrt-rtx builds without one"
        )
    wanted = wanted or (here,)
    if here not in wanted:
        raise BackendError(f"tensorrt builds for this machine's GPU, sm {here}, which is missing from --sm")
    if len(wanted) > 1 and wanted[0] < 80:
        raise BackendError("tensorrt makes one plan for several GPUs only from sm 80 on; build sm 75 alone, on one")
    if len(wanted) > 1 and JETSONS.intersection(wanted):
        raise BackendError("tensorrt makes no plan for several GPUs on Jetson; build each on its own board")
    return wanted


def check_graph(model: ir.Model, spec: GraphSpec, precision: str, library: Library, sm: Sequence[int]) -> None:
    """Raise BackendError for the first part of the graph that the library is known to refuse.

    Args:
        model: the graph as it will be parsed, in its final precision.
        spec: the graph's entry in the manifest.
        precision: ``fp32``, ``fp16`` or ``int8``.
        library: the library that will build the engine.
        sm: compute capabilities to build for.
    """
    for tensor in (*spec.inputs, *spec.outputs):
        if tensor.dtype not in _IO_TYPES:
            raise BackendError(
                f"graph {spec.name}: `{tensor.name}` is {tensor.dtype}, which TensorRT does not support; export it as "
                f"one of: {choices(_IO_TYPES)}"
            )
        if not all(tensor.shape):
            raise BackendError(f"graph {spec.name}: `{tensor.name}` has no fixed shape {list(tensor.shape)}")
    for node in model.graph:
        if node.domain:
            raise BackendError(
                f"graph {spec.name}: {node.op_type} ({node.domain}) is not a standard operator:  the graph is for ONNX "
                "Runtime on the CPU; build from the bundle's standard FP32 graph"
            )
    quantised = any(node.op_type == "QuantizeLinear" for node in model.graph)
    if quantised and precision != "int8":
        raise BackendError(f"graph {spec.name} has QuantizeLinear nodes: use it with --precision int8")
    if not quantised and precision == "int8":
        raise BackendError(f"graph {spec.name} has no QuantizeLinear nodes: use it with --precision fp32 or fp16")
    _check_quantisation(model, spec)
    model = model.clone()
    infer_types(model)
    products = [node for node in model.graph if node.op_type in _PRODUCTS]
    floats = [node for node in products if node.inputs[0].dtype == ir.DataType.FLOAT]
    for node in products:
        if node.op_type != "Attention":
            continue
        if node in floats:
            raise BackendError(
                f"graph {spec.name}: the operator Attention (opset 23) in FP32 has no kernel in TensorRT; use "
                "--precision fp16, or export attention as MatMul and Softmax"
            )
        if library.rtx and len(set(node.inputs[:3])) < 3:
            raise BackendError(
                f"graph {spec.name}: Attention {_where(node)} takes one tensor twice, on which TensorRT for RTX "
                "crashes; give query, key and value tensors of their own, or export attention as MatMul and Softmax"
            )
    if library.rtx and 75 in sm and floats:
        raise BackendError(
            f"graph {spec.name}: TensorRT for RTX has no FP32 matrix product on sm 75, which {len(floats)} layers "
            f"need (first: {_where(floats[0])}); leave 75 out of --sm"
        )
    values = ir.convenience.create_value_mapping(model.graph)
    if 75 in sm and (brains := [name for name in values if values[name].dtype == ir.DataType.BFLOAT16]):
        raise BackendError(
            f"graph {spec.name}: sm 75 has no bfloat16, but {len(brains)} tensors are bfloat16 (first: {brains[0]}); "
            "leave 75 out of --sm"
        )
    if library.name == "tensorrt" and library.release < FIRST_WITH_SOUND_ATTENTION and (found := attentions(model)):
        raise BackendError(
            f"graph {spec.name} has {len(found)} attentions, which tensorrt {library.version} is known to compute "
            "wrongly (DINO-ViT); install tensorrt 10.5 or newer (docs/deploy/jetson.md), or run it with --backend cuda"
        )


def _check_quantisation(model: ir.Model, spec: GraphSpec) -> None:
    """Check that quantisation is signed 8-bit and symmetric about zero, as TensorRT requires."""
    for node in model.graph:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.inputs) < 3:
            continue
        zero = node.inputs[2] and node.inputs[2].const_value
        if zero is not None and (zero.dtype == ir.DataType.UINT8 or np.any(zero.numpy())):
            raise BackendError(
                f"graph {spec.name}: {node.op_type} {_where(node)} has a zero point other than 0 or unsigned bytes, "
                "which TensorRT refuses; quantise symmetrically, to INT8 (humanrt-export quantize --precision int8)"
            )


def _where(node: ir.Node) -> str:
    return str(node.name or node.outputs[0].name)
