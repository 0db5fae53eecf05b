"""Description of a robot hand: joints, finger points, wrist frame, shape for drawing.

A hand description is a small JSON file (``robots/*.json`` for the shipped ones; ``export/humanrt_export/robot_hand.py``
creates one from a URDF). Metres and radians; frames are named by the joint that moves them, ``null`` for the base::

    {"format": 1, "name": "allegro_right", "side": "right", "scale": 1.6, "licence": "...", "source": {...},
     "joints":  [{"name", "type": "revolute" | "prismatic", "parent": joint or null, "xyz": [3], "rotation": [9],
                  "axis": [3], "lower", "upper", "mimic"?: {"joint", "multiplier", "offset"}}, ...],
     "locked":  {joint: value},
     "rest":    {joint: value},
     "wrist":   {"joint": null, "xyz": [3]},
     "rotation": [9],
     "radius": 0.012,
     "max_speed"?: 8.0,
     "fingers": {"thumb": [knuckle, middle, distal, tip], "index": [...], ...},
     "vector":  ["tip"] or ["tip", "middle"]}

Numbers are finite, axes of length 1, every ``rotation`` nine numbers row by row, ``scale``, ``radius`` and
``max_speed`` positive. ``max_speed``: rad/s, the max speed of the robot's joints, if that is less than the default of
``RetargetOptions.max_speed``.
The hand's ``rotation`` rotates the human wrist frame (x out of the palm, z towards the fingers, y = z x x) into the
robot's base frame. A finger's four points correspond to the human's four keypoints of that finger, base to tip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.geometry.hand import FINGERS
from humanrt.retarget.check import mapping, number, number_map, numbers, one_of, rotation, text

__all__ = ["PARTS", "Chain", "Configured", "HandDescription", "Joint", "Point", "Vector", "Visual", "rotation_of_rpy"]

Array = NDArray[np.float64]

PARTS = ("knuckle", "middle", "distal", "tip")
"""A finger's four points."""
JOINT_TYPES = ("revolute", "prismatic")
FORMAT = 1


@dataclass(frozen=True)
class Point:
    """A point fixed to a joint's link: ``xyz`` [3] metres in that joint's frame; ``joint`` None is the base."""

    joint: str | None
    xyz: tuple[float, float, float]


@dataclass(frozen=True)
class Joint:
    """Movable joint. ``xyz``, ``rotation``: pose of its frame in its parent's at q = 0; fixed joints are folded in."""

    name: str
    parent: str | None
    xyz: tuple[float, float, float]
    rotation: tuple[float, ...]
    axis: tuple[float, float, float]
    lower: float
    upper: float
    prismatic: bool = False
    mimic: tuple[str, float, float] | None = None
    """(joint, multiplier, offset): this joint = multiplier * joint + offset."""


@dataclass(frozen=True)
class Visual:
    """A shape that a link is drawn with.

    Attributes:
        joint: that carries it; None: the base.
        pose: [4, 4] in that joint's frame.
        kind: ``box``, ``cylinder``, ``sphere`` or ``mesh``.
        size: m: sides; radius and length; radius; of a mesh the factors of its axes.
        file: of a mesh.
    """

    joint: str | None
    pose: Array
    kind: str
    size: tuple[float, ...]
    file: Path | None = None


@dataclass(frozen=True)
class Vector:
    """A robot vector that should equal a human one times the hand's scale.

    Attributes:
        origin, task: where the robot's begins and ends.
        human: keypoints at which the human's begins and ends.
    """

    origin: Point
    task: Point
    human: tuple[int, int]


@dataclass(frozen=True)
class Configured:
    """The objective that a configuration of another program asks for.

    Attributes:
        objective: its name here.
        vectors: of the objective ``vector``; those of other objectives follow from the fingers.
        huber: m, `RetargetOptions.huber`. None: the objective's.
        project, escape: m, likewise.
    """

    objective: str
    vectors: tuple[Vector, ...]
    huber: float | None
    project: float
    escape: float


@dataclass(frozen=True)
class Chain:
    """The joints as flat arrays, parents first, as read by the kernel and the numpy reference.

    ``q = gain * x[variable] + offset`` (``offset`` alone where ``variable`` is -1); ``order`` maps a row to its
    index in ``HandDescription.joint_names``.
    """

    parent: NDArray[np.int32]
    prismatic: NDArray[np.int32]
    placement: Array
    axis: Array
    order: NDArray[np.int32]


