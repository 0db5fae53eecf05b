"""ONNX Runtime on the CPU."""

from __future__ import annotations

import onnxruntime

from humanrt import native
from humanrt.backends import BackendOptions
from humanrt.backends._onnxruntime import OrtGraph, open_session
from humanrt.backends.base import Backend
from humanrt.bundle import GraphSpec
from humanrt.errors import BackendError

__all__ = ["OnnxRuntimeCpu"]


class OnnxRuntimeCpu(Backend):
    """Runs graphs on the CPU; buffers are host memory."""

    name = "cpu"

    def __init__(self, options: BackendOptions | None = None) -> None:
        self.options = options or BackendOptions()

    def open(self, spec: GraphSpec) -> OrtGraph:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.options.threads
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Workers wait awake for the next operator, which is microseconds away, and asleep for the next frame: by
        # default they burn a core between frames, which starves the camera's thread, OpenCV and the other graphs.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if spec.operators:
            if reason := native.amx_problem():
                raise BackendError(f"graph {spec.name} has operators that cannot run here: {reason}")
            options.register_custom_ops_library(str(native.LIBRARY))
        return OrtGraph(spec, open_session(spec, options, ["CPUExecutionProvider"]), "cpu")
