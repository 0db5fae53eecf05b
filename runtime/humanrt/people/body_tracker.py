"""BodyTracker: people's landmarks in a stream of images, with identities.

As with hands, each tracked person costs one run of the landmark network, as the landmarks of one frame give the
region of the next; the detector runs while there is room for more people (see `BodyTrackerOptions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import LandmarksSettings
from humanrt.checks import check_count, check_kind, check_probability, check_range
from humanrt.geometry.region import Region
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.kernels.image import Picture
from humanrt.people.landmarks import BalancedNetwork, BodyLandmarks, BodyNetwork
from humanrt.people.person import PersonDetector, is_grey, sepia, windows
from humanrt.perception.region_tracker import RegionTracker, Track, TrackedObjects, TrackParameters
from humanrt.resource import releasing

__all__ = ["Bodies", "Body", "BodyTracker", "BodyTrackerOptions"]

# The size is that of a region. Two regions contain the same person if their hips are closer than a fifth of a body.
_TRACK_PARAMETERS = TrackParameters(
    unit=1.0,
    velocity_time_constant=0.2,
    max_prediction=0.5,
    gate=0.3,
    gate_growth=1.0,
    size_ratio_weight=0.25,
    unmatched_cost=1.0,
    duplicate_region_distance=1 / 6,
    duplicate_point_distance=0.08,
)

_FACE_LANDMARKS = slice(0, 11)  # landmarks: nose, eyes, ears, mouth
_GREY_THRESHOLD_SCALE = 0.7  # times the detector's threshold in pictures without colour, where it is less confident
_CONFIDENT_SCORE = 0.9  # score below which a new track may be a false detection
_SAME_FACE_DISTANCE = 0.5  # two faces whose centres are closer than this fraction of their size are the same


@dataclass(frozen=True)
class BodyTrackerOptions:
    """Options of `BodyTracker`. Times are seconds of the source's clock.

    Attributes:
        max_people: maximum number of tracked people; None: the bundle's.
        min_detection: minimum score of the detector; detections below it are ignored. None: the bundle's.
        min_presence: minimum score; a person who falls below it is dropped from the result in the same frame. None:
            the bundle's.
        remember: a person who reappears within this time, near their predicted position, keeps their identity. While
            a person has been missing for less than this, the detector runs on every frame.
        windows: also search windows of the picture, for people who are too small in the whole of it: all windows in
            the first frame (a photograph), later one per search, in turn.
        search_interval: with at least one person tracked and none just lost, the detector runs this often to find
            further people.
        confirm: a person who appears after the first image of a scene is reported, and gets an identity, once they were
            seen in every image for this long, with a score of 0.9. In a scene's first image (a photograph) everyone is
            reported.
    """

    max_people: int | None = None
    min_detection: float | None = None
    min_presence: float | None = None
    remember: float = 1.0
    windows: bool = True
    search_interval: float = 0.5
    confirm: float = 0.1

    def __post_init__(self) -> None:
        if self.max_people is not None:
            check_count(self.max_people, "max_people")
        check_probability(self.min_detection, "min_detection")
        check_probability(self.min_presence, "min_presence")
        check_range(self.remember, "remember (s)", 0.0)
        check_range(self.search_interval, "search_interval (s)", 0.0)
        check_range(self.confirm, "confirm (s)", 0.0)


@dataclass(frozen=True)
class Body:
    """Landmarks of one person in one frame, with an identity: from 1, never reused within a tracker's life."""

    id: int
    landmarks: BodyLandmarks


Bodies = TrackedObjects[Body]
"""The people of one frame."""


