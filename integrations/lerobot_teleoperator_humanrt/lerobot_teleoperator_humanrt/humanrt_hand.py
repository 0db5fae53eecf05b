"""The teleoperator: a thread watches the camera, `get_action` moves the robot gently towards what it saw last."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from lerobot.teleoperators.teleoperator import Teleoperator
from lerobot.utils.errors import DeviceAlreadyConnectedError, DeviceNotConnectedError

from humanrt import track
from humanrt.checks import check_range
from humanrt.errors import HumanrtError, choices
from humanrt.outputs.robot_commands import solved_robots
from humanrt.retarget import load_hand
from humanrt.retarget.gentle import GentleMotion
from lerobot_teleoperator_humanrt.config_humanrt_hand import UNITS, HumanrtHandConfig

__all__ = ["HumanrtHand"]


class HumanrtHand(Teleoperator):
    """A robot hand moved by a human hand before a camera.

    Actions have ``JOINT.pos`` of each of the robot's joints. `get_action` never waits for the camera: it may be called
    at any rate, and each action is where the robot is to be at that moment. The robot begins in the pose for an open
    hand, and stands there until a hand is seen.

    Raises:
        HumanrtError: an option is wrong, in one line.
    """

    config_class = HumanrtHandConfig
    name = "humanrt_hand"

    def __init__(self, config: HumanrtHandConfig) -> None:
        super().__init__(config)
        self.config = config
        if config.units not in UNITS:
            raise HumanrtError(f"units is {config.units!r}; choose one of: {choices(UNITS)}")
        check_range(config.timeout, "timeout (s)", 0.0, 3600.0, above=True)
        self.hand = load_hand(config.robot)
        if unknown := set(config.names) - set(self.hand.joint_names):
            raise HumanrtError(
                f"names: {self.hand.name} has no joint {choices(unknown)}; it has {choices(self._joints)}"
            )
        self._keys = [f"{config.names.get(joint, joint)}.pos" for joint in self._joints]
        if len(set(self._keys)) < len(self._keys):
            raise HumanrtError("names: several joints get the same name; give each its own")
        self._new_motion()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._seen: np.ndarray | None = None
        self._at = 0.0
        self._failure: HumanrtError | None = None
        self._ended = False

    @property
    def _joints(self) -> tuple[str, ...]:
        return self.hand.joint_names

    def _new_motion(self) -> None:
        config = self.config
        self.motion = GentleMotion(
            self.hand,
            max_speed=config.max_speed,
            max_acceleration=config.max_acceleration,
            on_lost=config.on_lost,
            patience=config.patience,
        )

    @property
    def action_features(self) -> dict[str, type]:
        return dict.fromkeys(self._keys, float)

    @property
    def feedback_features(self) -> dict[str, type]:
        return {}

    @property
    def is_connected(self) -> bool:
        return self._thread is not None

    @property
    def is_calibrated(self) -> bool:
        return True

    def connect(self, calibrate: bool = True) -> None:
        """Open the camera and the networks; returns with the first picture. HumanrtError if they cannot be opened."""
        if self.is_connected:
            raise DeviceAlreadyConnectedError(f"{self} is connected already")
        source = int(self.config.source) if self.config.source.isdigit() else self.config.source
        results = track(
            source, robots=self.config.robot, backend=self.config.backend, mirrored=self.config.mirrored, realtime=True
        )
        self._new_motion()
        self._stopping.clear()
        self._seen, self._failure, self._ended = None, None, False
        self._at = time.monotonic()
        first = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(results, first), daemon=True)
        self._thread.start()
        arrived = first.wait(timeout=30.0)
        if self._failure is not None or not arrived:
            failure = self._failure
            self.disconnect()
            raise failure or HumanrtError(f"{self.config.source}: no picture within 30 s; check the camera")

    def calibrate(self) -> None:
        """Do nothing: there is nothing to calibrate."""

    def configure(self) -> None:
        """Do nothing: all options are in the config."""

    def get_action(self) -> dict[str, float]:
        """Return where the robot's joints are to be now.

        Raises:
            DeviceNotConnectedError: call `connect` first; or the camera has ended, or sends no more pictures.
        """
        if not self.is_connected:
            raise DeviceNotConnectedError(f"{self} is not connected; call connect()")
        now = time.monotonic()
        with self._lock:
            seen, at = self._seen, self._at
        if self._failure is not None:
            raise DeviceNotConnectedError(str(self._failure))
        if self._ended or now - at > self.config.timeout:
            why = "has ended" if self._ended else f"has sent no picture for {self.config.timeout:g} s"
            raise DeviceNotConnectedError(f"{self.config.source} {why}")
        return dict(zip(self._keys, self._in_units(self.motion(seen, now)), strict=True))

    def send_feedback(self, feedback: dict[str, Any]) -> None:
        """Do nothing: a hand before a camera feels nothing."""

    def disconnect(self) -> None:
        """Close the camera and the networks."""
        if self._thread is None:
            raise DeviceNotConnectedError(f"{self} is not connected")
        self._stopping.set()
        self._thread.join(timeout=10.0)
        self._thread = None

    def _watch(self, results: Any, first: threading.Event) -> None:
        """Keep the newest angles, None where there is no hand, until told to stop."""
        try:
            with results:
                for result in results:
                    solved = solved_robots(result.record(), {}).get(self.hand.name)
                    with self._lock:
                        self._seen = None if solved is None else solved["angles"]
                        self._at = time.monotonic()
                    first.set()
                    if self._stopping.is_set():
                        return
            self._ended = True
        except HumanrtError as error:
            self._failure = error
        finally:
            first.set()

    def _in_units(self, q: np.ndarray) -> list[float]:
        if self.config.units == "range_0_100":
            low, high = self.hand.limits.T
            return [float(value) for value in 100.0 * (q - low) / np.maximum(high - low, 1e-9)]
        slides = np.array([joint.prismatic for joint in self.hand.joints])
        return [float(value) for value in np.where(slides | (self.config.units == "rad"), q, np.degrees(q))]
