"""Retargeting: the keypoints of a human hand become the joint angles of a robot hand."""

from .description import FINGERS, HandDescription, load_hand, robots
from .kernel import native_problem
from .retargeter import Retargeter, RetargetOptions
from .wrist import wrist_frame

__all__ = [
    "FINGERS",
    "HandDescription",
    "RetargetOptions",
    "Retargeter",
    "load_hand",
    "native_problem",
    "robots",
    "wrist_frame",
]
