"""What is known of one person at one time: what cameras saw, and a pose that is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import MAX_ABS
from humanrt.errors import InvalidInputError
from humanrt.geometry.camera import check_intrinsics

__all__ = ["Observation", "PosePrior", "Seen"]

Floats = NDArray[np.floating[Any]]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """Points of one kind, such as the 33 of the body or the 21 of a hand, in the order of the rig's.

    Attributes:
        pixels: [N, 2] px. A point that is not finite counts as not seen.
        weight: [N] 0..1, how far each can be trusted: visibility times presence, say. NaN counts as 0.
        metres: [N, 3] m, camera axes, of any origin; None where they are unknown.
    """

    pixels: Floats
    weight: Floats
    metres: Floats | None = None


@dataclass(frozen=True)
class Observation:
    """One camera's view of the person.

    Attributes:
        points: by kind of the rig's points (``body``, ``left_hand``, ``right_hand``), whatever was found.
        K: [3, 3] px.
        R, t: [3, 3], [3] m: camera = R world + t; None: the camera's own axes are the world's.
    """

    points: Mapping[str, Seen]
    K: ArrayLike
    R: ArrayLike | None = None
    t: ArrayLike | None = None

    def camera(self) -> Array:
        """Return fx, s, cx, fy, cy, R (9), t (3) as [17]; CameraError or InvalidInputError where they are not valid."""
        K = check_intrinsics(self.K)
        R = np.eye(3) if self.R is None else np.asarray(self.R, np.float64)
        t = np.zeros(3) if self.t is None else np.asarray(self.t, np.float64).reshape(-1)
        if R.shape != (3, 3) or not np.isfinite(R).all() or np.abs(R @ R.T - np.eye(3)).max() > 1e-3:
            raise InvalidInputError("a view's R must be a rotation matrix [3, 3], from the world to the camera")
        if t.shape != (3,) or not (np.abs(t) <= MAX_ABS).all():
            raise InvalidInputError("a view's t must be three metres, of the world's origin in the camera")
        return np.concatenate([K[0], K[1, 1:], R.ravel(), t])


@dataclass(frozen=True)
class PosePrior:
    """A pose that is believed, such as PoseBERT's answer, and how far it may be off.

    Attributes:
        rotations: [74, 3, 3] of Anny's bones, each relative to its parent, the root's to the world (a single camera's
            axes).
        spread: rad, standard deviation of a joint's rotation; one for all, or by Anny's bone.
        root_spread: rad, of the root's; None: nothing is believed of it.
    """

    rotations: Floats
    spread: float | Mapping[str, float] = field(default=0.3)
    root_spread: float | None = 0.3
