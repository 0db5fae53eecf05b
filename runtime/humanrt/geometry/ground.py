"""Ground: the floor before a camera that does not move, and gravity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from humanrt.geometry.skeleton import Array

__all__ = ["Ground"]


@dataclass(frozen=True)
class Ground:
    """The floor before a fixed camera.

    Attributes:
        up: [3] unit vector against gravity, camera space (y down, z forward).
        height: m, of the camera above the floor.
        uncertainty: rad, standard deviation of ``up``, by the scatter of the soles.
        seconds: for which people stood on it while it was looked for; 0: it was measured otherwise.
    """

    up: Array
    height: float
    uncertainty: float
    seconds: float = 0.0

    @property
    def pitch(self) -> float:
        """How far the camera looks down, rad."""
        return float(np.arcsin(np.clip(-self.up[2], -1.0, 1.0)))

    @property
    def roll(self) -> float:
        """How far the camera is turned about its line of sight, rad; clockwise as seen from behind it."""
        return float(np.arctan2(self.up[0], -self.up[1]))

    @property
    def axes(self) -> Array:
        """Rotation [3, 3] from the camera's axes to the floor's: x to the right, y down along gravity, z ahead."""
        down = -self.up
        ahead = np.array([0.0, 0.0, 1.0]) if abs(self.up[2]) < 0.99 else np.array([0.0, -1.0, 0.0])
        ahead = ahead - down * float(ahead @ down)
        ahead /= np.linalg.norm(ahead)
        return np.array([np.cross(down, ahead), down, ahead])

    def heights(self, points: Array) -> Array:
        """Return how far points [..., 3] m of camera space are above the floor, [...] m."""
        return np.asarray(points @ self.up + self.height)

    def record(self) -> dict[str, Any]:
        """Return it as a line of a recording holds it (docs/use/recording.md)."""
        return asdict(self)

    def __str__(self) -> str:
        down, known = np.degrees(self.pitch), np.degrees(self.uncertainty)
        way = f"{abs(down):.1f} degrees {'down' if down >= 0 else 'up'}"
        roll = np.degrees(self.roll)
        return (
            f"camera {self.height:.2f} m above the floor, looking {way}, rolled by {roll:.1f} degrees"
            f" (the floor's normal within {known:.1f})"
        )
