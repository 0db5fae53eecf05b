"""The solver in numpy: what _native/fitting.c computes, in the same order. The tests hold the two together.

Minimised is the sum of
- points in pictures: Geman-McClure's w r^2 / (1 + r^2 / width^2) of distances in px, in every view;
- points in metres, relative to the pivot: the same of distances in m;
- motion: Gaussians around where points (relative to the pivot), the pivot and the root's rotation were expected;
- the pose: a Gaussian around the prior of each variable; the shape: a Gaussian with full information;
within limits of the joints and the shape, by damped Gauss-Newton steps: variables whose step leaves their limits are
held at the border and the rest is solved again, so that limits are never exceeded. The root's rotation is perturbed
from the left; joints are rotation vectors, whose map is regular up to a whole turn, far beyond every limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.fitting.problem import Problem
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices

__all__ = ["Links", "Model", "NumpyKernel"]

Array = NDArray[np.float64]

_NEAREST = 0.05  # m: points nearer to a camera's plane, or behind it, cost the most they can


@dataclass(frozen=True)
class Model:
    """Cost, half of its gradient [N] and half of its Hessian after Gauss and Newton [N, N]."""

    cost: float
    gradient: Array
    hessian: Array


@dataclass(frozen=True)
class _State:
    rotation: Array
    position: Array
    x: Array
    shape: Array


@dataclass(frozen=True)
class Links:
    """The links of a state.

    Attributes:
        world: [L, 3, 3] rotations.
        origin: [L, 3] m.
        axis: [L, 3, 3] rad, in the world, by which a unit of each variable of a link turns it.
        by: [L, 3, S] m, slopes of the origins by the shape.
    """

    world: Array
    origin: Array
    axis: Array
    by: Array


class NumpyKernel:
    """Solve a problem in place."""

    name = "numpy"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def solve(self) -> int:
        """Minimise from the state, which becomes the solution; return the number of evaluations."""
        p = self.problem
        now = self._state()
        here = self._evaluate(now)
        size = len(here.gradient)
        total = float(np.trace(here.hessian))
        unit = 1e-3 * total / size if total > 0 else 1e-6
        least = 1e-6 * unit  # what nothing shows must not move: so the damping is never 0
        damping, evaluations = least, 1
        while evaluations < p.max_iterations:
            value, low, high = self._bounds(now)
            held = ((value <= low) & (here.gradient >= 0)) | ((value >= high) & (here.gradient <= 0))
            step = self._step(here, held, value, low, high, damping)
            if step is None:
                damping = 4 * damping if damping > least else unit
                if damping > 1e12 * unit:
                    break
                continue
            after = self._moved(now, step)
            largest = float(np.abs(step).max())
            there = self._evaluate(after)
            evaluations += 1
            fall = here.cost - there.cost
            promise = float(-2 * step @ here.gradient - step @ here.hessian @ step)
            if fall > 1e-4 * promise or (fall >= -1e-12 * here.cost and largest < 1e-5):
                now, here = after, there
                if largest < p.tolerance:
                    break
                if fall > 0.75 * promise:
                    damping = 0.125 * damping if damping > unit else least
                elif fall < 0.25 * promise:
                    damping = 2 * damping if damping > least else unit
            else:
                if largest < p.tolerance:
                    break
                damping = 4 * damping if damping > least else unit
        p.cost[0] = here.cost
        p.rotation[...], p.position[...], p.x[...], p.shape[...] = now.rotation, now.position, now.x, now.shape
        pose = self._pose(now)
        p.world[...], p.origin[...] = pose.world, pose.origin
        for i in range(len(p.place)):
            p.place[i] = self._point(now, pose, i)
        return evaluations

    def model(self) -> Model:
        """Evaluate the state as it is."""
        return self._evaluate(self._state())

    def pose(self) -> Links:
        """Return the links at the state as it is."""
        return self._pose(self._state())

    def spread(self, wanted: NDArray[np.int32]) -> bool:
        """Write variances and the shape's information at the state; False where a Hessian is not definite.

        Args:
            wanted: int32 [P], 1 for points whose variances are wanted.
        """
        p = self.problem
        now = self._state()
        pose, end = self._pose(now), 6 + len(p.x)
        for seen, moved, placed in (
            (False, p.moved_believed, p.placed_believed),
            (True, p.moved_variance, p.placed_variance),
        ):
            hessian = self._evaluate(now, seen).hessian
            try:
                factor = np.linalg.cholesky(hessian + 1e-6 * np.eye(len(hessian)))
            except np.linalg.LinAlgError:
                return False
            inverse = np.linalg.inv(factor)
            variance = (inverse * inverse).sum(axis=0)
            placed[...] = variance[3:6]
            for i in np.flatnonzero(wanted):
                J = self._columns(now, pose, int(i), self._point(now, pose, int(i)))
                J[:, 3:6] = 0
                moved[i] = ((inverse @ J.T) ** 2).sum(axis=0)
        p.x_variance[...] = variance[6:end]
        p.shape_known[...] = factor[end:, end:] @ factor[end:, end:].T
        return True

    def _state(self) -> _State:
        p = self.problem
        return _State(
            p.rotation.copy(),
            p.position.copy(),
            _clip(p.x, p.lower, p.upper),
            _clip(p.shape, p.shape_lower, p.shape_upper),
        )

    def _pose(self, s: _State) -> Links:
        """Return the links in the world, what a unit of each variable turns them by, and origins' slopes by shape."""
        p = self.problem
        links = len(p.parent)
        world, origin = np.empty((links, 3, 3)), np.empty((links, 3))
        axis, by = np.zeros((links, 3, 3)), np.zeros((links, 3, len(s.shape)))
        offset = p.offset + p.offset_by @ s.shape
        world[0] = s.rotation
        origin[0] = s.position - s.rotation @ offset[0]
        by[0] = -s.rotation @ p.offset_by[0]
        for link in range(1, links):
            parent, count, first = p.parent[link], p.count[link], p.first[link]
            origin[link] = origin[parent] + world[parent] @ offset[link]
            by[link] = by[parent] + world[parent] @ p.offset_by[link]
            neutral = world[parent] @ p.before[link]
            vector = s.x[first : first + count] @ p.axes[link, :count]
            world[link] = neutral @ matrices_from_vectors(vector)
            axis[link, :count] = p.axes[link, :count] @ (neutral @ _left_jacobian(vector)).T
        return Links(world, origin, axis, by)

    def _point(self, s: _State, pose: Links, i: int) -> Array:
        p = self.problem
        link = p.point_link[i]
        return np.asarray(pose.origin[link] + pose.world[link] @ (p.point[i] + p.point_by[i] @ s.shape))

    def _columns(self, s: _State, pose: Links, i: int, at: Array) -> Array:
        """Return the derivatives [3, N] of a point by all variables."""
        p = self.problem
        J = np.zeros((3, 6 + len(s.x) + len(s.shape)))
        J[:, :3] = np.cross(np.eye(3), at - s.position).T
        J[:, 3:6] = np.eye(3)
        link = int(p.point_link[i])
        J[:, 6 + len(s.x) :] = pose.by[link] + pose.world[link] @ p.point_by[i]
        while link > 0:
            first, count = 6 + p.first[link], p.count[link]
            J[:, first : first + count] += np.cross(pose.axis[link, :count], at - pose.origin[link]).T
            link = int(p.parent[link])
        return J

    def _measured(self, s: _State, i: int, at: Array, seen: bool) -> tuple[float, Array, Array, Array, Array]:
        """Return the cost of a point, then gradient [3] and information [3, 3] in place and relative to the pivot."""
        p = self.problem
        cost, ga, Ga, gr, Gr = 0.0, np.zeros(3), np.zeros((3, 3)), np.zeros(3), np.zeros((3, 3))
        for view, camera in enumerate(p.camera if seen else ()):
            weight, width = p.seen_weight[view, i], p.seen_width[view, i]
            if weight > 0:
                K = np.array([camera[:3], [0, camera[3], camera[4]]])
                R, t = camera[5:14].reshape(3, 3), camera[14:]
                x, y, z = inside = R @ at + t
                if z < _NEAREST:
                    cost += weight * width * width
                else:
                    r = K @ (inside / z) - p.seen[view, i]
                    A = K @ np.array([[1 / z, 0, -x / z**2], [0, 1 / z, -y / z**2], [0, 0, 0]]) @ R
                    added, weight = _robust(r @ r, weight, width)
                    cost += added
                    ga += weight * A.T @ r
                    Ga += weight * A.T @ A
            if p.metric_weight[view, i] > 0:
                r = at - s.position - p.metric[view, i]
                added, weight = _robust(r @ r, p.metric_weight[view, i], p.metric_width[view, i])
                cost += added
                gr += weight * r
                Gr += weight * np.eye(3)
        r, weights = at - s.position - p.moved[i], p.moved_weight[i]
        cost += weights @ (r * r)
        return float(cost), ga, Ga, gr + weights * r, Gr + np.diag(weights)

    def _evaluate(self, s: _State, seen: bool = True) -> Model:
        """Evaluate a state; without ``seen``, belief and motion alone."""
        p = self.problem
        variables, shapes = len(s.x), len(s.shape)
        size = 6 + variables + shapes
        pose = self._pose(s)
        cost, gradient, hessian = 0.0, np.zeros(size), np.zeros((size, size))
        for i in range(len(p.point)):
            at = self._point(s, pose, i)
            added, ga, Ga, gr, Gr = self._measured(s, i, at, seen)
            cost += added
            if np.trace(Ga) + np.trace(Gr) <= 0:
                continue
            J = self._columns(s, pose, i, at)
            gradient += J.T @ ga
            hessian += J.T @ Ga @ J
            J[:, 3:6] = 0
            gradient += J.T @ gr
            hessian += J.T @ Gr @ J
        turn = vectors_from_matrices(s.rotation @ p.turned.T)
        away, bent, grown = s.position - p.placed, s.x - p.prior, s.shape - p.shape_prior
        pull = p.shape_information @ grown
        cost += float(p.turned_weight[0] * turn @ turn + p.placed_weight @ away**2 + p.prior_weight @ bent**2)
        cost += float(pull @ grown)
        # Exact for the turn: the logarithm's Jacobian, transposed, leaves the vector as it is.
        gradient += np.concatenate([p.turned_weight * turn, p.placed_weight * away, p.prior_weight * bent, pull])
        hessian[np.diag_indices(6 + variables)] += np.concatenate(
            [np.repeat(p.turned_weight, 3), p.placed_weight, p.prior_weight]
        )
        hessian[6 + variables :, 6 + variables :] += p.shape_information
        return Model(cost, gradient, hessian)

    def _bounds(self, s: _State) -> tuple[Array, Array, Array]:
        p = self.problem
        free = np.full(6, np.inf)
        return (
            np.concatenate([np.zeros(6), s.x, s.shape]),
            np.concatenate([-free, p.lower, p.shape_lower]),
            np.concatenate([free, p.upper, p.shape_upper]),
        )

    def _step(
        self, model: Model, held: NDArray[np.bool_], value: Array, low: Array, high: Array, damping: float
    ) -> Array | None:
        """Return the step [N] of the damped model within the limits; None where the model is not definite."""
        held = held.copy()
        step = np.zeros(len(held))
        for _ in range(len(held) + 1):
            free = ~held
            matrix = model.hessian[np.ix_(free, free)] + damping * np.eye(int(free.sum()))
            try:
                factor = np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:
                return None
            right = -model.gradient[free] - model.hessian[np.ix_(free, held)] @ step[held]
            step[free] = np.linalg.solve(factor.T, np.linalg.solve(factor, right))
            below, above = free & (value + step < low), free & (value + step > high)
            step[below], step[above] = (low - value)[below], (high - value)[above]
            if not (below | above).any():
                break
            held |= below | above
        return step

    def _moved(self, s: _State, step: Array) -> _State:
        """Return the state after a step, which is cut to what the limits leave of it."""
        value, low, high = self._bounds(s)
        to = _clip(value + step, low, high)
        step[6:] = (to - value)[6:]
        end = 6 + len(s.x)
        return _State(matrices_from_vectors(step[:3]) @ s.rotation, s.position + step[3:6], to[6:end], to[end:])


def _robust(square: float, weight: float, width: float) -> tuple[float, float]:
    """Return Geman-McClure's cost of a squared residual, and the weight of its square nearby."""
    share = width * width / (width * width + square)
    return weight * square * share, weight * share * share


def _clip(value: Array, low: Array, high: Array) -> Array:
    """Return values within limits; those that reach them but for rounding are on them."""
    return np.where(value < low + 1e-12, low, np.where(value > high - 1e-12, high, value))


def _left_jacobian(vector: Array) -> Array:
    """Return J [3, 3] with exp(v + d) = exp(J d) exp(v) to first order."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-4:
        b, c = 0.5 - angle**2 / 24, 1 / 6 - angle**2 / 120
    else:
        b, c = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    return np.asarray(np.eye(3) + b * skew + c * skew @ skew)
