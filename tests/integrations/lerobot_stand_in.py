"""What the plugin uses of lerobot where that is not installed (5 GB): the abstract base class and its config.

`test_lerobot_teleoperator` holds it to the real ones where they are.
"""

from __future__ import annotations

import abc
import importlib.util
import sys
import types
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest


@dataclass(kw_only=True)
class TeleoperatorConfig:
    choices: ClassVar[dict[str, type]] = {}
    id: str | None = None
    calibration_dir: Any = None

    @classmethod
    def register_subclass(cls, name: str) -> Any:
        return lambda kind: cls.choices.setdefault(name, kind)

    @classmethod
    def get_choice_class(cls, name: str) -> type:
        return cls.choices[name]


class Teleoperator(abc.ABC):
    def __init__(self, config: TeleoperatorConfig) -> None:
        self.id = config.id

    def __str__(self) -> str:
        return f"{self.id} {self.__class__.__name__}"

    @property
    @abc.abstractmethod
    def action_features(self) -> dict[str, Any]: ...

    @property
    @abc.abstractmethod
    def feedback_features(self) -> dict[str, Any]: ...

    @property
    @abc.abstractmethod
    def is_connected(self) -> bool: ...

    @abc.abstractmethod
    def connect(self, calibrate: bool = True) -> None: ...

    @property
    @abc.abstractmethod
    def is_calibrated(self) -> bool: ...

    @abc.abstractmethod
    def calibrate(self) -> None: ...

    @abc.abstractmethod
    def configure(self) -> None: ...

    @abc.abstractmethod
    def get_action(self) -> dict[str, Any]: ...

    @abc.abstractmethod
    def send_feedback(self, feedback: dict[str, Any]) -> None: ...

    @abc.abstractmethod
    def disconnect(self) -> None: ...


class DeviceNotConnectedError(ConnectionError): ...


class DeviceAlreadyConnectedError(ConnectionError): ...


INSTALLED = importlib.util.find_spec("lerobot") is not None
"""Whether the real lerobot is there."""


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the stand-ins importable as lerobot, unless that is installed."""
    if INSTALLED:
        return
    homes = {
        "lerobot": {},
        "lerobot.teleoperators": {},
        "lerobot.teleoperators.config": {"TeleoperatorConfig": TeleoperatorConfig},
        "lerobot.teleoperators.teleoperator": {"Teleoperator": Teleoperator},
        "lerobot.utils": {},
        "lerobot.utils.errors": {
            "DeviceNotConnectedError": DeviceNotConnectedError,
            "DeviceAlreadyConnectedError": DeviceAlreadyConnectedError,
        },
    }
    for name, content in homes.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
