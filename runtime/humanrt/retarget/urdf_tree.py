"""The tree of links and joints of a URDF: read, checked, and folded to its movable joints.

Only the kinematics are read, with the standard library.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.retarget.check import MAX_ABS, text
from humanrt.retarget.robot import Joint, rotation_of_rpy

__all__ = [
    "MAX_REACH",
    "MOVABLE",
    "TURN",
    "Edge",
    "carrier",
    "check_edge",
    "fold",
    "joints_above",
    "read_urdf",
    "with_ranges",
]

Array = NDArray[np.float64]

MOVABLE = {"revolute", "continuous", "prismatic"}
KINDS = {"fixed", *MOVABLE}
OUTSIDE = {"floating", "planar"}
"""Joint types that a robot's base may have, but not a hand."""
TURN = 2.0 * np.pi
"""Limit of a continuous joint: one turn each way."""
MAX_REACH = 2.0
"""Metres from the wrist to a tip, and of a prismatic joint's travel; a longer hand is not in metres."""


@dataclass(frozen=True)
class Edge:
    name: str
    kind: str
    parent: str
    child: str
    xyz: Array
    rotation: Array
    axis: Array
    lower: float | None
    upper: float | None
    """None: neither is given."""
    mimic: tuple[str, float, float] | None


def read_urdf(content: bytes, path: Path) -> tuple[ElementTree.Element, list[Edge]]:
    """Read the root element and the joints; each link has one parent, and there is no loop."""
    xacro = HumanrtError(
        f"{path}: this is xacro, from which a URDF is yet to be made: run `xacro {path.name} > hand.urdf` (a tool of "
        'ROS; also `pip install xacro`) and name its result under "urdf"'
    )
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # LookupError: the encoding it declares
        if b"<xacro:" in content and "unbound prefix" in str(error):
            raise xacro from None
        raise HumanrtError(f"{path}: not valid XML ({error})") from None
    if any("xacro" in str(element.tag).lower() for element in root.iter()):
        raise xacro
    if root.tag != "robot":
        raise HumanrtError(f"{path}: not a URDF: its root element is <{root.tag}>, not <robot>")
    for joint in root.findall("joint"):
        if any("${" in value or "$(" in value for element in joint.iter() for value in element.attrib.values()):
            raise xacro
    try:
        edges = [_edge(element, f"{path}: joint") for element in root.findall("joint")]
    except KeyError as error:
        raise HumanrtError(f"{path}: a <mimic> does not name its joint ({error} is missing)") from None
    except ValueError as error:
        raise HumanrtError(f"{path}: a joint is incomplete or has a malformed number ({error})") from None
    for what, names in (
        ("several joints are named {}; give each its own name", [edge.name for edge in edges]),
        ("several joints move link {}; a link has one parent: remove the others", [edge.child for edge in edges]),
    ):
        if twice := {name for name in names if names.count(name) > 1}:
            raise HumanrtError(f"{path}: {what.format(choices(twice))}")
    parents = {edge.child: edge.parent for edge in edges}
    sound: set[str] = set()
    for start in parents:
        above: dict[str, None] = {}
        link = start
        while link in parents and link not in sound:
            if link in above:
                raise HumanrtError(f"{path}: links {choices(above)} form a loop; a hand is a tree with one root link")
            above[link] = None
            link = parents[link]
        sound.update(above)
    return root, edges


def _edge(element: ElementTree.Element, where: str) -> Edge:
    if "name" not in element.attrib:
        raise ValueError("a joint has no name")
    name = text(element.attrib["name"], f"{where} name")
    where = f"{where} {name}"

    def values_of(tag: str, attribute: str, default: str, count: int = 1) -> Array:
        child = element.find(tag)
        given = default if child is None else child.get(attribute, default)
        try:
            values = np.array([float(v) for v in given.split()])
        except ValueError:
            values = np.zeros(0)
        if values.shape != (count,) or not (np.abs(values) <= MAX_ABS).all():
            raise ValueError(f"joint {name}: {tag} {attribute}={given!r}")
        return values

    kind = element.get("type")
    if kind is None:
        raise ValueError(f"joint {name} has no type")
    if kind not in KINDS | OUTSIDE:
        raise HumanrtError(f"{where}: type {kind!r} is not a URDF joint type; choose one of: {choices(KINDS)}")
    parent, child = element.find("parent"), element.find("child")
    if parent is None or child is None or "link" not in parent.attrib or "link" not in child.attrib:
        raise ValueError(f"joint {name} has no parent or child link")
    limit, mimic = element.find("limit"), element.find("mimic")
    lower: float | None
    upper: float | None
    if kind == "continuous":
        lower, upper = (None, None) if mimic is not None else (-TURN, TURN)
    elif limit is None or not {"lower", "upper"} & set(limit.attrib):
        lower, upper = None, None
    else:  # URDF: zero where one of the two is left out
        lower, upper = (float(values_of("limit", end, "0")[0]) for end in ("lower", "upper"))
    rpy = values_of("origin", "rpy", "0 0 0", 3)
    if np.abs(rpy).max() > 1.01 * TURN:
        given = " ".join(f"{v:g}" for v in rpy)
        raise HumanrtError(f"{where}: origin rpy={given!r} looks like degrees; a URDF's angles are radians")
    axis = values_of("axis", "xyz", "1 0 0", 3)
    if kind in MOVABLE:
        length = float(np.linalg.norm(axis))
        if length < 1e-9:
            raise ValueError(f"joint {name} has no axis")
        axis = axis / length
    return Edge(
        name=name,
        kind=kind,
        parent=text(parent.attrib["link"], f"{where}: parent link"),
        child=text(child.attrib["link"], f"{where}: child link"),
        xyz=values_of("origin", "xyz", "0 0 0", 3),
        rotation=rotation_of_rpy(rpy),
        axis=axis,
        lower=lower,
        upper=upper,
        mimic=(
            None
            if mimic is None
            else (
                text(mimic.attrib["joint"], f"{where}: mimic joint"),
                float(values_of("mimic", "multiplier", "1")[0]),
                float(values_of("mimic", "offset", "0")[0]),
            )
        ),
    )


