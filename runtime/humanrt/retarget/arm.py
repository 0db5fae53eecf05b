"""Description of a robot arm: joints, the places that correspond to a person's arm, and how one is laid onto the other.

A file of one is a small JSON object (``arms/*.json`` for those that ship); metres and radians, frames named by the
joint that moves them, ``null`` for the base::

    {"format": 1, "arm": "ur5e", "licence": "...", "source": {...},
     "joints": [as in `humanrt.retarget.description`],
     "shoulder": {"joint": null, "xyz": [3]}, "elbow": {"joint", "xyz"}, "tool": {"joint", "xyz"},
     "hand": [9], "rest": {joint: value}, "locked": {joint: value}, "radius": 0.05,
     "max_speed": 2.0, "max_acceleration": 10.0, "branch_after": 1.0}

``hand``: rotation, row by row, whose columns are the axes of the person's wrist (out of the palm, sideways, towards the
fingers) in the frame of the tool's joint. A robot hand that is mounted there so moves as the person's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.retarget.check import mapping, number, number_map, numbers, rotation, text
from humanrt.retarget.robot import Joint, Point, RobotDescription, Visual, read_joint, read_point, rounded

__all__ = ["ARM_ACCELERATION", "ARM_SPEED", "FRAMES", "ArmDescription", "Placement"]

Array = NDArray[np.float64]

FRAMES = ("trunk", "camera")
"""What a person's arm is measured against."""
ARM_SPEED, ARM_ACCELERATION = 2.0, 10.0
"""rad/s and rad/s2 that an arm's joints do not exceed unless its description says otherwise: arms are heavy."""
FURTHEST = 5.0
"""m; an offset or a reach beyond it is not of metres."""
BRANCH_AFTER = 1.0
"""s for which an arm's branch may not reach the place before it goes to another."""
FORMAT = 1
_BASE = -1


@dataclass(frozen=True)
class Placement:
    """How a person's arm is laid onto a robot's: their shoulders coincide, and lengths are scaled.

    Attributes:
        frame: ``trunk``: against the person's own trunk, so that who turns or walks does not move the robot;
            ``camera``: against the camera, whom the person faces.
        rotation: [3, 3] from the person's axes (x forward, y left, z up) to the robot's base. Default: the same.
        arm_length: m from the person's shoulder over the elbow to the wrist. None: as measured of each person.
        scale: metres of the robot to one of the person's. None: an arm that is held out straight reaches 90 % as far
            as the robot can.
        offset: [3] m in the base frame, added to where the tool should be: to lift it above a table, or to bring the
            person's workspace into the robot's.
    """

    frame: str = FRAMES[0]
    rotation: Array = field(default_factory=lambda: np.eye(3))
    arm_length: float | None = None
    scale: float | None = None
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise HumanrtError(f"placement: frame is {self.frame!r}; choose one of: {choices(FRAMES)}")
        rotation(np.ravel(self.rotation), "placement: rotation")
        for name in ("arm_length", "scale"):
            if (value := getattr(self, name)) is not None:
                number(value, f"placement: {name}", "be positive")
        if self.arm_length is not None and not 0.2 <= self.arm_length <= 1.2:
            raise HumanrtError(f"placement: arm_length is {self.arm_length:g} m; a person's is 0.2 to 1.2 m")
        if max(map(abs, numbers(self.offset, 3, "placement: offset"))) > FURTHEST:
            raise HumanrtError(f"placement: offset {list(self.offset)} is over {FURTHEST:g} m; give metres")


