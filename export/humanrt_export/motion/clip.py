"""Shared parts of all readers: `Motion`, the error for bad files, and rotations about an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError

__all__ = ["Motion", "MotionError", "about"]

Array = NDArray[np.float64]


class MotionError(HumanrtError):
    """A motion file cannot be read; states the file, the location, the problem and what to do."""


@dataclass(frozen=True)
class Motion:
    """A recorded movement on SMPL's tree.

    World: y up, metres; a body that faces the front of its capture room without turning has the identity as its root
    rotation (x to its left, z to its front).

    Attributes:
        fps: frames per second.
        translation: [T, 3] m, position of the pelvis.
        rotations: [T, 24, 3, 3] local rotations of `humanrt.geometry.skeleton.SMPL_24`, the root's from body to world.
        source: human-readable origin.
        name: of the clip, such as `01_02`.
        subject: the person recorded, such as `01`; empty if unknown.
    """

    fps: float
    translation: Array
    rotations: Array
    source: str
    name: str = ""
    subject: str = ""

    def __post_init__(self) -> None:
        frames = len(self.rotations)
        if self.rotations.shape != (frames, 24, 3, 3) or self.translation.shape != (frames, 3):
            raise MotionError(
                f"{self.source}: expected rotations [T, 24, 3, 3] and translation [T, 3], "
                f"got {_shape(self.rotations)} and {_shape(self.translation)}"
            )
        if not self.fps > 0:
            raise MotionError(f"{self.source}: {self.fps} frames per second; give a rate above 0")

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def seconds(self) -> float:
        """Duration from the first frame to the last."""
        return max(len(self) - 1, 0) / self.fps


def about(axis: str, angle: NDArray[Any]) -> Array:
    """Return rotations [..., 3, 3] about the axis x, y or z by angles [...] rad."""
    i, j, k = {"x": (0, 1, 2), "y": (1, 2, 0), "z": (2, 0, 1)}[axis]
    turn = np.zeros((*np.shape(angle), 3, 3))
    cosine, sine = np.cos(angle), np.sin(angle)
    turn[..., i, i] = 1
    turn[..., j, j] = turn[..., k, k] = cosine
    turn[..., k, j], turn[..., j, k] = sine, -sine
    return turn


def _shape(array: NDArray[Any]) -> list[int]:
    return list(array.shape)
