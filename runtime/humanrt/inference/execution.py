"""Where and how networks run: one set of options for every model."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypedDict

from humanrt.backends import Backend, open_backend
from humanrt.backends.engines import PRECISIONS
from humanrt.backends.options import BackendOptions
from humanrt.errors import choices
from humanrt.inference.variants import EXACT

__all__ = ["Execution", "ExecutionOptions"]


class ExecutionOptions(TypedDict, total=False):
    """The keywords that every model takes in addition to ``backend``; `Execution` documents them."""

    precision: str
    threads: int
    unverified: bool


@dataclass(frozen=True)
class Execution:
    """Where and how networks run. Every model takes it as ``backend``, or its fields as keywords.

    >>> HandTracker(backend="cuda", precision="fp16")
    >>> HandTracker(backend=Execution("cuda", precision="fp16"))        # the same

    Attributes:
        backend: ``auto`` (CUDA if it works, else the CPU), ``cpu``, ``cuda``, ``tensorrt``, or an open backend. An
            open one stays open when the model is closed, and keeps the `BackendOptions` that it was opened with.
        precision: precision of the networks: ``fp32``, or another for which the bundle has graphs or engines, such as
            ``bf16x3``, ``int16`` or ``int8`` (`humanrt-export quantize`).
        threads: CPU threads per network; 0 uses all cores.
        unverified: whether to run also graphs and engines without a passing verdict on their error.
    """

    backend: Backend | str = "cpu"
    precision: str = EXACT
    threads: int = 0
    unverified: bool = False

    @classmethod
    def of(cls, backend: Execution | Backend | str, options: ExecutionOptions) -> Execution:
        """Combine a constructor's ``backend`` and keywords. A keyword replaces the field of an `Execution`.

        Raises:
            TypeError: the constructor has no such keyword.
        """
        known = [field.name for field in fields(cls)][1:]
        for name in options:
            if name not in known:
                raise TypeError(
                    f"unexpected keyword argument `{name}`: neither this constructor's own nor one of {choices(known)}"
                )
        return replace(backend if isinstance(backend, Execution) else cls(backend), **options)

    def open(self) -> Backend:
        """Open the backend; one that is already open is returned unchanged. BackendError if it cannot run here."""
        engines = self.precision if self.precision in PRECISIONS and self.precision != EXACT else None
        return open_backend(self.backend, BackendOptions(self.threads, precision=engines, unverified=self.unverified))
