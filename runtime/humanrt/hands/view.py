"""Drawing of results: the overlay on the image, and beside it each robot hand in its solved pose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.draw import Hud, compose, draw_hand, panel_size
from humanrt.geometry.mirror import MIRROR
from humanrt.hands.pipeline import HandResult
from humanrt.hands.robot_view import RobotView
from humanrt.hands.tracker import Hand
from humanrt.retarget import HandDescription, wrist_frame

__all__ = ["Painter"]


_MAX_ROBOT_HEIGHT = (
    480  # px, max height at which a robot is drawn; taller panels are upscaled, as the cost grows with the area
)


class Painter:
    """Draw results; keeps the robots' views and their last poses, so that the robot of a lost hand holds its pose.

    Args:
        robots: the robot hands, by name; each gets a panel.
        follow: rotate the robot as the human hand is rotated in the image; False always shows its palm.
    """

    def __init__(self, robots: Mapping[str, HandDescription], *, follow: bool = True) -> None:
        self._robots = dict(robots)
        self._follow = follow
        self._views: dict[str, RobotView] = {}
        self._size = (0, 0)
        self._poses = {name: hand.rest_pose for name, hand in self._robots.items()}
        self._turns: dict[str, NDArray[np.float64] | None] = dict.fromkeys(self._robots)
        self._hud = Hud()

    def __call__(self, result: HandResult, *, dropped: int | None = None) -> NDArray[np.uint8]:
        """Draw the picture, RGB uint8 [H, W, 3], of one size for frames of one size."""
        image = result.frame.image.copy()
        for hand in result.hands:
            side = f"{hand.side}  not seen" if hand.filled else hand.side
            draw_hand(image, hand.keypoints_2d, id=hand.id, side=side, score=None if hand.filled else hand.score)
        self._hud(image, result.ms, dropped=dropped)
        if not self._robots:
            return compose(image, [])
        width, height = panel_size(image.shape[0], len(self._robots))
        size = (
            (width, height) if height <= _MAX_ROBOT_HEIGHT else (_MAX_ROBOT_HEIGHT * width // height, _MAX_ROBOT_HEIGHT)
        )
        if size != self._size:
            self._size = size
            self._views = {
                name: RobotView(name.replace("_", " "), hand.rotation, size) for name, hand in self._robots.items()
            }
        return compose(image, [self._panel(name, result) for name in self._robots])

    def _panel(self, name: str, result: HandResult) -> NDArray[np.uint8]:
        robot = self._robots[name]
        hand = _driver(name, robot, result)
        if hand is None:
            note = "waiting for a hand"
        else:
            self._poses[name] = result.robots[hand.id][name]
            mirrored = hand.side != robot.side
            note = f"follows #{hand.id}, {hand.side}" + (" mirrored" if mirrored else "")
            if self._follow:
                self._turns[name] = _orientation(hand, mirrored)
        pose = self._poses[name]
        return self._views[name].draw(
            *robot.capsules(pose), orientation=self._turns[name], angles=pose, limits=robot.limits, note=note
        )


def _driver(name: str, robot: HandDescription, result: HandResult) -> Hand | None:
    """Return the hand that a panel shows: of the robot's own side if there is one, else the first that drives it."""
    moving = [hand for hand in result.hands if name in result.robots.get(hand.id, {})]
    return next((hand for hand in moving if hand.side == robot.side), moving[0] if moving else None)


def _orientation(hand: Hand, mirrored: bool) -> NDArray[np.float64]:
    """Return the wrist frame [3, 3] in camera axes, of the hand or of its mirror image (left-right in the picture)."""
    keypoints = np.asarray(hand.keypoints_3d, np.float64)
    if mirrored:
        other = "left" if hand.side == "right" else "right"
        return wrist_frame(keypoints * MIRROR, other)
    return wrist_frame(keypoints, hand.side)
