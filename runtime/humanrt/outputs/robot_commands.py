"""What robots are told, live: gentle joint angles out of results, one command a robot and frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from humanrt.perception.pipeline import Result
from humanrt.retarget import RobotDescription, load_robot
from humanrt.retarget.gentle import GentleMotion, GentleOptions

__all__ = ["RobotCommands", "solved_robots"]


class RobotCommands:
    """Turns the results of a run into commands for its robots, within speed and acceleration.

    A robot gets its first command when a hand that moves it is first seen, and then one in every frame: without a hand
    it holds or opens (`GentleOptions.on_lost`). It starts in the pose for an open hand.

    >>> commands = RobotCommands(pipeline.robots, max_speed=4.0, on_lost="open")
    >>> for result in results:
    ...     for name, command in commands(result).items():
    ...         robots[name].move(dict(zip(command["joints"], command["angles"])))

    Args:
        robots: the robots of a pipeline; or names or description files of robots, or one of them.
        options, changes: see `GentleOptions`; its fields may be given as keywords instead.

    Attributes:
        enabled: False lets all robots brake and stand, whatever is seen; for a dead man's switch.
    """

    def __init__(
        self,
        robots: Mapping[str, RobotDescription] | str | Path | Sequence[str | Path],
        options: GentleOptions | None = None,
        **changes: Any,
    ) -> None:
        if not isinstance(robots, Mapping):
            named = (robots,) if isinstance(robots, str | Path) else robots
            robots = {robot.name: robot for robot in map(load_robot, named)}
        self.enabled = True
        self._motions = {name: GentleMotion(robot, options, **changes) for name, robot in robots.items()}
        self._joints = {name: list(motion.joint_names) for name, motion in self._motions.items()}
        self._begun: set[str] = set()

    def __call__(self, result: Result | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return what each robot is to do, by its name.

        A command has ``frame``, ``t`` (s), ``id`` and ``side`` of the hand that moves the robot (None: none does; an
        arm's are the person's, and None), ``state`` (``following``, ``holding``, ``opening``), ``joints`` (names) and
        ``angles`` (float64 [dof] rad, m for slides). The same result again changes nothing.

        Args:
            result: of a frame, or the frame's line of a recording. Frames come in the order of their time stamps.
        """
        record = result if isinstance(result, Mapping) else result.record()
        solved = solved_robots(record, self._joints)
        self._begun |= solved.keys() & self._motions.keys()
        frame, t = record["frame"], record["t"]
        nobody = {"frame": frame, "t": t, "id": None, "side": None}
        commands = {}
        for name in self._motions:
            if name in self._begun:
                command = solved.get(name, nobody)
                motion = self._motions[name]
                angles = motion(command.get("angles"), t, enabled=self.enabled)
                moves = {"state": motion.state, "joints": self._joints[name], "angles": angles}
                commands[name] = {**{key: command[key] for key in nobody}, **moves}
        return commands


def solved_robots(record: Mapping[str, Any], joints: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what the solver says that each robot should do, by its name.

    Of two hands that move one robot, that of the robot's side decides. Of arms, ``id`` is the person's, and ``side``
    None.

    Args:
        record: the frame as a recording has it.
        joints: robot's name -> names of its joints.
    """
    robots: dict[str, dict[str, Any]] = {}
    for hand in record["hands"]:
        for name, angles in hand.get("robot", {}).items():
            if name in robots and not name.endswith(hand["side"]):
                continue
            robots[name] = {
                "frame": record["frame"],
                "t": record["t"],
                "id": hand["id"],
                "side": hand["side"],
                "joints": list(joints.get(name, ())),
                "angles": angles,
            }
    for person in record["people"]:
        for name, angles in person.get("robot", {}).items():
            robots[name] = {
                "frame": record["frame"],
                "t": record["t"],
                "id": person["id"],
                "side": None,
                "joints": list(joints.get(name, ())),
                "angles": angles,
            }
    return robots