@dataclass(frozen=True)
class ArmDescription(RobotDescription):
    """A robot arm, which a person's moves.

    Attributes:
        side: the person's arm that moves it.
        shoulder: where the person's shoulder is laid, in the base frame.
        elbow, tool: what follows elbow and wrist.
        hand: [3, 3], see above.
        placement: how the person's arm is laid onto it.
        radius: m, for drawing.
        max_acceleration: rad/s2, of the joints of a robot that is sent to.
        branch_after: s for which the tool must have been away from its place before the arm goes to another branch
            that reaches it. None: never.
    """

    kind = "arm"
    name: str
    side: str
    joints: tuple[Joint, ...]
    shoulder: Point
    elbow: Point
    tool: Point
    hand: Array = field(default_factory=lambda: np.eye(3))
    placement: Placement = field(default_factory=Placement)
    radius: float = 0.05
    max_speed: float | None = ARM_SPEED
    max_acceleration: float | None = ARM_ACCELERATION
    branch_after: float | None = BRANCH_AFTER
    locked: Mapping[str, float] = field(default_factory=dict)
    rest: Mapping[str, float] = field(default_factory=dict)
    licence: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    visuals: tuple[Visual, ...] = ()

    def __post_init__(self) -> None:
        places = (("shoulder", self.shoulder), ("elbow", self.elbow), ("tool", self.tool))
        self._check([(where, point.joint) for where, point in places])
        for where, point in places:
            numbers(point.xyz, 3, f"arm {self.name}: {where}: xyz")
        rotation(np.ravel(self.hand), f"arm {self.name}: hand")
        number(self.radius, f"arm {self.name}: radius", "be positive")
        if self.max_acceleration is not None:
            number(self.max_acceleration, f"arm {self.name}: max_acceleration", "be positive")
        if self.branch_after is not None:
            number(self.branch_after, f"arm {self.name}: branch_after", "not be negative")
        self.chain()

    def pose(self, q: Sequence[float] | Array) -> Array:
        """Return the pose [4, 4] of the person's wrist on the robot in the base frame, for joint angles [dof]."""
        frame = self.forward(q)[self.tool.joint]
        pose = np.eye(4)
        pose[:3, :3] = frame[:3, :3] @ self.hand
        pose[:3, 3] = frame[:3, :3] @ np.array(self.tool.xyz) + frame[:3, 3]
        return pose

    def length(self) -> float:
        """Return the length of the arm from its shoulder to its tool, along its joints, m: more than it reaches."""
        q = self.rest_pose
        frames = self.forward(q)
        places = [*(frames[name][:3, 3] for name in self.carriers(self.tool.joint)), self.pose(q)[:3, 3]]
        shoulder = self.positions(q, [self.shoulder])[0]
        lengths = [float(np.linalg.norm(b - a)) for a, b in pairwise(places)]
        begin = int(np.argmin([np.linalg.norm(place - shoulder) for place in places[:-1]]))
        return sum(lengths[begin:])

    def capsules(self, q: Sequence[float] | Array) -> tuple[Array, Array, NDArray[np.int64]]:
        frames = self.forward(q)
        above = [frames[name][:3, 3] for name in self.carriers(self.tool.joint)]
        places = [np.zeros(3), *above, self.pose(q)[:3, 3]]
        segments = np.array([pair for pair in pairwise(places) if np.linalg.norm(pair[1] - pair[0]) > 1e-3])
        parts = np.arange(len(segments)) - 1
        radii = np.asarray(self.radius * 0.93 ** np.arange(len(segments)), np.float64)
        return segments, radii, np.where(parts < 0, _BASE, parts % 5).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """Return the description as the JSON object of the module's docstring, without side and placement."""

        def point(p: Point) -> dict[str, Any]:
            return {"joint": p.joint, "xyz": rounded(p.xyz)}

        return {
            "format": FORMAT,
            "arm": self.name,
            "licence": self.licence,
            "source": dict(self.source),
            "joints": self.joint_records(),
            "shoulder": point(self.shoulder),
            "elbow": point(self.elbow),
            "tool": point(self.tool),
            "hand": rounded(self.hand.ravel()),
            "rest": dict(self.rest),
            "locked": dict(self.locked),
            "radius": self.radius,
            "max_speed": self.max_speed,
            "max_acceleration": self.max_acceleration,
            "branch_after": self.branch_after,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str, side: str) -> ArmDescription:
        """Create a description from the output of `to_json`; an error names the missing or wrong field."""
        try:
            if data["format"] != FORMAT:
                raise HumanrtError(f"{where}: format {short(data['format'])}; this version reads format {FORMAT}")
            speed, acceleration = (
                number(data.get(name, usual), f"{where}: {name}", "be positive")
                for name, usual in (("max_speed", ARM_SPEED), ("max_acceleration", ARM_ACCELERATION))
            )
            return cls(
                name=text(data["arm"], f"{where}: arm"),
                side=side,
                joints=tuple(read_joint(entry, where) for entry in data["joints"]),
                shoulder=read_point(data["shoulder"], f"{where}: shoulder"),
                elbow=read_point(data["elbow"], f"{where}: elbow"),
                tool=read_point(data["tool"], f"{where}: tool"),
                hand=rotation(data["hand"], f"{where}: hand"),
                radius=number(data["radius"], f"{where}: radius", "be positive"),
                locked=number_map(data.get("locked", {}), f"{where}: locked"),
                rest=number_map(data.get("rest", {}), f"{where}: rest"),
                licence=str(data.get("licence", "")),
                source=dict(mapping(data.get("source", {}), f"{where}: source", '{"origin": "..."}')),
                max_speed=speed,
                max_acceleration=acceleration,
                branch_after=data.get("branch_after", BRANCH_AFTER),
            )
        except KeyError as error:
            raise HumanrtError(f"{where}: field {error} is missing") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise HumanrtError(f"{where}: not an arm's description ({error})") from None
