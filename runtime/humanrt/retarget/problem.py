"""The numbers of one retargeting problem, laid out once so that a frame allocates nothing.

Both kernels, the compiled one and the numpy reference, read and write these arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import HumanrtError
from .description import HandDescription
from .objective import Tasks, build_tasks
from .wrist import PALM_WEIGHTS, palm_template

__all__ = ["LIMITS", "Problem", "build_problem"]

Array = NDArray[np.float64]
Indices = NDArray[np.int32]

LIMITS = {"joints": 64, "variables": 64, "points": 64, "tasks": 64}
"""Sizes of the arrays in _native/solver.c."""


@dataclass
class Problem:
    """Constants, then state. J joints (rows, parents first), N variables, P points, K tasks."""

    parent: Indices
    prismatic: Indices
    variable: Indices
    """[J] the variable that moves the joint, -1 when it is locked."""
    order: Indices
    """[J] the joint's index in q."""
    placement: Array
    axis: Array
    gain: Array
    offset: Array
    joint_limits: Array
    """[J, 2]"""
    point_joint: Indices
    point_xyz: Array
    tasks: Tasks
    lower: Array
    upper: Array
    rest: Array
    """[N]"""
    source: Indices
    """[N] index in q of the joint that is the variable."""
    palm_template: Array
    palm_weight: Array
    base_rotation: Array
    start: Array
    """[S, N] where the search starts again in every frame, besides the last solution."""
    huber: float
    project: float
    escape: float
    rest_weight: float
    tolerance: float
    max_iterations: int

    frame: Array
    """[3, 3] the last wrist frame."""
    has_frame: Indices
    """[1] 0 until the first frame."""
    projected: Indices
    """[K] DexPilot's hysteresis."""
    target: Array
    weight: Array
    x: Array
    """[N] the last solution, from which the next starts."""
    q: Array
    """[dof] the same as joint angles."""
    cost: Array
    """[1] the minimum found, regularisation included."""

    def reset(self) -> None:
        """Forgets what came before: the next frame starts from the rest pose."""
        self.frame[...] = np.eye(3)
        self.has_frame[...] = 0
        self.projected[...] = 0
        self.x[...] = self.rest
        self.write_q()

    def write_q(self) -> None:
        """x -> q."""
        moved = self.variable >= 0
        values = self.offset + np.where(moved, self.gain * self.x[np.where(moved, self.variable, 0)], 0.0)
        self.q[self.order] = np.clip(values, self.joint_limits[:, 0], self.joint_limits[:, 1])


def build_problem(
    hand: HandDescription,
    objective: str,
    scale: float,
    *,
    huber: float,
    project: float,
    escape: float,
    rest_weight: float,
    tolerance: float,
    max_iterations: int,
    unlock: bool,
    restarts: bool,
) -> Problem:
    """The hand and the objective as arrays. ``unlock``: solve for the joints that the description locks, too."""
    chain = hand.chain()
    names = hand.joint_names
    joints = {joint.name: joint for joint in hand.joints}
    locked = {} if unlock else dict(hand.locked)
    free = [name for name in names if name not in locked and joints[name].mimic is None]
    variables = {name: i for i, name in enumerate(free)}
    if not free:
        raise HumanrtError(f"hand {hand.name}: no joint is free to move")
    lower = np.array([joints[name].lower for name in free])
    upper = np.array([joints[name].upper for name in free])

    def drive(name: str) -> tuple[int, float, float]:
        """Variable, gain and offset of a joint, through any chain of mimics."""
        gain, offset = 1.0, 0.0
        for _ in names:
            if name in locked:
                return -1, 0.0, offset + gain * locked[name]
            mimic = joints[name].mimic
            if mimic is None:
                return variables[name], gain, offset
            name, gain, offset = mimic[0], gain * mimic[1], offset + gain * mimic[2]
        raise HumanrtError(f"hand {hand.name}: mimic joints around {name} form a loop")

    drives = [drive(names[i]) for i in chain.order]
    for row, (variable, gain, offset) in enumerate(drives):
        # A joint that follows another must stay within its own limits too: tighten those of the leader.
        if variable >= 0 and gain != 0.0:
            joint = hand.joints[chain.order[row]]
            ends = sorted(((joint.lower - offset) / gain, (joint.upper - offset) / gain))
            lower[variable] = max(lower[variable], ends[0])
            upper[variable] = min(upper[variable], ends[1])
    if (lower > upper).any():
        name = free[int(np.argmax(lower - upper))]
        raise HumanrtError(f"hand {hand.name}: no angle of joint {name} keeps its mimic joints within their limits")

    tasks = build_tasks(hand, objective, scale)
    sizes = {"joints": len(names), "variables": len(free), "points": len(tasks.points), "tasks": len(tasks.kind)}
    for what, most in LIMITS.items():
        if sizes[what] > most:
            raise HumanrtError(f"hand {hand.name}: {sizes[what]} {what}; at most {most} are supported")
    rows = {names[i]: row for row, i in enumerate(chain.order)}
    rest = np.clip([hand.rest_pose[names.index(name)] for name in free], lower, upper)
    return Problem(
        parent=chain.parent,
        prismatic=chain.prismatic,
        variable=np.array([d[0] for d in drives], dtype=np.int32),
        order=chain.order,
        placement=chain.placement,
        axis=chain.axis,
        gain=np.array([d[1] for d in drives]),
        offset=np.array([d[2] for d in drives]),
        joint_limits=np.ascontiguousarray(hand.limits[chain.order]),
        point_joint=np.array([-1 if p.joint is None else rows[p.joint] for p in tasks.points], dtype=np.int32),
        point_xyz=np.array([p.xyz for p in tasks.points], dtype=np.float64),
        tasks=tasks,
        lower=lower,
        upper=upper,
        rest=rest,
        source=np.array([names.index(name) for name in free], dtype=np.int32),
        palm_template=palm_template(hand.side),
        palm_weight=PALM_WEIGHTS.copy(),
        base_rotation=np.ascontiguousarray(hand.rotation, dtype=np.float64),
        # Straight and half closed: between them they reach the best minimum that 30 random starts find.
        start=np.stack([(lower + upper) / 2.0, rest]) if restarts else np.zeros((0, len(free))),
        huber=huber,
        project=project,
        escape=escape,
        rest_weight=rest_weight,
        tolerance=tolerance,
        max_iterations=max_iterations,
        frame=np.eye(3),
        has_frame=np.zeros(1, dtype=np.int32),
        projected=np.zeros(len(tasks.kind), dtype=np.int32),
        target=np.zeros((len(tasks.kind), 3)),
        weight=np.zeros(len(tasks.kind)),
        x=np.zeros(len(free)),
        q=np.zeros(len(names)),
        cost=np.zeros(1),
    )
