"""Agreement of silhouettes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["iou"]


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the intersection of two masks over their union; NaN if both are empty."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else float("nan")
