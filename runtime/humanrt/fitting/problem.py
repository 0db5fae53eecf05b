"""Arrays of one fit, allocated once so that a frame allocates next to nothing: both solvers read and write them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.fitting.rig import Rig, RigShape

__all__ = ["LIMITS", "Problem"]

Array = NDArray[np.float64]
Indices = NDArray[np.int32]

LIMITS = {"links": 128, "variables": 160, "points": 192, "shapes": 16}
"""Max sizes of the arrays in _native/fitting.c; the variables are all: 6 of the root, those of joints and of shape."""


@dataclass
class Problem:
    """Constants, then what is measured and believed, then the state, then what follows from it.

    L links, V variables of joints, S of shape, N = 6 + V + S variables in all, P points, C views (cameras). The world's
    axes are those of the views' extrinsics; of a single camera usually its own. Fields as in _native/fitting.c.
    """

    parent: Indices
    first: Indices
    count: Indices
    axes: Array
    before: Array
    offset: Array
    offset_by: Array
    point_link: Indices
    point: Array
    point_by: Array
    lower: Array
    upper: Array
    shape_lower: Array
    shape_upper: Array

    camera: Array
    """[C, 17]: fx, s, cx, fy, cy; R (9), t (3) m: camera = R world + t."""
    seen: Array
    """[C, P, 2] px."""
    seen_weight: Array
    """[C, P] 1 / px^2; 0: not seen."""
    seen_width: Array
    """[C, P] px: a point at this distance costs half of the most that it can."""
    metric: Array
    """[C, P, 3] m, relative to the pivot, world axes."""
    metric_weight: Array
    """[C, P] 1 / m^2."""
    metric_width: Array
    """[C, P] m."""
    moved: Array
    """[P, 3] m, relative to the pivot: where motion so far takes the points."""
    moved_weight: Array
    """[P, 3] 1 / m^2, by axis of the world."""
    placed: Array
    """[3] m: the same of the pivot."""
    placed_weight: Array
    """[3] 1 / m^2."""
    turned: Array
    """[3, 3] the same of the root's rotation."""
    turned_weight: Array
    """[1] 1 / rad^2."""
    prior: Array
    prior_weight: Array
    """[V] rad, 1 / rad^2."""
    shape_prior: Array
    shape_information: Array
    """[S], [S, S]; shapes are relative to the rig's reference."""

    rotation: Array
    """[3, 3] of the root, to the world."""
    position: Array
    """[3] m, of the pivot."""
    x: Array
    """[V] rad."""
    shape: Array
    """[S] phenotypes, relative to the reference."""

    cost: Array
    """[1] the minimum found."""
    world: Array
    """[L, 3, 3] rotations of the links."""
    origin: Array
    """[L, 3] m."""
    place: Array
    """[P, 3] m."""
    moved_variance: Array
    """[P, 3] m^2, relative to the pivot; only of the points asked for."""
    placed_variance: Array
    x_variance: Array
    moved_believed: Array
    placed_believed: Array
    """[P, 3], [3] m^2: the same without what was seen."""
    shape_known: Array
    """[S, S] information about the shape, everything else unknown."""
    work: Array

    tolerance: float = 1e-4
    max_iterations: int = 30

    @classmethod
    def of(cls, rig: Rig, shape: RigShape, low: Array, high: Array, views: int = 1) -> Problem:
        """Create the problem of a rig in a shape, at rest, without observations or beliefs.

        Args:
            rig: the rig.
            shape: where its links and points lie.
            low, high: [S] limits of the phenotypes that are solved for.
            views: number of cameras.
        """
        links, points, shapes, variables = len(rig.parent), len(rig.points), len(low), len(rig.rest)
        sizes = {"links": links, "variables": 6 + variables + shapes, "points": points, "shapes": shapes}
        for name, size in sizes.items():
            if size > LIMITS[name]:
                raise HumanrtError(f"{size} {name} to fit; at most {LIMITS[name]}")
        total = sizes["variables"]

        def zeros(*size: int) -> Array:
            return np.zeros(size)

        problem = cls(
            rig.parent,
            rig.first,
            rig.count,
            rig.axes,
            rig.before,
            zeros(links, 3),
            zeros(links, 3, shapes),
            rig.point_link,
            zeros(points, 3),
            zeros(points, 3, shapes),
            rig.lower,
            rig.upper,
            zeros(shapes),
            zeros(shapes),
            zeros(views, 17),
            zeros(views, points, 2),
            zeros(views, points),
            np.ones((views, points)),
            zeros(views, points, 3),
            zeros(views, points),
            np.ones((views, points)),
            zeros(points, 3),
            zeros(points, 3),
            zeros(3),
            zeros(3),
            np.eye(3),
            zeros(1),
            rig.rest.copy(),
            zeros(variables),
            zeros(shapes),
            zeros(shapes, shapes),
            np.eye(3),
            zeros(3),
            rig.rest.copy(),
            zeros(shapes),
            zeros(1),
            zeros(links, 3, 3),
            zeros(links, 3),
            zeros(points, 3),
            zeros(points, 3),
            zeros(3),
            zeros(variables),
            zeros(points, 3),
            zeros(3),
            zeros(shapes, shapes),
            zeros(3, total, total),
        )
        problem.reshape(shape, low, high)
        return problem

    def reshape(self, shape: RigShape, low: Array, high: Array) -> None:
        """Take another reference shape; the state's own shape must be set anew."""
        self.offset[...], self.offset_by[...] = shape.offset, shape.offset_by
        self.point[...], self.point_by[...] = shape.point, shape.point_by
        self.shape_lower[...], self.shape_upper[...] = low, high
