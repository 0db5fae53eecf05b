"""ArmRetargeter: joint angles of a robot arm from a person's shoulder, elbow, wrist and hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import check_points, check_range, numbers
from humanrt.errors import HumanrtError, InvalidInputError, choices
from humanrt.geometry.rotation import vectors_from_matrices
from humanrt.retarget.arm import ARM_SPEED, ArmDescription
from humanrt.retarget.arm_problem import arm_points, arm_problem, furthest, search, starts
from humanrt.retarget.gentle import MAX_GAP
from humanrt.retarget.kernel import KERNELS, make_kernel
from humanrt.retarget.load import load_arm

__all__ = ["ArmPose", "ArmRetargeter", "ArmState", "trunk_axes"]

Array = NDArray[np.float64]
ArmState = Literal["following", "changing"]

FACING = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
"""Axes (forward, left, up) of somebody who faces the camera, as columns in camera space."""
MAX_SPEED = 10.0
"""rad/s, of joints from frame to frame: some three times what an arm's motors can do, and enough for a waving hand."""
REACHED_M, REACHED_RAD = 0.01, 0.1
"""Distance and angle within which the tool counts as being where it should be."""
_STRAIGHT = 0.9  # of the robot's reach, at which a person's straight arm is laid
_WITHIN = 0.97  # of the robot's reach, within which places can be reached if the search was not caught
_DAMPING = 1e-3  # weight of |q - last q|^2 a frame of 1/30 s, for where the arm is straight: some 6 mm a rad
_BETTER = 0.5  # of the cost, below which another solution is taken instead, if no time is given
# How far off the tool is while a branch counts as not reaching. Arriving asks for less, so that no two take turns.
_LEAVE_M, _LEAVE_RAD = 0.03, 0.3


@dataclass(frozen=True)
class ArmPose:
    """A person's arm in one frame, camera space (x right, y down, z forward), m.

    Attributes:
        shoulder, elbow, wrist: [3].
        hand: [3, 3] the wrist's axes as columns: out of the palm, sideways, towards the fingers
            (`humanrt.retarget.wrist_frame`). None: not known; the tool's rotation is then free.
        trunk: [3, 3] the trunk's axes as columns: forward, left, up (`trunk_axes`). None: as of somebody who faces the
            camera.
    """

    shoulder: Array
    elbow: Array
    wrist: Array
    hand: Array | None = None
    trunk: Array | None = None

    @property
    def length(self) -> float:
        """Return the arm's length from shoulder to wrist along it, m."""
        upper = np.linalg.norm(np.subtract(self.elbow, self.shoulder))
        return float(upper + np.linalg.norm(np.subtract(self.wrist, self.elbow)))


