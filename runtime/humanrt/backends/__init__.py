"""Backends: one file each, one small interface (``base``). Only ``auto`` may choose; a name is a demand."""

from __future__ import annotations

import os
from dataclasses import dataclass

from humanrt.backends.base import Array, Backend, Binding, Buffer, Graph
from humanrt.errors import BackendError, choices

__all__ = ["BACKENDS", "Array", "Backend", "BackendOptions", "Binding", "Buffer", "Graph", "open_backend"]

BACKENDS = ("cpu", "cuda", "tensorrt")


@dataclass(frozen=True)
class BackendOptions:
    """How a backend uses the machine.

    Attributes:
        threads: threads of one graph's operators on the CPU; 0 leaves it to the runtime (all cores).
        device: ordinal of the GPU.
    """

    threads: int = 0
    device: int = 0

    def __post_init__(self) -> None:
        most = 4 * (os.cpu_count() or 1)
        if not 0 <= self.threads <= most:
            raise BackendError(f"threads: {self.threads} is not between 0 (all cores) and {most} (4 a core)")


def open_backend(name: str = "auto", options: BackendOptions | None = None) -> Backend:
    """The backend called ``name``: ``cpu``, ``cuda`` or ``tensorrt``; ``auto`` is CUDA where it works, else the CPU.

    Raises:
        BackendError: unknown name, or it cannot run here (the message says why and what to install).
    """
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
        raise BackendError("backend `tensorrt` is not in this version of humanrt; use --backend cuda or cpu")
    raise BackendError(f"no backend `{name}`; choose one of: auto, {choices(BACKENDS)}")
