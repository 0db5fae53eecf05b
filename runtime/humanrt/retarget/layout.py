"""Memory layout of the problem for the compiled solvers: ``Problem`` of _native/retarget.h, for the CPU and the GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from humanrt.retarget.problem import Problem

__all__ = ["COLLISIONS", "CONSTANTS", "GPU_CONSTANTS", "GPU_STATE", "STATE", "Layout", "arrays"]

CONSTANTS = (
    "parent", "prismatic", "variable", "order", "placement", "axis", "gain", "offset", "joint_limits",
    "point_joint", "point_xyz", "task_ends", "task_human", "task_kind", "task_pairs", "task_scale", "task_weight",
    "task_close", "task_grip", "lower", "upper", "rest", "palm_template", "palm_weight", "base_rotation", "start",
)  # fmt: skip
"""Arrays of a robot hand and its objective."""
GPU_CONSTANTS = ("driven", "driven_from", "above")
"""Further inputs of the GPU's solver."""
COLLISIONS = ("collision_points", "collision_reach")
"""Further inputs of the CPU's solver."""
_STATE = ("frame", "has_frame", "projected", "target", "weight", "x", "q", "cost", "evaluations")
STATE = tuple(name for name in _STATE if name != "evaluations")
"""Arrays that the CPU's solver writes, for one hand."""
GPU_STATE = tuple(name for name in _STATE if name not in ("target", "weight"))
"""Arrays that the GPU's solver writes, for a batch of hands."""


class Layout(ctypes.Structure):
    """``Problem`` of _native/retarget.h, field by field. It holds addresses only: keep the arrays alive."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("joints", "variables", "points", "tasks", "max_iterations", "starts")),
        ("dof", ctypes.c_int32),
        *((name, ctypes.c_double) for name in ("huber", "project", "escape", "rest_weight", "tolerance")),
        *((name, ctypes.c_void_p) for name in (*CONSTANTS, *GPU_CONSTANTS, *_STATE)),
        ("collisions", ctypes.c_int32),
        ("collision_weight", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in COLLISIONS),
    )

    @classmethod
    def of(cls, problem: Problem, addresses: Mapping[str, int]) -> Layout:
        """Return the layout of a problem with its arrays at ``addresses``, by name; unused arrays are left out."""
        p = problem
        return cls(
            len(p.parent), len(p.x), len(p.point_joint), len(p.tasks.kind), p.max_iterations, len(p.start), len(p.q),
            p.huber, p.project, p.escape, p.rest_weight, p.tolerance,
            collisions=len(p.collision_reach), collision_weight=p.collision_weight, **addresses,
        )  # fmt: skip


def arrays(problem: Problem, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return arrays of a problem by their names in the layout; ``task_...`` are those of its tasks."""
    own, tasks = problem, problem.tasks
    return {
        name: getattr(tasks, name.removeprefix("task_")) if name.startswith("task_") else getattr(own, name)
        for name in names
    }
