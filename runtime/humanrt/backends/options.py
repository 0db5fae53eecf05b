"""Options of backends: how a backend uses the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from humanrt.errors import BackendError

__all__ = ["BackendOptions"]


@dataclass(frozen=True)
class BackendOptions:
    """How a backend uses the machine.

    Attributes:
        threads: threads of one graph's operators on the CPU; 0 leaves it to the runtime (all cores).
        device: ordinal of the GPU.
        precision: precision of TensorRT engines; None takes the fastest that has passed its verdict.
        engines: folder with another ``engines.json``, in addition to those of the bundle and of the user's cache.
        unverified: whether to run graphs of lower precision, and engines on this kind of GPU, without a passing
            verdict.
        cuda_graphs: whether work that always runs together on a GPU is launched as one CUDA graph.
    """

    threads: int = 0
    device: int = 0
    precision: str | None = None
    engines: Path | None = None
    unverified: bool = False
    cuda_graphs: bool = True

    def __post_init__(self) -> None:
        limit = 4 * (os.cpu_count() or 1)
        if type(self.threads) is not int or not 0 <= self.threads <= limit:
            raise BackendError(
                f"threads must be a whole number from 0 (all cores) to {limit} (4 per core), not {self.threads!r}"
            )
