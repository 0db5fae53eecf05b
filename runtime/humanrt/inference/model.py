"""A model: a bundle's graphs opened on a backend, at a precision."""

from __future__ import annotations

from pathlib import Path

from humanrt.backends import Backend, open_backend
from humanrt.backends.engines import PRECISIONS
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.inference.variants import EXACT, at
from humanrt.resource import Owner

__all__ = ["Model"]


class Model(Owner):
    """What runs a bundle's graphs, on a backend of its own, or on an open one that stays with whoever opened it.

    Attributes:
        bundle: whose graphs they are, at `precision`.
        backend: that runs them.
        precision: see `at`.
    """

    bundle: Bundle
    backend: Backend
    precision: str

    def prepare(
        self,
        bundle: Bundle | str | Path,
        task: str,
        backend: Backend | str,
        precision: str = EXACT,
        *,
        threads: int = 0,
        unverified: bool = False,
    ) -> None:
        """Load a bundle for a task, at a precision, and open the backend that runs it.

        Args:
            bundle: name or folder of the bundle, or a loaded one.
            task: that it must be for.
            backend: ``auto``, ``cpu``, ``cuda``, ``tensorrt``, or an opened backend.
            precision: see `at`.
            threads, unverified: see `BackendOptions`.
        """
        bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle, task=task)
        wanted = precision if precision in PRECISIONS and precision != EXACT else None
        self.run_on(backend, BackendOptions(threads=threads, precision=wanted, unverified=unverified))
        self.bundle, self.precision = at(bundle, self.backend, precision), precision

    def run_on(self, backend: Backend | str, options: BackendOptions) -> None:
        """Open a backend that is closed with this object; one that is open already is only used."""
        self.backend = open_backend(backend, options)
        if self.backend is not backend:
            self.own(self.backend)
