"""A robot hand from its URDF and a few lines that name the fingertips.

The lines are a small JSON file beside the URDF; only ``urdf`` and ``tips`` are needed::

    {"urdf": "my_hand.urdf", "side": "right",
     "tips": {"thumb": "thumb_tip_link", "index": "index_tip_link", "middle": "...", "ring": "..."},
     "wrist": "palm_link",                        default: the root link
     "joints": {"index": ["J1", "J2", "J3"]},     knuckle, middle and last joint; default: the last three of the chain
     "axes": {"fingers": "+z", "palm": "+x"},     in the root's frame: along fingers, out of the palm; default: found
     "locked": {"wrist_joint": 0.0}, "rest": {"thumb_joint": 0.5},
     "scale": 1.6,                                robot's size over the human's; default: found
     "radius": 0.012, "name": "my_hand", "licence": "..."}

Only the kinematics are read, with the standard library; meshes are not opened.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import HumanrtError, choices
from .check import LARGEST, mapping, number, number_map, text
from .description import FINGERS, HandDescription, Joint, Point, vector_parts
from .wrist import palm_template

__all__ = ["hand_from_urdf"]

Array = NDArray[np.float64]

MOVABLE = {"revolute", "continuous", "prismatic"}
KINDS = {"fixed", *MOVABLE}
TURN = 2.0 * np.pi
"""Limit of a joint that has none: one turn each way."""
KEYS = {
    "urdf", "name", "side", "tips", "wrist", "joints", "axes", "locked", "rest", "scale", "radius", "vector",
    "licence", "source",
}  # fmt: skip


@dataclass(frozen=True)
class _Edge:
    name: str
    kind: str
    parent: str
    child: str
    xyz: Array
    rotation: Array
    axis: Array
    lower: float
    upper: float
    mimic: tuple[str, float, float] | None


def hand_from_urdf(hints: Mapping[str, Any], beside: Path) -> HandDescription:
    """``hints``: the object of the module's docstring; ``beside``: its file, from which the URDF's path is relative."""
    if unknown := set(hints) - KEYS:
        raise HumanrtError(f"{beside}: {choices(unknown)} not understood; the fields are {choices(KEYS)}")
    path = beside.parent / text(hints["urdf"], f"{beside}: urdf")
    name = text(hints.get("name", beside.stem), f"{beside}: name")
    size = {key: number(hints[key], f"{beside}: {key}", "be positive") for key in ("scale", "radius") if key in hints}
    source = mapping(hints.get("source", {}), f"{beside}: source", '{"origin": "..."}')
    tips = hints.get("tips")
    if not isinstance(tips, dict) or not tips:
        raise HumanrtError(f'{beside}: name the fingertip links, such as "tips": {{"thumb": "...", "index": "..."}}')
    if wrong := set(tips) - set(FINGERS):
        raise HumanrtError(f"{beside}: tips: {choices(wrong)} not understood; fingers are {choices(FINGERS)}")
    try:
        content = path.read_bytes()
        edges = _read(content, path)
    except OSError as error:
        raise HumanrtError(f"{path}: cannot read the URDF ({error.strerror or error})") from None

    by_child = {edge.child: edge for edge in edges}
    links = {edge.parent for edge in edges} | set(by_child)
    roots = sorted(links - set(by_child))
    if len(roots) != 1:
        raise HumanrtError(f"{path}: a hand has one root link, this has {len(roots)}: {choices(roots)}")
    joints = tuple(_fold(edge, by_child) for edge in edges if edge.kind in MOVABLE)

    def point(link: str, field: str) -> Point:
        if link not in links:
            raise HumanrtError(f"{beside}: {field}: {path.name} has no link {link!r}; it has {choices(links)}")
        joint, pose = _carrier(link, by_child)
        x, y, z = (float(v) for v in pose[:3, 3])
        return Point(joint, (x, y, z))

    bare = HandDescription(
        name=name,
        side=str(hints.get("side", "right")),
        joints=joints,
        fingers={
            finger: (tip, tip, tip, tip)
            for finger in FINGERS
            if finger in tips
            for tip in [point(str(tips[finger]), f"tips: {finger}")]
        },
        wrist=point(str(hints.get("wrist", roots[0])), "wrist"),
        locked=number_map(hints.get("locked", {}), f"{beside}: locked"),
        rest=number_map(hints.get("rest", {}), f"{beside}: rest"),
        vector=vector_parts(hints.get("vector", ("tip",)), f"{beside}: vector"),
        licence=str(hints.get("licence", "")),
        source={**source, "urdf": path.name, "sha256": hashlib.sha256(content).hexdigest()},
    )
    named = mapping(hints.get("joints", {}), f"{beside}: joints", '{"index": ["J1", "J2", "J3"]}')
    if wrong := set(named) - set(tips):
        raise HumanrtError(f"{beside}: joints: {choices(wrong)} has no tip; tips are given for {choices(tips)}")
    fingers = {
        finger: _finger_points(bare, finger, points[3], named.get(finger), beside)
        for finger, points in bare.fingers.items()
    }
    hand = replace(bare, fingers=fingers)
    rotation = _rotation(hand, hints.get("axes"), beside)
    hand = replace(hand, rotation=rotation)
    return replace(
        hand,
        scale=size["scale"] if "scale" in size else _scale(hand),
        radius=size["radius"] if "radius" in size else _radius(hand),
    )


def _read(content: bytes, path: Path) -> list[_Edge]:
    """The joints, each moving another link, none above itself."""
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # LookupError: the encoding it declares
        raise HumanrtError(f"{path}: not valid XML ({error})") from None
    if root.tag != "robot":
        raise HumanrtError(f"{path}: not a URDF: its root element is <{root.tag}>, not <robot>")
    try:
        edges = [_edge(element, f"{path}: joint") for element in root.findall("joint")]
    except (KeyError, ValueError) as error:
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
    return edges


def _edge(element: ElementTree.Element, where: str) -> _Edge:
    name = text(element.attrib["name"], f"{where} name")
    where = f"{where} {name}"

    def numbers(tag: str, attribute: str, default: str, count: int = 1) -> Array:
        found = element.find(tag)
        given = default if found is None else found.get(attribute, default)
        try:
            values = np.array([float(v) for v in given.split()])
        except ValueError:
            values = np.zeros(0)
        if values.shape != (count,) or not (np.abs(values) <= LARGEST).all():
            raise ValueError(f"joint {name}: {tag} {attribute}={given!r}")
        return values

    kind = element.attrib["type"]
    if kind not in KINDS:
        what = "is not supported" if kind in ("floating", "planar") else "is not a URDF joint type"
        raise HumanrtError(f"{where}: type {kind!r} {what}; choose from {choices(KINDS)}")
    parent, child = element.find("parent"), element.find("child")
    if parent is None or child is None:
        raise ValueError(f"joint {name} has no parent or child")
    limit, mimic = element.find("limit"), element.find("mimic")
    lower, upper = -TURN, TURN
    if limit is not None and kind != "continuous":
        lower, upper = (float(numbers("limit", end, "0")[0]) for end in ("lower", "upper"))
    axis = numbers("axis", "xyz", "1 0 0", 3)
    if kind in MOVABLE:
        length = float(np.linalg.norm(axis))
        if length < 1e-9:
            raise ValueError(f"joint {name} has no axis")
        axis = axis / length
    return _Edge(
        name=name,
        kind=kind,
        parent=text(parent.attrib["link"], f"{where}: parent link"),
        child=text(child.attrib["link"], f"{where}: child link"),
        xyz=numbers("origin", "xyz", "0 0 0", 3),
        rotation=_rpy(numbers("origin", "rpy", "0 0 0", 3)),
        axis=axis,
        lower=lower,
        upper=upper,
        mimic=(
            None
            if mimic is None
            else (
                text(mimic.attrib["joint"], f"{where}: mimic joint"),
                float(numbers("mimic", "multiplier", "1")[0]),
                float(numbers("mimic", "offset", "0")[0]),
            )
        ),
    )


def _rpy(rpy: Array) -> Array:
    """URDF: fixed-axis roll, pitch, yaw; R = Rz(yaw) Ry(pitch) Rx(roll)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _carrier(link: str, by_child: Mapping[str, _Edge]) -> tuple[str | None, Array]:
    """The movable joint that carries a link, and the link's pose [4, 4] in that joint's frame."""
    pose = np.eye(4)
    while (edge := by_child.get(link)) is not None and edge.kind not in MOVABLE:
        step = np.eye(4)
        step[:3, :3], step[:3, 3] = edge.rotation, edge.xyz
        pose = step @ pose
        link = edge.parent
    return (None if edge is None else edge.name), pose


