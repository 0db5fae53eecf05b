"""ROS 2 bags of recordings (MCAP), written without ROS by the package rosbags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from humanrt.errors import MissingDependencyError
from humanrt.outputs.record import Recording
from humanrt.outputs.robot_commands import solved_robots
from humanrt.outputs.ros import build, frame_messages, stamp_of

__all__ = ["rosbag2"]


def rosbag2(recording: Recording, person: int | None, folder: Path) -> None:
    """Write a bag: the messages of `frame_messages` for each frame, robots as recorded, at the recording's times.

    Args:
        recording: of which nothing was read yet.
        person: identity of the only person, without hands; None: everybody.
        folder: to make.

    Raises:
        MissingDependencyError: rosbags is not installed.
        HumanrtError: a time that ROS does not have.
    """
    writer_class, mcap, types = _import_rosbags()
    joints = recording.header.get("robots") or {}
    make: Callable[[str, dict[str, Any]], Any] = lambda name, fields: types.types[name](**fields)  # noqa: E731
    topics: dict[str, Any] = {}
    with writer_class(folder, version=9, storage_plugin=mcap) as writer:
        for record in recording:
            if person is not None:
                people = [one for one in record["people"] if one["id"] == person]
                record = {**record, "hands": [], "people": people}
            at = stamp_of(record["t"])
            for topic, message in frame_messages(record, solved_robots(record, joints), at):
                if topic not in topics:
                    topics[topic] = writer.add_connection(topic, message.type, typestore=types)
                content = types.serialize_cdr(build(message, make), message.type)
                writer.write(topics[topic], at.fields["sec"] * 10**9 + at.fields["nanosec"], content)


def _import_rosbags() -> tuple[Any, Any, Any]:
    """Return rosbags' writer, its storage plugin for MCAP, and the types of ROS 2 Jazzy."""
    try:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        raise MissingDependencyError(
            "ROS 2 bags need rosbags (20 MB), which is not installed; run: pip install rosbags"
        ) from None
    return Writer, StoragePlugin.MCAP, get_typestore(Stores.ROS2_JAZZY)
