"""Retargeting: from the keypoints of a human hand to the joint angles of a robot hand."""

from humanrt.geometry.hand import FINGERS
from humanrt.retarget.description import HandDescription
from humanrt.retarget.kernel import native_problem
from humanrt.retarget.load import load_hand, robots
from humanrt.retarget.retargeter import Retargeter, RetargetOptions
from humanrt.retarget.wrist import wrist_frame

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
