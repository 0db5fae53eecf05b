"""What the node uses of ROS 2, where there is none: message classes of rosbags' type store, a node whose publishers
serialise by rosbags as ROS' middleware would (CDR), and a clock. Only what is not in PyPI is stood in for."""

from __future__ import annotations

import array
import dataclasses
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_JAZZY)


def message_class(kind: str) -> Any:
    """A class that is filled by keywords, like rclpy's: sequences of numbers as array.array, no numpy."""
    fields = TYPES.types[kind]

    def make(**values: Any) -> Any:
        assert {one.name for one in dataclasses.fields(fields)} - {"__msgtype__"} == values.keys(), kind
        for name, value in values.items():
            assert not isinstance(value, np.ndarray | np.generic), f"{kind}.{name} is numpy's"
        plain = {name: np.array(v) if isinstance(v, array.array) else v for name, v in values.items()}
        return fields(**plain)

    return make


class Publisher:
    def __init__(self, kind: type, qos: Any) -> None:
        self.kind, self.qos = kind.__msgtype__, qos
        self.sent: list[bytes] = []

    def publish(self, message: Any) -> None:
        assert message.__msgtype__ == self.kind
        self.sent.append(bytes(TYPES.serialize_cdr(message, self.kind)))

    def read(self) -> list[Any]:
        return [TYPES.deserialize_cdr(one, self.kind) for one in self.sent]


class Logger:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def _say(self, line: str) -> None:
        self.lines.append(line)

    info = warning = fatal = _say


class Node:
    parameters: dict[str, Any] = {}  # noqa: RUF012 - set by a test for the next node

    def __init__(self, name: str) -> None:
        self.name = name
        self.publishers: dict[str, Publisher] = {}
        self.subscribers: dict[str, Callable[[Any], None]] = {}
        self.log = Logger()

    def declare_parameter(self, name: str, default: Any, descriptor: Any = None) -> Any:
        value = self.parameters.get(name, default)
        if type(value) is not type(default) and not (descriptor and descriptor.dynamic_typing):
            raise TypeError(f"InvalidParameterTypeException: {name}")  # as rclpy since Galactic
        return types.SimpleNamespace(value=self.parameters.get(name, default))

    def create_publisher(self, kind: type, topic: str, qos: Any) -> Publisher:
        assert topic not in self.publishers
        self.publishers[topic] = Publisher(kind, qos)
        return self.publishers[topic]

    def create_subscription(self, kind: Any, topic: str, callback: Callable[[Any], None], qos: Any) -> None:
        self.subscribers[topic] = callback

    def get_logger(self) -> Logger:
        return self.log

    def get_clock(self) -> Any:
        return types.SimpleNamespace(now=lambda: types.SimpleNamespace(nanoseconds=1_700_000_000 * 10**9))

    def destroy_node(self) -> None: ...


def install(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Make `rclpy` and the packages of messages importable; the event is set when rclpy is shut down."""
    ended = threading.Event()
    rclpy = types.ModuleType("rclpy")
    rclpy.init = lambda args=None: ended.clear()  # type: ignore[attr-defined]
    rclpy.try_shutdown = ended.set  # type: ignore[attr-defined]
    rclpy.spin = lambda node: ended.wait(60)  # type: ignore[attr-defined]
    node, qos = types.ModuleType("rclpy.node"), types.ModuleType("rclpy.qos")
    node.Node = Node  # type: ignore[attr-defined]
    qos.QoSProfile = lambda depth: f"reliable {depth}"  # type: ignore[attr-defined]
    qos.qos_profile_sensor_data = "sensor data"  # type: ignore[attr-defined]
    for module in (rclpy, node, qos):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for kind in TYPES.types:
        package, _, name = kind.split("/")
        module = sys.modules.get(f"{package}.msg")
        if module is None:
            module = types.ModuleType(f"{package}.msg")
            monkeypatch.setitem(sys.modules, f"{package}.msg", module)
        setattr(module, name, message_class(kind))
    sys.modules["rcl_interfaces.msg"].ParameterDescriptor = types.SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, "humanrt_ros.node", raising=False)
    return ended
