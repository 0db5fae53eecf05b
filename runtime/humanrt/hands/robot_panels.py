"""RobotPanels: each robot hand or arm in its solved pose, in a panel of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.draw import panel_size
from humanrt.geometry.mirror import MIRROR
from humanrt.hands.robot_view import RobotView
from humanrt.hands.tracker import Hand
from humanrt.retarget import ArmDescription, HandDescription, RobotDescription, wrist_frame

__all__ = ["RobotPanels"]

Image = NDArray[np.uint8]
Angles = Mapping[int, Mapping[str, NDArray[np.float64]]]

# px, max height at which a robot is drawn; taller panels are upscaled, as the cost grows with the area
_MAX_HEIGHT = 480


class RobotPanels:
    """Draw robot hands; keeps their views and last poses, so that the robot of a lost hand holds its pose.

    Args:
        robots: the robot hands and arms, by name; each gets a panel.
        follow: rotate the robot as the human hand is rotated in the image; False always shows its palm.
    """

    def __init__(self, robots: Mapping[str, RobotDescription], *, follow: bool = True) -> None:
        self._robots = dict(robots)
        self._follow = follow
        self._views: dict[str, RobotView] = {}
        self._size = (0, 0)
        self._poses = {name: hand.rest_pose for name, hand in self._robots.items()}
        self._turns: dict[str, NDArray[np.float64] | None] = dict.fromkeys(self._robots)

    def __call__(self, hands: Iterable[Hand], angles: Angles, height: int, arms: Angles | None = None) -> list[Image]:
        """Return the panels beside a picture of this height, px.

        Args:
            hands: the hands of the frame.
            angles: identity of a hand -> robot's name -> [dof] rad.
            height: px.
            arms: identity of a person -> robot arm's name -> [dof] rad.
        """
        if not self._robots:
            return []
        hands = tuple(hands)
        width, tall = panel_size(height, len(self._robots))
        size = (width, tall) if tall <= _MAX_HEIGHT else (_MAX_HEIGHT * width // tall, _MAX_HEIGHT)
        if size != self._size:
            self._size = size
            self._views = {name: _view(name, robot, size) for name, robot in self._robots.items()}
        return [
            self._hand_panel(name, robot, hands, angles)
            if isinstance(robot, HandDescription)
            else self._arm_panel(name, robot, arms or {})
            for name, robot in self._robots.items()
        ]

    def _arm_panel(self, name: str, robot: RobotDescription, arms: Angles) -> Image:
        person = next((id for id, moved in arms.items() if name in moved), None)
        if person is not None:
            self._poses[name] = arms[person][name]
        note = "waiting for a person" if person is None else f"follows #{person}, {robot.side} arm"
        pose = self._poses[name]
        return self._views[name].draw(*robot.capsules(pose), angles=pose, limits=robot.limits, note=note)

    def _hand_panel(self, name: str, robot: HandDescription, hands: tuple[Hand, ...], angles: Angles) -> Image:
        hand = _driver(name, robot, hands, angles)
        if hand is None:
            note = "waiting for a hand"
        else:
            self._poses[name] = angles[hand.id][name]
            mirrored = hand.side != robot.side
            note = f"follows #{hand.id}, {hand.side}" + (" mirrored" if mirrored else "")
            if self._follow:
                self._turns[name] = _orientation(hand, mirrored)
        pose = self._poses[name]
        return self._views[name].draw(
            *robot.capsules(pose), orientation=self._turns[name], angles=pose, limits=robot.limits, note=note
        )


def _view(name: str, robot: RobotDescription, size: tuple[int, int]) -> RobotView:
    title = name.replace("_", " ")
    if not isinstance(robot, ArmDescription):
        assert isinstance(robot, HandDescription)
        return RobotView(title, robot.rotation, size)
    shoulder = robot.positions(robot.rest_pose, [robot.shoulder])[0]
    return RobotView(title, robot.placement.rotation, size, (shoulder, robot.length()))


def _driver(name: str, robot: HandDescription, hands: tuple[Hand, ...], angles: Angles) -> Hand | None:
    """Return the hand that a panel shows: of the robot's own side if there is one, else the first that drives it."""
    moving = [hand for hand in hands if name in angles.get(hand.id, {})]
    return next((hand for hand in moving if hand.side == robot.side), moving[0] if moving else None)


def _orientation(hand: Hand, mirrored: bool) -> NDArray[np.float64]:
    """Return the wrist frame [3, 3] in camera axes, of the hand or of its mirror image (left-right in the picture)."""
    keypoints = np.asarray(hand.keypoints_3d, np.float64)
    if mirrored:
        other = "left" if hand.side == "right" else "right"
        return wrist_frame(keypoints * MIRROR, other)
    return wrist_frame(keypoints, hand.side)
