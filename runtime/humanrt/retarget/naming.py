"""Names and order of a robot's joints as its driver has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from humanrt.errors import HumanrtError, choices
from humanrt.retarget.arm import ArmDescription
from humanrt.retarget.check import text
from humanrt.retarget.description import HandDescription
from humanrt.retarget.robot import Joint, Point

__all__ = ["renamed"]

R = TypeVar("R", HandDescription, ArmDescription)


def renamed(robot: R, names: Mapping[str, str]) -> R:
    """Return a robot with other names of joints: those of results, recordings and everything that is sent.

    Args:
        robot: its description.
        names: joint -> the driver's name of it. Joints that are named come first, in this order; the others keep name
            and order.

    Raises:
        HumanrtError: the robot has no such joint, or two joints would have one name.
    """
    where = f"{robot.kind} {robot.name}: names"
    if not isinstance(names, Mapping):
        raise HumanrtError(f'{where}: give such as {{"joint_0.0": "ffj0"}}, not {names!r}')
    own: tuple[str, ...] = robot.joint_names
    if wrong := [name for name in names if name not in own]:
        raise HumanrtError(f"{where}: no joint {choices(wrong)}; it has {choices(own)}")
    to = {name: text(names.get(name, name), f"{where}: {name}") for name in own}
    taken = list(to.values())
    if twice := {name for name in taken if taken.count(name) > 1}:
        raise HumanrtError(f"{where}: several joints are to be named {choices(twice)}; give each its own name")

    def point(p: Point) -> Point:
        return replace(p, joint=None if p.joint is None else to[p.joint])

    order = [*names, *(name for name in own if name not in names)]
    joints = {joint.name: _renamed(joint, to) for joint in robot.joints}
    shared: dict[str, Any] = {
        "joints": tuple(joints[name] for name in order),
        "locked": {to[name]: value for name, value in robot.locked.items()},
        "rest": {to[name]: value for name, value in robot.rest.items()},
        "visuals": tuple(
            replace(shape, joint=None if shape.joint is None else to[shape.joint]) for shape in robot.visuals
        ),
    }
    if isinstance(robot, ArmDescription):
        shared |= {"shoulder": point(robot.shoulder), "elbow": point(robot.elbow), "tool": point(robot.tool)}
        return replace(robot, **shared)
    configured = robot.configured and replace(
        robot.configured,
        vectors=tuple(
            replace(vector, origin=point(vector.origin), task=point(vector.task)) for vector in robot.configured.vectors
        ),
    )
    fingers = {
        finger: (point(knuckle), point(middle), point(distal), point(tip))
        for finger, (knuckle, middle, distal, tip) in robot.fingers.items()
    }
    return replace(robot, **shared, wrist=point(robot.wrist), fingers=fingers, configured=configured)


def _renamed(joint: Joint, to: Mapping[str, str]) -> Joint:
    parent = None if joint.parent is None else to[joint.parent]
    mimic = None if joint.mimic is None else (to[joint.mimic[0]], *joint.mimic[1:])
    return replace(joint, name=to[joint.name], parent=parent, mimic=mimic)
