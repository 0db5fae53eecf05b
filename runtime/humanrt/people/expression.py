"""Expressions from face landmarks: amounts of the body's face units, by bounded least squares.

The points of a face unit move linearly with its amount. The head's pose and the amounts, each in 0..1, are found
together: Gauss-Newton for the pose, and a quadratic program with bounds for the amounts, in which small changes of the
pose take part. A person's own face differs from the body model's: the difference is learned per identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.kernels.products import combine, weighted_gram

__all__ = ["ExpressionOptions", "ExpressionSolver", "FaceModel", "bounded_least_squares", "unit_spreads"]

Array = NDArray[np.float64]

_BROW_SPREAD = 1.0  # `ExpressionOptions.unit_spread` of brows
_NEW = 1.0  # s: time constant with which a person's own face becomes known


@dataclass(frozen=True)
class FaceModel:
    """The points of a face and how face units move them, in the axes of the body's reference pose.

    Attributes:
        neutral: [3, P] m, relative to the head joint.
        units: [E, 3, P] m, displacement of the points when a unit is 1.
    """

    neutral: Array
    units: Array


@dataclass(frozen=True)
class ExpressionOptions:
    """Options of `ExpressionSolver`.

    Attributes:
        spread: m, standard deviation of a landmark, once the person's own face is known.
        new_spread: the same before: faces differ from the model's by more than expressions do.
        width: m: a landmark this far off counts half.
        unit_spread: standard deviation of a unit's amount, one for all or [E]: how weak the prior of a neutral face is.
        change: standard deviation of an amount's change in a second.
        neutral_time: s, time constant with which the person's own neutral face is learned; at first faster.
        settling: s, time constant in which a new face becomes known: meanwhile what it shows is learned as its own.
        iterations: alternations between pose and amounts in a frame; twice as many while the face is new.
    """

    spread: float = 0.003
    new_spread: float = 0.006
    width: float = 0.01
    unit_spread: float | Array = 0.35
    change: float = 6.0
    neutral_time: float = 10.0
    settling: float = 1.0
    iterations: int = 1


def unit_spreads(units: Sequence[str]) -> Array:
    """Return `ExpressionOptions.unit_spread` [E] of face units by their ARKit names.

    Brows move points by 4 to 7 mm, and landmarks of them move less: a prior that keeps mouths quiet holds brows still.
    """
    return np.array([_BROW_SPREAD if name.startswith("brow") else ExpressionOptions.unit_spread for name in units])


class ExpressionSolver:
    """Find one person's expression from frame to frame: make one for each identity.

    Args:
        options: see `ExpressionOptions`.
    """

    def __init__(self, options: ExpressionOptions | None = None) -> None:
        self.options = ExpressionOptions() if options is None else options
        self._amounts: Array | None = None
        self._own: Array | None = None
        self._seen = 0.0
        self._t = 0.0

    def __call__(
        self,
        model: FaceModel,
        landmarks_2d: NDArray[np.floating[Any]],
        K: Array,
        rotation: NDArray[np.floating[Any]],
        head: NDArray[np.floating[Any]],
        t: float,
    ) -> tuple[Array, Array]:
        """Return the amounts [E] and the head's rotation [3, 3] that agree with the landmarks.

        Args:
            model: the face of the person's shape.
            landmarks_2d: [P, 2] px, in the order of the model's points.
            K: [3, 3] px.
            rotation: [3, 3] from the axes of the model to the camera, as known before.
            head: [3] m, the head joint, camera space, as known before.
            t: time, s.
        """
        o = self.options
        dt = max(t - self._t, 0.0)
        self._t = t
        count = len(model.units)
        last = self._amounts
        amounts = np.zeros(count) if last is None else last
        neutral = model.neutral if self._own is None else model.neutral + self._own
        rays = ((landmarks_2d - K[:2, 2]) / (K[0, 0], K[1, 1])).T
        turn, place = np.asarray(rotation, np.float64), np.asarray(head, np.float64)
        spread = o.spread + (o.new_spread - o.spread) * float(np.exp(-self._seen / _NEW))
        # Prior: a neutral face, and the last amounts.
        ridge = np.full(count, np.asarray(o.unit_spread) ** -2.0)
        pull = np.zeros(count)
        if last is not None:
            change = (o.change**2 * max(dt, 1e-3)) ** -1.0
            ridge, pull = ridge + change, pull + change * last
        low, high = np.r_[np.zeros(count), np.full(6, -1.0)], np.ones(count + 6)  # of the amounts, and of the pose
        for _ in range(o.iterations * (2 if self._seen < _NEW else 1)):
            shown = neutral + combine(amounts, model.units)
            for _ in range(2):
                jacobian, residual = _pose_terms(turn @ shown, place, rays)
                step = _robust_solve(jacobian, residual, o)
                turn, place = matrices_from_vectors(step[:3]) @ turn, place + step[3:]
            # Amounts, and the pose once more, from the neutral face.
            jacobian, residual = _pose_terms(turn @ neutral, place, rays)
            # A point x, y, z lies on its ray where x - ray z = 0: linear in the amounts.
            rows = turn[:2, :, None] - rays[:, None] * turn[2, :, None]
            effect = np.stack([np.einsum("ekp,kp->ep", model.units, row) for row in rows], axis=1).reshape(count, -1)
            left = residual - combine(amounts, effect)
            weight = np.tile(_weights(left, o), 2) / spread**2
            hessian, gradient = weighted_gram(np.concatenate([effect, jacobian]), weight, residual)
            hessian[np.arange(count), np.arange(count)] += ridge
            hessian[np.arange(count, count + 6), np.arange(count, count + 6)] += 1e-3
            gradient[:count] += pull
            amounts = bounded_least_squares(hessian, gradient, low, high, np.r_[amounts, np.zeros(6)])[:count]
        self._amounts = amounts
        # Of a face that is new nobody knows what is expression: it counts as the person's own.
        known = 1 - float(np.exp(-self._seen / o.settling))
        self._learn(neutral + combine(known * amounts, model.units), turn, place, rays, dt)
        return amounts, turn

    def _learn(self, shown: Array, turn: Array, place: Array, rays: Array, dt: float) -> None:
        """Learn how the person's own face differs from the model's: what remains, on average over time."""
        at = turn @ shown + place[:, None]
        missing = np.zeros_like(at)
        missing[:2] = (rays - at[:2] / at[2]) * at[2]
        rate = min(max(dt, 1e-3) / min(self._seen + 0.3, self.options.neutral_time), 1.0)
        self._seen += dt
        if self._own is None:
            self._own = np.zeros_like(shown)
        self._own = self._own + rate * (turn.T @ missing)


def bounded_least_squares(hessian: Array, gradient: Array, low: Array, high: Array, start: Array) -> Array:
    """Minimise x H x / 2 - g x with low <= x <= high by projected Newton steps (Bertsekas, 1982).

    Args:
        hessian: [N, N], positive definite.
        gradient: [N].
        low, high, start: [N].
    """
    x = np.clip(start, low, high)
    value = x @ (0.5 * hessian @ x - gradient)
    for _ in range(30):
        slope = hessian @ x - gradient
        free = ~(((x <= low) & (slope > 0)) | ((x >= high) & (slope < 0)))
        if not free.any():
            break
        step = np.zeros_like(x)
        step[free] = -np.linalg.solve(hessian[np.ix_(free, free)], slope[free])
        size = 1.0
        while True:
            trial = np.clip(x + size * step, low, high)
            reached = trial @ (0.5 * hessian @ trial - gradient)
            if reached <= value + 1e-4 * slope @ (trial - x) or size < 1e-3:
                break
            size /= 2
        done = np.abs(trial - x).max() < 1e-6
        if reached > value:
            break
        x, value = trial, reached
        if done:
            break
    return np.asarray(x)


def _pose_terms(turned: Array, place: Array, rays: Array) -> tuple[Array, Array]:
    """Return the Jacobian [6, 2P] of points [3, P] by rotation and translation, and what they miss [2P], m.

    What is missed is measured at the points' depth; all x first, then all y.
    """
    at = turned + place[:, None]
    slope = at[:2] / at[2]
    x, y, z = turned
    none, one = np.zeros_like(x), np.ones_like(x)
    # Each row: how x, y and z of the points change.
    turns = [[none, -z, y], [z, none, -x], [-y, x, none]]
    moves = np.array([*turns, [one, none, none], [none, one, none], [none, none, one]])
    return (moves[:, :2] - slope * moves[:, 2:]).reshape(6, -1), ((rays - slope) * at[2]).ravel()


def _weights(residual: Array, options: ExpressionOptions) -> Array:
    """Return the weights [P] of landmarks that are so far off, [2P] m (Geman-McClure)."""
    square = (residual.reshape(2, -1) ** 2).sum(axis=0) / options.width**2
    return np.asarray(1 / (1 + square) ** 2)


def _robust_solve(jacobian: Array, residual: Array, options: ExpressionOptions) -> Array:
    weighted = jacobian * (np.tile(_weights(residual, options), 2) + 1e-3)
    return np.asarray(np.linalg.solve(weighted @ jacobian.T + 1e-9 * np.eye(6), weighted @ residual))
