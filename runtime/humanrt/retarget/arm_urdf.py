"""Read a robot arm from its URDF, alone or with a small JSON file.

A URDF alone will do, if one chain of joints leads to the end of the arm; fields of a JSON file beside it are::

    {"urdf": "my_arm.urdf", "arm": "my_arm",
     "side": "left",                            the person's arm that moves it; default: as asked for, else right
     "tool": "tool0",                           link that is the person's wrist; default: the end of the arm
     "axes": {"fingers": "+z", "palm": "+x"},   of the tool's frame: where a hand on it points, and where its palm faces
     "shoulder": "joint_2", "elbow": "joint_4", joints; default: the second, and the middle one
     "place": {"frame": "trunk", "rpy": [0, 0, 0], "arm_length": 0.52, "scale": 1.6, "offset": [0, 0, 0.3]},
                                                see `Placement`
     "rest": {"joint": 0.5}, "locked": {"joint": 0.0}, "radius": 0.05,
     "max_speed": 2.0, "max_acceleration": 10.0,
     "branch_after": 1.0,                       s out of reach, after which another branch is gone to; null: never
     "licence": "..."}

Only ``urdf`` and ``arm`` are required. ``rpy``: from the person's axes (x forward, y left, z up) to the base's. Joints
beyond the tool, such as those of a gripper, and other branches stay at rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.retarget.arm import (
    ARM_ACCELERATION,
    ARM_SPEED,
    BRANCH_AFTER,
    FRAMES,
    FURTHEST,
    ArmDescription,
    Placement,
)  # fmt: skip
from humanrt.retarget.arm_problem import find_rest, furthest
from humanrt.retarget.check import mapping, number, number_map, numbers, one_of, text
from humanrt.retarget.robot import Joint, Point, rotation_of_rpy
from humanrt.retarget.urdf import palm_axes
from humanrt.retarget.urdf_tree import MOVABLE, Edge, carrier, check_edge, fold, joints_above, read_urdf, with_ranges
from humanrt.retarget.visuals import visuals_of

__all__ = ["arm_from_urdf", "placement_of"]

Array = NDArray[np.float64]

KEYS = {
    "urdf", "arm", "tool", "axes", "shoulder", "elbow", "place", "rest", "locked", "radius", "max_speed",
    "max_acceleration", "branch_after", "licence", "source",
}  # fmt: skip
PLACE_KEYS = {"frame", "rpy", "arm_length", "scale", "offset"}
FEWEST = 3
"""Joints of an arm; fewer reach nothing but a line or a circle."""
MIN_REACH, MAX_REACH = 0.05, FURTHEST


def arm_from_urdf(hints: Mapping[str, Any], beside: Path, side: str) -> ArmDescription:
    """Read an arm.

    Args:
        hints: the JSON object described above.
        beside: its file, to which ``urdf`` is relative.
        side: the person's arm that moves it.

    Raises:
        HumanrtError: the message names the file, and what to write instead.
    """
    if unknown := set(hints) - KEYS:
        raise HumanrtError(f"{beside}: unknown field {choices(unknown)}; choose one of: {choices(KEYS)}")
    path = beside.parent / text(hints["urdf"], f"{beside}: urdf")
    name = text(hints["arm"], f"{beside}: arm")
    try:
        content = path.read_bytes()
        robot, edges = read_urdf(content, path)
    except OSError as error:
        raise HumanrtError(f"{path}: cannot read the URDF ({error.strerror or error})") from None
    if not edges:
        raise HumanrtError(f"{path}: this URDF has no <joint>; give that of a robot that moves")
    by_child = {edge.child: edge for edge in edges}
    links = {edge.parent for edge in edges} | set(by_child)
    tool = text(hints["tool"], f"{beside}: tool") if "tool" in hints else _end(edges, by_child, beside, path)
    if tool not in links:
        raise HumanrtError(f"{beside}: tool: {path.name} has no link {tool!r}; it has {choices(links)}")
    locked = number_map(hints.get("locked", {}), f"{beside}: locked")
    chain = [edge for edge in joints_above(tool, by_child) if edge.kind != "fixed"]
    moving = [edge.name for edge in chain if edge.name not in locked and edge.mimic is None]
    if len(moving) < FEWEST:
        raise HumanrtError(
            f"{beside}: {len(moving)} joints move link {tool} of {path.name}, fewer than an arm's {FEWEST}; name "
            'another link, such as "tool": "tool0"'
        )
    for edge in edges:
        check_edge(edge, f"{path}: joint {edge.name}", edge in chain and edge.name not in locked)
    joints = with_ranges([fold(edge, by_child) for edge in edges if edge.kind in MOVABLE], edges)
    held = [joint.name for joint in joints if joint.name not in {edge.name for edge in chain}]
    at, pose = carrier(tool, by_child)
    x, y, z = (float(v) for v in pose[:3, 3])
    names = {
        key: one_of(hints.get(key, default), moving, f"{beside}: {key}")
        for key, default in (("shoulder", moving[1]), ("elbow", moving[(len(moving) - 1) // 2]))
    }
    arm = ArmDescription(
        name=name,
        side=side,
        joints=joints,
        shoulder=Point(None, (0.0, 0.0, 0.0)),
        elbow=Point(names["elbow"], (0.0, 0.0, 0.0)),
        tool=Point(at, (x, y, z)),
        hand=pose[:3, :3] @ palm_axes(hints.get("axes", {"fingers": "+z", "palm": "+x"}), beside),
        placement=placement_of(hints.get("place", {}), f"{beside}: place"),
        radius=number(hints.get("radius", 0.05), f"{beside}: radius", "be positive"),
        max_speed=number(hints.get("max_speed", ARM_SPEED), f"{beside}: max_speed", "be positive"),
        max_acceleration=number(
            hints.get("max_acceleration", ARM_ACCELERATION), f"{beside}: max_acceleration", "be positive"
        ),
        branch_after=hints.get("branch_after", BRANCH_AFTER),
        locked={**_still(joints, held), **locked},
        rest=number_map(hints.get("rest", {}), f"{beside}: rest"),
        licence=str(hints.get("licence", "")),
        source={
            **mapping(hints.get("source", {}), f"{beside}: source", '{"origin": "..."}'),
            "urdf": path.name,
            "sha256": hashlib.sha256(content).hexdigest(),
        },
        visuals=visuals_of(robot, path, lambda link: carrier(link, by_child)),
    )
    x, y, z = (float(v) for v in arm.positions(arm.rest_pose, [Point(names["shoulder"], (0.0, 0.0, 0.0))])[0])
    arm = replace(arm, shoulder=Point(None, (x, y, z)))
    reach = furthest(arm)
    if not MIN_REACH <= reach <= MAX_REACH:
        raise HumanrtError(f"{beside}: the arm of {path.name} reaches {reach:.3g} m; a URDF's lengths are metres")
    if not arm.rest:
        arm = replace(arm, rest=find_rest(arm, reach))
    notes = [f"{name}: moved by a person's {side} arm; its tool is link {tool}"]
    if held:
        notes.append(f"{name}: {len(held)} joints that do not carry its tool stay at rest: {choices(held)}")
    return replace(arm, notes=tuple(notes))


def placement_of(value: Any, where: str) -> Placement:
    """Read a placement: the field ``place`` of an arm's JSON file."""
    given = mapping(value, where, '{"frame": "trunk"}')
    if unknown := set(given) - PLACE_KEYS:
        raise HumanrtError(f"{where}: unknown field {choices(unknown)}; choose one of: {choices(PLACE_KEYS)}")
    sizes = {
        key: number(given[key], f"{where}: {key}", "be positive") for key in ("arm_length", "scale") if key in given
    }
    rpy = numbers(given.get("rpy", [0.0, 0.0, 0.0]), 3, f"{where}: rpy")
    if max(map(abs, rpy)) > 2.02 * np.pi:
        raise HumanrtError(f"{where}: rpy {list(rpy)} looks like degrees; give radians")
    frame = one_of(given.get("frame", FRAMES[0]), FRAMES, f"{where}: frame")
    x, y, z = numbers(given.get("offset", [0.0, 0.0, 0.0]), 3, f"{where}: offset")
    return Placement(frame, rotation_of_rpy(rpy), offset=(x, y, z), **sizes)


