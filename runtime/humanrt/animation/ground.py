"""Ground: the floor and gravity, from people who walk and stand before a fixed camera.

Bodies are metric but their distance from the camera is the least certain of what a network says: a body 5 % too far
away floats or sinks. The floor is the plane that the lowest soles of all frames lie on, found by robust least squares
in which each sole counts as far off along its line of sight as distances are uncertain. The inclination of people who
stand upright, and that cameras are seldom rolled, say what soles in one spot cannot. Nor can soles along one straight
path say how the floor is inclined across it: those who walk do, whose bodies sway from foot to foot about the vertical.

One camera does not know: whether a flat floor is level (gravity is taken to be its normal), the scale of the scene
beside that of the bodies, and a floor that nobody stands on. There is one plane: of several levels on
which people are for long, the lowest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from humanrt.animation.soles import Soles
from humanrt.animation.take import Take
from humanrt.errors import HumanrtError
from humanrt.geometry.bones import BoneTree
from humanrt.geometry.ground import Ground
from humanrt.geometry.skeleton import Array, world_rotations

__all__ = ["Standing", "find_ground", "floor_below", "standing"]

_SOLE = 0.015  # m, scatter of standing soles across the line of sight
_DISTANCE = 0.04  # scatter of distances from the camera, as a part of them
_TOGETHER = 0.5  # s, over which errors are alike
_LEAN = np.radians([6.0, 8.0])  # scatter of the inclination of upright bodies, to the side and ahead
_HABIT = 10.0  # s, over which inclinations are alike
# Bodies that walk hardly lean to a side over a step of either foot: by 0.8 degrees (35 stretches of 2.8 s of CMU's
# walks, five people, few of whom turn); what is seen of them adds to it.
_WALKING = np.radians(2.5)
# What leans along the line of sight is hardly seen: of who walks across the picture.
_UNSEEN = np.radians(12.0)
_STEPS = 1.0  # s, of a step of either foot
_STRIDE = 0.15  # from one foot to the other, ahead, as a part of the height of the neck, of who walks
_ROLL = np.radians(4.0)  # scatter of cameras' rolls
_UPRIGHT = np.cos(np.radians(30.0))  # between thighs and trunk of people who stand
_LEVEL = np.cos(np.radians(75.0))  # between upright people and the picture's vertical
_OUTLIER = 3.0  # scatters, from where on a sole counts less
_SPREAD = 0.1  # m, scatter of heights when looking for the level at which most people stand
_ROUNDS = 30


@dataclass(frozen=True)
class Standing:
    """Frames in which people stand upright. N frames of any people.

    Attributes:
        feet: [N, 4, 3] m, heel and ball of both feet, camera space.
        bodies: [N, 3, 3] the bodies' axes: up, from the soles to the neck; to a side, along the hips; and ahead.
        seconds: [N] for which each frame counts.
        walking: [N] bool: one foot is well ahead of the other.
    """

    feet: Array
    bodies: Array
    seconds: Array
    walking: Array


def find_ground(takes: Sequence[Take], soles: Sequence[Soles]) -> Ground:
    """Return the floor on which people stand, seen by a camera that does not move.

    Args:
        takes: their motion.
        soles: of each of them.

    Raises:
        HumanrtError: nobody stands upright in any frame.
    """
    some = []
    for take, sole in zip(takes, soles, strict=True):
        world = world_rotations(take.local, take.tree.parents)
        heads = take.tree.positions(take.rest, world, take.root)
        steps = np.gradient(take.t) if len(take.t) > 1 else np.array([_TOGETHER])
        some.append(standing(take.tree, world, heads, sole, steps))
    if not any(len(one.seconds) for one in some):
        raise HumanrtError("nobody in the recording stands upright, so there is no telling where the floor is")
    return floor_below(some)


def standing(tree: BoneTree, world: Array, heads: Array, soles: Soles, seconds: Array) -> Standing:
    """Return the frames in which a person stands upright.

    Args:
        tree: the bones.
        world: [F, R, 3, 3] their rotations, from the body's axes to the camera's.
        heads: [F, R, 3] m, where they begin, camera space.
        soles: of the body.
        seconds: [F] for which each frame counts.
    """
    hips = heads[:, [leg.thigh for leg in soles.legs]].mean(axis=1)
    neck = heads[:, next(k for k, name in enumerate(tree.names) if name.startswith("neck"))]
    points = soles.placed(world, heads)
    feet = points.mean(axis=(1, 2))
    legs, trunk = _units(hips - feet), _units(neck - hips)
    straight = (legs * trunk).sum(axis=-1) > _UPRIGHT
    up = _units(neck - feet)
    side = heads[:, soles.legs[0].thigh] - heads[:, soles.legs[1].thigh]
    side = _units(side - (side * up).sum(axis=-1, keepdims=True) * up)
    axes = np.stack([up, side, np.cross(side, up)], axis=1)
    upright = straight & (-trunk[:, 1] > _LEVEL)
    apart = points[:, 0].mean(axis=1) - points[:, 1].mean(axis=1)
    walking = np.abs((apart * axes[:, 2]).sum(axis=-1)) > _STRIDE * np.linalg.norm(neck - feet, axis=-1)
    return Standing(
        points[upright].reshape(-1, 4, 3), axes[upright], np.minimum(seconds[upright], _TOGETHER), walking[upright]
    )


def floor_below(some: Sequence[Standing]) -> Ground:
    """Return the floor on which people stand in these frames, of which there is at least one."""
    feet, axes, seconds, walking = (
        np.concatenate([getattr(one, name) for one in some]) for name in ("feet", "bodies", "seconds", "walking")
    )
    weights, worth = seconds / _TOGETHER, np.repeat(np.minimum(seconds / _HABIT, 1.0)[:, None], 2, axis=1)
    up = _units(axes[:, 0].T @ worth[:, 0])
    height = -_level((feet @ up).min(axis=1), weights)
    scatters = np.tile(_LEAN, (len(feet), 1))
    # How somebody walks is known after a step of either foot, and no better until others do.
    walked = float(seconds[walking].sum())
    along = (axes[:, 1] * _units(feet.mean(axis=1))).sum(axis=-1)
    scatters[walking, 0] = np.hypot(_WALKING, _UNSEEN * along[walking])
    worth[walking, 0] = seconds[walking] * max(1.0, walked / _HABIT) / max(walked, _STEPS)
    found = _solved(feet, weights, axes, scatters, worth, up, height)
    return replace(found, seconds=float(seconds.sum()))


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


def _solved(
    feet: Array, weights: Array, bodies: Array, scatters: Array, worth: Array, up: Array, height: float
) -> Ground:
    """Return the most likely floor by Gauss-Newton on its normal and height; a start is given.

    ``scatters`` and ``worth``, [N, 2]: of the bodies' inclinations to the side and ahead, rad, and their weights.
    """
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
        for axis, scatter_of, worth_of in zip((1, 2), scatters.T, worth.T, strict=True):
            lean = bodies[:, axis] @ up / scatter_of
            count = worth_of / (1 + (lean / _OUTLIER) ** 2)
            slope = bodies[:, axis] @ tangents / scatter_of[:, None]
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