def _fold(edge: _Edge, by_child: Mapping[str, _Edge]) -> Joint:
    """A movable joint whose parent is the next movable joint, the fixed ones between them folded in."""
    parent, pose = _carrier(edge.parent, by_child)
    xyz = pose[:3, :3] @ edge.xyz + pose[:3, 3]
    return Joint(
        name=edge.name,
        parent=parent,
        xyz=(float(xyz[0]), float(xyz[1]), float(xyz[2])),
        rotation=tuple(float(v) for v in (pose[:3, :3] @ edge.rotation).ravel()),
        axis=(float(edge.axis[0]), float(edge.axis[1]), float(edge.axis[2])),
        lower=edge.lower,
        upper=edge.upper,
        prismatic=edge.kind == "prismatic",
        mimic=edge.mimic,
    )


def _finger_points(
    hand: HandDescription, finger: str, tip: Point, named: Any, beside: Path
) -> tuple[Point, Point, Point, Point]:
    """Knuckle, middle and last joint of a finger, and its tip.

    A hinge may be drawn anywhere along its axis; its point is moved along the axis to face the tip, so that the
    segments of a straight finger lie on one line.
    """
    by_name = {joint.name: joint for joint in hand.joints}
    frames = hand.forward(np.zeros(len(hand.joints)))
    end = frames[tip.joint][:3, :3] @ np.array(tip.xyz) + frames[tip.joint][:3, 3]
    chain = []
    name = tip.joint
    while name is not None:
        chain.append(name)
        name = by_name[name].parent
    chain.reverse()
    if not chain:
        raise HumanrtError(f"{beside}: tips: {finger}: no joint moves that link")

    def facing(joint: str) -> tuple[Point, Array]:
        pose = frames[joint]
        axis = pose[:3, :3] @ np.array(by_name[joint].axis)
        arm = end - pose[:3, 3]
        slide = float(axis @ arm)
        # An axis along the finger (abduction drawn as a twist) says nothing about where the finger bends.
        if by_name[joint].prismatic or abs(slide) > 0.6 * float(np.linalg.norm(arm)):
            slide = 0.0
        x, y, z = (slide * v for v in by_name[joint].axis)
        return Point(joint, (x, y, z)), pose[:3, 3] + slide * axis

    if named is not None:
        listed = named if isinstance(named, list) else [named]
        wrong = [joint for joint in listed if joint not in chain]
        if wrong or len(listed) != 3 or sorted(listed, key=chain.index) != listed:
            instead = [short(joint).strip("'") for joint in wrong or listed]
            raise HumanrtError(
                f"{beside}: joints: {finger}: give knuckle, middle and last joint, base to tip, out of "
                f"{', '.join(chain)}, not {choices(instead)}"
            )
        knuckle, middle, distal = (facing(joint)[0] for joint in named)
        return knuckle, middle, distal, tip
    found: list[tuple[Point, Array]] = []
    for joint in chain:
        here = facing(joint)
        if found and float(np.linalg.norm(found[-1][1] - here[1])) < 5e-3:
            found[-1] = here
        else:
            found.append(here)
    points = [here[0] for here in found][-3:]
    while len(points) < 3:
        points.insert(0, points[0])
    return points[0], points[1], points[2], tip