def _end(edges: Sequence[Edge], by_child: Mapping[str, Edge], beside: Path, path: Path) -> str:
    """Return the link at the end of the arm: the last before moving branches part, furthest along fixed joints."""
    below: dict[str, list[Edge]] = {}
    for edge in edges:
        below.setdefault(edge.parent, []).append(edge)

    def moves(edge: Edge) -> bool:
        return edge.kind != "fixed" or any(moves(other) for other in below.get(edge.child, ()))

    link = next(edge.parent for edge in edges if edge.parent not in by_child)
    while True:
        onwards = [edge for edge in below.get(link, ()) if moves(edge)]
        if len(onwards) != 1:
            break
        link = onwards[0].child
    if onwards:  # a hand's fingers, or a robot's two arms
        if sum(edge.kind != "fixed" for edge in joints_above(link, by_child)) < FEWEST:
            raise HumanrtError(
                f"{beside}: several chains of joints part at link {link} of {path.name}; name the end of the arm in a "
                f'JSON file: {{"urdf": "{path.name}", "arm": "my_arm", "tool": "LINK"}}'
            )
        return link

    def last(link: str) -> tuple[int, str]:
        return max(((depth + 1, end) for edge in below.get(link, ()) for depth, end in [last(edge.child)]),
                   default=(0, link), key=lambda found: found[0])  # fmt: skip

    return last(link)[1]


def _still(joints: Sequence[Joint], names: Sequence[str]) -> dict[str, float]:
    """Return the values at which joints that do not carry the tool are held; followers follow."""
    return {
        joint.name: float(np.clip(0.0, joint.lower, joint.upper))
        for joint in joints
        if joint.name in names and joint.mimic is None
    }
