"""Retargeter: joint angles of a robot hand from keypoints of a human hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import check_kind, check_points, check_range, numbers
from humanrt.errors import HumanrtError, InvalidInputError, choices
from humanrt.retarget.check import number
from humanrt.retarget.description import Configured, HandDescription
from humanrt.retarget.kernel import KERNELS, make_kernel
from humanrt.retarget.load import load_hand
from humanrt.retarget.naming import renamed
from humanrt.retarget.objective import OBJECTIVES
from humanrt.retarget.problem import build_problem
from humanrt.retarget.reference import unmoved_joints
from humanrt.retarget.robot import RobotDescription

__all__ = ["STROKE", "RetargetOptions", "Retargeter", "joint_rows"]

Array = NDArray[np.float64]

SMOOTHING_INTERVAL = 1.0 / 30.0
"""Seconds between frames for which ``smoothing`` is specified."""

SLACK_RAD, SLACK_M = 2.0 * np.pi, 1.0
"""Max distance of a measured joint position outside its limits."""

_PROJECT, _ESCAPE = 0.03, 0.05
"""m; defaults of `RetargetOptions`, as of dex-retargeting."""

STROKE = 1.5
"""rad: about what a finger's joint turns from open to closed; a prismatic joint's whole range counts as much."""


@dataclass(frozen=True)
class RetargetOptions:
    """Options of `Retargeter`. Lengths in metres, angles in radians."""

    objective: str | None = None
    """``pose``, ``vector`` or ``dexpilot``; see ``humanrt.retarget.objective``. None: pose, or the one that the robot's
    configuration of dex-retargeting asks for."""
    scale: float | None = None
    """Ratio of the robot's size to the human's; None takes the hand description's."""
    huber: float | None = None
    """Residual from which a vector pulls with constant force; None: 0.02, and 0.03 for dexpilot, as in the field."""
    smoothing: float = 0.0
    """Weight of |q - last q|^2 for frames 1/30 s apart; dex-retargeting and dexi-rs use 4e-3. No smoothing by default:
    keypoints are smoothed before, in real time, and the same keypoints then give the same angles regardless of earlier
    frames."""
    smoothing_per: str = "second"
    """``second``: the weight is smoothing / (30 dt), an implicit Euler step of a flow in real time, so the result does
    not depend on the frame rate; and no smoothing if ``solve`` is given no dt. ``call``: the same weight at every call
    for any time between, as in dex-retargeting and dexi-rs: the result then depends on how often a frame is shown."""
    max_speed: float | None = 15.0
    """rad/s, max speed of a joint, if ``solve`` is given dt; None: unbounded. A prismatic joint takes at least the time
    for its whole range that a revolute joint takes for 1.5 rad. A hand description's own ``max_speed`` applies if it is
    lower. See `Retargeter.solve`."""
    rest_weight: float | None = None
    """Weight of |q - rest pose|^2: resolves what the keypoints leave undetermined, without memory of earlier frames.
    None: 4e-3, the usual weight on the distance from the last solution in the literature, and twice that for pose,
    where a smaller weight lets Shadow's thumb flicker between two poses of equal cost."""
    restarts: bool = True
    """Also search from the straight and the half-closed hand and keep the best: a bad minimum, once entered in a fast
    movement, is left at the next frame. About three times the cost."""
    project: float | None = None
    """Distance between human fingertips below which they count as touching (dexpilot, pose). None: 0.03, or that of the
    robot's configuration of dex-retargeting."""
    escape: float | None = None
    """Distance between human fingertips above which they no longer count as touching. None: 0.05, or likewise."""
    collisions: bool = False
    """Keep fingers from penetrating each other and the palm, by capsules; with ``pose``, fingertips that touch then
    meet with their surfaces, not their middles. On the CPU only."""
    unlock: bool = False
    """Also solve for the joints that the description locks (Shadow's wrist: the human's is not observed)."""
    tolerance: float = 1e-11
    """Converged when no free joint's gradient is above this."""
    max_iterations: int = 100

    def __post_init__(self) -> None:
        if self.objective is not None and self.objective not in OBJECTIVES:
            raise HumanrtError(f"unknown objective {self.objective!r}; choose one of: {choices(OBJECTIVES)}")
        if self.smoothing_per not in ("second", "call"):
            raise HumanrtError(f"smoothing_per is {self.smoothing_per!r}; give second or call")
        signs = dict.fromkeys(("scale", "huber", "tolerance", "project", "escape", "max_iterations"), "be positive")
        optional = ("scale", "huber", "rest_weight", "max_speed", "project", "escape")
        signs |= {"max_speed": "be positive", **dict.fromkeys(("smoothing", "rest_weight"), "not be negative")}
        for name, sign in signs.items():
            if (value := getattr(self, name)) is not None or name not in optional:
                number(value, name, sign)
        for name, kind in (
            *(("max_iterations", Integral), ("restarts", bool), ("unlock", bool), ("collisions", bool)),
        ):
            if not isinstance(value := getattr(self, name), kind):
                raise HumanrtError(f"{name} is {value!r}; it must be of type {kind.__name__}")
        project, escape = self.project or _PROJECT, self.escape or _ESCAPE
        if not escape > project:
            raise HumanrtError(f"escape ({escape}) must be above project ({project})")

    def resolved(self, hand: HandDescription) -> RetargetOptions:
        """Return the options with nothing of objective and touching fingertips left open."""
        asked = hand.configured or Configured("pose", (), None, _PROJECT, _ESCAPE)
        objective = self.objective or asked.objective
        return replace(
            self,
            objective=objective,
            huber=self.huber or asked.huber or (0.03 if objective == "dexpilot" else 0.02),
            project=self.project or asked.project,
            escape=self.escape or asked.escape,
        )

    @classmethod
    def of_peers(cls, objective: str) -> RetargetOptions:
        """Return the options under which the problem is that of dex-retargeting and dexi-rs, term for term."""
        return cls(
            objective=objective,
            smoothing=4e-3,
            smoothing_per="call",
            max_speed=None,
            rest_weight=0.0,
            unlock=True,
            restarts=False,
        )