class ArmRetargeter:
    """Compute joint angles of one robot arm from one person's, frame by frame.

    The tool goes where the wrist is, seen from the shoulder, at the robot's size, and turns as the hand does; the elbow
    decides what that leaves open. Joint limits are never exceeded, nor, if time is given, ``max_speed``; what a robot
    is sent is slower (`GentleMotion`). Places out of reach are approached as far as the arm can; `error` says how far.
    An instance holds the state of one arm and is not shared between threads.

    If time is given, the arm stays on its branch (elbow up or down, wrist turned over): a frame is solved within what
    its joints can do since the last. Where another branch reaches the place and the present one has not for
    ``branch_after`` seconds (of the description), the arm goes there through its joints, gently, and `state` says so.

    >>> arm = ArmRetargeter("ur5e", "right")             # or the path of an arm's URDF or JSON file
    >>> q = arm.solve(ArmPose(shoulder, elbow, wrist), dt=1 / 30)

    Args:
        robot: a name from `humanrt.retarget.arms`, the path of a URDF or of a JSON file (`humanrt.retarget.arm_urdf`),
            or a description.
        side: the person's arm that moves it; see `load_arm`. None: as its name or file says, else right.
        max_speed: rad/s, max speed of a joint if `solve` is given dt; None: unbounded.
        kernel: auto, native or numpy.

    Attributes:
        state: ``following``, or ``changing`` to another branch: the tool is then elsewhere.
        changes: how often it went to another branch.
    """

    def __init__(
        self,
        robot: str | Path | ArmDescription,
        side: str | None = None,
        *,
        max_speed: float | None = MAX_SPEED,
        kernel: str = "auto",
    ) -> None:
        if kernel not in KERNELS:
            raise HumanrtError(f"unknown kernel {kernel!r}; choose one of: {choices(KERNELS)}")
        self.arm: ArmDescription = load_arm(robot, side)
        if max_speed is not None:
            check_range(max_speed, "max_speed (rad/s)", 0.0, 1e3, above=True)
        self._max_speed = max_speed
        self._problem = arm_problem(self.arm)
        self._kernel = make_kernel(self._problem, kernel)
        self._starts = starts(self._problem)
        self._revolves = np.array([not self.arm.joints[row].prismatic for row in self._problem.source])
        self._shoulder = self.arm.positions(self.arm.rest_pose, [self.arm.shoulder])[0]
        self.reach: float = furthest(self.arm)
        """m from the shoulder to the tool, at most."""
        elbow = self.arm.positions(self.arm.rest_pose, [self.arm.elbow])[0]
        self._upper_arm = float(np.linalg.norm(elbow - self._shoulder))
        self.reset()

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints, in the order of the results of ``solve``."""
        return self.arm.joint_names

    @property
    def last(self) -> Array:
        """The last result [dof]; the rest pose before the first."""
        return self._problem.q.copy()

    @property
    def error(self) -> tuple[float, float]:
        """How far the tool of the last result is from where it should be: m, and rad (0 where the turn is free)."""
        return self._error

    @property
    def reached(self) -> bool:
        """Whether the tool of the last result is within 1 cm and 0.1 rad of where it should be."""
        return _is_there(self._error)

    def reset(self) -> None:
        """Clear the state: the next frame is solved from anywhere, and not bounded."""
        self._problem.reset()
        self.state: ArmState = "following"
        self.changes = 0
        self._held: Array | None = None
        self._unreached = 0.0  # s
        self._change: _Change | None = None
        self._length: tuple[float, int] = (0.0, 0)
        self._error = (0.0, 0.0)

    def forget_person(self) -> None:
        """Forget how long the person's arm is and what was out of their reach, but not where the robot is."""
        self._length = (0.0, 0)
        self._unreached = 0.0
        self._change = None
        self.state = "following"

    def target(self, pose: ArmPose) -> tuple[Array, Array | None]:
        """Return where the person's wrist is laid in the base frame, [3] m, and how it is turned [3, 3]."""
        turn = self._turn(pose)
        offset = self.arm.placement.offset
        tool = self._shoulder + self._scale() * (turn @ np.subtract(pose.wrist, pose.shoulder)) + offset
        return tool, None if pose.hand is None else turn @ np.asarray(pose.hand, np.float64)

    def solve(self, pose: ArmPose, *, dt: float | None = None) -> Array:
        """Return joint angles [dof], rad (m for slides).

        Args:
            pose: the person's arm.
            dt: seconds since the last frame; no joint then moves faster than ``max_speed``. None: unbounded.

        Raises:
            ValueError: places that are not finite or implausible, axes that are none, or a negative dt. The state is
                then unchanged.
        """
        _check(pose)
        if dt is not None:
            check_range(dt, "dt", 0.0)
        p, held = self._problem, self._held
        mean, count = self._length
        count = min(count + 1, 90)
        self._length = (mean + (pose.length - mean) / count, count)
        tool, turn = self.target(pose)
        bent = self._turn(pose) @ np.subtract(pose.elbow, pose.shoulder)
        elbow = self._shoulder + bent * (self._upper_arm / max(float(np.linalg.norm(bent)), 1e-6))
        points, p.tasks.weight[...] = arm_points(self._shoulder, elbow, tool, turn)
        if held is None:
            search(self._kernel, points, self._starts)
        elif dt is None:
            self._solve_near(points, held, np.inf, 0.0)
            self._error = self._missed(tool, turn)
            if not self.reached and self._within(tool):
                here, cost = p.x.copy(), float(p.cost[0])
                search(self._kernel, points, self._starts)
                if p.cost[0] > _BETTER * cost:
                    p.x[...] = here
        elif self._change is None:
            self._follow(points, held, tool, turn, dt)
        else:
            self._go_on(self._change, points, held, dt)
        if held is None or dt is None:
            self._change, self._unreached = None, 0.0
        self.state = "following" if self._change is None else "changing"
        self._held = p.x.copy()
        p.write_q()
        self._error = self._missed(tool, turn)
        return p.q.copy()

    def _turn(self, pose: ArmPose) -> Array:
        """Return the rotation [3, 3] from camera space to the robot's base."""
        place = self.arm.placement
        trunk = FACING if pose.trunk is None or place.frame == "camera" else np.asarray(pose.trunk, np.float64)
        return np.asarray(place.rotation @ trunk.T)

    def _solve_near(self, points: Array, x: Array, step: float, smoothing: float) -> None:
        """Leave the best solution within ``step`` (rad) of x in the problem's state, found from x."""
        p = self._problem
        p.x[...] = x
        lower, upper = p.lower.copy(), p.upper.copy()
        p.lower[...], p.upper[...] = np.maximum(lower, x - step), np.minimum(upper, x + step)
        try:
            self._kernel.solve(points, False, True, smoothing)
        finally:
            p.lower[...], p.upper[...] = lower, upper

    def _follow(self, points: Array, here: Array, tool: Array, turn: Array | None, dt: float) -> None:
        """Solve the frame within what the joints can do in dt, and begin a change of branch if it is time."""
        p = self._problem
        step = np.inf if self._max_speed is None else self._max_speed * dt
        self._solve_near(points, here, step, _DAMPING / 30.0 / max(dt, 1e-3))
        away = self._missed_at(p.x, tool, turn)
        # Who is on the way at full speed is late, but not stuck.
        late = bool((np.abs(p.x - here) >= step * (1.0 - 1e-6)).any())
        off = away[0] > _LEAVE_M or away[1] > _LEAVE_RAD
        if not off:
            self._unreached = 0.0
            return
        if late or not self._within(tool):
            return
        self._unreached += min(dt, MAX_GAP)  # nobody knows where the person was in a longer gap
        after = self.arm.branch_after
        if after is None or self._unreached < after:
            return
        self._unreached = 0.0
        begin = p.x.copy()
        goal = self._other_branch(points, begin, tool, turn)
        p.x[...] = begin
        if goal is not None:
            self.changes += 1
            speed = min(self.arm.max_speed or ARM_SPEED, self._max_speed or np.inf)
            seconds = 1.5 * float(np.abs(goal - begin).max()) / speed
            self._change = _Change(begin, goal, max(seconds, dt))

    def _other_branch(self, points: Array, here: Array, tool: Array, turn: Array | None) -> Array | None:
        """Return the solution [N] that reaches the place by the shortest way of the joints; None: there is none."""
        p, found, shortest = self._problem, None, np.inf
        for start in self._starts:
            self._solve_near(points, start, np.inf, 0.0)
            turns = 2.0 * np.pi * np.where(self._revolves, np.round((here - p.x) / (2.0 * np.pi)), 0.0)
            turns[(p.x + turns < p.lower) | (p.x + turns > p.upper)] = 0.0
            if turns.any():  # the same pose by fewer turns, of the joints whose limits have room for it
                self._solve_near(points, p.x + turns, np.inf, 0.0)
            away, way = self._missed_at(p.x, tool, turn), float(np.abs(p.x - here).max())
            if _is_there(away) and way < shortest:
                found, shortest = p.x.copy(), way
        return found

    def _go_on(self, change: _Change, points: Array, here: Array, dt: float) -> None:
        """Go on to another branch, which meanwhile follows the person."""
        p = self._problem
        step = np.inf if self._max_speed is None else self._max_speed * dt
        self._solve_near(points, change.goal, step, _DAMPING / 30.0 / max(dt, 1e-3))
        change.goal, change.gone = p.x.copy(), change.gone + min(dt, MAX_GAP)
        share = min(change.gone / change.seconds, 1.0)
        share *= share * (3.0 - 2.0 * share)
        to = change.begin + share * (change.goal - change.begin)
        p.x[...] = np.clip(to, here - step, here + step)
        if share >= 1.0 and (np.abs(to - here) <= step).all():  # else a joint is still on the way
            self._change = None

    def _within(self, tool: Array) -> bool:
        return float(np.linalg.norm(tool - self._shoulder)) < _WITHIN * self.reach

    def _scale(self) -> float:
        place = self.arm.placement
        if place.scale is not None:
            return place.scale
        return _STRAIGHT * self.reach / (place.arm_length or self._length[0] or 0.55)

    def _missed_at(self, x: Array, tool: Array, turn: Array | None) -> tuple[float, float]:
        self._problem.write_q(x)
        return self._missed(tool, turn)

    def _missed(self, tool: Array, turn: Array | None) -> tuple[float, float]:
        here = self.arm.pose(self._problem.q)
        angle = 0.0 if turn is None else float(np.linalg.norm(vectors_from_matrices(here[:3, :3].T @ turn)))
        return float(np.linalg.norm(here[:3, 3] - tool)), angle


