"""ROS 2 messages of results: what a bag holds and a node publishes, made without ROS.

A `RosMessage` is a ROS type's name with its fields; `build` makes of it what a library wants: rosbags' classes for a
bag or for CDR, rclpy's for a node. Axes of a camera frame are those of ROS' optical frames: x right, y down, z forward.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from humanrt.errors import HumanrtError

__all__ = ["RosMessage", "RosNames", "build", "compressed_image", "frame_messages", "stamp_of"]


@dataclass(frozen=True)
class RosMessage:
    """A message: its type, such as ``sensor_msgs/msg/JointState``, and its fields (numbers of a sequence as array)."""

    type: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class RosNames:
    """Names of topics and frames.

    Attributes:
        prefix: of the topics; ``~`` in a node.
        camera: frame of the camera.
        hand: frame of a hand; ``SIDE`` stands for left or right.
    """

    prefix: str = "/humanrt"
    camera: str = "humanrt_camera_optical_frame"
    hand: str = "humanrt_hand_SIDE"


def frame_messages(
    record: Mapping[str, Any],
    robots: Mapping[str, Mapping[str, Any]],
    stamp: RosMessage,
    names: RosNames | None = None,
    period: float | None = None,
) -> Iterator[tuple[str, RosMessage]]:
    """Yield the messages of a frame: topic and message.

    - ``ROBOT/joint_states`` (sensor_msgs/JointState), and with a ``period`` ``ROBOT/command`` (trajectory_msgs/
      JointTrajectory of one point, to be reached within it)
    - ``hands/SIDE/keypoints`` (geometry_msgs/PoseArray): 21 points in MediaPipe's order, m; orientations are
      identities. Of several hands of a side the one with the highest score.
    - ``/tf`` (tf2_msgs/TFMessage): the camera's frame to that hand's, where the recording has ``wrist``; without it
      the hand's frame stands alone.
    - ``people/ID/joints`` (geometry_msgs/PoseArray): in the camera's frame, in the order of the recording's header.

    Args:
        record: the frame as a recording has it.
        robots: robot's name -> what it does: `RobotCommands`, or `solved_robots`.
        stamp: time of the frame, see `stamp_of`.
        names: of topics and frames.
        period: seconds between frames; None: no commands.
    """
    names = RosNames() if names is None else names
    at = names.prefix.rstrip("/")
    for name, robot in robots.items():
        place, joints = f"{at}/{_name(name)}", list(robot["joints"])
        angles = np.asarray(robot["angles"], np.float64)
        yield f"{place}/joint_states", _joint_state(stamp, joints, angles)
        if period is not None:
            yield f"{place}/command", _trajectory(stamp, joints, angles, period)
    best: dict[str, Mapping[str, Any]] = {}
    for hand in record["hands"]:
        if hand["side"] not in best or hand["score"] > best[hand["side"]]["score"]:
            best[hand["side"]] = hand
    for side, hand in best.items():
        frame = names.hand.replace("SIDE", side)
        yield f"{at}/hands/{side}/keypoints", _poses(stamp, frame, hand["keypoints_3d"])
        if hand.get("wrist") is not None:
            yield "/tf", _transform(stamp, names.camera, frame, hand["wrist"])
    for person in record["people"]:
        if len(person.get("joints_3d", ())):
            yield f"{at}/people/{person['id']}/joints", _poses(stamp, names.camera, person["joints_3d"])


def compressed_image(stamp: RosMessage, frame: str, jpeg: bytes) -> RosMessage:
    """Return a picture as ``sensor_msgs/CompressedImage``."""
    fields = {"header": _header(stamp, frame), "format": "jpeg", "data": np.frombuffer(jpeg, np.uint8)}
    return RosMessage("sensor_msgs/msg/CompressedImage", fields)


def stamp_of(t: float) -> RosMessage:
    """Return a time in s as ``builtin_interfaces/Time``. HumanrtError if ROS' clock, from 1970 to 2038, lacks it."""
    nanoseconds = round(t * 1e9)
    if not 0 <= nanoseconds < 2**31 * 10**9:
        raise HumanrtError(f"time stamp {t:g} s: ROS has times from 0 to 2147483647 s; record with a clock of those")
    return RosMessage("builtin_interfaces/msg/Time", _duration(nanoseconds))


