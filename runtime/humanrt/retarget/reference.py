"""The retargeting kernel in numpy: reference for tests of the compiled kernel, and its fallback.

The same algorithm as _native/solver.c, with sums in the order that suits arrays; see there for the notation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.mirror import MIRROR
from humanrt.retarget.capsules import nearest
from humanrt.retarget.objective import DEXPILOT_FINGERS, DEXPILOT_THUMB, DIRECTION, GRIP, PINCH, VECTOR
from humanrt.retarget.problem import Problem
from humanrt.retarget.wrist import fit_palm

__all__ = ["Model", "NumpyKernel", "unmoved_joints"]

Array = NDArray[np.float64]

SAME, CLOSING = 1e-2, 2e-2
"""rad; as in retarget.h."""
STALLED, STALL, AT_KINKS = 4, 1e-3, 16.0
"""As in retarget.h."""

LEVER = 1e-3
"""Metres by which a joint must move a vector per radian (per metre: a thousandth) to count as moving it."""


class Model(NamedTuple):
    """The objective around a point: cost, gradient [N], Hessian [N, N], and how many pairs of capsules meet."""

    cost: float
    gradient: Array
    hessian: Array
    contacts: int = 0


class Found(NamedTuple):
    """Where a search ended: x [N], its cost, the evaluations, and whether it stalled at a kink, where capsules meet."""

    x: Array
    cost: float
    evaluations: int
    stalled: bool


class NumpyKernel:
    """Solve a problem in place."""

    name = "numpy"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._eye = np.eye(3)
        self._placement = np.ascontiguousarray(problem.placement[:, :9].reshape(-1, 3, 3))
        x, y, z = problem.axis.T
        o = np.zeros_like(x)
        self._axis = np.array([[o, -z, y], [z, o, -x], [-y, x, o]]).transpose(2, 0, 1)
        self._axis_squared = self._axis @ self._axis
        self._paths = [self._path(int(joint)) for joint in problem.point_joint]

    def _path(self, joint: int) -> tuple[NDArray[np.intp], Array]:
        """Return the moving joints from a point to the base, tip first, and the matrix [joints, N] from them to x."""
        p = self.problem
        rows = []
        while joint >= 0:
            if p.variable[joint] >= 0:
                rows.append(joint)
            joint = int(p.parent[joint])
        spread = np.zeros((len(rows), len(p.x)))
        for i, row in enumerate(rows):
            spread[i, p.variable[row]] = p.gain[row]
        return np.array(rows, dtype=np.intp), spread

    def targets(self, keypoints: Array, mirror: bool, local: bool) -> None:
        """Compute target and weight of every task from keypoints [21, 3]."""
        p = self.problem
        size = 1.0
        if mirror:
            keypoints = keypoints * ((1.0, -1.0, 1.0) if local else MIRROR)
        turn = p.base_rotation
        if not local:
            frame, size = fit_palm(keypoints, p.palm_template, p.frame if p.has_frame[0] else None)
            p.frame[...] = frame
            p.has_frame[0] = 1
            turn = turn @ frame.T
        points = keypoints @ turn.T
        for k, kind in enumerate(p.tasks.kind):
            a, b = p.tasks.human[k]
            v = points[b] - points[a]
            length = float(np.linalg.norm(v))
            weight, factor = float(p.tasks.weight[k]), float(p.tasks.scale[k])
            near_weight, near = (float(value) for value in p.tasks.close[k])
            if kind == DIRECTION:
                first, second = p.tasks.pairs[k]
                u = points[second] - points[first]
                v = v / (length + 1e-6) + near_weight * u / (float(np.linalg.norm(u)) + 1e-6)
                factor /= float(np.linalg.norm(v)) + 1e-6
            elif kind in (DEXPILOT_THUMB, DEXPILOT_FINGERS):
                if kind == DEXPILOT_THUMB:
                    if length < p.project:
                        p.projected[k] = 1
                    if length > p.escape:
                        p.projected[k] = 0
                else:
                    p.projected[k] = p.projected[p.tasks.pairs[k]].all() and length <= 0.03
                if p.projected[k]:
                    weight, factor = near_weight, near / (length + 1e-6)
            elif kind == PINCH:
                u = min(max((p.escape - length / size) / (p.escape - p.project), 0.0), 1.0)
                u = u * u * (3.0 - 2.0 * u)
                weight += u * (near_weight - weight)
                factor = factor * (1.0 - u) / size + u * near / (length + 1e-6)
            elif kind == GRIP:
                shut, wide = p.tasks.grip[k]
                u = min(max((length / size - p.project) / (near - p.project), 0.0), 1.0)
                v, factor = shut + u * (wide - shut), 1.0
                weight += (1.0 - u) * (near_weight - weight)
            else:
                assert kind == VECTOR
            p.target[k], p.weight[k] = factor * v, weight

    def vectors(self, x: Array) -> Array:
        """Return the Jacobians [K, 3, N] of the tasks' robot vectors at x [N]."""
        first, second = self.problem.tasks.ends.T
        J = self._kinematics(x)[2]
        moved: Array = J[second] - J[first]
        return moved

    def _kinematics(self, x: Array) -> tuple[Array, Array, Array, list[Array]]:
        """Return axes z [J, 3], points [P, 3], their Jacobians [P, 3, N], and the columns of each point's path."""
        p = self.problem
        q = p.offset + np.where(p.variable >= 0, p.gain * x[p.variable], 0.0)
        angle = np.where(p.prismatic == 1, 0.0, q)[:, None, None]
        R = self._eye + np.sin(angle) * self._axis + (1.0 - np.cos(angle)) * self._axis_squared
        turned, origin = self._placement.copy(), p.placement[:, 9:].copy()
        for j, parent in enumerate(p.parent.tolist()):
            if parent >= 0:
                origin[j] = origin[parent] + R[parent] @ origin[j]
                turned[j] = R[parent] @ turned[j]
            if p.prismatic[j]:
                origin[j] += q[j] * (turned[j] @ p.axis[j])
            R[j] = turned[j] @ R[j]
        z = np.einsum("jab,jb->ja", turned, p.axis)
        carried = p.point_joint >= 0
        at = np.where(carried, p.point_joint, 0)
        point = np.where(carried[:, None], origin[at] + np.einsum("pab,pb->pa", R[at], p.point_xyz), p.point_xyz)

        J = np.zeros((len(point), 3, len(p.x)))
        columns = []
        for i, (rows, spread) in enumerate(self._paths):
            arms = _cross(z[rows], point[i] - origin[rows])
            columns.append(np.where(p.prismatic[rows, None] == 1, z[rows], arms))
            J[i] = columns[i].T @ spread
        return z, point, J, columns

    def evaluate(self, x: Array, pull: Array, centre: Array, collisions: bool = True) -> Model:
        """Return cost, gradient and Hessian at x [N]; ``pull * (x - centre)^2`` is added to the tasks.

        The Hessian is exact but for collisions, of which it is Gauss-Newton's; they may be left out.
        """
        p = self.problem
        n = len(p.x)
        z, point, J, columns = self._kinematics(x)
        force = np.zeros((len(point), 3))  # that the tasks put on every point
        first, second = p.tasks.ends.T
        r = point[second] - point[first] - p.target
        d = np.sqrt((r * r).sum(axis=1))
        quadratic = d < p.huber
        cost = float((pull * (x - centre) ** 2).sum())
        cost += float((p.weight * np.where(quadratic, 0.5 * d * d / p.huber, d - 0.5 * p.huber)).sum())
        slope = p.weight / np.where(quadratic, p.huber, np.maximum(d, p.huber))
        f = slope[:, None] * r
        np.add.at(force, second, f)
        np.add.at(force, first, -f)

        vectors = J[second] - J[first]
        gradient = 2.0 * pull * (x - centre) + np.einsum("kan,ka->n", vectors, f)
        hessian = np.diag(2.0 * pull)
        flat = (np.sqrt(slope)[:, None, None] * vectors).reshape(-1, n)
        hessian += flat.T @ flat
        along = (
            np.einsum("kan,ka->kn", vectors, r)
            * (np.where(quadratic, 0.0, np.sqrt(slope)) / np.maximum(d, 1e-300))[:, None]
        )
        hessian -= along.T @ along
        # Curvature of the paths: d2p / dqi dqj = zi x (dp / dqj) for i at or above j; a path runs from tip to base.
        for i, (rows, spread) in enumerate(self._paths):
            turn = np.where(p.prismatic[rows, None] == 1, 0.0, _cross(force[i], z[rows]))
            lower = np.tril(turn @ columns[i].T)
            hessian += spread.T @ (lower + np.tril(lower, -1).T) @ spread
        contacts = 0
        for ends, reach in zip(p.collision_points, p.collision_reach.tolist(), strict=True) if collisions else ():
            d, s, t = nearest(*point[ends])
            if not 1e-9 <= d < reach:
                continue
            contacts += 1
            share = np.array([s - 1.0, -s, 1.0 - t, t])
            row = np.einsum("k,kan,a->n", share, J[ends], share @ point[ends]) / d
            cost += 0.5 * p.collision_weight * (reach - d) ** 2
            gradient -= p.collision_weight * (reach - d) * row
            hessian += p.collision_weight * np.outer(row, row)  # Gauss-Newton's
        return Model(cost, gradient, hessian, contacts)

    def minimise(
        self,
        x: Array,
        pull: Array,
        centre: Array,
        rival: tuple[Array, float] | None = None,
        collisions: bool = True,
    ) -> Found:
        """Minimise by damped Newton within the box from x.

        ``rival``: the best known minimum and its cost; a search that cannot end below it stops early.
        """
        p = self.problem
        x = np.clip(x, p.lower, p.upper)
        now = self.evaluate(x, pull, centre, collisions)
        evaluations, damping, stalled, mark = 1, 0.0, 0, now.cost
        unit = 1e-3 * float(np.abs(np.diag(now.hessian)).mean()) or 1e-6
        while evaluations < p.max_iterations:
            held = ((x <= p.lower) & (now.gradient >= 0)) | ((x >= p.upper) & (now.gradient <= 0))
            if held.all() or float(np.abs(now.gradient[~held]).max()) <= p.tolerance:
                break
            step = _box_step(now, x, p.lower, p.upper, held, damping)
            if step is None:
                damping = 4.0 * damping if damping > 0 else unit
                if damping > 1e12 * unit:
                    break
                continue
            trial = np.clip(x + step, p.lower, p.upper)
            step = trial - x
            largest = float(np.abs(step).max())
            following = self.evaluate(trial, pull, centre, collisions)
            evaluations += 1
            fall = now.cost - following.cost
            promise = -float(now.gradient @ step) - 0.5 * float(step @ now.hessian @ step)
            if fall > 1e-4 * promise or (fall >= -1e-13 and largest < 1e-5):
                x, now = trial, following
                if largest < 1e-9:
                    break
                if rival is not None:
                    closing = damping == 0 and largest < CLOSING
                    if np.abs(x - rival[0]).max() < SAME or (closing and now.cost - 10.0 * fall > rival[1]):
                        break
                if fall > 0.75 * promise:
                    damping = 0.125 * damping if damping > unit else 0.0
                elif fall < 0.25 * promise:
                    damping = 2.0 * damping if damping > 0 else unit
            else:
                if largest < 1e-9:
                    break
                damping = (AT_KINKS if now.contacts else 4.0) * damping if damping > 0 else unit
            if collisions and len(p.collision_reach):
                stalled = 0 if not now.contacts or now.cost < mark * (1.0 - STALL) else stalled + 1
                mark = mark if stalled else now.cost
                if stalled == STALLED:
                    break
        return Found(x, now.cost, evaluations, stalled == STALLED)

    def solve(self, keypoints: Array, mirror: bool, local: bool, smoothing: float) -> int:
        """Solve one frame. Returns the number of evaluations, or -1 if a keypoint is not a finite number."""
        p = self.problem
        if not np.isfinite(keypoints).all():
            return -1
        self.targets(keypoints, mirror, local)
        pull = smoothing + p.rest_weight
        centre = (smoothing * p.x + p.rest_weight * p.rest) / pull if pull > 0 else p.rest
        pulls = np.full(len(p.x), pull)
        best = self.minimise(p.x, pulls, centre)
        evaluations = best.evaluations
        ends: list[Array] = []  # where searches that are not given up ended without collisions
        for start in p.start:
            rival = best.x, best.cost
            other = self.minimise(start, pulls, centre, rival, collisions=False)
            evaluations += other.evaluations
            if len(p.collision_reach):
                # Collisions only add to the cost: what is no better without them, or already known, is not searched on.
                if other.cost >= best.cost or any(np.abs(other.x - known).max() < SAME for known in (best.x, *ends)):
                    continue
                ends.append(other.x)
                other = self.minimise(other.x, pulls, centre, rival)
                evaluations += other.evaluations
            if other.cost < best.cost * (1.0 - 1e-6):
                best = other
        if best.stalled:  # where the hand goes to is worth a second search
            best = self.minimise(best.x, pulls, centre)
            evaluations += best.evaluations
        p.x[...] = best.x
        p.cost[0] = best.cost
        p.write_q()
        return evaluations


