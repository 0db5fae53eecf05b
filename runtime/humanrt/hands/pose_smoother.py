"""Smooth the hands of a stream with PoseBERT, and fill gaps; `HandSmoother` is the One-Euro counterpart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.checks import check_kind
from humanrt.errors import BundleError
from humanrt.hands.smoother import check_hands, hand_span
from humanrt.hands.tracker import Hand, Hands
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.posebert.stream import Observation, PoseBERTStream, PoseState
from humanrt.resource import Owner, releasing
from humanrt.smoothing.one_euro import OneEuro, OneEuroOptions

if TYPE_CHECKING:
    from humanrt.posebert.model import PoseBERT

__all__ = ["HandPoseSmoother"]


_MAX_PREDICTION = 0.1  # s: how long an unseen hand is extrapolated in the image
_DUPLICATE_DISTANCE = (
    0.5  # hand spans: an unseen hand closer than this to a seen one is the same hand under another identity
)


@dataclass
class _Pixels:
    """Image position of a hand, and the offset of the landmark model's origin, which the network removes."""

    smooth: OneEuro
    origin: OneEuro
    hand: Hand
    t: float
    velocity: NDArray[np.float64]  # [2] px/s
    shift: NDArray[np.float64]  # [3] m


class HandPoseSmoother(Owner):
    """Smooth the keypoints of `Hands`: in metres by PoseBERT, in the image by One-Euro.

    A missed hand is filled in for up to ``fill`` s: it is in the result with `Hand.filled` set and score 0, its pose
    from PoseBERT and its image position extrapolated from its last motion, slowing down. State belongs to an identity
    and ends with it.

    The arguments are those of `PoseBERTStream`; ``options`` are One-Euro's. ``predict`` moves the metric keypoints
    only.
    """

    name = "posebert"

    @releasing
    def __init__(
        self,
        model: PoseBERT | Bundle | str | Path = "posebert-hand",
        options: OneEuroOptions | None = None,
        *,
        predict: float = 0.0,
        fill: float = 0.33,
        backend: Execution | Backend | str | None = None,
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        self.stream = self.own(PoseBERTStream(model, predict=predict, fill=fill, backend=backend, **execution))
        if self.stream.points != 21:
            raise BundleError(
                f"bundle {self.stream.bundle.path} is not for hands: it takes {self.stream.points} keypoints, not 21"
            )
        self._options = OneEuroOptions() if options is None else options
        check_kind(self._options, OneEuroOptions, "options", "OneEuroOptions")
        self.reset()

    def reset(self) -> None:
        """Drop all identities."""
        self.stream.reset()
        self._pixels: dict[int, _Pixels] = {}
        self._t: float | None = None
        self.poses: Mapping[int, PoseState] = {}
        """Poses of the last frame, with rotations, by identity."""

    def __call__(self, hands: Hands, t: float) -> Hands:
        """Return the hands smoothed, with missed ones filled in.

        Args:
            hands: the hands of the frame.
            t: the frame's own time stamp in s.

        Raises:
            ValueError: the time stamp or a keypoint is not a finite number. The state is then unchanged.
        """
        check_hands(hands, t)
        if self._t is not None and t < self._t:
            self.reset()
        self._t = t
        for identity in hands.lost:
            self._pixels.pop(identity, None)
        seen = {hand.id: Observation(hand.keypoints_3d, hand.score, hand.side) for hand in hands}
        poses = self.poses = self.stream.update(t, seen, hands.lost)
        smoothed = [self._seen(hand, t, poses.get(hand.id)) for hand in hands]
        for identity in [i for i in self._pixels if i not in poses and i not in seen]:
            del self._pixels[identity]
        for identity, pose in poses.items():
            if identity not in seen and (hand := self._missed(identity, t, pose)) and _apart(hand, hands):
                smoothed.append(hand)
        smoothed.sort(key=lambda hand: hand.id)
        return Hands(tuple(smoothed), hands.ms, hands.lost)

    def _seen(self, hand: Hand, t: float, pose: PoseState | None) -> Hand:
        state = self._pixels.get(hand.id)
        if state is None or state.hand.side != hand.side:
            state = _Pixels(OneEuro(self._options), OneEuro(self._options), hand, t, np.zeros(2), np.zeros(3))
            self._pixels[hand.id] = state
        points = state.smooth(hand.keypoints_2d, t, hand_span(hand.keypoints_2d)).astype(np.float32)
        mean = hand.keypoints_3d.mean(axis=0, keepdims=True)
        state.shift = state.origin(mean, t, hand_span(hand.keypoints_3d))[0]
        state.velocity = state.smooth.velocity.mean(axis=0)
        metres = hand.keypoints_3d if pose is None else self._placed(pose, state)
        state.hand, state.t = replace(hand, keypoints_2d=points, keypoints_3d=metres), t
        return state.hand

    def _missed(self, identity: int, t: float, pose: PoseState) -> Hand | None:
        state = self._pixels.get(identity)
        if state is None:
            return None
        way = state.velocity * _MAX_PREDICTION * (1 - exp(-(t - state.t) / _MAX_PREDICTION))
        points = (state.hand.keypoints_2d + way).astype(np.float32)
        return Hand(identity, state.hand.side, 0.0, points, self._placed(pose, state), filled=True)

    @staticmethod
    def _placed(pose: PoseState, state: _Pixels) -> NDArray[np.float32]:
        """Return the keypoints about the landmark model's origin, which is not the mean of the keypoints."""
        return (pose.keypoints + state.shift).astype(np.float32)


def _apart(hand: Hand, others: Hands) -> bool:
    """Return whether an unseen hand lies apart from all seen ones."""
    centre, span = hand.keypoints_2d.mean(axis=0), hand_span(hand.keypoints_2d)
    return all(
        np.linalg.norm(other.keypoints_2d.mean(axis=0) - centre) > _DUPLICATE_DISTANCE * span for other in others
    )
