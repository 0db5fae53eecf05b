"""BodyTracker: people's landmarks in a stream of images, with identities.

As with hands: each tracked person costs one run of the landmark network, for the landmarks of one frame give the
region of the next; the detector runs while there is room for more people (see `BodyTrackerOptions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle_settings import LandmarksSettings
from humanrt.checks import check_count, check_probability, check_range
from humanrt.kernels.image import Picture
from humanrt.people.landmarks import BodyLandmarks, BodyNetwork
from humanrt.people.person import PersonDetector, windows
from humanrt.region import Region
from humanrt.region_tracker import Found, RegionTracker, Track, TrackRule
from humanrt.resource import releasing
from humanrt.variants import EXACT

__all__ = ["Bodies", "Body", "BodyTracker", "BodyTrackerOptions"]

# The size is that of a region. Regions look at the same person where their hips are closer than a fifth of a body.
_RULE = TrackRule(
    unit=1.0, settle=0.2, coast=0.5, reach=0.3, speed=1.0, ratio_weight=0.25, unnamed=1.0, near=1 / 6, same=0.08
)


@dataclass(frozen=True)
class BodyTrackerOptions:
    """How people are looked for. Times are seconds of the source's clock.

    Attributes:
        max_people: at most so many people are tracked; None takes the bundle's.
        min_detection: detector's score below which nothing is looked at; None takes the bundle's.
        min_presence: a person whose score falls below is gone from the result in that very frame; None takes the
            bundle's.
        remember: a person who comes back within this time, near where they would be, keeps their identity. While
            a person has been missing for less than this, the detector runs on every frame.
        windows: also look in parts of the picture, for people who are too small in the whole of it: in all of them in
            the first frame (a photograph), later in one, another each time.
        search_interval: with at least one person tracked and none just lost, the detector looks for further people
            this often.
    """

    max_people: int | None = None
    min_detection: float | None = None
    min_presence: float | None = None
    remember: float = 1.0
    windows: bool = True
    search_interval: float = 0.5

    def __post_init__(self) -> None:
        if self.max_people is not None:
            check_count(self.max_people, "max_people")
        check_probability(self.min_detection, "min_detection")
        check_probability(self.min_presence, "min_presence")
        check_range(self.remember, "remember (s)", 0.0)
        check_range(self.search_interval, "search_interval (s)", 0.0)


@dataclass(frozen=True)
class Body:
    """One person in one frame: an identity, from 1, never reused within a tracker's life, and the landmarks."""

    id: int
    landmarks: BodyLandmarks


Bodies = Found[Body]
"""The people of one frame."""


class BodyTracker(RegionTracker[BodyLandmarks, Track[BodyLandmarks], Body]):
    """Finds and follows people's landmarks.

    >>> tracker = BodyTracker()                     # the shipped bundle, on the CPU
    >>> bodies = tracker(rgb, t)                    # uint8 [H, W, 3], seconds -> Bodies

    Args:
        bundle: name or folder of the bundle ``landmarks``, or a loaded one.
        backend: ``auto``, ``cpu``, ``cuda``, or an opened backend.
        options: see `BodyTrackerOptions`.
        threads: CPU threads of a network; 0 is all cores.
        precision: of the networks: ``fp32`` or another that the bundle has graphs for (`humanrt-export quantize`).
        unverified: also where these have no passing verdict.

    Raises:
        BundleError, BackendError: what is wrong and how to mend it.
    """

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path = "landmarks",
        backend: Backend | str = "cpu",
        options: BodyTrackerOptions | None = None,
        *,
        threads: int = 0,
        precision: str = EXACT,
        unverified: bool = False,
    ) -> None:
        self.options = options or BodyTrackerOptions()
        self.prepare(bundle, "people", backend, precision, threads=threads, unverified=unverified)
        settings = LandmarksSettings.of(self.bundle)
        self._detector = self.own(PersonDetector(self.bundle, self.backend))
        self._landmarks = self.own(BodyNetwork(self.bundle, self.backend))
        presence, most = self.options.min_presence, self.options.max_people
        self._presence = settings.presence_threshold if presence is None else presence
        self.max_people = settings.max_people if most is None else most
        super().__init__(
            _RULE,
            self.max_people,
            remember=self.options.remember,
            search_interval=self.options.search_interval,
        )

    def reset(self) -> None:
        """Forget all people. Identities go on counting."""
        super().reset()
        self._searches = 0

    def _search(self, rgb: Picture) -> list[Region]:
        people = self._detector(rgb, self.options.min_detection)
        if self.options.windows:
            height, width = rgb.shape[:2]
            parts = windows((width, height))
            for part in parts if self._searches == 0 else [parts[self._searches % len(parts)]] if parts else []:
                people += self._detector(rgb, self.options.min_detection, part)
            self._searches += 1
            people.sort(key=lambda person: -person.score)
        distinct: list[Region] = []
        for person in people:
            if not any(self._holds(person.region, other) for other in distinct):
                distinct.append(person.region)
        return distinct

    def _look(self, rgb: Picture, region: Region) -> BodyLandmarks | None:
        """Landmarks in a region; None where nobody is."""
        marks = self._landmarks(rgb, region)
        if not marks.score >= self._presence:
            return None
        # The middle of the hips may lie below the picture: somebody at a desk.
        height, width = rgb.shape[:2]
        reach = marks.region.size / 2
        inside = -reach < marks.region.x < width + reach and -reach < marks.region.y < height + reach
        return marks if inside and marks.region.size > 8 else None

    def _begin(self, identity: int, t: float, marks: BodyLandmarks) -> Track[BodyLandmarks]:
        return Track(self._rule, identity, t, marks)

    def _result(self, track: Track[BodyLandmarks]) -> Body:
        return Body(track.id, track.marks)

    @staticmethod
    def _points(marks: BodyLandmarks) -> NDArray[np.float32]:
        return marks.landmarks_2d
