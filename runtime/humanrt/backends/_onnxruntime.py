"""What the two ONNX Runtime backends share: a session checked against the manifest, and IOBinding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from humanrt.backends.base import Array, Binding, Buffer, Graph, check_feed
from humanrt.bundle import GraphSpec, TensorSpec
from humanrt.errors import BackendError

__all__ = ["OrtBuffer", "OrtGraph", "open_session"]

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


def open_session(
    spec: GraphSpec, options: onnxruntime.SessionOptions, providers: Sequence[Any]
) -> onnxruntime.InferenceSession:
    """A session on exactly these providers. BackendError if ONNX Runtime refuses, or chose another provider."""
    options.log_severity_level = 3  # errors reach the user as one BackendError, not as the library's log
    source = spec.source
    try:
        session = onnxruntime.InferenceSession(source, options, providers=list(providers))
    except Exception as error:  # the library raises a dozen types of its own, all derived from Exception
        first_line = str(error).strip().splitlines()[0]
        raise BackendError(f"ONNX Runtime cannot open {spec.path}: {first_line}") from error
    # ONNX Runtime would go on with another provider: the most repeated complaint of its users.
    session.disable_fallback()
    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if session.get_providers()[0] != wanted:
        raise BackendError(
            f"ONNX Runtime gave {session.get_providers()[0]} where {wanted} was asked for; see `humanrt doctor`"
        )
    for kind, tensors, found in (
        ("input", spec.inputs, session.get_inputs()),
        ("output", spec.outputs, session.get_outputs()),
    ):
        declared = {tensor.name: (tensor.shape, tensor.dtype) for tensor in tensors}
        actual = {value.name: (tuple(value.shape), _DTYPES.get(value.type, value.type)) for value in found}
        if declared != actual:
            raise BackendError(f"{spec.path}: {kind}s are {actual}, the manifest says {declared}; export it again")
    return session


class OrtBuffer(Buffer):
    """An OrtValue. On the CPU it is a numpy array's own memory, which may be written in place (`host`)."""

    def __init__(self, spec: TensorSpec, device: str, device_id: int = 0) -> None:
        self.spec = spec
        self._array = np.zeros(spec.shape, spec.dtype) if device == "cpu" else None
        self.value = (
            onnxruntime.OrtValue.ortvalue_from_numpy(self._array)
            if self._array is not None
            else onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                list(spec.shape), np.dtype(spec.dtype).type, device, device_id
            )
        )

    @property
    def host(self) -> Array | None:
        return self._array

    def upload(self, array: Array) -> None:
        array = check_feed(self.spec, array)
        if self._array is not None:
            np.copyto(self._array, array)
        else:
            self.value.update_inplace(array)

    def download(self, out: Array | None = None) -> Array:
        source = self._array if self._array is not None else self.value.numpy()
        if out is None:
            return source.copy()
        np.copyto(out, source)
        return out


class _OrtBinding(Binding):
    def __init__(self, session: Any, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._buffers = (
            dict(inputs),
            dict(outputs),
        )  # what the session points into must live as long as this
        for bind, buffers in (
            (self._binding.bind_ortvalue_input, inputs),
            (self._binding.bind_ortvalue_output, outputs),
        ):
            for name, buffer in buffers.items():
                if not isinstance(buffer, OrtBuffer):
                    raise BackendError(f"buffer for `{name}` belongs to another backend ({type(buffer).__name__})")
                bind(name, buffer.value)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)


class OrtGraph(Graph):
    """A graph in an ONNX Runtime session."""

    def __init__(self, spec: GraphSpec, session: Any, device: str, device_id: int = 0) -> None:
        self.spec = spec
        self._session = session
        self._device = device
        self._device_id = device_id
        self._outputs = [output.name for output in spec.outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        names = [tensor.name for tensor in self.spec.inputs]
        if set(feeds) != set(names):
            raise ValueError(f"graph {self.spec.name} takes inputs {names}, not {list(feeds)}")
        checked = {tensor.name: check_feed(tensor, feeds[tensor.name]) for tensor in self.spec.inputs}
        return dict(zip(self._outputs, self._session.run(self._outputs, checked), strict=True))

    def buffer(self, name: str) -> OrtBuffer:
        return OrtBuffer(self.tensor(name), self._device, self._device_id)

    def bind(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> Binding:
        for kind, given, specs in (
            ("input", inputs, self.spec.inputs),
            ("output", outputs, self.spec.outputs),
        ):
            if set(given) != {spec.name for spec in specs}:
                raise ValueError(f"graph {self.spec.name} has {kind}s {[s.name for s in specs]}, not {list(given)}")
            for spec in specs:
                if (given[spec.name].spec.shape, given[spec.name].spec.dtype) != (spec.shape, spec.dtype):
                    raise ValueError(f"buffer for `{spec.name}` must be {spec.dtype} {list(spec.shape)}")
        return _OrtBinding(self._session, inputs, outputs)

    def close(self) -> None:
        self._session = None
