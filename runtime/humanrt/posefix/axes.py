"""Roots between a camera's axes and those of AMASS, in which the published models were trained.

A camera has x right, y down, z forward, and is taken to be held level; AMASS has z up. The models know no heading: the
angle about the vertical is taken out of the root before, and put back afterwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CAMERA_FROM_TRAINING", "from_training_axes", "to_training_axes"]

Floats = NDArray[np.float64]
_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # camera -> z up
CAMERA_FROM_TRAINING: Floats = _UP.T
"""The turn of `from_training_axes` that keeps the heading."""


def to_training_axes(pose: NDArray[Any]) -> tuple[Floats, Floats]:
    """Turn a pose into the axes of the training.

    Args:
        pose: rotations [..., J, 3, 3], root first, in camera axes.

    Returns:
        Rotations [..., J, 3, 3] without the heading, and the turn [..., 3, 3] that `from_training_axes` takes back.
    """
    turned = np.array(pose, np.float64)
    root = _UP @ turned[..., 0, :, :]
    # The root is Rz Ry Rx: where its first column points, seen from above, is Rz.
    heading = np.arctan2(root[..., 1, 0], root[..., 0, 0])
    turn = np.zeros_like(root)
    turn[..., 0, 0] = turn[..., 1, 1] = np.cos(heading)
    turn[..., 1, 0] = np.sin(heading)
    turn[..., 0, 1] = -turn[..., 1, 0]
    turn[..., 2, 2] = 1
    turned[..., 0, :, :] = np.swapaxes(turn, -1, -2) @ root
    return turned, np.asarray(_UP.T @ turn)


def from_training_axes(pose: NDArray[Any], turn: NDArray[Any]) -> Floats:
    """Turn a pose [..., J, 3, 3] back into camera axes, by the ``turn`` [..., 3, 3] of `to_training_axes`."""
    turned = np.array(pose, np.float64)
    turned[..., 0, :, :] = turn @ turned[..., 0, :, :]
    return turned