class Retargeter:
    """Compute joint angles of one robot hand from the keypoints of one human hand, frame by frame.

    An instance holds the state of one hand (the last solution, from which the next starts): one per tracked hand,
    not shared between threads. Joint limits are never exceeded, nor, if time is given, ``max_speed``. Options are the
    fields of `RetargetOptions`, given as such or by name: ``Retargeter("allegro_right", objective="vector")``.

    Args:
        robot: a name from `humanrt.retarget.robots`, the path of a hand description, or the path of a JSON file that
            names a URDF and its fingertips (`humanrt.retarget.urdf`).
        joint_order: names of the robot's joints in the order of the results; by default the URDF's.
        names: joint -> its driver's name, in the driver's order; see `humanrt.retarget.naming.renamed`.
    """

    def __init__(
        self,
        robot: str | Path | HandDescription,
        options: RetargetOptions | None = None,
        *,
        joint_order: Sequence[str] | None = None,
        names: Mapping[str, str] | None = None,
        kernel: str = "auto",
        **changes: Any,
    ) -> None:
        loaded = load_hand(robot)
        self.hand: HandDescription = loaded if names is None else renamed(loaded, names)
        known = RetargetOptions.__dataclass_fields__
        if wrong := set(changes) - set(known):
            raise HumanrtError(f"unknown option {choices(wrong)}; options are {choices(known)}")
        if kernel not in KERNELS:
            raise HumanrtError(f"unknown kernel {kernel!r}; choose one of: {choices(KERNELS)}")
        options = RetargetOptions() if options is None else options
        check_kind(options, RetargetOptions, "options", "RetargetOptions")
        self.options: RetargetOptions = replace(options, **changes).resolved(self.hand)
        o = self.options
        assert o.objective is not None
        assert o.huber is not None
        assert o.project is not None
        assert o.escape is not None
        self._problem = build_problem(
            self.hand,
            o.objective,
            self.hand.scale if o.scale is None else o.scale,
            huber=o.huber,
            project=o.project,
            escape=o.escape,
            rest_weight=(8e-3 if o.objective == "pose" else 4e-3) if o.rest_weight is None else o.rest_weight,
            tolerance=o.tolerance,
            max_iterations=o.max_iterations,
            unlock=o.unlock,
            restarts=o.restarts,
            collisions=o.collisions,
        )
        if still := unmoved_joints(self._problem):
            which = ", ".join(self.hand.joint_names[i] for i in still)
            raise HumanrtError(
                f"hand {self.hand.name}: nothing can move joint {which}: it turns no finger and moves no tip against "
                f"another (objective {o.objective}); name a tip link beyond it, or give the tip a position, such as "
                '"tips": {"index": {"link": "index_3", "xyz": [0, 0, 0.025]}}, or both jaws of a gripper, or list the '
                'joint under "locked"'
            )
        self._kernel = make_kernel(self._problem, kernel)
        self._per_call = o.smoothing if o.smoothing_per == "call" else 0.0
        self._per_second = o.smoothing * SMOOTHING_INTERVAL if o.smoothing_per == "second" else 0.0
        self._speed = self._speeds()
        self._order = None if joint_order is None else joint_rows(self.hand, joint_order)
        self.evaluations = 0
        """Number of evaluations of the objective for the last frame."""
        self.reset()

    @property
    def kernel(self) -> str:
        """``native`` (compiled) or ``numpy``."""
        return self._kernel.name

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints, in the order of the results of ``solve``."""
        names = self.hand.joint_names
        return names if self._order is None else tuple(names[i] for i in self._order)

    @property
    def limits(self) -> Array:
        """Lower and upper limits [dof, 2], in the order of ``joint_names``."""
        limits = self.hand.limits
        return limits if self._order is None else limits[self._order]

    def solve(self, keypoints: ArrayLike, *, dt: float | None = None, side: str | None = None) -> Array:
        """Return joint angles [dof] for keypoints [21, 3].

        Args:
            keypoints: metres, MediaPipe order, camera axes (x right, y down, z forward), any origin and orientation.
            dt: seconds since the last frame; smooths towards the last solution, independently of the frame rate (see
                ``RetargetOptions.smoothing_per``), and bounds the motion of each joint from the last result by
                ``RetargetOptions.max_speed`` times dt. The search itself is not bounded: a joint goes straight to the
                solution, over as many frames as it takes. (Within bounds around the last result, a search can stay
                trapped in a bad minimum that it would have to climb out of.) The first frame after a ``reset()`` is
                not bounded. None: no smoothing and no bound; the result depends on this frame alone, except that the
                search starts from the last solution.
            side: side of the human hand; if it is not the robot's, keypoints are mirrored. None: the robot's.

        Raises:
            ValueError: keypoints of another shape, keypoints or a dt that are not finite or are implausible, or a
                negative dt. The state is then unchanged.
        """
        return self._run(keypoints, dt, side, False)

    def solve_local(self, keypoints: ArrayLike, *, dt: float | None = None, side: str | None = None) -> Array:
        """Solve as `solve` does, for keypoints already in the wrist frame (`humanrt.retarget.wrist_frame`)."""
        return self._run(keypoints, dt, side, True)

    def cost(
        self,
        q: ArrayLike,
        keypoints: ArrayLike,
        *,
        last: ArrayLike | None = None,
        side: str | None = None,
        local: bool = False,
    ) -> float:
        """Return the objective at joint angles q [dof] for these keypoints, with the rest term; changes no state.

        ``last`` [dof]: adds ``smoothing * |q - last|^2``.
        """
        p = self._problem
        points = _checked(keypoints)
        state: list[NDArray[Any]] = [p.frame, p.has_frame, p.projected, p.target, p.weight]
        kept = [array.copy() for array in state]
        self._kernel.targets(points, self._mirror(side), local)
        x = self._variables(q)
        cost = self._kernel.evaluate(x, np.full(len(x), p.rest_weight), p.rest).cost
        if last is not None:
            cost += self.options.smoothing * float(((x - self._variables(last)) ** 2).sum())
        for array, values in zip(state, kept, strict=True):
            array[...] = values
        return cost

    def reset(self, q: ArrayLike | None = None) -> None:
        """Clear the state: the next frame starts from the rest pose, or from q [dof].

        Without q the next result is not bounded; with q it is bounded by ``max_speed`` from there.
        """
        start = None if q is None else self._measured(q)
        self._problem.reset()
        self._held: Array | None = None
        if start is not None:
            self._start_from(start)

    def warm_start(self, q: ArrayLike) -> None:
        """Set the last solution to q [dof], such as the real robot's measured pose; clipped to the limits.

        Raises:
            ValueError: another shape, NaN, infinity, or positions that no encoder reports: more than a turn, or a
                metre, outside the joint's limits. The state is then unchanged.
        """
        self._start_from(self._measured(q))

    def _start_from(self, x: Array) -> None:
        self._problem.x[...] = np.clip(x, self._problem.lower, self._problem.upper)
        self._problem.write_q()
        self._held = self._problem.x.copy()

    @property
    def last(self) -> Array:
        """The last result [dof]; the rest pose before the first."""
        q = self._problem.q
        return q.copy() if self._order is None else q[self._order]

    def capsules(self, q: ArrayLike) -> tuple[Array, Array, NDArray[np.int64]]:
        """Return the hand in pose q [dof] for drawing; see `HandDescription.capsules`."""
        return self.hand.capsules(self._in_urdf_order(q))

    def _run(self, keypoints: ArrayLike, dt: float | None, side: str | None, local: bool) -> Array:
        points = _checked(keypoints)
        if dt is not None:
            check_range(dt, "dt", 0.0)
        smoothing = self._per_call
        if dt is not None and self._per_second > 0.0:
            # The same frame at the same time changes nothing: the weight grows without bound as dt -> 0.
            smoothing = self._per_second / max(dt, 1e-6)
        mirror = side is not None and self._mirror(side)
        self.evaluations = self._kernel.solve(points, mirror, local, smoothing)
        if self.evaluations < 0:
            raise ValueError("a keypoint is not a finite number")
        if self._speed is not None:
            self._bound(self._speed, dt)
        q = self._problem.q
        return q.copy() if self._order is None else q[self._order]

    def _bound(self, speed: Array, dt: float | None) -> None:
        """Keep q within ``speed`` [N] from the last result; x stays the solution, from which the next search starts."""
        p, last = self._problem, self._held
        if dt is None or last is None:
            self._held = p.x.copy()
            return
        max_change = speed * max(dt, 0.0)
        self._held = np.minimum(np.maximum(p.x, last - max_change), last + max_change)
        if (self._held != p.x).any():
            p.write_q(self._held)

    def _speeds(self) -> Array | None:
        """Return the max speed of each variable, [N] rad/s or m/s; None if unbounded."""
        given = [speed for speed in (self.options.max_speed, self.hand.max_speed) if speed is not None]
        if not given:
            return None
        p = self._problem
        # A joint that follows another may move faster than it: then that one must be slower.
        largest_step = np.zeros(len(p.x))
        moved = p.variable >= 0
        span = np.where(p.prismatic, (p.joint_limits[:, 1] - p.joint_limits[:, 0]) / STROKE, 1.0)
        # An empty range cannot be left anyway.
        per_unit = np.abs(p.gain) / np.maximum(span, 1e-9)
        np.maximum.at(largest_step, p.variable[moved], per_unit[moved])
        return np.asarray(min(given) / np.maximum(largest_step, 1e-9))

    def _mirror(self, side: str | None) -> bool:
        if side not in (None, "left", "right"):
            raise HumanrtError(f"side is {side!r}; give left or right")
        return side is not None and side != self.hand.side

    def _in_urdf_order(self, q: ArrayLike) -> Array:
        values = numbers(q, "q")
        if values.shape != (len(self.hand.joints),):
            raise ValueError(f"q has shape {values.shape}; {self.hand.name} has {len(self.hand.joints)} joints")
        check_points(values, "the joints' positions")
        if self._order is None:
            return values
        sorted_values = np.empty_like(values)
        sorted_values[self._order] = values
        return sorted_values

    def _variables(self, q: ArrayLike) -> Array:
        return self._in_urdf_order(q)[self._problem.source]

    def _measured(self, q: ArrayLike) -> Array:
        """Return the variables [N] of a measured pose. InvalidInputError if it cannot be the robot's."""
        values = self._in_urdf_order(q)
        for joint, value in zip(self.hand.joints, values, strict=True):
            slack = SLACK_M if joint.prismatic else SLACK_RAD
            if not joint.lower - slack <= value <= joint.upper + slack:
                raise InvalidInputError(
                    f"joint {joint.name} of {self.hand.name} is at {value:g}, far outside its limits "
                    f"{joint.lower:g}..{joint.upper:g}; give {'metres' if joint.prismatic else 'radians'}"
                )
        return values[self._problem.source]


def joint_rows(robot: RobotDescription, joint_order: Sequence[str] | None) -> NDArray[np.int64]:
    """Return the rows of a robot's joints in an order of their names; None: the description's."""
    names = robot.joint_names
    if joint_order is None:
        return np.arange(len(names))
    check_kind(joint_order, Sequence, "joint_order", "a list of the joints' names")
    if sorted(joint_order) != sorted(names):
        wrong = set(joint_order) ^ set(names)
        raise HumanrtError(
            f"joint_order must name every joint of {robot.name} once"
            + (f"; {choices(wrong)} missing or unknown" if wrong else "")
        )
    return np.array([names.index(name) for name in joint_order])


def _checked(keypoints: ArrayLike) -> Array:
    points = numbers(keypoints, "keypoints")
    if points.shape != (21, 3):
        raise ValueError(
            f"keypoints must be [21, 3] m in MediaPipe order, not {list(points.shape)}; hands_from has others"
        )
    check_points(points, "keypoints")
    return points
