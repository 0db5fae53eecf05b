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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import HumanrtError, choices
from .description import FINGERS, HandDescription, Joint, Point
from .wrist import palm_template

__all__ = ["hand_from_urdf"]

Array = NDArray[np.float64]

MOVABLE = {"revolute", "continuous", "prismatic"}
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
    path = beside.parent / str(hints["urdf"])
    name = str(hints.get("name", beside.stem))
    tips = hints.get("tips")
    if not isinstance(tips, dict) or not tips:
        raise HumanrtError(f'{beside}: name the fingertip links, such as "tips": {{"thumb": "...", "index": "..."}}')
    if wrong := set(tips) - set(FINGERS):
        raise HumanrtError(f"{beside}: tips: {choices(wrong)} not understood; fingers are {choices(FINGERS)}")
    try:
        text = path.read_bytes()
        edges = _read(text, path)
    except OSError as error:
        raise HumanrtError(f"{path}: cannot read the URDF ({error.strerror or error})") from None

    by_child = {edge.child: edge for edge in edges}
    links = {edge.parent for edge in edges} | set(by_child)
    roots = sorted(links - set(by_child))
    if len(roots) != 1:
        raise HumanrtError(f"{path}: a hand has one root link, this has {len(roots)}: {choices(roots)}")
    joints = tuple(_fold(edge, by_child, path) for edge in edges if edge.kind in MOVABLE)

    def point(link: str, field: str) -> Point:
        if link not in links:
            raise HumanrtError(f"{beside}: {field}: {path.name} has no link {link!r}; it has {choices(links)}")
        joint, pose = _carrier(link, by_child, path)
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
        locked=_numbers(hints, "locked", beside),
        rest=_numbers(hints, "rest", beside),
        vector=tuple(hints.get("vector", ("tip",))),
        licence=str(hints.get("licence", "")),
        source={**hints.get("source", {}), "urdf": path.name, "sha256": hashlib.sha256(text).hexdigest()},
    )
    named = hints.get("joints", {})
    fingers = {
        finger: _finger_points(bare, finger, points[3], named.get(finger), beside)
        for finger, points in bare.fingers.items()
    }
    hand = replace(bare, fingers=fingers)
    rotation = _rotation(hand, hints.get("axes"), beside)
    hand = replace(hand, rotation=rotation)
    return replace(
        hand,
        scale=float(hints["scale"]) if "scale" in hints else _scale(hand),
        radius=float(hints["radius"]) if "radius" in hints else _radius(hand),
    )


def _read(text: bytes, path: Path) -> list[_Edge]:
    try:
        root = ElementTree.fromstring(text)
        if root.tag != "robot":
            raise HumanrtError(f"{path}: not a URDF: its root element is <{root.tag}>, not <robot>")
        return [_edge(element) for element in root.findall("joint")]
    except ElementTree.ParseError as error:
        raise HumanrtError(f"{path}: not valid XML ({error})") from None
    except (KeyError, ValueError, AttributeError) as error:
        raise HumanrtError(f"{path}: a joint is incomplete or has a malformed number ({error})") from None


def _edge(element: ElementTree.Element) -> _Edge:
    def triple(tag: str, attribute: str, default: str) -> Array:
        found = element.find(tag)
        text = default if found is None else found.get(attribute, default)
        values = np.array([float(v) for v in text.split()])
        if values.shape != (3,) or not np.isfinite(values).all():
            raise ValueError(f"joint {element.get('name')}: {tag} {attribute}={text!r}")
        return values

    kind = element.attrib["type"]
    parent, child = element.find("parent"), element.find("child")
    if parent is None or child is None:
        raise ValueError(f"joint {element.get('name')} has no parent or child")
    limit, mimic = element.find("limit"), element.find("mimic")
    lower, upper = -TURN, TURN
    if limit is not None and kind != "continuous":
        lower, upper = float(limit.get("lower", "0")), float(limit.get("upper", "0"))
    axis = triple("axis", "xyz", "1 0 0")
    if kind in MOVABLE:
        length = float(np.linalg.norm(axis))
        if length < 1e-9:
            raise ValueError(f"joint {element.get('name')} has no axis")
        axis = axis / length
    return _Edge(
        name=element.attrib["name"],
        kind=kind,
        parent=parent.attrib["link"],
        child=child.attrib["link"],
        xyz=triple("origin", "xyz", "0 0 0"),
        rotation=_rpy(triple("origin", "rpy", "0 0 0")),
        axis=axis,
        lower=lower,
        upper=upper,
        mimic=(
            None
            if mimic is None
            else (mimic.attrib["joint"], float(mimic.get("multiplier", "1")), float(mimic.get("offset", "0")))
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


def _carrier(link: str, by_child: Mapping[str, _Edge], path: Path) -> tuple[str | None, Array]:
    """The movable joint that carries a link, and the link's pose [4, 4] in that joint's frame."""
    pose = np.eye(4)
    visited = set()
    while (edge := by_child.get(link)) is not None and edge.kind not in MOVABLE:
        if link in visited:
            raise HumanrtError(f"{path}: the links around {link!r} form a loop")
        visited.add(link)
        step = np.eye(4)
        step[:3, :3], step[:3, 3] = edge.rotation, edge.xyz
        pose = step @ pose
        link = edge.parent
    return (None if edge is None else edge.name), pose


def _fold(edge: _Edge, by_child: Mapping[str, _Edge], path: Path) -> Joint:
    """A movable joint whose parent is the next movable joint, the fixed ones between them folded in."""
    parent, pose = _carrier(edge.parent, by_child, path)
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
    hand: HandDescription, finger: str, tip: Point, named: list[str] | None, beside: Path
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
        if len(named) != 3 or (wrong := [joint for joint in named if joint not in by_name]):
            raise HumanrtError(
                f"{beside}: joints: {finger}: give knuckle, middle and last joint out of {choices(chain)}"
                + (f", not {choices(wrong)}" if len(named) == 3 else "")
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
        except (KeyError, TypeError, ValueError):
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
    along = (fingers / np.linalg.norm(fingers, axis=1, keepdims=True)).mean(axis=0)
    along /= np.linalg.norm(along)
    out = (hand.positions(straight + 0.3 * (middle - straight), tips) - start).mean(axis=0)
    out -= along * (along @ out)
    if float(np.linalg.norm(out)) < 1e-4:
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


def _numbers(hints: Mapping[str, Any], key: str, beside: Path) -> dict[str, float]:
    try:
        return {str(name): float(value) for name, value in hints.get(key, {}).items()}
    except (AttributeError, TypeError, ValueError):
        raise HumanrtError(f'{beside}: {key}: give such as {{"joint": 0.0}}') from None
