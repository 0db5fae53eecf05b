"""A model: a bundle's graphs opened on a backend, at a precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from humanrt.bundle import Bundle, load_bundle
from humanrt.inference.execution import Execution
from humanrt.inference.variants import at
from humanrt.resource import Owner

__all__ = ["Model"]


class Model(Owner):
    """Runs a bundle's graphs. Subclasses open those that they need on `backend`.

    Args:
        bundle: name or folder of a bundle, or a loaded one.
        task: the task that a bundle given by name or folder must be for.
        execution: where and how the graphs run.

    Attributes:
        bundle: the bundle with the graphs of the chosen precision (`humanrt.inference.variants.at`).
        backend: the open backend. It is closed with the model if the model opened it.
        execution: where and how the graphs run, with the open backend; passed on to models that are parts of this one.

    Raises:
        BundleError, BackendError: the bundle cannot be used, or the backend or precision cannot run here.
    """

    def __init__(self, bundle: Bundle | str | Path, task: str, execution: Execution) -> None:
        bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle, task=task)
        self.backend = execution.open()
        if self.backend is not execution.backend:
            self.own(self.backend)
        self.execution = replace(execution, backend=self.backend)
        self.bundle = at(bundle, self.backend, execution.precision)

    @property
    def precision(self) -> str:
        """Precision of the networks."""
        return self.execution.precision
