"""Hands of other devices: keypoints of headsets, gloves and body models in the order that retargeting takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import check_points, numbers
from humanrt.errors import InvalidInputError, choices
from humanrt.geometry.hand import FINGERS
from humanrt.geometry.skeleton import Side

__all__ = ["LAYOUTS", "hands_from"]

_PALM = (0.04, 0.20)  # m, from the wrist to the middle knuckle of any human hand


def _fingers(wrist: int, *firsts: int) -> tuple[int, ...]:
    """Return MediaPipe's 21 from the wrist and the first of the four points in a row of each finger, thumb first."""
    return (wrist, *(first + k for first in firsts for k in range(4)))


def _joints_and_tips(wrist: int, joints: Mapping[str, int], tips: int) -> tuple[int, ...]:
    """Return MediaPipe's 21 from fingers of three joints, and their tips in a row, thumb first."""
    return (wrist, *(i for k, f in enumerate(FINGERS) for i in (*range(joints[f], joints[f] + 3), tips + k)))


def _mano_order(first: int) -> dict[str, int]:
    return {finger: first + 3 * k for k, finger in enumerate(("index", "middle", "pinky", "ring", "thumb"))}


LAYOUTS: Mapping[str, Mapping[Side, tuple[int, tuple[int, ...]]]] = {
    "mediapipe21": dict.fromkeys(("left", "right"), (21, tuple(range(21)))),
    # XR_EXT_hand_tracking: palm, wrist, thumb of four, other fingers of five with their metacarpals
    "openxr26": dict.fromkeys(("left", "right"), (26, _fingers(1, 2, 7, 12, 17, 22))),
    # visionOS HandSkeleton: wrist, thumb of four, other fingers of five with their metacarpals, forearm of two
    "apple27": dict.fromkeys(("left", "right"), (27, _fingers(0, 1, 6, 11, 16, 21))),
    # MANO's 16 joints, then the tips from the thumb on
    "mano21": dict.fromkeys(("left", "right"), (21, _joints_and_tips(0, _mano_order(1), 16))),
    # the first 127 joints of smplx: wrists 20 and 21, fingers from 25 and 40, tips from 66 and 71
    "smplx": {
        "left": (127, _joints_and_tips(20, _mano_order(25), 66)),
        "right": (127, _joints_and_tips(21, _mano_order(40), 71)),
    },
}
"""Layouts by name: by side, the number of points and the index of each of MediaPipe's 21 among them."""


def hands_from(points: ArrayLike, layout: str = "mediapipe21", side: Side = "right") -> NDArray[np.float64]:
    """Return a hand's 21 keypoints in MediaPipe's order, as `Retargeter.solve` takes them.

    >>> q = retargeter.solve(hands_from(joints, "openxr26"), side="right")

    Args:
        points: [J, 3] or [..., J, 3] m, positions in any axes.
        layout: one of `LAYOUTS`: ``mediapipe21``; ``openxr26`` (headsets by OpenXR); ``apple27`` (Vision Pro);
            ``mano21`` (MANO's joints and tips); ``smplx`` (the 127 joints of a body).
        side: which hand of a body; of hands alone it does not matter.

    Returns:
        [..., 21, 3] m.

    Raises:
        InvalidInputError: an unknown layout, another number of points, values that are not numbers, all zero (the
            device did not see the hand), or of a size that no hand has in metres.
    """
    if layout not in LAYOUTS:
        raise InvalidInputError(f"layout: no `{layout}`; choose one of: {choices(LAYOUTS)}")
    if side not in LAYOUTS[layout]:
        raise InvalidInputError(f"side must be left or right, not {side!r}")
    count, order = LAYOUTS[layout][side]
    given = numbers(points, "points")
    if given.ndim < 2 or given.shape[-2:] != (count, 3):
        raise InvalidInputError(f"points of layout {layout} must be [..., {count}, 3], not {list(given.shape)}")
    check_points(given, "points")
    hand = given[..., list(order), :]
    if given.size:
        _check_size(hand)
    return np.asarray(hand)


def _check_size(hand: NDArray[np.float64]) -> None:
    flat = hand.reshape(-1, 21, 3)
    if (np.abs(flat).max(axis=(1, 2)) == 0).any():
        raise InvalidInputError("points are all zero: the device did not see the hand; leave such a frame out")
    palm = float(np.median(np.linalg.norm(flat[:, 9] - flat[:, 0], axis=1)))
    low, high = _PALM
    if low <= palm <= high:
        return
    for factor, unit in ((1000, "millimetres"), (100, "centimetres"), (39.37, "inches")):
        if low <= palm / factor <= high:
            raise InvalidInputError(
                f"points: the palm is {palm:.3g} long; these are {unit}: divide by {factor:g} to have metres"
            )
    raise InvalidInputError(
        f"points: the palm is {palm:.3g} m long, and of a hand it is {low:g} to {high:g}; check units and layout"
    )
