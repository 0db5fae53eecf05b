"""Arrays of one retargeting problem, allocated once so that a frame allocates nothing.

Both kernels, the compiled one and the numpy reference, read and write these arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.retarget.capsules import TIP, capsule_radius, nearest
from humanrt.retarget.description import HandDescription
from humanrt.retarget.objective import GRIP_OPEN, Jaws, Tasks, build_tasks
from humanrt.retarget.robot import Point, RobotDescription, joint_motion
from humanrt.retarget.wrist import PALM_WEIGHTS, palm_template

__all__ = ["LIMITS", "Problem", "Variables", "build_problem", "lay_out", "variables_of"]

Array = NDArray[np.float64]
Indices = NDArray[np.int32]

LIMITS = {"joints": 64, "variables": 64, "points": 64, "tasks": 64, "levers": 1024}
"""Max sizes of the arrays in _native/solver.c; levers: of all points, the joints between each and the base."""

COLLISION_WEIGHT = 1e4
"""Cost per m^2 of depth, twice: a millimetre deep pushes with 10, as much as ten segments that point the wrong way."""
_CLEARANCE = 1e-3
"""m between capsules at rest from which they are kept apart."""


@dataclass
class Problem:
    """Constants, then state. J joints that a variable moves (rows, parents first), N variables, P points, K tasks.

    Joints that nothing moves have no row: they are folded into the placements, and keep their ``rest_q`` in ``q``.
    """

    parent: Indices
    prismatic: Indices
    variable: Indices
    """[J] the variable that moves the joint."""
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
    rest_q: Array
    """[dof] the rest pose; joints without a row stay there."""
    source: Indices
    """[N] index in q of the joint that is the variable."""
    palm_template: Array
    palm_weight: Array
    base_rotation: Array
    start: Array
    """[S, N] further starting points of the search in every frame, besides the last solution."""
    huber: float
    project: float
    escape: float
    rest_weight: float
    tolerance: float
    max_iterations: int
    collision_points: Indices
    """[C, 4] points at the ends of two capsules' axes, which must not meet."""
    collision_reach: Array
    """[C] m, the sum of their radii."""
    collision_weight: float
    """The cost of a depth of d metres is half of this times d^2."""

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
        """Clear the state: the next frame starts from the rest pose."""
        self.frame[...] = np.eye(3)
        self.has_frame[...] = 0
        self.projected[...] = 0
        self.x[...] = self.rest
        self.q[...] = self.rest_q
        self.write_q()

    def write_q(self, x: Array | None = None) -> None:
        """Write the variables x to the joint angles q; None: those of the last solution."""
        values = self.offset + self.gain * (self.x if x is None else x)[self.variable]
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
    collisions: bool,
) -> Problem:
    """Lay out the hand and the objective as arrays.

    ``unlock``: solve for locked joints too. ``collisions``: keep fingers from penetrating each other and the palm.
    """
    moving = variables_of(hand, hand.drives({} if unlock else hand.locked))
    lower, upper, rest, pose = moving.lower, moving.upper, moving.rest, moving.pose
    jaws = None
    # Another program's configuration says itself what a gripper's vectors follow.
    if hand.gripper and (hand.configured is None or objective == "pose"):
        jaws = Jaws(*_reach(hand, lower, upper, rest, pose), max(GRIP_OPEN, escape), len(rest))
    touching = 2.0 * capsule_radius(hand, TIP) if collisions and jaws is None else None
    tasks = build_tasks(hand, objective, scale, jaws, touching)
    pairs, reach = _collisions(hand, rest, pose) if collisions and jaws is None else ([], [])
    return lay_out(
        moving,
        tasks,
        side=hand.side,
        base_rotation=hand.rotation,
        # Straight and half closed: between them they reach the best minimum that 30 random starts find.
        start=np.stack([(lower + upper) / 2.0, rest]) if restarts else np.zeros((0, len(rest))),
        huber=huber,
        project=project,
        escape=escape,
        rest_weight=rest_weight,
        tolerance=tolerance,
        max_iterations=max_iterations,
        collision_points=np.array(pairs, dtype=np.int32).reshape(-1, 4),
        collision_reach=np.array(reach, dtype=np.float64),
    )


