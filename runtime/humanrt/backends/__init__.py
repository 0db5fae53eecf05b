"""Backends: one file each, one small interface (``base``). Only ``auto`` may choose; a name is a demand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from humanrt.backends.base import Array, Backend, Binding, Buffer, Event, Graph, Stream
from humanrt.errors import BackendError, choices

__all__ = [
    "BACKENDS", "Array", "Backend", "BackendOptions", "Binding", "Buffer", "Event", "Graph", "Stream", "open_backend",
]  # fmt: skip

BACKENDS = ("cpu", "cuda", "tensorrt")


@dataclass(frozen=True)
class BackendOptions:
    """How a backend uses the machine.

    Attributes:
        threads: threads of one graph's operators on the CPU; 0 leaves it to the runtime (all cores).
        device: ordinal of the GPU.
        precision: of TensorRT engines; None takes the fastest that has passed its verdict.
        engines: folder with an ``engines.json`` of its own, besides those of the bundle and of the user's cache.
        unverified: run what has no passing verdict: graphs of lower precision, and engines on this kind of GPU.
        cuda_graphs: launch what always runs together on a GPU as one.
    """

    threads: int = 0
    device: int = 0
    precision: str | None = None
    engines: Path | None = None
    unverified: bool = False
    cuda_graphs: bool = True

    def __post_init__(self) -> None:
        most = 4 * (os.cpu_count() or 1)
        if not 0 <= self.threads <= most:
            raise BackendError(f"threads: {self.threads} is not between 0 (all cores) and {most} (4 a core)")


def open_backend(name: Backend | str = "auto", options: BackendOptions | None = None) -> Backend:
    """The backend called ``name``: ``cpu``, ``cuda`` or ``tensorrt``; ``auto`` is CUDA where it works, else the CPU.

    One that is open already is what it is.

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
    raise BackendError(f"no backend `{name}`; choose one of: auto, {choices(BACKENDS)}")
