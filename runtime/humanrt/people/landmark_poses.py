"""LandmarkPoses: rotations from landmarks without a network, by inverse kinematics, smoothed on SO(3) or not at all.

A stand-in for `PoseBERTStream` where bodies are recovered from landmarks: it takes and returns the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import expm1
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import SAME_INSTANT, check_time
from humanrt.errors import HumanrtError, choices
from humanrt.people.landmark_ik import LandmarkIK
from humanrt.people.smoother import PeopleSmootherOptions
from humanrt.posebert.stream import Observation, PoseState
from humanrt.smoothing.one_euro import OneEuroOptions
from humanrt.smoothing.one_euro_rotations import OneEuroRotations

__all__ = ["LANDMARK_SMOOTHERS", "LandmarkPoses", "LandmarkSmoothing", "check_landmark_smoothing"]

LandmarkSmoothing = Literal["posebert", "oneeuro", "none"]
LANDMARK_SMOOTHERS: tuple[LandmarkSmoothing, ...] = get_args(LandmarkSmoothing)
"""How people who are followed by their landmarks are smoothed; the first is the default."""


def check_landmark_smoothing(name: str) -> None:
    """Raise HumanrtError if there is no such smoothing; it lists the valid names."""
    if name not in LANDMARK_SMOOTHERS:
        raise HumanrtError(f"--smooth {name}: people of landmarks have one of: {choices(LANDMARK_SMOOTHERS)}")


@dataclass
class _Track:
    """State of an identity: its filter, when it was last seen, and the landmarks that it was seen with."""

    filter: OneEuroRotations
    last: float = 0.0
    keypoints: NDArray[np.float32] = field(default_factory=lambda: np.zeros((33, 3), np.float32))


class LandmarkPoses:
    """Compute SMPL's rotations of each identity from its 33 landmarks.

    >>> poses = LandmarkPoses(LandmarkIK(rest_landmarks()), PeopleSmootherOptions().rotations)
    >>> poses.update(t, {1: Observation(landmarks)})       # seconds; landmarks [33, 3] m -> {1: PoseState}

    Args:
        ik: inverse kinematics.
        options: of One-Euro on SO(3); None: every frame by itself, and nobody is filled in.
        fill: s for which an identity that is not seen goes on; its motion comes to rest.
    """

    def __init__(
        self, ik: LandmarkIK, options: OneEuroOptions | None = None, fill: float = PeopleSmootherOptions.fill_seconds
    ) -> None:
        self._ik, self._options = ik, options
        self.fill = 0.0 if options is None else fill
        self.reset()

    def reset(self) -> None:
        """Forget all identities."""
        self._tracks: dict[int, _Track] = {}
        self._t: float | None = None

    def update(
        self, t: float, observations: Mapping[int, Observation], lost: Iterable[int] = ()
    ) -> dict[int, PoseState]:
        """Add the landmarks of a frame and return the poses, of those who were missed for up to ``fill`` s, too.

        Args:
            t: time stamp of the frame, s. A time before the last one drops all state: the source was rewound.
            observations: by identity; confidences and pixels have no influence.
            lost: identities that ended.
        """
        t = check_time(t)
        if self._t is not None and t < self._t:
            self.reset()
        self._t = t
        for identity in lost:
            self._tracks.pop(identity, None)
        poses = {}
        for identity, seen in observations.items():
            keypoints = np.asarray(seen.keypoints, np.float32)
            rotations = self._ik(keypoints)
            if self._options is not None:
                track = self._tracks.setdefault(identity, _Track(OneEuroRotations(self._options)))
                if t - track.last > self.fill + SAME_INSTANT:
                    track.filter.reset()
                rotations = track.filter(rotations, t)
                track.last, track.keypoints = t, keypoints
            poses[identity] = PoseState(keypoints, rotations.astype(np.float32), False, 0.0, t)
        for identity, track in self._tracks.items():
            age = t - track.last
            if identity not in poses and age <= self.fill + SAME_INSTANT:
                seconds = _COAST * -expm1(-age / _COAST)
                turned = track.filter.ahead(seconds).astype(np.float32)
                poses[identity] = PoseState(track.keypoints, turned, True, age, t)
        return poses


_COAST = PeopleSmootherOptions.coast_seconds
