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
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.geometry.hand import FINGERS
from humanrt.retarget.check import mapping, number, number_map, numbers, one_of, rotation, text
from humanrt.retarget.robot import Joint, Point, RobotDescription, Visual, read_joint, read_point, rounded

__all__ = ["PARTS", "Configured", "HandDescription", "Vector", "vector_parts"]

Array = NDArray[np.float64]

PARTS = ("knuckle", "middle", "distal", "tip")
"""A finger's four points."""
FORMAT = 1


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
class HandDescription(RobotDescription):
    """A robot hand. ``joints`` are all movable joints, in the order of ``joint_names`` (that of the URDF)."""

    kind = "hand"
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
        places = ((f"finger {finger}", point.joint) for finger, points in self.fingers.items() for point in points)
        self._check([*places, ("wrist", self.wrist.joint)])
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
        for finger, points in self.fingers.items():
            for point in points:
                numbers(point.xyz, 3, f"{here} finger {finger}: xyz")
        numbers(self.wrist.xyz, 3, f"{here} wrist: xyz")
        rotation(np.ravel(self.rotation), f"{here} rotation")
        number(self.scale, f"{here} scale", "be positive")
        number(self.radius, f"{here} radius", "be positive")

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
            return {"joint": p.joint, "xyz": rounded(p.xyz)}

        return {
            "format": FORMAT,
            "name": self.name,
            "side": self.side,
            "scale": self.scale,
            "licence": self.licence,
            "source": dict(self.source),
            "joints": self.joint_records(),
            "locked": dict(self.locked),
            "rest": dict(self.rest),
            "wrist": point(self.wrist),
            "rotation": rounded(self.rotation.ravel()),
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
            joints = tuple(read_joint(entry, where) for entry in data["joints"])
            fingers = {}
            for name, points in data["fingers"].items():
                knuckle, middle, distal, tip = (read_point(point, f"{where}: finger {name}") for point in points)
                fingers[str(name)] = (knuckle, middle, distal, tip)
            speed = data.get("max_speed")
            return cls(
                name=text(data["name"], f"{where}: name"),
                side=str(data["side"]),
                joints=joints,
                fingers=fingers,
                wrist=read_point(data["wrist"], f"{where}: wrist"),
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


def vector_parts(values: Any, where: str) -> tuple[str, ...]:
    """Return the points that the wrist's vectors go to: a list of names from ``PARTS``."""
    if not isinstance(values, (list, tuple)) or not values:
        raise HumanrtError(f'{where}: give a list such as ["tip", "middle"] out of {choices(PARTS)}')
    return tuple(one_of(value, PARTS, where) for value in values)
