"""Where a generated motion meets the one that was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_shapes
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import between
from humanrt.motion.motion import Motion

__all__ = ["MotionFrame", "Seam", "seen_by"]

Floats = NDArray[np.float32]

LENGTH = 8
"""Frames over which generated poses pass from the pose that was seen to the network's own."""


@dataclass(frozen=True)
class MotionFrame:
    """One frame of an endless motion.

    Attributes:
        index: number of the frame, from 0 on.
        t: s, index divided by the frame rate.
        rotations: [J, 3, 3]; see `Motion`.
        translation: [3] m.
    """

    index: int
    t: float
    rotations: Floats
    translation: Floats

    def __post_init__(self) -> None:
        check_shapes(self, rotations="float32 J 3 3", translation="float32 3")


class Seam:
    """Makes generated poses begin at the pose that was seen.

    Tokens hold what was seen only approximately. The difference between the pose and the network's version of it is
    applied to what follows, less from frame to frame.

    Args:
        seen: [J, 3, 3] the last pose that was seen.
        version: [J, 3, 3] the same as the network's tokens decode to.
    """

    def __init__(self, seen: NDArray[Any], version: NDArray[Any]) -> None:
        self._difference = np.asarray(seen, np.float64) @ np.swapaxes(version, -1, -2)
        self._frames = 0

    def share(self, frame: int) -> float:
        """Return how much of the difference is left in a frame after the seam, 0..1."""
        return max(0.0, 1 - (frame + 1) / (LENGTH + 1))

    def apply(self, rotations: NDArray[Any]) -> NDArray[Any]:
        """Return the next frames' rotations [T, J, 3, 3], which follow those of the last call."""
        out = rotations.copy()
        still = np.broadcast_to(np.eye(3), self._difference.shape)
        for index in range(len(out)):
            left = self.share(self._frames)
            if left:
                out[index] = between(still, self._difference, left) @ out[index]
            self._frames += 1
        return out


class _Takes(Protocol):
    """What is asked of networks that take a motion."""

    joint_names: tuple[str, ...]
    fps: float
    up: str
    factor: int


def seen_by(networks: _Takes, observed: Motion) -> tuple[Floats, Floats]:
    """Return rotations and translation of what was seen, with the networks' joints.

    Raises:
        InvalidInputError: it is no motion, or one that they do not take; the message says what to do.
    """
    if not isinstance(observed, Motion):
        raise InvalidInputError(
            f"observed must be a Motion (rotations, translation, fps, joint_names), not {type(observed).__name__}"
        )
    if observed.up != networks.up:
        raise InvalidInputError(
            f"observed has {observed.up} up, but the bundle {networks.up}; give observed.turned({networks.up!r})"
        )
    if abs(observed.fps - networks.fps) > 0.01 * networks.fps:
        raise InvalidInputError(f"observed has {observed.fps:g} frames per second; resample it to {networks.fps:g}")
    if len(observed) < networks.factor:
        raise InvalidInputError(f"observed has {len(observed)} frames; a token alone is {networks.factor}")
    rotations = observed.rotations
    if observed.joint_names != networks.joint_names:
        rotations = observed.with_joints(networks.joint_names)
    return rotations, observed.translation