@dataclass(frozen=True)
class Variables:
    """The free joints of a robot, which are solved for, and what they do to the others.

    Attributes:
        drives: of every joint what moves it: the free joint's name, gain, offset; or None, and its value as offset.
        lower, upper, rest: [N]
        source: [N] the free joints' indices among the robot's.
    """

    robot: RobotDescription
    drives: Sequence[tuple[str | None, float, float]]
    lower: Array
    upper: Array
    rest: Array
    source: Indices

    @property
    def index(self) -> dict[str, int]:
        """The free joints' rows among the variables, by name."""
        return {self.robot.joint_names[row]: i for i, row in enumerate(self.source)}

    def pose(self, x: Array) -> Array:
        """Return joint angles [dof] for variables [N]."""
        index = self.index
        values = [b if leader is None else a * x[index[leader]] + b for leader, a, b in self.drives]
        return np.clip(values, *self.robot.limits.T)


def variables_of(robot: RobotDescription, drives: Sequence[tuple[str | None, float, float]]) -> Variables:
    """Return the variables of a robot. HumanrtError: no joint is free."""
    names = robot.joint_names
    free = [name for name, (leader, _, _) in zip(names, drives, strict=True) if leader == name]
    if not free:
        raise HumanrtError(f"{robot.kind} {robot.name}: no joint is free to move")
    source = np.array([names.index(name) for name in free], np.int32)
    lower, upper = joint_ranges(robot, free, drives)
    return Variables(robot, drives, lower, upper, np.clip(robot.rest_pose[source], lower, upper), source)


def lay_out(
    moving: Variables,
    tasks: Tasks,
    *,
    side: str,
    base_rotation: Array,
    start: Array,
    huber: float,
    project: float,
    escape: float,
    rest_weight: float,
    tolerance: float,
    max_iterations: int,
    collision_points: Indices | None = None,
    collision_reach: Array | None = None,
) -> Problem:
    """Lay out a robot's tasks as arrays, at rest. HumanrtError: there is more than the compiled solver holds."""
    robot, drives, variables = moving.robot, moving.drives, moving.index
    fold = fold_joints(robot, drives, tasks.points)
    rows = [robot.joints[i] for i in fold.order]
    sizes = {
        "joints": len(rows),
        "variables": len(variables),
        "points": len(tasks.points),
        "tasks": len(tasks.kind),
        "levers": fold.levers(),
    }
    for what, limit in LIMITS.items():
        if sizes[what] > limit:
            raise HumanrtError(f"{robot.kind} {robot.name}: {sizes[what]} moving {what}; at most {limit} are supported")
    moved = [drives[i] for i in fold.order]
    count, size = len(tasks.kind), len(variables)
    problem = Problem(
        parent=fold.parent,
        prismatic=np.array([joint.prismatic for joint in rows], dtype=np.int32),
        variable=np.array([variables[str(leader)] for leader, _, _ in moved], dtype=np.int32),
        order=fold.order,
        placement=fold.placement,
        axis=np.array([joint.axis for joint in rows], dtype=np.float64),
        gain=np.array([gain for _, gain, _ in moved]),
        offset=np.array([offset for _, _, offset in moved]),
        joint_limits=np.ascontiguousarray(robot.limits[fold.order]),
        point_joint=fold.point_joint,
        point_xyz=fold.point_xyz,
        tasks=tasks,
        lower=moving.lower,
        upper=moving.upper,
        rest=moving.rest,
        rest_q=moving.pose(moving.rest),
        source=moving.source,
        palm_template=palm_template(side),
        palm_weight=PALM_WEIGHTS.copy(),
        base_rotation=np.ascontiguousarray(base_rotation, dtype=np.float64),
        start=start,
        huber=huber,
        project=project,
        escape=escape,
        rest_weight=rest_weight,
        tolerance=tolerance,
        max_iterations=max_iterations,
        collision_points=np.zeros((0, 4), np.int32) if collision_points is None else collision_points,
        collision_reach=np.zeros(0) if collision_reach is None else collision_reach,
        collision_weight=COLLISION_WEIGHT,
        frame=np.eye(3),
        has_frame=np.zeros(1, dtype=np.int32),
        projected=np.zeros(count, dtype=np.int32),
        target=np.zeros((count, 3)),
        weight=np.zeros(count),
        x=np.zeros(size),
        q=np.zeros(len(robot.joints)),
        cost=np.zeros(1),
    )
    problem.reset()
    return problem


