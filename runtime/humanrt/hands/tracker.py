"""HandTracker: hands in a stream of images, with identities.

Each tracked hand costs one run of the landmark network: the keypoints of one frame give the region of the next.
The palm detector runs only while a hand is missing (see `TrackerOptions`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import HandsSettings
from humanrt.checks import check_count, check_kind, check_probability, check_range, check_shapes
from humanrt.geometry.mirror import MIRROR
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import Side
from humanrt.hands.landmarks import HandLandmarks, LandmarkNetwork
from humanrt.hands.palm import PalmDetector
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.kernels.image import Picture
from humanrt.perception.region_tracker import RegionTracker, Track, TrackedObjects, TrackParameters
from humanrt.resource import releasing

__all__ = ["TRACK_PARAMETERS", "Hand", "HandTracker", "Hands", "TrackerOptions"]


# A region is about twice as large as its hand, which is the size here. A hand does not keep its velocity for long.
TRACK_PARAMETERS = TrackParameters(
    unit=0.5,
    velocity_time_constant=0.1,
    max_prediction=0.25,
    gate=1.5,
    gate_growth=4.0,
    size_ratio_weight=0.5,
    unmatched_cost=2.0,
    duplicate_region_distance=0.25,
    duplicate_point_distance=0.1,
)


@dataclass(frozen=True)
class TrackerOptions:
    """Options of `HandTracker`. Times are seconds of the source's clock.

    Attributes:
        max_hands: maximum number of tracked hands.
        model: ``"full"`` or ``"lite"`` landmark network.
        min_detection: minimum palm score; detections below it are ignored. None: the bundle's.
        min_presence: minimum presence; a hand that falls below it is dropped from the result in the same frame. None:
            the bundle's.
        remember: a hand that reappears within this time, near its predicted position, keeps its identity. While a
            hand has been missing for less than this, the detector runs on every frame.
        search_interval: with at least one hand tracked and none just lost, the detector runs this often to find
            further hands.
        mirrored: the images are mirrored (a selfie view): sides are exchanged and metric keypoints mirrored back, so
            that both are the person's; keypoints in pixels stay as seen.
    """

    max_hands: int = 2
    model: str = "full"
    min_detection: float | None = None
    min_presence: float | None = None
    remember: float = 0.7
    search_interval: float = 0.5
    mirrored: bool = False

    def __post_init__(self) -> None:
        check_count(self.max_hands, "max_hands")
        check_probability(self.min_detection, "min_detection")
        check_probability(self.min_presence, "min_presence")
        check_range(self.remember, "remember (s)", 0.0)
        check_range(self.search_interval, "search_interval (s)", 0.0)


@dataclass(frozen=True)
class Hand:
    """One hand in one frame.

    Attributes:
        id: identity, from 1; never reused within a tracker's life.
        side: the person's ``"left"`` or ``"right"``, for images that are not mirrored.
        score: presence, 0..1.
        keypoints_2d: float32 [21, 2] px of the source image, origin top left, MediaPipe order.
        keypoints_3d: float32 [21, 3] m, relative to the hand's own origin, camera axes (x right, y down, z forward).
        filled: the hand was not found in this frame; the smoother estimates where it should be. Its score is 0.
        wrist: float64 [4, 4] m, the wrist's pose in camera space (`humanrt.hands.wrist_pose`). None: not computed, or
            the keypoints determine none.
    """

    id: int
    side: Side
    score: float
    keypoints_2d: NDArray[np.float32] = field(repr=False)
    keypoints_3d: NDArray[np.float32] = field(repr=False)
    filled: bool = False
    wrist: NDArray[np.float64] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_shapes(self, keypoints_2d="float32 21 2", keypoints_3d="float32 21 3", wrist="float64 4 4")


Hands = TrackedObjects[Hand]
"""The hands of one frame."""


@dataclass
class _Track(Track[HandLandmarks]):
    """Track of a hand; ``right``: probability that it is a right hand, over the last half second."""

    right: float = field(kw_only=True)

    def observe(self, landmarks: HandLandmarks, t: float) -> None:
        # The side is a property of the person: a blurred frame must not flip it.
        weight = 1 - exp(-max(t - self.seen, 0.0) / 0.5)
        self.right += weight * (landmarks.right - self.right)
        super().observe(landmarks, t)

    def cost(self, landmarks: HandLandmarks, t: float) -> float:
        return super().cost(landmarks, t) + abs(self.right - landmarks.right)


class HandTracker(RegionTracker[HandLandmarks, _Track, Hand]):
    """Detect and track hands.

    >>> tracker = HandTracker()                     # the shipped bundle, on the CPU
    >>> hands = tracker(rgb, t)                     # uint8 [H, W, 3], seconds -> Hands

    Args:
        bundle: name or folder of a bundle for the task ``hands``, or a loaded one.
        options: see `TrackerOptions`.
        backend, execution: where and how the networks run; see `Execution`.

    Raises:
        BundleError, BackendError: the message says what is wrong and how to fix it.
    """

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path = "hands",
        backend: Execution | Backend | str = "cpu",
        options: TrackerOptions | None = None,
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        self.options = TrackerOptions() if options is None else options
        check_kind(self.options, TrackerOptions, "options", "TrackerOptions")
        super().__init__(
            bundle,
            "hands",
            Execution.of(backend, execution),
            TRACK_PARAMETERS,
            remember=self.options.remember,
            search_interval=self.options.search_interval,
        )
        settings = HandsSettings.of(self.bundle)
        self._palms = self.own(PalmDetector(self.bundle, self.backend))
        self._landmarks = self.own(LandmarkNetwork(self.bundle, self.backend, self.options.model))
        presence = self.options.min_presence
        self._presence = settings.presence_threshold if presence is None else presence

    @property
    def max_tracks(self) -> int:
        return self.options.max_hands

    def _observe_region(self, rgb: Picture, region: Region) -> HandLandmarks | None:
        """Return the landmarks in a region, or None if there is no hand."""
        landmarks = self._landmarks(rgb, region)
        if not landmarks.presence >= self._presence:
            return None
        height, width = rgb.shape[:2]
        inside = 0 <= landmarks.region.x < width and 0 <= landmarks.region.y < height
        return landmarks if inside and landmarks.region.size > 4 else None

    def _detect(self, rgb: Picture, t: float) -> list[Region]:
        return [palm.region for palm in self._palms(rgb, self.options.min_detection)]

    def _new_track(self, identity: int, t: float, landmarks: HandLandmarks) -> _Track:
        return _Track(self._parameters, identity, t, landmarks, right=landmarks.right)

    @staticmethod
    def _points(landmarks: HandLandmarks) -> NDArray[np.float32]:
        return landmarks.keypoints_2d

    def _result(self, track: _Track) -> Hand:
        landmarks = track.landmarks
        right, metric = track.right > 0.5, landmarks.keypoints_3d
        if self.options.mirrored:
            right, metric = not right, metric * MIRROR
        return Hand(track.id, "right" if right else "left", landmarks.presence, landmarks.keypoints_2d, metric)
