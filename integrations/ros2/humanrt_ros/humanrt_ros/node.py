"""The node ``humanrt``: camera or image topic in; joint states, trajectories, keypoints, transforms, picture out."""

from __future__ import annotations

import array
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any

import numpy as np
import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Bool

from humanrt.errors import HumanrtError
from humanrt.outputs.ros import RosMessage, build
from humanrt.sources.opening import Frame, open_source
from humanrt_ros.session import Deadman, Session, Settings, image_of

__all__ = ["HumanrtNode", "main", "ros_message"]

WAIT_FOR_CAMERA = 30
"""Pictures that are passed over until camera_info has come."""


class HumanrtNode(Node):
    """Publishes what humanrt sees. Parameters: `Settings`. ``~/enable`` (std_msgs/Bool) is the dead man's switch."""

    def __init__(self) -> None:
        super().__init__("humanrt")
        values = {one.name: self._parameter(one.name, one.default) for one in fields(Settings)}
        self.settings = Settings(**values)
        self._publishers_by_topic: dict[str, Any] = {}
        self._deadman = Deadman(self.settings.deadman_timeout)
        self._session: Session | None = None
        self._intrinsics: np.ndarray | None = None
        self._frames = self._without_camera = 0
        self._stopping = threading.Event()
        self.failure: str | None = None
        self._thread: threading.Thread | None = None
        self.create_subscription(Bool, "~/enable", self._enable, 10)
        if self.settings.source:
            self._session = Session(self.settings)
            self._say_notes(self._session)
            self._thread = threading.Thread(target=self._play, daemon=True)
            self._thread.start()
        else:
            self.create_subscription(CameraInfo, "camera_info", self._camera, qos_profile_sensor_data)
            self.create_subscription(Image, "image_raw", self._image, qos_profile_sensor_data)

    def close(self) -> None:
        """Stop, and free the networks."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)
        if self._session is not None:
            self._session.close()

    def _parameter(self, name: str, default: Any) -> Any:
        """Return a parameter in its default's type: `source:=0` and `max_speed:=2` are integers to ROS."""
        given = list(default) if isinstance(default, tuple) else default
        value = self.declare_parameter(name, given, ParameterDescriptor(dynamic_typing=True)).value
        if isinstance(default, tuple):
            return (value,) if isinstance(value, str) else tuple(value or ())
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and isinstance(default, str | float):
            return type(default)(value)
        if not isinstance(value, type(default)):
            raise HumanrtError(f"parameter {name} is {value!r}; give a {type(default).__name__}")
        return value

    def _say_notes(self, session: Session) -> None:
        for note in session.notes:
            self.get_logger().info(note)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _enable(self, message: Any) -> None:
        self._deadman(message.data, time.monotonic())

    def _camera(self, message: Any) -> None:
        if message.k[0] > 0:  # zeros: not calibrated
            self._intrinsics = np.array(message.k, np.float64).reshape(3, 3)

    def _image(self, message: Any) -> None:
        try:
            if self._session is None:
                if self._intrinsics is None:
                    self._without_camera += 1
                    if self._without_camera <= WAIT_FOR_CAMERA:
                        return
                    self.get_logger().warning("no camera_info: a field of view is assumed")
                self._session = Session(self.settings, self._intrinsics)
                self._say_notes(self._session)
            stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
            self._publish(self._session, Frame(image_of(message), stamp, self._frames), stamp)
            self._frames += 1
        except HumanrtError as error:
            self._fail(error)

    def _play(self) -> None:
        """Read the source until it ends; then end the node."""
        assert self._session is not None
        try:
            with open_source(self.settings.source) as source:
                for frame in source:
                    if self._stopping.is_set():
                        return
                    age = time.monotonic() - frame.t if source.live else 0.0
                    self._publish(self._session, frame, self._now() - age)
            self.get_logger().info(f"{self.settings.source} has ended")
        except HumanrtError as error:
            self._fail(error)
        finally:
            rclpy.try_shutdown()

    def _publish(self, session: Session, frame: Frame, stamp: float) -> None:
        for topic, message in session.messages(frame, stamp, self._deadman.enabled(time.monotonic())):
            found = ros_message(message)
            if topic not in self._publishers_by_topic:
                # A controller subscribes reliably, which a publisher of sensor data does not satisfy; tf likewise.
                reliable = topic == "/tf" or topic.endswith("/command")
                qos = QoSProfile(depth=100 if topic == "/tf" else 1) if reliable else qos_profile_sensor_data
                self._publishers_by_topic[topic] = self.create_publisher(type(found), topic, qos)
            self._publishers_by_topic[topic].publish(found)

    def _fail(self, error: HumanrtError) -> None:
        self.failure = str(error)
        self.get_logger().fatal(self.failure)
        rclpy.try_shutdown()


def ros_message(message: RosMessage) -> Any:
    """Return a message as rclpy's class of it."""
    return build(message, _make)


def _make(kind: str, values: dict[str, Any]) -> Any:
    package, _, name = kind.split("/")
    plain = {key: _plain(value) if isinstance(value, np.ndarray) else value for key, value in values.items()}
    return getattr(import_module(f"{package}.msg"), name)(**plain)


def _plain(values: np.ndarray) -> array.array[Any]:
    """Return numbers as the arrays that rclpy's sequences are."""
    return array.array("B" if values.dtype == np.uint8 else "d", values.tobytes())


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until it is interrupted or its source ends. Status 2 for a wrong parameter or source."""
    rclpy.init(args=args)
    node: HumanrtNode | None = None
    failure = None
    try:
        node = HumanrtNode()
        rclpy.spin(node)
    except HumanrtError as error:
        failure = str(error)
        print(f"humanrt: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        pass
    finally:
        if node is not None:
            failure = failure or node.failure
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    if failure:
        sys.exit(2)


if __name__ == "__main__":
    main()