def _rotation(hand: HandDescription, axes: Any, beside: Path) -> Array:
    """[3, 3] whose columns are, in the base frame: out of the palm; sideways; towards the fingers."""
    if axes is not None:
        try:
            along, out = (_signed_axis(str(axes[key])) for key in ("fingers", "palm"))
        except (LookupError, TypeError, ValueError):
            raise HumanrtError(f'{beside}: axes: give such as {{"fingers": "+z", "palm": "+x"}}') from None
        if abs(float(along @ out)) > 1e-6:
            raise HumanrtError(f"{beside}: axes: fingers and palm must be at right angles")
        return np.stack([out, np.cross(along, out), along], axis=1)
    # Along: the straight fingers. Out of the palm: where their tips go when every joint begins to close.
    names = [finger for finger in hand.fingers if finger != "thumb"] or list(hand.fingers)
    knuckles = [hand.fingers[finger][0] for finger in names]
    tips = [hand.fingers[finger][3] for finger in names]
    straight = hand.rest_pose
    middle = np.where([joint.name in hand.locked for joint in hand.joints], straight, hand.limits.mean(axis=1))
    start = hand.positions(straight, tips)
    fingers = start - hand.positions(straight, knuckles)
    along = (fingers / np.maximum(np.linalg.norm(fingers, axis=1, keepdims=True), 1e-9)).mean(axis=0)
    along /= max(float(np.linalg.norm(along)), 1e-9)
    out = (hand.positions(straight + 0.3 * (middle - straight), tips) - start).mean(axis=0)
    out -= along * (along @ out)
    if min(float(np.linalg.norm(out)) / 1e-4, float(np.linalg.norm(along))) < 0.99:
        raise HumanrtError(
            f'{beside}: cannot tell where the palm faces; give "axes": {{"fingers": "+z", "palm": "+x"}}'
        )
    out /= np.linalg.norm(out)
    return np.stack([out, np.cross(along, out), along], axis=1)


def _signed_axis(text: str) -> Array:
    axis = np.zeros(3)
    axis["xyz".index(text[-1])] = {"": 1.0, "+": 1.0, "-": -1.0}[text[:-1]]
    return axis


def _scale(hand: HandDescription) -> float:
    """Wrist-to-tip length of the straight fingers over that of the human hand the palm template was taken from."""
    names = [finger for finger in hand.fingers if finger != "thumb"] or list(hand.fingers)
    points = hand.positions(hand.rest_pose, [hand.wrist, *(hand.fingers[finger][3] for finger in names)])
    human = 1.85 * float(np.linalg.norm(palm_template("right")[3]))
    return float(np.linalg.norm(points[1:] - points[0], axis=1).mean()) / human


def _radius(hand: HandDescription) -> float:
    points = hand.positions(hand.rest_pose, [p for finger in hand.fingers.values() for p in finger])
    lengths = np.linalg.norm(np.diff(points.reshape(-1, 4, 3), axis=1), axis=2)
    return 0.28 * float(lengths[lengths > 1e-3].mean()) if (lengths > 1e-3).any() else 0.01
