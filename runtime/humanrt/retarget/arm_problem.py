"""The retargeting problem of an arm, for the solver of hands: vectors between places of the robot, and their targets.

The pose of the tool is a place and the ends of three levers along its axes; the elbow pulls with a force that is too
small to move the tool (a twentieth of a millimetre), and so decides only what the tool leaves open: the swivel of a
seventh joint, and which of several solutions a search begins with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanrt.retarget.arm import ArmDescription
from humanrt.retarget.kernel import Kernel, make_kernel
from humanrt.retarget.objective import VECTOR, Tasks
from humanrt.retarget.problem import Problem, lay_out, variables_of
from humanrt.retarget.robot import Point

__all__ = ["LEVER", "arm_points", "arm_problem", "find_rest", "furthest", "search", "starts"]

Array = NDArray[np.float64]

LEVER = 0.2
"""m from the tool to the points by which its rotation is measured."""
_HUBER = 0.02  # m, from which on a place pulls with constant force
_REST = 1e-4
_ELBOW = 0.0025
_TURN = 0.3  # weight of each lever against the tool's place
_STARTS, _WIDEST = 24, np.pi
# Places in the solver's list of keypoints, and the robot's.
_SHOULDER, _ELBOW_POINT, _TOOL, _AXES = 0, 1, 2, (3, 4, 5)


def arm_problem(arm: ArmDescription) -> Problem:
    """Lay out the arm as arrays. HumanrtError: it has too many joints, or none that is free."""
    above = set(arm.carriers(arm.tool.joint))
    moving = variables_of(
        arm,
        [
            drive if drive[0] in above or drive[0] is None else (None, 0.0, float(arm.rest_pose[i]))
            for i, drive in enumerate(arm.drives(arm.locked))
        ],
    )

    def beyond(axis: Array) -> Point:
        x, y, z = (float(v) for v in np.array(arm.tool.xyz) + LEVER * axis)
        return Point(arm.tool.joint, (x, y, z))

    points = (arm.shoulder, arm.elbow, arm.tool, *(beyond(axis) for axis in arm.hand.T))
    ends = np.array([(_SHOULDER, _TOOL), *((_TOOL, axis) for axis in _AXES), (_SHOULDER, _ELBOW_POINT)], np.int32)
    count = len(ends)
    tasks = Tasks(
        points=points,
        ends=ends,
        human=ends.copy(),
        kind=np.full(count, VECTOR, np.int32),
        pairs=np.zeros((count, 2), np.int32),
        scale=np.ones(count),
        weight=np.array([1.0, _TURN, _TURN, _TURN, _ELBOW]),
        close=np.zeros((count, 2)),
        grip=np.zeros((count, 2, 3)),
    )
    return lay_out(
        moving,
        tasks,
        side=arm.side,
        base_rotation=np.eye(3),
        start=np.zeros((0, len(moving.rest))),
        huber=_HUBER,
        project=0.03,
        escape=0.05,
        rest_weight=_REST,
        tolerance=1e-11,
        max_iterations=100,
    )


def arm_points(shoulder: Array, elbow: Array | None, tool: Array, turn: Array | None) -> tuple[Array, Array]:
    """Return the solver's list of keypoints [21, 3] m, and the weights [5] of the tasks.

    Args:
        shoulder, elbow, tool: [3] m where they should be, in the base frame. None: anywhere.
        turn: [3, 3] how the wrist should be turned. None: in any way.
    """
    points = np.zeros((21, 3))
    points[_SHOULDER], points[_TOOL] = shoulder, tool
    points[_ELBOW_POINT] = shoulder if elbow is None else elbow
    points[list(_AXES)] = tool + LEVER * (np.eye(3) if turn is None else turn.T)
    turning = 0.0 if turn is None else _TURN
    return points, np.array([1.0, turning, turning, turning, 0.0 if elbow is None else _ELBOW])


def starts(problem: Problem) -> Array:
    """Return where a search begins that knows nothing: [S, N], always the same."""
    low = np.maximum(problem.lower, problem.rest - _WIDEST)
    high = np.minimum(problem.upper, problem.rest + _WIDEST)
    spread = np.random.default_rng(0).uniform(size=(_STARTS, len(low)))
    return np.concatenate([problem.rest[None], low + spread * (high - low)])


def search(kernel: Kernel, points: Array, begin: Array) -> None:
    """Leave the best solution that is reached from any of the places [S, N] in the problem's state."""
    problem = kernel.problem
    best, cost = problem.x.copy(), np.inf
    for x in begin:
        problem.x[...] = x
        kernel.solve(points, False, True, 0.0)
        if problem.cost[0] < cost * (1.0 - 1e-9):
            best, cost = problem.x.copy(), float(problem.cost[0])
    problem.x[...] = best
    kernel.solve(points, False, True, 0.0)


def furthest(arm: ArmDescription) -> float:
    """Return how far from its shoulder the tool can be, m."""
    problem = arm_problem(arm)
    kernel = make_kernel(problem, "auto")
    shoulder = arm.positions(arm.rest_pose, [arm.shoulder])[0]
    far = 0.0
    for direction in np.concatenate([np.eye(3), -np.eye(3), [[1.0, 1.0, 0.5], [1.0, -1.0, 0.5]]]):
        points, problem.tasks.weight[...] = arm_points(shoulder, None, shoulder + 10.0 * direction, None)
        search(kernel, points, starts(problem)[::6])
        far = max(far, float(np.linalg.norm(arm.pose(problem.q)[:3, 3] - shoulder)))
    return far


def find_rest(arm: ArmDescription, reach: float) -> dict[str, float]:
    """Return a rest pose: the upper arm hangs, the forearm is held forward, and the palm faces inwards."""
    problem = arm_problem(arm)
    kernel = make_kernel(problem, "auto")
    shoulder = arm.positions(arm.rest_pose, [arm.shoulder])[0]
    forward, up = arm.placement.rotation[:, 0], arm.placement.rotation[:, 2]
    inwards = arm.placement.rotation[:, 1] * (1.0 if arm.side == "right" else -1.0)
    turn = np.stack([inwards, np.cross(forward, inwards), forward], axis=1)
    elbow = shoulder - 0.45 * reach * up
    points, problem.tasks.weight[...] = arm_points(shoulder, elbow, elbow + 0.45 * reach * forward, turn)
    search(kernel, points, starts(problem))
    turned = [value - 2 * np.pi * round(value / (2 * np.pi)) for value in problem.x]
    free = [arm.joint_names[i] for i in problem.source]
    near = {
        name: float(value if low <= value <= high else x)
        for name, value, x, low, high in zip(free, turned, problem.x, problem.lower, problem.upper, strict=True)
    }
    return {name: round(value, 4) for name, value in near.items()}