@dataclass
class _Change:
    """A change of branch: joints [N] where it began, where the other branch is now, s that it takes, s since then."""

    begin: Array
    goal: Array
    seconds: float
    gone: float = 0.0


def _is_there(error: tuple[float, float]) -> bool:
    return error[0] <= REACHED_M and error[1] <= REACHED_RAD


def trunk_axes(shoulders: ArrayLike, hips: ArrayLike) -> Array:
    """Return a trunk's axes [3, 3] as columns: forward, left, up.

    Args:
        shoulders, hips: [2, 3] m, left and right.
    """
    upper, lower = np.asarray(shoulders, np.float64), np.asarray(hips, np.float64)
    up = upper.mean(axis=0) - lower.mean(axis=0)
    up /= max(float(np.linalg.norm(up)), 1e-9)
    left = upper[0] - upper[1] + lower[0] - lower[1]
    left -= up * (up @ left)
    left /= max(float(np.linalg.norm(left)), 1e-9)
    return np.stack([np.cross(left, up), left, up], axis=1)


def _check(pose: ArmPose) -> None:
    """Raise ValueError for places and axes that no arm has."""
    for name in ("shoulder", "elbow", "wrist"):
        point = numbers(getattr(pose, name), name)
        if point.shape != (3,):
            raise InvalidInputError(f"{name} has shape {point.shape}; give [3] m")
        check_points(point, name)
    for name in ("hand", "trunk"):
        axes = getattr(pose, name)
        if axes is not None:
            given = numbers(axes, name)
            if (
                given.shape != (3, 3)
                or not np.abs(given.T @ given - np.eye(3)).max() < 1e-3
                or np.linalg.det(given) < 0.0
            ):
                raise InvalidInputError(
                    f"{name} is not a rotation [3, 3]; its columns are three axes of length 1, right-handed"
                )
    if not 0.1 <= pose.length <= 2.0:
        raise InvalidInputError(f"the arm is {pose.length:.3g} m long; give metres, of a person's arm")