class BodyTracker(RegionTracker[BodyLandmarks, Track[BodyLandmarks], Body]):
    """Detect people and track their landmarks.

    >>> tracker = BodyTracker()                     # the shipped bundle, on the CPU
    >>> bodies = tracker(rgb, t)                    # uint8 [H, W, 3], seconds -> Bodies

    Args:
        bundle: name or folder of the bundle ``landmarks``, or a loaded one.
        options: see `BodyTrackerOptions`.
        network: the landmark network to use instead of the bundle's; it is closed with the tracker.
        backend, execution: where and how the networks run; see `Execution`.

    Raises:
        BundleError, BackendError: the message says what is wrong and how to fix it.
    """

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path = "landmarks",
        backend: Execution | Backend | str = "cpu",
        options: BodyTrackerOptions | None = None,
        *,
        network: BodyNetwork | BalancedNetwork | None = None,
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        self.options = BodyTrackerOptions() if options is None else options
        check_kind(self.options, BodyTrackerOptions, "options", "BodyTrackerOptions")
        super().__init__(
            bundle,
            "people",
            Execution.of(backend, execution),
            _TRACK_PARAMETERS,
            remember=self.options.remember,
            search_interval=self.options.search_interval,
            confirm=self.options.confirm,
        )
        settings = LandmarksSettings.of(self.bundle)
        self._detector = self.own(PersonDetector(self.bundle, self.backend))
        self._landmarks = self.own(network or BodyNetwork(self.bundle, self.backend))
        presence, max_people = self.options.min_presence, self.options.max_people
        self._grey, self._grey_threshold = False, _GREY_THRESHOLD_SCALE * settings.person.score_threshold
        self._presence = settings.network.presence_threshold if presence is None else presence
        self.max_people = settings.max_people if max_people is None else max_people

    @property
    def max_tracks(self) -> int:
        return self.max_people

    def _drop_tracks(self) -> None:
        super()._drop_tracks()
        self._detection_count = 0

    def _adapt(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self._grey = is_grey(rgb)
        return sepia(rgb) if self._grey else rgb

    def _detect(self, rgb: Picture) -> list[Region]:
        min_detection = self.options.min_detection
        if min_detection is None and self._grey:
            min_detection = self._grey_threshold
        people = self._detector(rgb, min_detection)
        if self.options.windows:
            height, width = rgb.shape[:2]
            parts = windows((width, height))
            for part in (
                parts if self._detection_count == 0 else [parts[self._detection_count % len(parts)]] if parts else []
            ):
                people += self._detector(rgb, min_detection, part)
            self._detection_count += 1
            people.sort(key=lambda person: -person.score)
        distinct: list[Region] = []
        for person in people:
            if not any(self._same_region(person.region, other) for other in distinct):
                distinct.append(person.region)
        return distinct

    def _observe_region(self, rgb: Picture, region: Region) -> BodyLandmarks | None:
        """Return the landmarks in a region, or None if there is no person."""
        landmarks = self._landmarks(rgb, region)
        if not landmarks.score >= self._presence:
            return None
        # The midpoint of the hips may lie below the picture: a person at a desk.
        height, width = rgb.shape[:2]
        margin = landmarks.region.size / 2
        inside = -margin < landmarks.region.x < width + margin and -margin < landmarks.region.y < height + margin
        return landmarks if inside and landmarks.region.size > 8 else None

    def _new_track(self, identity: int, t: float, landmarks: BodyLandmarks) -> Track[BodyLandmarks]:
        return Track(self._parameters, identity, t, landmarks)

    def _result(self, track: Track[BodyLandmarks]) -> Body:
        return Body(track.id, track.landmarks)

    def _is_confident(self, landmarks: BodyLandmarks) -> bool:
        return landmarks.score >= _CONFIDENT_SCORE

    def _same_object(self, landmarks: BodyLandmarks, other: BodyLandmarks) -> bool:
        """Return whether two observations are of the same person: the same face, or coinciding landmarks.

        The network may complete the unseen part of one person differently in two regions. Only the position of the
        faces is compared: from a face alone, a second region may yield an upside-down body.
        """
        faces = [one.landmarks_2d[_FACE_LANDMARKS] for one in (landmarks, other)]
        gap = np.linalg.norm(faces[0].mean(axis=0) - faces[1].mean(axis=0))
        size = np.mean([np.hypot(*np.ptp(face, axis=0)) for face in faces])
        return bool(gap < _SAME_FACE_DISTANCE * size) or super()._same_object(landmarks, other)

    @staticmethod
    def _points(landmarks: BodyLandmarks) -> NDArray[np.float32]:
        return landmarks.landmarks_2d
