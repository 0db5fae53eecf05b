"""Gentle motion: joint angles that a robot can follow, whatever the hand does.

A solver's angles jump where the camera sees another hand, or the same one again elsewhere. `GentleMotion` goes from
where the robot is to where it should be on the quickest path that keeps to a speed and an acceleration and ends at a
stand: accelerate, cruise, brake (a trapezoid of speed, in closed form). A result is that path at the frame's time, so
the speed between two results is never above ``max_speed``, nor does it change by more than ``max_acceleration`` from
one interval's middle to the next's, at any frame rate. As it can stop at any moment before a goal that it ever had, it
passes no joint limit. The price is a lag of speed / (2 acceleration) seconds behind a steady motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import SAME_INSTANT, check_kind, check_points, check_range, check_time, numbers
from humanrt.errors import HumanrtError, InvalidInputError, choices
from humanrt.retarget.arm import ArmDescription
from humanrt.retarget.description import HandDescription
from humanrt.retarget.load import load_robot
from humanrt.retarget.retargeter import STROKE, Retargeter, joint_rows
from humanrt.retarget.robot import RobotDescription
from humanrt.retarget.wrist import palm_template

__all__ = ["ON_LOST", "GentleMotion", "GentleOptions", "MotionState", "open_hand"]

Array = NDArray[np.float64]
MotionState = Literal["following", "holding", "opening"]

ON_LOST = ("hold", "open")
"""What a robot does when its hand is gone."""

MAX_GAP = 0.25
"""s without a result from which the robot is taken to have braked meanwhile: nobody told it to go on."""

_LENGTHS = ((0.03, 0.03, 0.025), (0.04, 0.025, 0.022), (0.045, 0.028, 0.024), (0.04, 0.026, 0.023), (0.032, 0.02, 0.02))
_ASIDE = (0.14, 0.04, -0.04, -0.12)  # of a finger's direction, towards the thumb
_THUMB = (0.35, 0.65, 0.67)


@dataclass(frozen=True)
class GentleOptions:
    """How a robot is moved.

    Attributes:
        max_speed: max speed of a robot's joint in rad/s; a slide takes at least as long for its range as a hinge for
            1.5 rad. A description's own max_speed applies if it is lower; an arm's is 2 rad/s unless it says otherwise.
        max_acceleration: max acceleration of a robot's joint in rad/s2; likewise, of an arm 10 rad/s2.
        on_lost: what a robot hand does when its hand is gone, one of `ON_LOST`; either way it brakes at once. Arms
            hold.
        patience: seconds for which a hand may be gone before the robot opens.
    """

    max_speed: float = 6.0
    max_acceleration: float = 60.0
    on_lost: str = ON_LOST[0]
    patience: float = 0.33

    def __post_init__(self) -> None:
        check_range(self.max_speed, "max_speed (rad/s)", 0.0, 1e3, above=True)
        check_range(self.max_acceleration, "max_acceleration (rad/s2)", 0.0, 1e5, above=True)
        check_range(self.patience, "patience (s)", 0.0, 3600.0)
        if self.on_lost not in ON_LOST:
            raise HumanrtError(f"on_lost is {self.on_lost!r}; choose one of: {choices(ON_LOST)}")


class GentleMotion:
    """Moves one robot hand or arm; keeps its state from frame to frame. Not shared between threads.

    >>> motion = GentleMotion("allegro_right", max_speed=4.0, on_lost="open")
    >>> angles = motion(retargeter.solve(keypoints), t)   # or motion(None, t) where there is no hand

    Joints that follow another do so here as well.

    Args:
        robot: its name, the path of its description, or the description; see `Retargeter`.
        options, changes: see `GentleOptions`; its fields may be given as keywords instead.
        start: [dof] where the robot is; None: in the pose for an open hand; of an arm in its rest pose.
        joint_order: names of the joints in the order of all angles; None: the description's.

    Attributes:
        state: ``following``, ``holding`` (it brakes, and stands) or ``opening``.
    """

    def __init__(
        self,
        robot: str | Path | RobotDescription,
        options: GentleOptions | None = None,
        *,
        start: ArrayLike | None = None,
        joint_order: Sequence[str] | None = None,
        **changes: Any,
    ) -> None:
        options = GentleOptions() if options is None else options
        check_kind(options, GentleOptions, "options", "GentleOptions")
        known = GentleOptions.__dataclass_fields__
        if wrong := set(changes) - set(known):
            raise HumanrtError(f"unknown option {choices(wrong)}; options are {choices(known)}")
        self.options = replace(options, **changes)
        described = robot if isinstance(robot, RobotDescription) else load_robot(robot)
        self.hand: RobotDescription = described
        self.joint_names: tuple[str, ...]
        self.limits: Array
        if isinstance(described, ArmDescription):  # nothing to open: it stays where it is
            order = joint_rows(described, joint_order)
            self.joint_names = tuple(described.joint_names[row] for row in order)
            self.limits, self._open = described.limits[order], described.rest_pose[order]
            self.options = replace(self.options, on_lost="hold")
        else:
            assert isinstance(described, HandDescription)
            solver = Retargeter(described, joint_order=joint_order)
            self.joint_names, self.limits = solver.joint_names, solver.limits
            self._open = solver.solve(open_hand(described.side))
        self._leader, self._gain, self._offset = self._followers()
        self._speed, self._acceleration = self._bounds()
        self.state: MotionState = "holding"
        self._position = self._open if start is None else self._checked(start)
        self._velocity = np.zeros(len(self._position))
        self._t: float | None = None
        self._seen: float | None = None

    @property
    def dof(self) -> int:
        """Number of joints."""
        return len(self.joint_names)

    def __call__(self, q: ArrayLike | None, t: float, *, enabled: bool = True) -> Array:
        """Return where the joints are to be at time ``t``, [dof] rad (m for slides).

        Args:
            q: [dof] where they should be, as the solver says; clipped to the joint limits. None: there is no hand.
            t: time in s. If it is not later than the last one, the last result is returned again.
            enabled: False lets the robot brake and stand, whatever is seen; for a dead man's switch.

        Raises:
            ValueError: angles of another number, or angles or a time that are not finite. The state is then unchanged.
        """
        t = check_time(t)
        goal = None if q is None else self._checked(q)
        if self._t is None:
            self._t = self._seen = t
            self.state = "following" if enabled and goal is not None else "holding"
            return self._all(self._position)
        dt = t - self._t
        if dt <= SAME_INSTANT:
            return self._all(self._position)
        self._t = t
        if goal is not None:
            self._seen = t
        self.state = self._next_state(enabled, goal is not None, t)
        if self.state == "holding" or dt > MAX_GAP:
            goal = self._position + self._stop()
        elif self.state == "opening":
            goal = self._open
        assert goal is not None
        self._move(goal, dt)
        return self._all(self._position)

    def _next_state(self, enabled: bool, seen: bool, t: float) -> MotionState:
        if not enabled:
            return "holding"
        if seen:
            return "following"
        assert self._seen is not None
        lost = self.options.on_lost == "open" and t - self._seen > self.options.patience
        return "opening" if lost else "holding"

    def _stop(self) -> Array:
        """Return how far the joints move until they stand, if they brake now."""
        return self._velocity * np.abs(self._velocity) / (2.0 * self._acceleration)

    def _move(self, goal: Array, dt: float) -> None:
        """Move the state on by ``dt`` on the quickest path to a stand at ``goal``.

        Each joint first accelerates towards the side on which its goal lies from where it could stop: everything
        below is turned so that this side is positive.
        """
        x, v, a = self._position, self._velocity, self._acceleration
        ahead = goal - (x + self._stop())
        side = np.where(ahead == 0.0, np.sign(v), np.sign(ahead))
        way, v = side * (goal - x), side * v
        peak = np.minimum(np.sqrt(np.maximum(a * way + v * v / 2.0, 0.0)), self._speed)
        peak = np.maximum(peak, v)
        rising = (peak - v) / a
        rise = (peak + v) / 2.0 * rising
        falling = peak / a
        cruise = np.maximum(way - rise - peak * falling / 2.0, 0.0)
        cruising = np.divide(cruise, peak, out=np.zeros_like(peak), where=peak > 0.0)
        # The three parts, each as long as it has lasted by now.
        first = np.minimum(dt, rising)
        second = np.clip(dt - rising, 0.0, cruising)
        third = np.clip(dt - rising - cruising, 0.0, falling)
        moved = (v + a * first / 2.0) * first + peak * second + (peak - a * third / 2.0) * third
        there = dt >= rising + cruising + falling
        self._position = np.where(there, goal, x + side * moved)
        self._velocity = np.where(there, 0.0, side * (v + a * (first - third)))

    def _all(self, x: Array) -> Array:
        """Return the angles of all joints, where each follower is where its leader puts it."""
        return np.asarray(self._gain * x[self._leader] + self._offset)

    def _followers(self) -> tuple[NDArray[np.int64], Array, Array]:
        """Return for each joint the place of the joint that it follows (its own if none), gain and offset."""
        places = {name: place for place, name in enumerate(self.joint_names)}
        drives = dict(zip(self.hand.joint_names, self.hand.drives({}), strict=True))
        leader = np.arange(len(places))
        gain, offset = np.ones(len(places)), np.zeros(len(places))
        for name, place in places.items():
            leads, by, beyond = drives[name]
            if leads is not None and leads != name:
                leader[place], gain[place], offset[place] = places[leads], by, beyond
        return leader, gain, offset

    def _bounds(self) -> tuple[Array, Array]:
        """Return speed and acceleration of each joint: of leaders so low that their followers keep to theirs."""
        slide = {joint.name: joint.prismatic for joint in self.hand.joints}
        span = np.array([STROKE if not slide[name] else 0.0 for name in self.joint_names])
        span = np.where(span > 0.0, span, np.maximum(self.limits[:, 1] - self.limits[:, 0], 1e-6))
        per_unit = np.abs(self._gain) * STROKE / span
        slowest = np.zeros(len(span))
        np.maximum.at(slowest, self._leader, per_unit)
        slowest = np.maximum(slowest, 1e-9)
        speed, acceleration = self.options.max_speed, self.options.max_acceleration
        speed = min(speed, self.hand.max_speed or speed)
        acceleration = min(acceleration, self.hand.max_acceleration or acceleration)
        return speed / slowest, acceleration / slowest

    def _checked(self, q: ArrayLike) -> Array:
        values = numbers(q, "q")
        if values.shape != (self.dof,):
            raise InvalidInputError(f"q has shape {values.shape}; {self.hand.name} has {self.dof} joints")
        check_points(values, "the joints' positions")
        return np.clip(values, *self.limits.T)


def open_hand(side: str) -> Array:
    """Return the keypoints [21, 3] m of an open human hand, in MediaPipe's order and the axes of its wrist frame."""
    points = np.zeros((21, 3))
    directions = [_THUMB, *((0.0, aside, 1.0) for aside in _ASIDE)]
    for finger, (base, direction) in enumerate(zip(palm_template("right")[1:], directions, strict=True)):
        along = np.array(direction) / np.linalg.norm(direction)
        reach = np.concatenate([[0.0], np.cumsum(_LENGTHS[finger])])
        points[1 + 4 * finger : 5 + 4 * finger] = base + reach[:, None] * along
    return np.asarray(points * np.array([1.0, 1.0 if side == "right" else -1.0, 1.0]))
