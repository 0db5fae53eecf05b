"""LeRobot teleoperator: a robot hand moved by a human hand before a camera."""

from lerobot_teleoperator_humanrt.config_humanrt_hand import HumanrtHandConfig
from lerobot_teleoperator_humanrt.humanrt_hand import HumanrtHand

__all__ = ["HumanrtHand", "HumanrtHandConfig"]