def build(message: RosMessage, make: Callable[[str, dict[str, Any]], Any]) -> Any:
    """Return the message, and all within it, as ``make(type, fields)`` makes them."""

    def value(field: Any) -> Any:
        if isinstance(field, RosMessage):
            return build(field, make)
        if isinstance(field, list | tuple):
            return [value(one) for one in field]
        return field

    return make(message.type, {name: value(field) for name, field in message.fields.items()})


def _name(text: str) -> str:
    """Return a name that ROS takes as part of a topic."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return f"_{name}" if name[:1].isdigit() else name


def _duration(nanoseconds: int) -> dict[str, int]:
    return {"sec": nanoseconds // 10**9, "nanosec": nanoseconds % 10**9}


def _header(stamp: RosMessage, frame: str = "") -> RosMessage:
    return RosMessage("std_msgs/msg/Header", {"stamp": stamp, "frame_id": frame})


def _joint_state(stamp: RosMessage, joints: Sequence[str], angles: Any) -> RosMessage:
    nothing = np.zeros(0)
    fields = {"header": _header(stamp), "name": joints, "position": angles, "velocity": nothing, "effort": nothing}
    return RosMessage("sensor_msgs/msg/JointState", fields)


def _trajectory(stamp: RosMessage, joints: Sequence[str], angles: Any, period: float) -> RosMessage:
    nothing = np.zeros(0)
    rest = dict.fromkeys(("velocities", "accelerations", "effort"), nothing)
    after = RosMessage("builtin_interfaces/msg/Duration", _duration(round(period * 1e9)))
    point = RosMessage(
        "trajectory_msgs/msg/JointTrajectoryPoint", {"positions": angles, **rest, "time_from_start": after}
    )
    # Stamp 0: begin when it arrives. The frame's own time has passed, and controllers refuse trajectories of the past.
    header = _header(stamp_of(0.0))
    fields = {"header": header, "joint_names": joints, "points": [point]}
    return RosMessage("trajectory_msgs/msg/JointTrajectory", fields)


def _poses(stamp: RosMessage, frame: str, points: Any) -> RosMessage:
    fields = {"header": _header(stamp, frame), "poses": [_pose((*point, 0.0, 0.0, 0.0, 1.0)) for point in points]}
    return RosMessage("geometry_msgs/msg/PoseArray", fields)


def _pose(values: Sequence[float], kind: str = "Pose") -> RosMessage:
    """Return x, y, z, qx, qy, qz, qw as a pose, or as a transform."""
    where, how = {"Pose": ("Point", "position"), "Transform": ("Vector3", "translation")}[kind]
    turn = {"Pose": "orientation", "Transform": "rotation"}[kind]
    numbers = [float(value) for value in values]
    place = RosMessage(f"geometry_msgs/msg/{where}", dict(zip("xyz", numbers[:3], strict=True)))
    rotation = RosMessage("geometry_msgs/msg/Quaternion", dict(zip("xyzw", numbers[3:], strict=True)))
    return RosMessage(f"geometry_msgs/msg/{kind}", {how: place, turn: rotation})


def _transform(stamp: RosMessage, parent: str, child: str, pose: Sequence[float]) -> RosMessage:
    transform = {"header": _header(stamp, parent), "child_frame_id": child, "transform": _pose(pose, "Transform")}
    stamped = RosMessage("geometry_msgs/msg/TransformStamped", transform)
    return RosMessage("tf2_msgs/msg/TFMessage", {"transforms": [stamped]})
