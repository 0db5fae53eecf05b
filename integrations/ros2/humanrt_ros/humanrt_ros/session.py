"""What the node does with a frame, without ROS: from a picture to the messages that are published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np

from humanrt.checks import check_range
from humanrt.errors import HumanrtError
from humanrt.outputs.robot_commands import RobotCommands
from humanrt.outputs.ros import RosMessage, RosNames, compressed_image, frame_messages, stamp_of
from humanrt.resource import Owner, releasing
from humanrt.retarget.gentle import GentleOptions
from humanrt.sources.opening import Frame
from humanrt.tasks import task_named

__all__ = ["Deadman", "Session", "Settings", "image_of"]

PICTURE = "~/image_annotated/compressed"

ENCODINGS = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
}
"""Encodings of sensor_msgs/Image that are read: bytes per pixel, and how they become RGB."""


@dataclass(frozen=True)
class Settings:
    """The node's parameters.

    Attributes:
        source: camera index, stream URL or file; empty: the topics ``image_raw`` and ``camera_info``.
        task: hands or people.
        robots: names or description files of robot hands and, of people, arms (``ur5e_left``); an empty name is none.
        arm: the person's arm that moves arms that do not say it themselves, left or right; a URDF among the robots is
            then an arm. Empty: right, and a URDF alone is refused.
        collisions: keep the robots' fingers from penetrating each other and the palm.
        backend: auto, cpu, cuda or tensorrt.
        max_speed, max_acceleration, on_lost, patience: see `GentleOptions`.
        rate: commands per second, as the camera delivers frames: a command is to be reached in 1 / rate.
        camera_frame: the camera's optical frame, the parent of hands.
        deadman_timeout: s: robots hold unless ``~/enable`` was true within that time; 0: until it was false.
        annotate: publish the annotated picture.
    """

    source: str = "0"
    task: str = "hands"
    robots: tuple[str, ...] = ("allegro_right",)
    arm: str = ""
    collisions: bool = False
    backend: str = "auto"
    max_speed: float = GentleOptions.max_speed
    max_acceleration: float = GentleOptions.max_acceleration
    on_lost: str = GentleOptions.on_lost
    patience: float = GentleOptions.patience
    rate: float = 30.0
    camera_frame: str = RosNames.camera
    deadman_timeout: float = 0.0
    annotate: bool = True

    def __post_init__(self) -> None:
        check_range(self.rate, "rate (frames per second of the camera)", 0.0, 1e4, above=True)
        check_range(self.deadman_timeout, "deadman_timeout (s)", 0.0, 3600.0)


class Deadman:
    """The dead man's switch.

    Args:
        timeout: s for which a true holds; 0: until a false, and robots are enabled from the start.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._pressed = timeout <= 0
        self._at = float("-inf")

    def __call__(self, pressed: bool, now: float) -> None:
        """Take a message of ``~/enable``, at a time in s."""
        self._pressed, self._at = pressed, now

    def enabled(self, now: float) -> bool:
        """Return whether robots may move."""
        return self._pressed and (self.timeout <= 0 or now - self._at <= self.timeout)


class Session(Owner):
    """Runs frames through humanrt's pipeline; closes it.

    Args:
        settings: the node's parameters.
        intrinsics: [3, 3] px, the camera's; None: a field of view is assumed.

    Raises:
        HumanrtError: a parameter is wrong, in one line.
    """

    @releasing
    def __init__(self, settings: Settings, intrinsics: np.ndarray | None = None) -> None:
        task = task_named(settings.task)
        known = {one.name for one in fields(task.options)}
        own: dict[str, Any] = {"robots": [robot for robot in settings.robots if robot]}
        own |= {"collisions": settings.collisions}
        if settings.arm:
            if "arm" not in known:
                raise HumanrtError(f"parameter arm: task {settings.task} moves no arms; set task:=people")
            own["arm"] = settings.arm
        if intrinsics is not None and "intrinsics" in known:
            own["intrinsics"] = intrinsics
        gentle = {one.name: getattr(settings, one.name) for one in fields(GentleOptions)}
        options = GentleOptions(**gentle)
        self.settings = settings
        self.notes: list[str] = []
        self.pipeline = self.own(task.open(None, settings.backend, task.options(**own)))
        self.commands = RobotCommands(getattr(self.pipeline, "robots", {}), options)
        self.notes += self.pipeline.notes
        self._names = RosNames(prefix="~", camera=settings.camera_frame)
        self._painter = task.painter(self.pipeline, self._owned, self.notes.append) if settings.annotate else None

    def messages(self, frame: Frame, stamp: float, enabled: bool = True) -> Iterator[tuple[str, RosMessage]]:
        """Yield a frame's messages: topic and message.

        Args:
            frame: the picture, with a time of its source's clock.
            stamp: when it was taken, s on ROS' clock.
            enabled: False lets all robots brake and stand.
        """
        result = self.pipeline(frame)
        record = result.record()
        self.commands.enabled = enabled
        at = stamp_of(stamp)
        yield from frame_messages(record, self.commands(record), at, self._names, 1.0 / self.settings.rate)
        if self._painter is not None:
            done, jpeg = cv2.imencode(".jpg", self._painter(result)[..., ::-1])
            if done:
                yield PICTURE, compressed_image(at, self.settings.camera_frame, jpeg.tobytes())


def image_of(message: Any) -> np.ndarray:
    """Return a sensor_msgs/Image as RGB uint8 [H, W, 3]. HumanrtError for another encoding, or too few bytes."""
    if message.encoding not in ENCODINGS:
        raise HumanrtError(f"image_raw: encoding `{message.encoding}`; publish one of: {', '.join(ENCODINGS)}")
    channels, conversion = ENCODINGS[message.encoding]
    if message.step < message.width * channels or len(message.data) != message.height * message.step:
        raise HumanrtError(
            f"image_raw: {len(message.data)} bytes are not {message.height} rows of {message.step} (`step`) for "
            f"{message.width} pixels of {message.encoding}; mend the publisher"
        )
    rows = np.frombuffer(memoryview(message.data), np.uint8).reshape(message.height, message.step)
    image = rows[:, : message.width * channels].reshape(message.height, message.width, channels)
    return np.ascontiguousarray(image) if conversion is None else cv2.cvtColor(image, conversion)
