"""Memory layout of a problem for the compiled solver: ``Fit`` of _native/fitting.c."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

from humanrt.fitting.problem import Problem

__all__ = ["ARRAYS", "Layout"]

ARRAYS = (
    "parent", "first", "count", "axes", "before", "offset", "offset_by", "point_link", "point", "point_by",
    "lower", "upper", "shape_lower", "shape_upper", "camera", "seen", "seen_weight", "seen_width",
    "metric", "metric_weight", "metric_width", "moved", "moved_weight", "placed", "placed_weight",
    "turned", "turned_weight", "prior", "prior_weight", "shape_prior", "shape_information",
    "rotation", "position", "x", "shape", "cost", "world", "origin", "place",
    "moved_variance", "placed_variance", "x_variance", "moved_believed", "placed_believed", "shape_known", "work",
)  # fmt: skip
"""The arrays, in the order of the structure."""


class Layout(ctypes.Structure):
    """``Fit`` of _native/fitting.c, field by field. It holds addresses only: keep the arrays alive."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("links", "variables", "shapes", "points", "views", "max_iterations")),
        ("tolerance", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ARRAYS),
    )

    @classmethod
    def of(cls, problem: Problem, addresses: Mapping[str, int]) -> Layout:
        """Return the layout of a problem with its arrays at ``addresses``, by name."""
        p = problem
        return cls(
            len(p.parent), len(p.x), len(p.shape), len(p.point_link), len(p.camera), p.max_iterations, p.tolerance,
            **addresses,
        )  # fmt: skip
