"""The compiled kernel, called through ctypes: _native/solver.c."""

from __future__ import annotations

import ctypes
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from humanrt import native
from humanrt.retarget.layout import COLLISIONS, CONSTANTS, STATE, Layout, arrays
from humanrt.retarget.problem import Problem
from humanrt.retarget.reference import Model, NumpyKernel

__all__ = ["KERNELS", "Kernel", "NativeKernel", "make_kernel", "native_problem"]

Array = NDArray[np.float64]

KERNELS = ("auto", "native", "numpy")
"""See `make_kernel`."""


class Kernel(Protocol):
    """Interface of kernels; ``NumpyKernel`` documents the methods."""

    name: str
    problem: Problem

    def targets(self, keypoints: Array, mirror: bool, local: bool) -> None: ...
    def evaluate(self, x: Array, pull: Array, centre: Array) -> Model: ...
    def solve(self, keypoints: Array, mirror: bool, local: bool, smoothing: float) -> int: ...


class NativeKernel:
    """Solve a problem in place, in C."""

    name = "native"

    def __init__(self, problem: Problem) -> None:
        library = native.library()
        self.problem = problem
        given = arrays(problem, (*CONSTANTS, *COLLISIONS, *STATE))
        for name, array in given.items():
            if not array.flags.c_contiguous or array.dtype not in (np.float64, np.int32):
                raise TypeError(f"{name}: {array.dtype} array, contiguous: {array.flags.c_contiguous}")
        self._arrays = given  # the layout holds addresses only
        self._layout = Layout.of(problem, {name: array.ctypes.data for name, array in given.items()})
        self._address = ctypes.addressof(self._layout)
        self._keypoints = np.zeros((21, 3))
        self._keypoints_address = self._keypoints.ctypes.data
        self._solve, self._targets, self._evaluate = (
            library.humanrt_solve,
            library.humanrt_targets,
            library.humanrt_evaluate,
        )

    def targets(self, keypoints: Array, mirror: bool, local: bool) -> None:
        self._keypoints[...] = keypoints
        self._targets(self._address, self._keypoints_address, mirror, local)

    def evaluate(self, x: Array, pull: Array, centre: Array) -> Model:
        n = len(self.problem.x)
        gradient, hessian = np.empty(n), np.empty((n, n))
        inputs = [np.ascontiguousarray(a, dtype=np.float64) for a in (pull, centre, x)]
        cost = self._evaluate(
            self._address, *(a.ctypes.data for a in inputs), gradient.ctypes.data, hessian.ctypes.data
        )
        return Model(cost, gradient, hessian)

    def solve(self, keypoints: Array, mirror: bool, local: bool, smoothing: float) -> int:
        self._keypoints[...] = keypoints
        evaluations: int = self._solve(self._address, self._keypoints_address, mirror, local, smoothing)
        return evaluations


def native_problem() -> str | None:
    """Return the reason why the compiled kernel cannot be used here, in one line; None if it can."""
    return native.problem()


def make_kernel(problem: Problem, kind: str) -> Kernel:
    """Create a kernel of a ``kind``: native, numpy, or auto (native if it loads; its ``name`` tells which)."""
    if kind == "numpy" or (kind == "auto" and native_problem() is not None):
        return NumpyKernel(problem)
    return NativeKernel(problem)
