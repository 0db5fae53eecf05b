"""Options of the teleoperator, as ``--teleop.NAME`` of LeRobot's commands."""

from __future__ import annotations

from dataclasses import dataclass, field

from lerobot.teleoperators.config import TeleoperatorConfig

from humanrt.retarget.gentle import GentleOptions

__all__ = ["UNITS", "HumanrtHandConfig"]

UNITS = ("rad", "deg", "range_0_100")


@TeleoperatorConfig.register_subclass("humanrt_hand")
@dataclass(kw_only=True)
class HumanrtHandConfig(TeleoperatorConfig):
    """How the hand is seen, and which robot it moves.

    Attributes:
        robot: robot hand: a name, or the path of its description.
        source: camera index, stream URL or file.
        mirrored: the images are mirrored (a selfie view).
        backend: auto, cpu, cuda or tensorrt.
        units: of actions: ``rad``, ``deg``, or ``range_0_100`` of the joint's limits; slides are in m, or of 100.
        names: joint -> its name in actions, where the robot's driver has another.
        max_speed, max_acceleration, on_lost, patience: see humanrt's `GentleOptions`.
        timeout: s without a picture from the camera after which `get_action` raises.
    """

    robot: str = "leap_right"
    source: str = "0"
    mirrored: bool = False
    backend: str = "auto"
    units: str = UNITS[0]
    names: dict[str, str] = field(default_factory=dict)
    max_speed: float = GentleOptions.max_speed
    max_acceleration: float = GentleOptions.max_acceleration
    on_lost: str = GentleOptions.on_lost
    patience: float = GentleOptions.patience
    timeout: float = 2.0
