"""ONNX Runtime on an NVIDIA GPU. If CUDA cannot run, the error says why; it never falls back to the CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnxruntime

from humanrt.backends import cuda
from humanrt.backends._onnxruntime import open_session
from humanrt.backends.base import Binding, Sequential
from humanrt.backends.cuda import CudaBackend, CudaBinding, CudaBuffer, CudaDevice, CudaNetwork, CudaStream, failure
from humanrt.backends.options import BackendOptions
from humanrt.bundle import GraphSpec
from humanrt.errors import BackendError

__all__ = ["OnnxRuntimeCuda", "why_not"]

PROVIDER = "CUDAExecutionProvider"
NO_CPU = "session.disable_cpu_ep_fallback"
# An ONNX file with one operator: y = relu(x) of one float.
_ONE_OPERATOR = (
    b'\x08\x07:3\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
INSTALL = (
    "pip install 'humanrt[cuda]' && pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu "
    "(the two packages overwrite each other: exactly one may be installed)"
)


def why_not(device: int = 0) -> str | None:
    """Return why CUDA cannot be used here, with the command that fixes it; None if it can."""
    if reason := cuda.problem(device):
        return reason
    if PROVIDER not in onnxruntime.get_available_providers():
        return f"the installed ONNX Runtime has no CUDA provider: {INSTALL}"
    return _trial(device)


@cache
def _trial(device: int) -> str | None:
    """Return why a graph of one operator does not run on the GPU; None if it runs.

    The list of providers only says what was compiled: whether the CUDA and cuDNN libraries load shows when a session
    opens.
    """
    _preload()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry(NO_CPU, "1")
    try:
        session = onnxruntime.InferenceSession(_ONE_OPERATOR, options, providers=[(PROVIDER, {"device_id": device})])
        given = session.get_providers()[0]
        failure = "" if given == PROVIDER else f"it chose {given}"
    except Exception as error:  # the library raises a dozen types of its own
        failure = str(error).strip().splitlines()[0]
    return f"ONNX Runtime's CUDA provider does not start ({failure}): {INSTALL}" if failure else None


def _preload() -> None:
    """Load CUDA and cuDNN from their own wheels; ONNX Runtime finds them only if they are loaded first."""
    if os.environ.get("HUMANRT_SYSTEM_CUDA") != "1" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()


class OnnxRuntimeCuda(CudaBackend):
    """Runs graphs on one NVIDIA GPU, in the streams and on the buffers of `humanrt.backends.cuda`."""

    name = "cuda"

    def __init__(self, options: BackendOptions | None = None) -> None:
        self.options = options or BackendOptions()
        self.unverified = self.options.unverified
        if reason := why_not(self.options.device):
            raise BackendError(f"backend `cuda` cannot run here: {reason}")
        super().__init__(self.options.device, self.options.cuda_graphs)

    def open(self, spec: GraphSpec) -> OrtCudaGraph:
        if spec.operators:
            raise BackendError(f"graph {spec.name} has operators for the CPU; use --backend cpu")
        options = onnxruntime.SessionOptions()
        # A node that would run on the CPU is an error, not a slow surprise.
        options.add_session_config_entry(NO_CPU, "1")
        provider = {
            "device_id": str(self.options.device),
            "cudnn_conv_algo_search": "HEURISTIC",
            "user_compute_stream": str(self.device.compute.handle),
            "enable_cuda_graph": str(int(self.options.cuda_graphs)),
            "use_tf32": "0",  # FP32 means real FP32, as in our engines
        }
        session = open_session(spec, options, [(PROVIDER, provider)])
        return OrtCudaGraph(spec, session, self.device, self.options.cuda_graphs)

    def record(self, steps: Sequence[Binding]) -> Binding:
        # ONNX Runtime records its networks itself, in their first runs; its recordings and ours cannot be nested.
        return Sequential(steps)


class OrtCudaGraph(CudaNetwork):
    """A graph in an ONNX Runtime session that works in the GPU's compute stream."""

    def __init__(self, spec: GraphSpec, session: Any, device: CudaDevice, graphs: bool) -> None:
        self.spec, self.device = spec, device
        self._session, self._graphs = session, graphs
        self._bindings = 0

    def _bound(self, inputs: Mapping[str, CudaBuffer], outputs: Mapping[str, CudaBuffer]) -> OrtCudaBinding:
        self._bindings += 1
        return OrtCudaBinding(self, self._session, inputs, outputs, self._bindings if self._graphs else None)

    def close(self) -> None:
        super().close()
        self._session = None  # this also frees its arena


class OrtCudaBinding(CudaBinding):
    """A session permanently bound to input and output buffers.

    Args:
        recording: ID of the CUDA graph that ONNX Runtime records: each binding has its own, because a graph holds the
            addresses that it was recorded with. None: no graph is recorded.
    """

    def __init__(
        self,
        graph: OrtCudaGraph,
        session: Any,
        inputs: Mapping[str, CudaBuffer],
        outputs: Mapping[str, CudaBuffer],
        recording: int | None,
    ) -> None:
        self.device = graph.device
        self.written = tuple(outputs.values())
        self._name = graph.spec.name
        self._session = session
        self._buffers = (inputs, outputs)  # the session points into them, so they must live as long as this
        self._binding = session.io_binding()
        for bind, buffers in ((self._binding.bind_input, inputs), (self._binding.bind_output, outputs)):
            for name, buffer in buffers.items():
                kind = np.dtype(buffer.spec.dtype).type
                bind(name, "cuda", self.device.ordinal, kind, list(buffer.spec.shape), buffer.address)
        self._options = onnxruntime.RunOptions()
        # The host does not wait for the GPU: subsequent work is in the same stream.
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        if recording is not None:
            self._options.add_run_config_entry("gpu_graph_id", str(recording))

    def launch(self, stream: CudaStream) -> None:
        compute = self.device.compute  # the session's stream, whichever is requested
        if stream is not compute:
            compute.wait(stream.record())
        try:
            self._session.run_with_iobinding(self._binding, self._options)
        except Exception as error:  # the library raises a dozen types of its own
            raise failure(f"run graph {self._name} with ONNX Runtime", str(error)) from error
        if stream is not compute:
            stream.wait(compute.record())

    def close(self) -> None:
        self._session = self._binding = None
