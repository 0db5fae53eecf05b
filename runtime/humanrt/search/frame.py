"""Poses as people have them, in the frame that the published PoseEmbroider was trained in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.search.descriptor import without_heading

__all__ = ["training_frame"]

_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # 90 degrees about x: y up -> z up


def training_frame(poses: NDArray[Any]) -> NDArray[np.float64]:
    """Return poses [..., 22, 3, 3] with the body facing the front in a world with z up.

    The published training turned the hips to the front and then the body by 90 degrees about x. How it measured the
    direction of the hips is not known here: this takes off the part of the pelvis's rotation about the vertical.

    Args:
        poses: [..., 22, 3, 3] of SMPL's body joints, the root's to the camera (y down; the camera is level).
    """
    turned = np.array(poses, np.float64)
    turned[..., 0, :, :] = _Z_UP @ without_heading(turned[..., 0, :, :])
    return turned
