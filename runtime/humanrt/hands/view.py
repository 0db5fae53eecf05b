"""Drawing of results: the overlay on the image, and beside it each robot hand in its solved pose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.draw import Hud, compose, draw_hand
from humanrt.hands.pipeline import HandResult
from humanrt.hands.robot_panels import RobotPanels
from humanrt.hands.tracker import Hand
from humanrt.retarget import HandDescription

__all__ = ["Painter", "draw_hands"]


def draw_hands(image: NDArray[np.uint8], hands: Iterable[Hand]) -> None:
    """Draw hands with their labels into an image, RGB uint8 [H, W, 3], in place."""
    for hand in hands:
        side = f"{hand.side}  not seen" if hand.filled else hand.side
        draw_hand(image, hand.keypoints_2d, id=hand.id, side=side, score=None if hand.filled else hand.score)


class Painter:
    """Draw results: hands over the image, and robots beside it (`RobotPanels`).

    Args:
        robots: the robot hands, by name; each gets a panel.
        follow: rotate the robot as the human hand is rotated in the image; False always shows its palm.
    """

    def __init__(self, robots: Mapping[str, HandDescription], *, follow: bool = True) -> None:
        self._panels = RobotPanels(robots, follow=follow)
        self._hud = Hud()

    def __call__(self, result: HandResult, *, dropped: int | None = None) -> NDArray[np.uint8]:
        """Draw the picture, RGB uint8 [H, W, 3], of one size for frames of one size."""
        image = result.frame.image.copy()
        draw_hands(image, result.hands)
        self._hud(image, result.ms, dropped=dropped)
        return compose(image, self._panels(result.hands, result.robots, image.shape[0]))
