"""Errors of joints and vertices of people who are paired with their truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.similarity import aligned

__all__ = ["area_under_pck", "distances", "pck", "procrustes_distances", "rooted"]

Array = NDArray[Any]


def rooted(points: Array, joints: Array, root: Sequence[int]) -> Array:
    """Return points [N, K, 3] relative to the root: the mean of the joints ``root`` of ``joints`` [N, J, 3].

    The root is part of a metric's name: papers take the pelvis joint, the published code of EMDB and AGORA the midpoint
    of the hips, and on one body the two are centimetres apart.
    """
    return np.asarray(points - joints[:, list(root)].mean(1, keepdims=True))


def distances(points: Array, truth: Array) -> Array:
    """Return the distances [...] of points [..., 3]: MPJPE and PVE are means of those of rooted points."""
    return np.asarray(np.linalg.norm(points - truth, axis=-1))


def procrustes_distances(points: Array, truth: Array) -> Array:
    """Return distances [N, K] after the best similarity per person, scale included: PA-MPJPE is their mean."""
    return distances(aligned(points, truth), truth)


def pck(errors: Array, limit: float = 0.05) -> float:
    """Return the fraction of errors that are below ``limit`` m; NaN without any. 3DPW: 50 mm; MuPoTS: 150 mm."""
    return float((errors < limit).mean()) if errors.size else float("nan")


def area_under_pck(errors: Array, limit: float = 0.2) -> float:
    """Return the area under the curve of PCK over thresholds 0 to ``limit`` m, as a fraction; NaN without errors.

    The integral is exact: published code sums some 30 thresholds, which differs in the third digit.
    """
    return float(np.clip(1 - errors / limit, 0, None).mean()) if errors.size else float("nan")