def _collisions(
    hand: HandDescription, rest: Array, pose: Callable[[Array], Array]
) -> tuple[list[tuple[int, int, int, int]], list[float]]:
    """Return the pairs of capsules that must not meet, by the points of `Tasks`, and the sums of their radii.

    Segments of the thumb and of neighbouring fingers, and the last two of each finger with the palm, which goes from
    the wrist to the knuckles; without those that meet at rest, as parts do that are built side by side.
    """
    names = list(hand.fingers)
    points = (hand.wrist, *(point for finger in hand.fingers.values() for point in finger))
    where = hand.positions(pose(rest), points)

    def segment(slot: int, part: int) -> tuple[int, int]:
        return 1 + 4 * slot + part, 2 + 4 * slot + part

    both: list[tuple[tuple[int, int], tuple[int, int], float]] = []
    for a, b in combinations(range(len(names)), 2):
        if b == a + 1 or names[a] == "thumb":
            both += [
                (segment(a, i), segment(b, j), capsule_radius(hand, i) + capsule_radius(hand, j))
                for i in range(TIP + 1)
                for j in range(TIP + 1)
            ]
    for a, b in product(range(len(names)), range(len(names))):
        if a != b and names[b] != "thumb":
            palm = (0, 1 + 4 * b)
            both += [
                (segment(a, i), palm, capsule_radius(hand, i) + capsule_radius(hand, None)) for i in (TIP - 1, TIP)
            ]
    free = [pair for pair in both if nearest(*where[list(pair[0])], *where[list(pair[1])])[0] > pair[2] + _CLEARANCE]
    return [(*first, *second) for first, second, _ in free], [reach for *_, reach in free]


def joint_ranges(
    hand: RobotDescription, free: Sequence[str], drives: Sequence[tuple[str | None, float, float]]
) -> tuple[Array, Array]:
    """Return limits [N] of the free joints, narrowed so that their followers stay within their own limits too."""
    joints = {joint.name: joint for joint in hand.joints}
    ranges = {name: (joints[name].lower, joints[name].upper) for name in free}
    for joint, (leader, gain, offset) in zip(hand.joints, drives, strict=True):
        if leader is None or leader == joint.name:
            continue
        low, high = ranges[leader]
        ends = sorted(((joint.lower - offset) / gain, (joint.upper - offset) / gain))
        ranges[leader] = left = max(low, ends[0]), min(high, ends[1])
        own = joints[leader].upper - joints[leader].lower
        follows = f"{joint.name} = {gain:g} {leader} {offset:+g}"
        if left[0] > left[1]:
            raise HumanrtError(
                f"{hand.kind} {hand.name}: no angle of joint {leader} keeps its mimic joints within their limits; "
                f"fix those of {joint.name}, {joint.lower:g}..{joint.upper:g}, or its multiplier or offset ({follows})"
            )
        if own > 0.0 and left[1] - left[0] < 0.01 * own:
            raise HumanrtError(
                f"{hand.kind} {hand.name}: joint {leader} cannot move: {joint.name}, which follows it ({follows}), "
                f"holds it by its limits {joint.lower:g}..{joint.upper:g}; widen those, or leave a follower's lower "
                "and upper out"
            )
    low, high = np.array([ranges[name] for name in free]).T
    return low.copy(), high.copy()


