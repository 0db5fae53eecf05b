"""The compiled kernel, called through ctypes: _native/solver.c."""

from __future__ import annotations

import ctypes
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from humanrt import native
from humanrt.retarget.problem import Problem
from humanrt.retarget.reference import Model, NumpyKernel

__all__ = ["Kernel", "NativeKernel", "make_kernel", "native_problem"]

Array = NDArray[np.float64]


class Kernel(Protocol):
    """What a kernel does; ``NumpyKernel`` documents the methods."""

    name: str
    problem: Problem

    def targets(self, keypoints: Array, mirror: bool, local: bool) -> None: ...
    def evaluate(self, x: Array, pull: Array, centre: Array) -> Model: ...
    def solve(self, keypoints: Array, mirror: bool, local: bool, smoothing: float) -> int: ...


_POINTERS = (
    "parent", "prismatic", "variable", "order", "placement", "axis", "gain", "offset", "joint_limits",
    "point_joint", "point_xyz", "task_ends", "task_human", "task_kind", "task_pairs", "task_scale", "task_weight",
    "task_close", "task_grip", "lower", "upper", "rest", "palm_template", "palm_weight", "base_rotation", "start",
    "frame", "has_frame", "projected", "target", "weight", "x", "q", "cost",
)  # fmt: skip


class _Layout(ctypes.Structure):
    """``Problem`` of solver.c."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("joints", "variables", "points", "tasks", "max_iterations", "starts")),
        *((name, ctypes.c_double) for name in ("huber", "project", "escape", "rest_weight", "tolerance")),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    ]


class NativeKernel:
    """Solves the problem it is given, in place, in C."""

    name = "native"

    def __init__(self, problem: Problem) -> None:
        library = native.library()
        self.problem = problem
        p, t = problem, problem.tasks
        arrays = {
            **{name: getattr(p, name) for name in _POINTERS if hasattr(p, name)},
            **{
                f"task_{name}": getattr(t, name)
                for name in ("ends", "human", "kind", "pairs", "scale", "weight", "close", "grip")
            },
        }
        for name, array in arrays.items():
            if not array.flags.c_contiguous or array.dtype not in (np.float64, np.int32):
                raise TypeError(f"{name}: {array.dtype} array, contiguous: {array.flags.c_contiguous}")
        self._arrays = arrays  # the structure holds addresses only
        self._layout = _Layout(
            joints=len(p.parent),
            variables=len(p.x),
            points=len(p.point_joint),
            tasks=len(t.kind),
            max_iterations=p.max_iterations,
            starts=len(p.start),
            huber=p.huber,
            project=p.project,
            escape=p.escape,
            rest_weight=p.rest_weight,
            tolerance=p.tolerance,
            **{name: array.ctypes.data for name, array in arrays.items()},
        )
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
    """Why the compiled kernel cannot be used here, in one line; None when it can."""
    return native.problem()


def make_kernel(problem: Problem, kind: str) -> Kernel:
    """``kind``: native, numpy, or auto (native where it loads; the kernel's ``name`` says which it became)."""
    if kind == "numpy" or (kind == "auto" and native_problem() is not None):
        return NumpyKernel(problem)
    return NativeKernel(problem)
