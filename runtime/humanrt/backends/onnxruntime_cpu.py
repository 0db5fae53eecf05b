"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from humanrt import native
from humanrt.backends._onnxruntime import open_session
from humanrt.backends.base import Array, Backend, Binding, Buffer, Graph, check_feed
from humanrt.backends.options import BackendOptions
from humanrt.bundle import GraphSpec, TensorSpec
from humanrt.errors import BackendError

__all__ = ["OnnxRuntimeCpu"]


class OnnxRuntimeCpu(Backend):
    """Runs graphs on the CPU; buffers are host memory."""

    name = "cpu"

    def __init__(self, options: BackendOptions | None = None) -> None:
        self.options = options or BackendOptions()
        self.unverified, self.threads = self.options.unverified, self.options.threads

    def open(self, spec: GraphSpec) -> OrtGraph:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Workers spin while waiting for the next operator, which is microseconds away, and sleep until the next frame:
        # by default they spin between frames too, which starves the camera's thread, OpenCV and the other graphs.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if spec.operators:
            if reason := native.operators_problem(spec.operators):
                raise BackendError(f"graph {spec.name} has operators that cannot run here: {reason}")
            options.register_custom_ops_library(str(native.LIBRARY))
        return OrtGraph(spec, open_session(spec, options, ["CPUExecutionProvider"]))


class OrtBuffer(Buffer):
    """A buffer in a numpy array, which may be written in place (`host`)."""

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec
        self._array = np.zeros(spec.shape, spec.dtype)
        self.value = onnxruntime.OrtValue.ortvalue_from_numpy(self._array)

    @property
    def host(self) -> Array:
        return self._array

    def upload(self, array: Array) -> None:
        np.copyto(self._array, check_feed(self.spec, array))

    def download(self, out: Array | None = None) -> Array:
        if out is None:
            return self._array.copy()
        np.copyto(out, self._array)
        return out


class OrtGraph(Graph):
    """A graph in an ONNX Runtime session."""

    def __init__(self, spec: GraphSpec, session: Any) -> None:
        self.spec = spec
        self._session = session
        self._outputs = [output.name for output in spec.outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        outputs = self._session.run(self._outputs, self.check_feeds(feeds))
        return dict(zip(self._outputs, outputs, strict=True))

    def buffer(self, name: str) -> OrtBuffer:
        return OrtBuffer(self.tensor(name))

    def bind(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> Binding:
        return _OrtBinding(self._session, *self.check_binding(inputs, outputs, OrtBuffer))

    def close(self) -> None:
        self._session = None


class _OrtBinding(Binding):
    def __init__(self, session: Any, inputs: Mapping[str, OrtBuffer], outputs: Mapping[str, OrtBuffer]) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._buffers = (inputs, outputs)  # the session points into them, so they must live as long as this
        for name, buffer in inputs.items():
            self._binding.bind_ortvalue_input(name, buffer.value)
        for name, buffer in outputs.items():
            self._binding.bind_ortvalue_output(name, buffer.value)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)
