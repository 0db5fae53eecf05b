"""Smooth the hands of a stream of frames with One-Euro filters, one pair of filters per identity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import dist
from typing import Protocol

import numpy as np

from humanrt.checks import check_kind, check_points, check_time
from humanrt.hands.tracker import Hand, Hands
from humanrt.perception.region_tracker import TrackedObjects
from humanrt.resource import Resource
from humanrt.smoothing.one_euro import Floats, OneEuro, OneEuroOptions

__all__ = ["HandSmoother", "Smoother", "check_hands", "hand_span"]


class Smoother(Protocol):
    """Interface of smoothers for the hands of a stream of frames.

    Attributes:
        name: name of the kind, as in `humanrt run --smooth`.
    """

    name: str

    def reset(self) -> None:
        """Forget all identities."""

    def close(self) -> None:
        """Free the resources it opened."""

    def __call__(self, hands: Hands, t: float) -> Hands:
        """Return the hands of the frame at ``t`` s, smoothed."""


def check_hands(hands: Hands, t: float) -> None:
    """Raise ValueError if the time stamp or a keypoint is not a finite number in a camera's range."""
    check_time(t)
    check_kind(hands, TrackedObjects, "hands", "what a HandTracker returns")
    for hand in hands:
        check_points(hand.keypoints_2d, f"keypoints_2d of hand {hand.id}")
        check_points(hand.keypoints_3d, f"keypoints_3d of hand {hand.id}")


def hand_span(keypoints: Floats) -> float:
    """Return the distance from the wrist to the middle knuckle, which finger motion does not change.

    Args:
        keypoints: [21, D].
    """
    return max(dist(keypoints[0].tolist(), keypoints[9].tolist()), 1e-9)


@dataclass
class _Filters:
    pixels: OneEuro
    metres: OneEuro


class HandSmoother(Resource):
    """Smooth the keypoints of `Hands`, in the image and in metres; state belongs to an identity and ends with it."""

    name = "oneeuro"

    def __init__(self, options: OneEuroOptions | None = None) -> None:
        self._options = OneEuroOptions() if options is None else options
        check_kind(self._options, OneEuroOptions, "options", "OneEuroOptions")
        self._filters: dict[int, _Filters] = {}

    def reset(self) -> None:
        """Forget all identities."""
        self._filters.clear()

    def __call__(self, hands: Hands, t: float) -> Hands:
        """Return the hands with smoothed keypoints.

        Args:
            hands: the hands of the frame.
            t: the frame's own time stamp in s.

        Raises:
            ValueError: the time stamp or a keypoint is not a finite number. The state is then unchanged.
        """
        check_hands(hands, t)
        for identity in hands.lost:
            self._filters.pop(identity, None)
        return Hands(tuple([self._smooth(hand, t) for hand in hands]), hands.ms, hands.lost)

    def _smooth(self, hand: Hand, t: float) -> Hand:
        filters = self._filters.get(hand.id)
        if filters is None:
            filters = self._filters[hand.id] = _Filters(OneEuro(self._options), OneEuro(self._options))
        pixels = filters.pixels(hand.keypoints_2d, t, hand_span(hand.keypoints_2d))
        metres = filters.metres(hand.keypoints_3d, t, hand_span(hand.keypoints_3d))
        return replace(hand, keypoints_2d=pixels.astype(np.float32), keypoints_3d=metres.astype(np.float32))