@dataclass(frozen=True)
class HandDescription:
    """A robot hand. ``joints`` are all movable joints, in the order of ``joint_names`` (that of the URDF)."""

    name: str
    side: str
    joints: tuple[Joint, ...]
    fingers: Mapping[str, tuple[Point, Point, Point, Point]]
    wrist: Point
    rotation: Array = field(default_factory=lambda: np.eye(3))
    scale: float = 1.0
    radius: float = 0.01
    max_speed: float | None = None
    """rad/s, max speed of the joints; None: unknown. See ``RetargetOptions.max_speed``."""
    locked: Mapping[str, float] = field(default_factory=dict)
    rest: Mapping[str, float] = field(default_factory=dict)
    vector: tuple[str, ...] = ("tip",)
    licence: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Notes for the user on how the hand was read, a line each; not part of the file."""
    visuals: tuple[Visual, ...] = ()
    """How its links look, where it was read from a URDF that says so; not part of the file."""
    configured: Configured | None = None
    """What another program's configuration asks for, if it was read from one; not part of the file."""

    def __post_init__(self) -> None:
        text(self.name, "hand: name")
        names = self.joint_names
        if len(set(names)) != len(names):
            twice = {name for name in names if names.count(name) > 1}
            raise HumanrtError(f"hand {self.name}: several joints are named {choices(twice)}; give each its own name")
        known = {*names, None}
        named = [
            *((f"finger {finger}", point.joint) for finger, points in self.fingers.items() for point in points),
            ("wrist", self.wrist.joint),
            *(("locked", joint) for joint in self.locked),
            *(("rest", joint) for joint in self.rest),
            *((f"joint {joint.name}: parent", joint.parent) for joint in self.joints),
            *((f"joint {joint.name}: mimic", joint.mimic[0]) for joint in self.joints if joint.mimic),
        ]
        for where, joint_name in named:
            if joint_name not in known:
                raise HumanrtError(
                    f"hand {self.name}: {where} names joint {joint_name!r}, which the hand does not have; "
                    f"it has {choices(names)}"
                )
        if self.side not in ("left", "right"):
            raise HumanrtError(f"hand {self.name}: side is {self.side!r}; give left or right")
        if not self.fingers or (unknown := set(self.fingers) - set(FINGERS)):
            raise HumanrtError(
                f"hand {self.name}: unknown fingers {choices(unknown if self.fingers else ['none'])}; "
                f"name at least one of {choices(FINGERS)}"
            )
        self._check_numbers()
        vector_parts(self.vector, f"hand {self.name}: vector")
        self.chain()

    def _check_numbers(self) -> None:
        here = f"hand {self.name}:"
        for joint in self.joints:
            where = f"{here} joint {text(joint.name, f'{here} joint name')}"
            numbers(joint.xyz, 3, f"{where}: xyz")
            rotation(joint.rotation, f"{where}: rotation")
            length = float(np.linalg.norm(numbers(joint.axis, 3, f"{where}: axis")))
            if abs(length - 1.0) > 1e-4:
                raise HumanrtError(f"{where}: axis has length {length:g}; it must be 1")
            numbers((joint.lower, joint.upper), 2, f"{where}: a limit")
            if joint.lower > joint.upper:
                raise HumanrtError(f"{where} has limits {joint.lower}..{joint.upper}; give the lower first")
            if joint.mimic:
                numbers(joint.mimic[1:], 2, f"{where}: mimic multiplier or offset")
        for finger, points in self.fingers.items():
            for point in points:
                numbers(point.xyz, 3, f"{here} finger {finger}: xyz")
        numbers(self.wrist.xyz, 3, f"{here} wrist: xyz")
        rotation(np.ravel(self.rotation), f"{here} rotation")
        number(self.scale, f"{here} scale", "be positive")
        number(self.radius, f"{here} radius", "be positive")
        if self.max_speed is not None:
            number(self.max_speed, f"{here} max_speed", "be positive")
        number_map(self.locked, f"{here} locked")
        number_map(self.rest, f"{here} rest")

    @property
    def joint_names(self) -> tuple[str, ...]:
        return tuple(joint.name for joint in self.joints)

    @property
    def limits(self) -> Array:
        """Lower and upper limits [dof, 2], rad (metres for prismatic joints)."""
        return np.array([[joint.lower, joint.upper] for joint in self.joints], dtype=np.float64).reshape(-1, 2)

    @property
    def rest_pose(self) -> Array:
        """Default pose [dof]: ``rest``, else zero, within the limits.

        A joint that follows another is at the position given by that joint.
        """
        pose = np.array([self.rest.get(joint.name, 0.0) for joint in self.joints])
        pose = np.array([self.locked.get(joint.name, value) for joint, value in zip(self.joints, pose, strict=True)])
        low, high = self.limits.T
        clipped: Array = np.minimum(np.maximum(pose, low), high)
        rows = {joint.name: row for row, joint in enumerate(self.joints)}
        for row, (leader, gain, offset) in enumerate(self.drives(self.locked)):
            if leader != self.joints[row].name:
                value = offset if leader is None else offset + gain * clipped[rows[leader]]
                clipped[row] = min(max(value, low[row]), high[row])
        return clipped

    def drives(self, locked: Mapping[str, float]) -> list[tuple[str | None, float, float]]:
        """Return (leader, gain, offset) per joint: ``gain * leader + offset``, through any chain of mimics.

        A joint that moves by itself is its own leader; the leader is None where the value is fixed.

        Raises:
            HumanrtError: mimic joints follow each other in a circle.
        """
        joints = {joint.name: joint for joint in self.joints}

        def drive(name: str) -> tuple[str | None, float, float]:
            gain, offset = 1.0, 0.0
            for _ in joints:
                if name in locked:
                    return None, 0.0, offset + gain * locked[name]
                mimic = joints[name].mimic
                if mimic is None:
                    return (None, 0.0, offset) if gain == 0.0 else (name, gain, offset)
                name, gain, offset = mimic[0], gain * mimic[1], offset + gain * mimic[2]
            raise HumanrtError(f"hand {self.name}: mimic joints around {name} form a loop")

        return [drive(joint.name) for joint in self.joints]

    def carriers(self, joint: str | None) -> tuple[str, ...]:
        """Return the joints that move the link of ``joint``: itself and all between it and the base, base first."""
        parents = {each.name: each.parent for each in self.joints}
        names: list[str] = []
        while joint is not None:
            names.append(joint)
            joint = parents[joint]
        return tuple(reversed(names))

    @cached_property
    def gripper(self) -> bool:
        """Whether the fingers are jaws, which open and close but cannot point.

        True if only prismatic joints move them; and for two or three fingers if one motor moves them all, or each has
        at most one hinge, or they bend towards each other (``opposed``). Joints that carry all fingers do not count.
        """
        fingers = self.own_joints()
        every = {name for finger in fingers for name in finger}
        if len(fingers) < 2 or not every:
            return False
        if all(joint.prismatic for joint in self.joints if joint.name in every):
            return True
        leaders = {drive[0] for joint, drive in zip(self.joints, self.drives(self.locked), strict=True)
                   if joint.name in every}  # fmt: skip
        few = len(fingers) <= 3
        return few and (len(leaders) == 1 or all(len(finger) <= 1 for finger in fingers) or self.opposed)

    @cached_property
    def opposed(self) -> bool:
        """Whether the first finger is parallel to the others and bends towards them.

        Such hands grasp objects between the fingers. A human's thumb is not parallel: it points away.
        """
        fingers = self.own_joints()
        if len(fingers) < 2 or not all(fingers):
            return False
        rest = self.rest_pose
        still = [leader is None for leader, _, _ in self.drives(self.locked)]
        closing = rest + 0.3 * (np.where(still, rest, self.limits.mean(axis=1)) - rest)
        tips = [points[3] for points in self.fingers.values()]
        roots = [Point(finger[0], (0.0, 0.0, 0.0)) for finger in fingers]
        start = self.positions(rest, tips)
        along, bend = start - self.positions(rest, roots), self.positions(closing, tips) - start

        def agree(vectors: Array) -> float:
            first, others = vectors[0], vectors[1:].mean(axis=0)
            size = float(np.linalg.norm(first) * np.linalg.norm(others))
            return float(first @ others) / size if size > 1e-8 else 0.0

        return agree(along) > 0.5 and agree(bend) < -0.5

    def own_joints(self) -> list[list[str]]:
        """Return each finger's moving joints that do not carry all fingers, base first."""
        drives = {joint.name: drive[0] for joint, drive in zip(self.joints, self.drives(self.locked), strict=True)}
        chains = [
            [name for name in self.carriers(points[3].joint) if drives[name] is not None]
            for points in self.fingers.values()
        ]
        shared = set(self.carriers(self.wrist.joint)).union(set(chains[0]).intersection(*chains[1:]))
        return [[name for name in chain if name not in shared] for chain in chains]

    def chain(self) -> Chain:
        """Return the joints, parents first, as arrays."""
        order: list[int] = []
        names = self.joint_names
        pending = list(range(len(names)))
        while pending:
            done = {names[i] for i in order}
            ready = [i for i in pending if self.joints[i].parent is None or self.joints[i].parent in done]
            if not ready:
                raise HumanrtError(f"hand {self.name}: joints {choices(names[i] for i in pending)} form a loop")
            order += ready
            pending = [i for i in pending if i not in ready]
        rows = {names[i]: row for row, i in enumerate(order)}
        joints = [self.joints[i] for i in order]
        return Chain(
            parent=np.array([-1 if j.parent is None else rows[j.parent] for j in joints], dtype=np.int32),
            prismatic=np.array([j.prismatic for j in joints], dtype=np.int32),
            placement=np.array([[*j.rotation, *j.xyz] for j in joints], dtype=np.float64).reshape(-1, 12),
            axis=np.array([j.axis for j in joints], dtype=np.float64).reshape(-1, 3),
            order=np.array(order, dtype=np.int32),
        )

    def forward(self, q: Sequence[float] | Array) -> dict[str | None, Array]:
        """Return the pose [4, 4] of every joint's link in the base frame, by name, for joint angles [dof].

        The key None is the base.
        """
        frames: dict[str | None, Array] = {None: np.eye(4)}
        chain = self.chain()
        values = np.asarray(q, dtype=np.float64)
        for row, index in enumerate(chain.order):
            joint = self.joints[index]
            local = np.eye(4)
            local[:3, :3] = chain.placement[row, :9].reshape(3, 3)
            local[:3, 3] = chain.placement[row, 9:]
            frames[joint.name] = frames[joint.parent] @ local @ joint_motion(joint, float(values[index]))
        return frames

    def positions(self, q: Sequence[float] | Array, points: Sequence[Point]) -> Array:
        """Return the positions of points, [len(points), 3] metres in the base frame."""
        frames = self.forward(q)
        return np.array([frames[p.joint][:3, :3] @ np.array(p.xyz) + frames[p.joint][:3, 3] for p in points])

    def capsules(self, q: Sequence[float] | Array) -> tuple[Array, Array, NDArray[np.int64]]:
        """Return the hand as capsules, for drawing.

        Returns:
            Segments [L, 2, 3] metres in the base frame, radii [L] metres, and the finger of each [L] (index into
            ``FINGERS``; -1 for the palm).
        """
        points = [self.wrist, *(point for points in self.fingers.values() for point in points)]
        where = self.positions(q, points)
        wrist, fingers = where[0], where[1:].reshape(-1, 4, 3)
        segments, radii, owners = [], [], []
        names = list(self.fingers)
        for name, finger in zip(names, fingers, strict=True):
            segments.append([wrist, finger[0]])
            radii.append(1.25 * self.radius)
            owners.append(-1)
            for part in range(3):
                segments.append([finger[part], finger[part + 1]])
                radii.append(self.radius * (1.0 - 0.08 * part))
                owners.append(FINGERS.index(name))
        knuckles = [finger[0] for name, finger in zip(names, fingers, strict=True) if name != "thumb"]
        for a, b in pairwise(knuckles):
            segments.append([a, b])
            radii.append(1.25 * self.radius)
            owners.append(-1)
        return np.array(segments), np.array(radii), np.array(owners, dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """Return the description as the JSON object of the module's docstring."""

        def point(p: Point) -> dict[str, Any]:
            return {"joint": p.joint, "xyz": _short(p.xyz)}

        joints = []
        for j in self.joints:
            entry: dict[str, Any] = {
                "name": j.name,
                "type": "prismatic" if j.prismatic else "revolute",
                "parent": j.parent,
                "xyz": _short(j.xyz),
                "rotation": _short(j.rotation),
                "axis": _short(j.axis),
                "lower": j.lower,
                "upper": j.upper,
            }
            if j.mimic:
                entry["mimic"] = dict(zip(("joint", "multiplier", "offset"), j.mimic, strict=True))
            joints.append(entry)
        return {
            "format": FORMAT,
            "name": self.name,
            "side": self.side,
            "scale": self.scale,
            "licence": self.licence,
            "source": dict(self.source),
            "joints": joints,
            "locked": dict(self.locked),
            "rest": dict(self.rest),
            "wrist": point(self.wrist),
            "rotation": _short(self.rotation.ravel()),
            "radius": self.radius,
            **({} if self.max_speed is None else {"max_speed": self.max_speed}),
            "fingers": {name: [point(p) for p in points] for name, points in self.fingers.items()},
            "vector": list(self.vector),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str = "hand description") -> HandDescription:
        """Create a description from the output of `to_json`; an error names the missing or wrong field."""
        try:
            if data["format"] != FORMAT:
                raise HumanrtError(f"{where}: format {short(data['format'])}; this version reads format {FORMAT}")
            joints = tuple(_joint(entry, where) for entry in data["joints"])
            fingers = {}
            for name, points in data["fingers"].items():
                knuckle, middle, distal, tip = (_point(point, f"{where}: finger {name}") for point in points)
                fingers[str(name)] = (knuckle, middle, distal, tip)
            speed = data.get("max_speed")
            return cls(
                name=text(data["name"], f"{where}: name"),
                side=str(data["side"]),
                joints=joints,
                fingers=fingers,
                wrist=_point(data["wrist"], f"{where}: wrist"),
                rotation=rotation(data["rotation"], f"{where}: rotation"),
                scale=number(data["scale"], f"{where}: scale", "be positive"),
                radius=number(data["radius"], f"{where}: radius", "be positive"),
                max_speed=speed if speed is None else number(speed, f"{where}: max_speed", "be positive"),
                locked=number_map(data.get("locked", {}), f"{where}: locked"),
                rest=number_map(data.get("rest", {}), f"{where}: rest"),
                vector=vector_parts(data.get("vector", ("tip",)), f"{where}: vector"),
                licence=str(data.get("licence", "")),
                source=dict(mapping(data.get("source", {}), f"{where}: source", '{"origin": "..."}')),
            )
        except KeyError as error:
            raise HumanrtError(f"{where}: field {error} is missing") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise HumanrtError(f"{where}: not a hand description ({error})") from None


def _joint(entry: Any, where: str) -> Joint:
    where = f"{where}: joint {text(entry['name'], f'{where}: joint name')}"
    mimic = entry.get("mimic")
    if mimic is not None:
        factors = (number(mimic[key], f"{where}: mimic {key}") for key in ("multiplier", "offset"))
        mimic = (text(mimic["joint"], f"{where}: mimic joint"), *factors)
    return Joint(
        name=entry["name"],
        parent=entry["parent"],
        xyz=_vector(entry["xyz"], f"{where}: xyz"),
        rotation=numbers(entry["rotation"], 9, f"{where}: rotation"),
        axis=_vector(entry["axis"], f"{where}: axis"),
        lower=number(entry["lower"], f"{where}: lower"),
        upper=number(entry["upper"], f"{where}: upper"),
        prismatic=one_of(entry["type"], JOINT_TYPES, f"{where}: type") == "prismatic",
        mimic=mimic,
    )


def _point(entry: Any, where: str) -> Point:
    return Point(entry["joint"], _vector(entry["xyz"], f"{where}: xyz"))


def vector_parts(values: Any, where: str) -> tuple[str, ...]:
    """Return the points that the wrist's vectors go to: a list of names from ``PARTS``."""
    if not isinstance(values, (list, tuple)) or not values:
        raise HumanrtError(f'{where}: give a list such as ["tip", "middle"] out of {choices(PARTS)}')
    return tuple(one_of(value, PARTS, where) for value in values)


def rotation_about(axis: Array, angle: float) -> Array:
    """Return the rotation [3, 3] by ``angle`` rad about the unit vector ``axis`` (Rodrigues)."""
    x, y, z = axis
    K = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: Array = np.eye(3) + np.sin(angle) * K + (1.0 - np.cos(angle)) * (K @ K)
    return rotation


def rotation_of_rpy(rpy: Sequence[float] | Array) -> Array:
    """Return the rotation [3, 3] of URDF's fixed-axis roll, pitch, yaw, rad: R = Rz(yaw) Ry(pitch) Rx(roll)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def joint_motion(joint: Joint, value: float) -> Array:
    """Return the motion [4, 4] of a joint's link in the joint's frame; ``value``: rad, metres for prismatic joints."""
    motion = np.eye(4)
    if joint.prismatic:
        motion[:3, 3] = np.array(joint.axis) * value
    else:
        motion[:3, :3] = rotation_about(np.array(joint.axis), value)
    return motion


def _vector(values: Any, where: str) -> tuple[float, float, float]:
    x, y, z = numbers(values, 3, where)
    return x, y, z


def _short(values: Any) -> list[float]:
    """Round to 1e-12, so that a description is readable and the same on every machine."""
    return [round(float(v), 12) + 0.0 for v in values]
