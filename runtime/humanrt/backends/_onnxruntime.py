"""Code shared by the two ONNX Runtime backends: a session checked against the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr as short
from typing import Any

import onnxruntime

from humanrt.bundle import GraphSpec
from humanrt.errors import BackendError

__all__ = ["open_session"]

# ONNX Runtime names tensor types "tensor(float)"; manifests use numpy's names.
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


def _told(tensor: tuple[tuple[Any, ...], str] | None) -> str:
    return "missing" if tensor is None else f"{tensor[1]} {short(list(tensor[0]))}"


def open_session(
    spec: GraphSpec, options: onnxruntime.SessionOptions, providers: Sequence[Any]
) -> onnxruntime.InferenceSession:
    """Open a session on exactly these providers. BackendError if ONNX Runtime refuses or chooses another provider."""
    options.log_severity_level = 3  # errors reach the user as one BackendError, not as the library's log
    source = spec.source
    try:
        session = onnxruntime.InferenceSession(source, options, providers=list(providers))
    except Exception as error:  # the library raises a dozen types of its own, all derived from Exception
        first_line = str(error).strip().splitlines()[0]
        raise BackendError(f"ONNX Runtime cannot open {spec.path}: {first_line}") from error
    # ONNX Runtime would fall back to another provider: the most repeated complaint of its users.
    session.disable_fallback()
    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if session.get_providers()[0] != wanted:
        raise BackendError(
            f"ONNX Runtime uses {session.get_providers()[0]} instead of the requested {wanted}; see `humanrt doctor`"
        )
    for kind, tensors, values in (
        ("input", spec.inputs, session.get_inputs()),
        ("output", spec.outputs, session.get_outputs()),
    ):
        declared = {tensor.name: (tensor.shape, tensor.dtype) for tensor in tensors}
        actual = {value.name: (tuple(value.shape), _DTYPES.get(value.type, value.type)) for value in values}
        if declared != actual:
            names = [name for name in {**declared, **actual} if declared.get(name) != actual.get(name)]
            name = names[0]
            raise BackendError(
                f"{spec.path}: {kind} {short(name)} is {_told(actual.get(name))}, the manifest says "
                f"{_told(declared.get(name))}; export it again"
            )
    return session
