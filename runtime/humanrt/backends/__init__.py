"""Backends: one file each, one small interface (``base``). Only ``auto`` may choose; a named backend is binding."""

from __future__ import annotations

from humanrt.backends.base import Array, Backend, Binding, Buffer, Event, Graph, Stream
from humanrt.backends.options import BackendOptions
from humanrt.errors import BackendError, choices

__all__ = [
    "BACKENDS",
    "Array",
    "Backend",
    "BackendOptions",
    "Binding",
    "Buffer",
    "Event",
    "Graph",
    "Stream",
    "open_backend",
]

BACKENDS = ("cpu", "cuda", "tensorrt")


def open_backend(name: Backend | str = "auto", options: BackendOptions | None = None) -> Backend:
    """Open the backend ``name``: ``cpu``, ``cuda`` or ``tensorrt``; ``auto`` is CUDA if it works, else the CPU.

    A backend that is already open is returned unchanged.

    Raises:
        BackendError: unknown name, or it cannot run here (the message says why and what to install).
    """
    if isinstance(name, Backend):
        return name
    options = options or BackendOptions()
    if name == "auto":
        from humanrt.backends.onnxruntime_cuda import why_not

        name = "cpu" if why_not(options.device) else "cuda"
    if name == "cpu":
        from humanrt.backends.onnxruntime_cpu import OnnxRuntimeCpu

        return OnnxRuntimeCpu(options)
    if name == "cuda":
        from humanrt.backends.onnxruntime_cuda import OnnxRuntimeCuda

        return OnnxRuntimeCuda(options)
    if name == "tensorrt":
        from humanrt.backends.tensorrt import TensorRt

        return TensorRt(options)
    raise BackendError(f"unknown backend `{name}`; choose one of: auto, {choices(BACKENDS)}")
