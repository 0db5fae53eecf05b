"""The compiled solver, called through ctypes: _native/fitting.c."""

from __future__ import annotations

import ctypes
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from humanrt import native
from humanrt.fitting.layout import ARRAYS, Layout
from humanrt.fitting.problem import Problem
from humanrt.fitting.reference import Model, NumpyKernel

__all__ = ["Kernel", "NativeKernel", "make_kernel"]


class Kernel(Protocol):
    """Interface of both solvers; ``NumpyKernel`` documents the methods."""

    name: str
    problem: Problem

    def solve(self) -> int: ...
    def model(self) -> Model: ...
    def spread(self, wanted: NDArray[np.int32]) -> bool: ...


class NativeKernel:
    """Solve a problem in place, in C."""

    name = "native"

    def __init__(self, problem: Problem) -> None:
        library = native.library()
        self.problem = problem
        self._arrays = {name: getattr(problem, name) for name in ARRAYS}  # the layout holds addresses only
        kinds = {"parent", "first", "count", "point_link"}
        addresses = {
            name: native.address(array, np.int32 if name in kinds else np.float64)
            for name, array in self._arrays.items()
        }
        self._layout = Layout.of(problem, addresses)
        self._address = ctypes.addressof(self._layout)
        self._fit, self._model, self._spread = (
            library.humanrt_fit,
            library.humanrt_fit_model,
            library.humanrt_fit_spread,
        )

    def solve(self) -> int:
        self._layout.max_iterations, self._layout.tolerance = self.problem.max_iterations, self.problem.tolerance
        evaluations: int = self._fit(self._address)
        return evaluations

    def model(self) -> Model:
        n = self.problem.work.shape[-1]
        gradient, hessian = np.empty(n), np.empty((n, n))
        cost = self._model(self._address, gradient.ctypes.data, hessian.ctypes.data)
        return Model(cost, gradient, hessian)

    def spread(self, wanted: NDArray[np.int32]) -> bool:
        return bool(self._spread(self._address, native.address(wanted, np.int32)))


def make_kernel(problem: Problem, kind: str = "auto") -> Kernel:
    """Create a solver of a ``kind``: native, numpy, or auto (native if it loads; its ``name`` tells which)."""
    if kind == "numpy" or (kind == "auto" and native.problem() is not None):
        return NumpyKernel(problem)
    return NativeKernel(problem)