def joints_above(link: str, by_child: Mapping[str, Edge]) -> list[Edge]:
    """Return the joints between the root and a link, root first."""
    edges = []
    while (edge := by_child.get(link)) is not None:
        edges.append(edge)
        link = edge.parent
    return edges[::-1]


def check_edge(edge: Edge, where: str, moving: bool) -> None:
    """Refuse a joint that cannot be meant as written; ``moving``: it is one of the hand's."""
    if moving and edge.kind in OUTSIDE:
        raise HumanrtError(f"{where}: type {edge.kind!r} is not supported; choose one of: {choices(KINDS)}")
    if not moving or edge.kind not in MOVABLE:
        return
    if edge.lower is None or edge.upper is None:
        if edge.mimic is None:
            raise HumanrtError(
                f"{where} is {edge.kind} but has no lower and upper limit; give it "
                f'<limit lower="..." upper="..."/> in {"metres" if edge.kind == "prismatic" else "radians"}'
                + (", or lock it" if edge.kind == "prismatic" else ", make it continuous, or lock it")
            )
        return
    largest = max(abs(edge.lower), abs(edge.upper))
    if edge.kind == "revolute" and largest > 1.01 * TURN:
        raise HumanrtError(
            f"{where} has limits {edge.lower:g}..{edge.upper:g}, which look like degrees; a URDF's are radians: "
            f"{np.radians(edge.lower):.4g}..{np.radians(edge.upper):.4g}"
        )
    if edge.kind == "prismatic" and largest > MAX_REACH:
        raise HumanrtError(
            f"{where} has limits {edge.lower:g}..{edge.upper:g}, which look like millimetres; a URDF's are metres: "
            f"{edge.lower / 1e3:.4g}..{edge.upper / 1e3:.4g}"
        )


def with_ranges(joints: Sequence[Joint], edges: Sequence[Edge]) -> tuple[Joint, ...]:
    """Return the joints, with limits for followers that have none: the range over which the leader moves them."""
    given = {edge.name: edge.lower is not None for edge in edges}
    by_name = {joint.name: joint for joint in joints}

    def ranged(joint: Joint) -> Joint:
        gain, offset, leader = 1.0, 0.0, joint
        for _ in joints:
            if given[leader.name] or leader.mimic is None or leader.mimic[0] not in by_name:
                break
            name, a, b = leader.mimic
            gain, offset, leader = gain * a, offset + gain * b, by_name[name]
        if leader is joint:
            return joint
        low, high = sorted((gain * leader.lower + offset, gain * leader.upper + offset))
        return replace(joint, lower=low, upper=high)

    return tuple(joint if given[joint.name] else ranged(joint) for joint in joints)


def carrier(link: str, by_child: Mapping[str, Edge]) -> tuple[str | None, Array]:
    """Return the movable joint that carries a link, and the link's pose [4, 4] in that joint's frame."""
    pose = np.eye(4)
    while (edge := by_child.get(link)) is not None and edge.kind not in MOVABLE:
        step = np.eye(4)
        step[:3, :3], step[:3, 3] = edge.rotation, edge.xyz
        pose = step @ pose
        link = edge.parent
    return (None if edge is None else edge.name), pose


def fold(edge: Edge, by_child: Mapping[str, Edge]) -> Joint:
    """Return a movable joint whose parent is the next movable joint, with the fixed joints in between folded in."""
    parent, pose = carrier(edge.parent, by_child)
    xyz = pose[:3, :3] @ edge.xyz + pose[:3, 3]
    return Joint(
        name=edge.name,
        parent=parent,
        xyz=(float(xyz[0]), float(xyz[1]), float(xyz[2])),
        rotation=tuple(float(v) for v in (pose[:3, :3] @ edge.rotation).ravel()),
        axis=(float(edge.axis[0]), float(edge.axis[1]), float(edge.axis[2])),
        lower=-TURN if edge.lower is None else edge.lower,
        upper=TURN if edge.upper is None else edge.upper,
        prismatic=edge.kind == "prismatic",
        mimic=edge.mimic,
    )
