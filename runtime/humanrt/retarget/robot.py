"""What hands and arms of robots have in common: joints, their limits and kinematics.

Metres and radians; frames are named by the joint that moves them, None for the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.retarget.check import number, number_map, numbers, one_of, rotation, text

__all__ = [
    "Chain",
    "Joint",
    "Point",
    "RobotDescription",
    "Visual",
    "joint_motion",
    "read_joint",
    "read_point",
    "rotation_about",
    "rotation_of_rpy",
    "rounded",
]

Array = NDArray[np.float64]

JOINT_TYPES = ("revolute", "prismatic")


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


class RobotDescription:
    """Joints of a robot, in the order of ``joint_names`` (that of the URDF). Subclasses are frozen dataclasses.

    Attributes:
        kind: what it is, in words.
        name: its name.
        side: ``left`` or ``right``.
        joints: all movable joints.
        locked: joint -> value of joints that do not move.
        rest: joint -> value of the default pose.
        max_speed: rad/s, max speed of the joints; None: unknown. See ``RetargetOptions.max_speed``.
        max_acceleration: rad/s2, likewise.
        notes: for the user on how it was read, a line each; not part of the file.
        visuals: how its links look, where it was read from a URDF that says so; not part of the file.
    """

    kind = "robot"
    name: str
    side: str
    joints: tuple[Joint, ...]
    locked: Mapping[str, float]
    rest: Mapping[str, float]
    max_speed: float | None
    max_acceleration: float | None = None
    notes: tuple[str, ...]
    visuals: tuple[Visual, ...]

    def capsules(self, q: Sequence[float] | Array) -> tuple[Array, Array, NDArray[np.int64]]:
        """Return the robot in pose q [dof] as capsules, for drawing.

        Returns:
            Segments [L, 2, 3] metres in the base frame, radii [L] metres, and the part of each [L], by which it is
            coloured (of hands the finger; -1: palm, or the base of an arm).
        """
        raise NotImplementedError

    def _check(self, named: Sequence[tuple[str, str | None]]) -> None:
        """Refuse joints, sides and numbers that cannot be. ``named``: further places that name a joint, and it."""
        text(self.name, f"{self.kind}: name")
        names = self.joint_names
        here = f"{self.kind} {self.name}"
        if len(set(names)) != len(names):
            twice = {name for name in names if names.count(name) > 1}
            raise HumanrtError(f"{here}: several joints are named {choices(twice)}; give each its own name")
        for where, name in (
            *named,
            *(("locked", joint) for joint in self.locked),
            *(("rest", joint) for joint in self.rest),
            *((f"joint {joint.name}: parent", joint.parent) for joint in self.joints),
            *((f"joint {joint.name}: mimic", joint.mimic[0]) for joint in self.joints if joint.mimic),
        ):
            if name not in {*names, None}:
                raise HumanrtError(
                    f"{here}: {where} names joint {name!r}, which the {self.kind} does not have; "
                    f"it has {choices(names)}"
                )
        if self.side not in ("left", "right"):
            raise HumanrtError(f"{here}: side is {self.side!r}; give left or right")
        for joint in self.joints:
            where = f"{here}: joint {text(joint.name, f'{here}: joint name')}"
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
        if self.max_speed is not None:
            number(self.max_speed, f"{here}: max_speed", "be positive")
        number_map(self.locked, f"{here}: locked")
        number_map(self.rest, f"{here}: rest")

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
            raise HumanrtError(f"{self.kind} {self.name}: mimic joints around {name} form a loop")

        return [drive(joint.name) for joint in self.joints]

    def carriers(self, joint: str | None) -> tuple[str, ...]:
        """Return the joints that move the link of ``joint``: itself and all between it and the base, base first."""
        parents = {each.name: each.parent for each in self.joints}
        names: list[str] = []
        while joint is not None:
            names.append(joint)
            joint = parents[joint]
        return tuple(reversed(names))

    def chain(self) -> Chain:
        """Return the joints, parents first, as arrays."""
        order: list[int] = []
        names = self.joint_names
        pending = list(range(len(names)))
        while pending:
            done = {names[i] for i in order}
            ready = [i for i in pending if self.joints[i].parent is None or self.joints[i].parent in done]
            if not ready:
                raise HumanrtError(f"{self.kind} {self.name}: joints {choices(names[i] for i in pending)} form a loop")
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

    def joint_records(self) -> list[dict[str, Any]]:
        """Return the joints as a description's file has them; `read_joint` reads one."""
        records = []
        for j in self.joints:
            record: dict[str, Any] = {
                "name": j.name,
                "type": "prismatic" if j.prismatic else "revolute",
                "parent": j.parent,
                "xyz": rounded(j.xyz),
                "rotation": rounded(j.rotation),
                "axis": rounded(j.axis),
                "lower": j.lower,
                "upper": j.upper,
            }
            if j.mimic:
                record["mimic"] = dict(zip(("joint", "multiplier", "offset"), j.mimic, strict=True))
            records.append(record)
        return records


def read_joint(entry: Any, where: str) -> Joint:
    """Return a joint of a description's file."""
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


def read_point(entry: Any, where: str) -> Point:
    """Return a point of a description's file."""
    return Point(entry["joint"], _vector(entry["xyz"], f"{where}: xyz"))


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


def rounded(values: Any) -> list[float]:
    """Round to 1e-12, so that a description is readable and the same on every machine."""
    return [round(float(v), 12) + 0.0 for v in values]