def _cross(a: Array, b: Array) -> Array:
    """Return the cross product over the last axis; numpy's own takes ten times as long on small arrays."""
    return a[..., [1, 2, 0]] * b[..., [2, 0, 1]] - a[..., [2, 0, 1]] * b[..., [1, 2, 0]]


def _box_step(
    now: Model, x: Array, lower: Array, upper: Array, held: NDArray[np.bool_], damping: float
) -> Array | None:
    """Return the minimum of the damped quadratic model within the box; None if the model is not convex."""
    held = held.copy()
    step = np.zeros(len(x))
    while not held.all():
        free = ~held
        H = now.hessian[np.ix_(free, free)] + damping * np.eye(int(free.sum()))
        try:
            L = np.linalg.cholesky(H)
        except np.linalg.LinAlgError:
            return None
        if float(np.diag(L).min()) ** 2 <= 1e-9:
            return None
        right = -now.gradient[free] - now.hessian[np.ix_(free, held)] @ step[held]
        step[free] = np.linalg.solve(L.T, np.linalg.solve(L, right))
        out = free & ((x + step < lower) | (x + step > upper))
        if not out.any():
            break
        step[out] = np.where(x + step < lower, lower, upper)[out] - x[out]
        held |= out
    return step


def unmoved_joints(problem: Problem) -> list[int]:
    """Return the indices in q of the free joints that move none of the objective's vectors, in any pose."""
    p, kernel = problem, NumpyKernel(problem)
    levers = np.zeros(len(p.x))
    rng = np.random.default_rng(0)
    for _ in range(4):
        moved = kernel.vectors(rng.uniform(p.lower, p.upper))
        levers = np.maximum(levers, np.linalg.norm(moved, axis=1).max(axis=0, initial=0.0))
        if (levers > LEVER).all():
            break
    return [int(p.source[i]) for i in np.flatnonzero(levers <= LEVER)]
