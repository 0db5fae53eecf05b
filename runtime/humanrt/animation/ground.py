"""Ground: the floor and gravity, from people who walk and stand before a fixed camera.

Bodies are metric but their distance from the camera is the least certain of what a network says: a body 5 % too far
away floats or sinks. The floor is the plane that the lowest soles of all frames lie on, found by robust least squares
in which each sole counts as far off along its line of sight as distances are uncertain. The inclination of people who
stand upright, and that cameras are seldom rolled, say what soles in one spot cannot.

One camera does not know: whether a flat floor is level (gravity is taken to be its normal), the scale of the scene
beside that of the bodies, and a floor that nobody stands on. There is one plane: of several levels on
which people are for long, the lowest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from humanrt.animation.soles import Soles
from humanrt.animation.take import Take
from humanrt.errors import HumanrtError
from humanrt.geometry.skeleton import Array, world_rotations

__all__ = ["Ground", "find_ground"]

_SOLE = 0.015  # m, scatter of standing soles across the line of sight
_DISTANCE = 0.04  # scatter of distances from the camera, as a part of them
_TOGETHER = 0.5  # s, over which errors are alike
_LEAN = np.radians([6.0, 8.0])  # scatter of the inclination of upright bodies, to the side and ahead
_HABIT = 10.0  # s, over which inclinations are alike
_ROLL = np.radians(4.0)  # scatter of cameras' rolls
_UPRIGHT = np.cos(np.radians(30.0))  # between thighs and trunk of people who stand
_LEVEL = np.cos(np.radians(75.0))  # between upright people and the picture's vertical
_OUTLIER = 3.0  # scatters, from where on a sole counts less
_SPREAD = 0.1  # m, scatter of heights when looking for the level at which most people stand
_ROUNDS = 30


@dataclass(frozen=True)
class Ground:
    """The floor before a fixed camera.

    Attributes:
        up: [3] unit vector against gravity, camera space (y down, z forward).
        height: m, of the camera above the floor.
        uncertainty: rad, standard deviation of ``up``, by the scatter of the soles.
    """

    up: Array
    height: float
    uncertainty: float

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

    def __str__(self) -> str:
        down, known = np.degrees(self.pitch), np.degrees(self.uncertainty)
        way = f"{abs(down):.1f} degrees {'down' if down >= 0 else 'up'}"
        roll = np.degrees(self.roll)
        return (
            f"camera {self.height:.2f} m above the floor, looking {way}, rolled by {roll:.1f} degrees"
            f" (the floor's normal within {known:.1f})"
        )


def find_ground(takes: Sequence[Take], soles: Sequence[Soles]) -> Ground:
    """Return the floor on which people stand, seen by a camera that does not move.

    Args:
        takes: their motion.
        soles: of each of them.

    Raises:
        HumanrtError: nobody stands upright in any frame.
    """
    points, seconds, bodies, habits = [], [], [], []
    for take, sole in zip(takes, soles, strict=True):
        upright, axes, feet = _uprights(take, sole)
        if not upright.any():
            continue
        steps = np.minimum(np.gradient(take.t) if len(take.t) > 1 else np.array([_TOGETHER]), _TOGETHER)
        points.append(feet[upright].reshape(-1, 4, 3))
        bodies.append(axes[upright])
        seconds.append(np.minimum(steps[upright] / _TOGETHER, 1.0))
        habits.append(np.minimum(steps[upright] / _HABIT, 1.0))
    if not points:
        raise HumanrtError("nobody in the recording stands upright, so there is no telling where the floor is")
    feet, axes, weights, worth = (np.concatenate(parts) for parts in (points, bodies, seconds, habits))
    up = _units(axes[:, 0].T @ worth)
    height = -_level((feet @ up).min(axis=1), weights)
    return _solved(feet, weights, axes, worth, up, height)


def _uprights(take: Take, soles: Soles) -> tuple[Array, Array, Array]:
    """Return in which frames a person is upright, bool [F], the body's axes [F, 3, 3], and the soles [F, 2, 2, 3] m.

    The axes are up, from the soles to the neck; to a side, along the hips; and ahead.
    """
    world = world_rotations(take.local, take.tree.parents)
    heads = take.tree.positions(take.rest, world, take.root)
    hips = heads[:, [leg.thigh for leg in soles.legs]].mean(axis=1)
    neck = heads[:, next(k for k, name in enumerate(take.tree.names) if name.startswith("neck"))]
    points = soles.placed(world, heads)
    feet = points.mean(axis=(1, 2))
    legs, trunk = _units(hips - feet), _units(neck - hips)
    straight = (legs * trunk).sum(axis=-1) > _UPRIGHT
    up = _units(neck - feet)
    side = heads[:, soles.legs[0].thigh] - heads[:, soles.legs[1].thigh]
    side = _units(side - (side * up).sum(axis=-1, keepdims=True) * up)
    return straight & (-trunk[:, 1] > _LEVEL), np.stack([up, side, np.cross(side, up)], axis=1), points


def _units(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def _level(heights: Array, weights: Array) -> float:
    """Return the height [m] of the lowest level at which many soles are, from their heights [N], weighted."""
    edges = np.arange(heights.min() - 3 * _SPREAD, heights.max() + 4 * _SPREAD, _SPREAD / 5)
    counts, _ = np.histogram(heights, edges, weights=weights)
    window = np.exp(-0.5 * (np.arange(-15, 16) / 5) ** 2)
    density = np.convolve(counts, window, "same")
    peaks = (density[1:-1] >= density[:-2]) & (density[1:-1] >= density[2:]) & (density[1:-1] > density.max() / 2)
    mode = 1 + int(np.flatnonzero(peaks)[0])
    return float(edges[mode : mode + 2].mean())


def _solved(feet: Array, weights: Array, bodies: Array, habits: Array, up: Array, height: float) -> Ground:
    """Return the most likely floor by Gauss-Newton on its normal and height; a start is given."""
    rays = _units(feet)
    depths = np.linalg.norm(feet, axis=-1)
    hessian = np.eye(3)
    for _ in range(_ROUNDS):
        first = _units(np.cross(up, (1.0, 0.0, 0.0) if abs(up[0]) < 0.9 else (0.0, 0.0, 1.0)))
        second = np.cross(up, first)
        heights = feet @ up + height
        lowest = heights.argmin(axis=1)
        rows = np.arange(len(feet))
        point, off = feet[rows, lowest], heights[rows, lowest]
        scatter = np.hypot(_SOLE, _DISTANCE * depths[rows, lowest] * (rays[rows, lowest] @ up))
        residual = off / scatter
        weight = weights / (1 + (residual / _OUTLIER) ** 2) ** 2  # of Geman and McClure: others' floors do not count
        jacobian = np.stack([point @ first, point @ second, np.ones(len(point))], axis=1) / scatter[:, None]
        hessian = jacobian.T @ (weight[:, None] * jacobian)
        gradient = jacobian.T @ (weight * residual)
        # How people hold themselves: their own up is not inclined, to the side and ahead.
        tangents = np.stack([first, second], axis=1)
        for axis, scatter_of in zip((1, 2), _LEAN, strict=True):
            lean = bodies[:, axis] @ up / scatter_of
            count = habits / (1 + (lean / _OUTLIER) ** 2)
            slope = bodies[:, axis] @ tangents / scatter_of
            hessian[:2, :2] += slope.T @ (count[:, None] * slope)
            gradient[:2] += slope.T @ (count * lean)
        # A camera that is not rolled: up has no x.
        across = np.array([first[0], second[0]])
        hessian[:2, :2] += np.outer(across, across) / _ROLL**2
        gradient[:2] += across * up[0] / _ROLL**2
        step = -np.linalg.solve(hessian + 1e-9 * np.eye(3), gradient)
        up = _units(up + step[0] * first + step[1] * second)
        height += float(step[2])
        if np.abs(step).max() < 1e-7:
            break
    covariance = np.linalg.inv(hessian + 1e-9 * np.eye(3))
    return Ground(up, height, float(np.sqrt(np.trace(covariance[:2, :2]))))
