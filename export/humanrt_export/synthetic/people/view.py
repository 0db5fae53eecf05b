"""Cameras in the world: `View`, and their orientation towards a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt_export.synthetic.hand_scene import Camera, Look
from humanrt_export.synthetic.people.surroundings import Surroundings

__all__ = ["View", "aimed", "look_at"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """A camera in the world: turn [3, 3] from world to camera axes, position [3] m, and the light.

    ``around``: surroundings from which the light comes; None: a key light with a soft one from above and below.
    """

    camera: Camera
    turn: Array
    position: Array
    look: Look
    around: Surroundings | None = None

    @property
    def up(self) -> Array:
        """The world's vertical [3], in camera axes."""
        return np.asarray(self.turn[:, 1])

    def see(self, points: NDArray[Any]) -> NDArray[Any]:
        """Transform points [..., 3] m from the world to camera space."""
        return np.asarray((points - self.position) @ self.turn.T)


def look_at(position: Array, target: Array, roll: float = 0.0) -> Array:
    """Return [3, 3] from world axes to those of a camera at ``position`` that points at ``target``, rolled [rad]."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= max(float(np.linalg.norm(right)), 1e-9)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward])


def aimed(generator: np.random.Generator, camera: Camera, position: Array, target: Array) -> Array:
    """Sample the axes of a camera that sees the target near the centre of the picture."""
    turn = look_at(position, target)
    reach = np.tan(camera.fov / 2)
    across, down = np.arctan(reach * np.clip(generator.normal(0, 0.22, 2), -0.6, 0.6))
    roll = np.radians(generator.uniform(-35, 35) if generator.uniform() < 0.08 else generator.normal(0, 4))
    c, s = np.cos(across), np.sin(across)
    yaw = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(down), np.sin(down)
    pitch = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    c, s = np.cos(roll), np.sin(roll)
    return np.asarray(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ pitch @ yaw @ turn)
