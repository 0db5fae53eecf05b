"""Retargeting: from a human hand or arm to the joint angles of a robot's."""

from humanrt.geometry.hand import FINGERS
from humanrt.retarget.arm import ArmDescription, Placement
from humanrt.retarget.arm_retargeter import ArmPose, ArmRetargeter, trunk_axes
from humanrt.retarget.description import HandDescription
from humanrt.retarget.kernel import native_problem
from humanrt.retarget.load import arms, load_arm, load_hand, load_robot, robots
from humanrt.retarget.retargeter import Retargeter, RetargetOptions
from humanrt.retarget.robot import RobotDescription
from humanrt.retarget.wrist import wrist_frame

__all__ = [
    "FINGERS",
    "ArmDescription",
    "ArmPose",
    "ArmRetargeter",
    "HandDescription",
    "Placement",
    "RetargetOptions",
    "Retargeter",
    "RobotDescription",
    "arms",
    "load_arm",
    "load_hand",
    "load_robot",
    "native_problem",
    "robots",
    "trunk_axes",
    "wrist_frame",
]