def _reach(
    hand: HandDescription, lower: Array, upper: Array, rest: Array, pose: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """Return the tip positions [F, 3] of a gripper when closed, and when open.

    Closed: with one motor, where the tips are nearest to each other; with several, all tips in one point, which they
    approach as far as they can. Open: fingers of several joints are at the limits nearest to the rest pose, or at the
    opposite ones if those are closed; other jaws are where their tips are furthest apart without having crossed. The
    extremes are searched one variable at a time, on a grid that is refined around the best value.
    """
    points = [points[3] for points in hand.fingers.values()]

    def where(x: Array) -> Array:
        return hand.positions(pose(x), points)

    def vectors(x: Array) -> Array:
        tips = where(x)
        between: Array = tips[1:] - tips[0]
        return between

    def furthest(sign: float, side: Array | None = None) -> Array:
        """Return variables with tips furthest apart (sign 1) or nearest (-1); ``side``: vectors they may not oppose."""
        x = (lower + upper) / 2.0 if side is None else rest.copy()
        for width in (1.0, 1.0, 0.1):
            for i in range(len(x)):
                around = x[i] + width * (upper[i] - lower[i]) * np.linspace(-1.0, 1.0, 21)
                candidates = np.unique(np.clip([x[i], *around], lower[i], upper[i]))
                candidates = candidates[np.argsort(np.abs(candidates - x[i]), kind="stable")]
                scores = []
                for value in candidates:
                    v = vectors(np.where(np.arange(len(x)) == i, value, x))
                    crossed = side is not None and float((v * side).sum()) < 0.0
                    scores.append(-np.inf if crossed else sign * float(np.linalg.norm(v, axis=1).sum()))
                x[i] = candidates[int(np.argmax(np.round(scores, 9)))]
        return x

    several = len(lower) > 1
    if several and any(len(finger) > 1 for finger in hand.own_joints()):
        near = np.where(rest < (lower + upper) / 2.0, lower, upper)
        far = lower + upper - near
        wide = near if _open_further(vectors(near), vectors(far)) else far
    else:
        wide = furthest(1.0)
        if _open_further(vectors(rest), vectors(wide)):
            wide = furthest(1.0, vectors(rest))
    opened = where(wide)
    return np.zeros_like(opened) if several else where(furthest(-1.0)), opened


def _open_further(here: Array, there: Array) -> bool:
    """Return whether jaws are open at the vectors ``here``, but closed or crossed at those ``there``."""
    size, other = float(np.linalg.norm(here)), float(np.linalg.norm(there))
    return size > other or (float((here * there).sum()) < 0.0 and size > 0.1 * other)


@dataclass(frozen=True)
class _Folded:
    """The moving joints, with all others folded into their placements; as in `Problem`."""

    order: Indices
    parent: Indices
    placement: Array
    point_joint: Indices
    point_xyz: Array

    def levers(self) -> int:
        """Return of all points how many moving joints are between each and the base."""
        depth = [0]  # of the base, which is parent -1
        for parent in self.parent.tolist():
            depth.append(depth[parent + 1] + 1)
        return sum(depth[joint + 1] for joint in self.point_joint.tolist())


def fold_joints(
    hand: RobotDescription, drives: Sequence[tuple[str | None, float, float]], points: Sequence[Point]
) -> _Folded:
    """Return the moving joints, parents first, with all others folded into their placements, and the points."""
    chain = hand.chain()
    order: list[int] = []
    parent: list[int] = []
    placement: list[Array] = []
    # Of every joint's link: the row that carries it, and its pose in that row's frame (None: the row's own).
    links: list[tuple[int, Array | None]] = []
    for row, i in enumerate(chain.order.tolist()):
        above, pose = (-1, None) if chain.parent[row] < 0 else links[chain.parent[row]]
        here = np.eye(4)
        here[:3, :3], here[:3, 3] = chain.placement[row, :9].reshape(3, 3), chain.placement[row, 9:]
        here = here if pose is None else pose @ here
        leader, _, value = drives[i]
        if leader is None:
            links.append((above, here @ joint_motion(hand.joints[i], value)))
            continue
        links.append((len(order), None))
        order.append(i)
        parent.append(above)
        placement.append(np.concatenate([here[:3, :3].ravel(), here[:3, 3]]))
    rows = {hand.joints[i].name: link for i, link in zip(chain.order.tolist(), links, strict=True)}
    carried = [(-1, None) if point.joint is None else rows[point.joint] for point in points]
    where = [
        np.array(point.xyz) if pose is None else pose[:3, :3] @ np.array(point.xyz) + pose[:3, 3]
        for point, (_, pose) in zip(points, carried, strict=True)
    ]
    return _Folded(
        order=np.array(order, dtype=np.int32),
        parent=np.array(parent, dtype=np.int32),
        placement=np.array(placement, dtype=np.float64),
        point_joint=np.array([row for row, _ in carried], dtype=np.int32),
        point_xyz=np.array(where, dtype=np.float64),
    )
