"""Mirror left and right, x -> -x: the keypoints of a left hand become those of a right hand, and vice versa."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIRROR", "MIRROR_ROTATION"]

# Small integers, so that a product has the dtype of its other factor, float32 or float64.
MIRROR: Final[NDArray[np.int8]] = np.array((-1, 1, 1), np.int8)
"""[3] factors for points [..., 3]."""
MIRROR_ROTATION: Final[NDArray[np.int8]] = np.outer(MIRROR, MIRROR)
"""[3, 3] elementwise factors for rotations [..., 3, 3]: M R M with M = diag(MIRROR)."""
