"""ONNX Runtime on an NVIDIA GPU. Where CUDA cannot run, it says why; it never goes on with the CPU."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

import onnxruntime

from humanrt.backends import BackendOptions
from humanrt.backends._onnxruntime import OrtGraph, open_session
from humanrt.backends.base import Backend
from humanrt.bundle import GraphSpec
from humanrt.errors import BackendError

__all__ = ["OnnxRuntimeCuda", "device_count", "why_not"]

PROVIDER = "CUDAExecutionProvider"
NO_CPU = "session.disable_cpu_ep_fallback"
# y = relu(x), one float: an ONNX file of one operator.
_ONE_OPERATOR = (
    b'\x08\x07:3\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
INSTALL = (
    "pip install 'humanrt[cuda]' && pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu "
    "(the two packages overwrite each other: exactly one may be installed)"
)


def device_count() -> int:
    """NVIDIA GPUs that the driver shows; 0 where there is no driver. Makes no CUDA context."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def why_not(device: int = 0) -> str | None:
    """Why CUDA cannot be used here, with the command that mends it; None when it can."""
    count = device_count()
    if count == 0:
        return "no NVIDIA GPU or driver is visible (check `nvidia-smi`)"
    if device >= count:
        return f"GPU {device} does not exist; this machine has {count}"
    if PROVIDER not in onnxruntime.get_available_providers():
        return f"the installed ONNX Runtime has no CUDA provider: {INSTALL}"
    return _trial(device)


@cache
def _trial(device: int) -> str | None:
    """Why a graph of one operator does not run on the GPU; None when it does. The provider's list only says what was
    compiled: whether CUDA's and cuDNN's libraries load is seen when a session opens."""
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
    """Wheels bring CUDA and cuDNN as packages of their own; they are found only when loaded first."""
    if os.environ.get("HUMANRT_SYSTEM_CUDA") != "1" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()


class OnnxRuntimeCuda(Backend):
    """Runs graphs on one NVIDIA GPU; buffers are device memory."""

    name = "cuda"

    def __init__(self, options: BackendOptions | None = None) -> None:
        self.options = options or BackendOptions()
        if reason := why_not(self.options.device):
            raise BackendError(f"backend `cuda` cannot run here: {reason}")

    def open(self, spec: GraphSpec) -> OrtGraph:
        if spec.operators:
            raise BackendError(f"graph {spec.name} has operators for the CPU; use --backend cpu")
        options = onnxruntime.SessionOptions()
        # A node that would land on the CPU is an error, not a slow surprise.
        options.add_session_config_entry(NO_CPU, "1")
        provider = (PROVIDER, {"device_id": self.options.device, "cudnn_conv_algo_search": "HEURISTIC"})
        return OrtGraph(spec, open_session(spec, options, [provider]), "cuda", self.options.device)
