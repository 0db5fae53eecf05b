"""RegionTracker: the base class of HandTracker and BodyTracker.

The landmarks found in a region of one frame give the region of the next frame, so each track costs one run of a
landmark network. The detector, which processes the whole image, runs only while there is room for more tracks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import exp, hypot, inf
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import Bundle
from humanrt.checks import SAME_INSTANT, check_time
from humanrt.geometry.region import Region
from humanrt.inference.execution import Execution
from humanrt.inference.model import Model
from humanrt.kernels.image import GpuUpload, Picture
from humanrt.perception.assignment import assign, gated
from humanrt.perception.cuts import CutDetector
from humanrt.sources.image import as_image
from humanrt.timing import Stopwatch

__all__ = ["Landmarks", "RegionTracker", "Track", "TrackParameters", "TrackedObjects", "region_cost"]


class Landmarks(Protocol):
    """Output of a landmark network for one region."""

    @property
    def region(self) -> Region:
        """Region to crop in the next frame."""


M = TypeVar("M", bound=Landmarks)


@dataclass(frozen=True)
class TrackParameters:
    """Motion and matching parameters of a track. Times are in seconds; a *size* is `unit` times a region's side.

    Attributes:
        unit: size of a tracked object, as a fraction of its region's side.
        velocity_time_constant: time constant of the velocity estimate.
        max_prediction: an unseen object is extrapolated at its last velocity for at most this long.
        gate: gating distance from the predicted position, in sizes...
        gate_growth: ...plus this many sizes for every second since the last observation.
        size_ratio_weight: cost of a change of size, relative to one size of distance.
        unmatched_cost: cost, in sizes (see `Track.cost`), of starting a new track instead of continuing one.
        duplicate_region_distance: two regions are duplicates if their centres are closer than this fraction of the
            smaller one's side.
        duplicate_point_distance: two observations are duplicates if their points are closer on average than this
            fraction of the smaller region's side.
    """

    unit: float
    velocity_time_constant: float
    max_prediction: float
    gate: float
    gate_growth: float
    size_ratio_weight: float
    unmatched_cost: float
    duplicate_region_distance: float
    duplicate_point_distance: float


@dataclass
class Track(Generic[M]):
    """A track: its last observation, the observation's time, and its velocity (px/s).

    ``active`` is set if the track was observed in the last frame. ``id`` is 0 until the track is confirmed. ``since``
    is the time of the first observation, s.
    """

    parameters: TrackParameters
    id: int
    seen: float
    landmarks: M
    velocity: tuple[float, float] = (0.0, 0.0)
    active: bool = True
    since: float = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.seen

    @property
    def region(self) -> Region:
        return self.landmarks.region

    def observe(self, landmarks: M, t: float) -> None:
        """Update the track with an observation at ``t`` s, which is not before the last one."""
        dt = t - self.seen
        if dt > SAME_INSTANT:
            keep = exp(-dt / self.parameters.velocity_time_constant)
            old, new = self.region, landmarks.region
            vx, vy = (new.x - old.x) / dt, (new.y - old.y) / dt
            self.velocity = (keep * self.velocity[0] + (1 - keep) * vx, keep * self.velocity[1] + (1 - keep) * vy)
        self.seen, self.landmarks, self.active = t, landmarks, True

    def cost(self, landmarks: M, t: float) -> float:
        """Return the cost of assigning ``landmarks`` to this track, in sizes; inf if outside the gate."""
        dt = t - self.seen
        ahead = min(dt, self.parameters.max_prediction)
        moved = (self.velocity[0] * ahead, self.velocity[1] * ahead)
        return region_cost(self.region, landmarks.region, self.parameters, dt, moved)


def region_cost(
    here: Region, there: Region, parameters: TrackParameters, dt: float = 0.0, moved: tuple[float, float] = (0.0, 0.0)
) -> float:
    """Return the cost, in sizes, of two regions holding the same object; inf if they are too far apart.

    Args:
        here: the region ``dt`` s ago.
        there: the region now.
        parameters: of the kind of object.
        moved: px, how far it is predicted to have moved since.
    """
    distance = hypot(there.x - here.x - moved[0], there.y - here.y - moved[1])
    size = max(here.size, there.size) * parameters.unit
    if distance > size * (parameters.gate + parameters.gate_growth * dt):
        return inf
    ratio = there.size / here.size
    return distance / size + parameters.size_ratio_weight * abs(ratio - 1 / ratio)


T = TypeVar("T", bound=Track[Any])
F = TypeVar("F")


@dataclass(frozen=True)
class TrackedObjects(Generic[F]):
    """Tracked objects of one frame, as a sequence, with timings.

    Attributes:
        objects: the objects, oldest identity first.
        ms: milliseconds by stage: ``detect`` (the detector, if it ran), ``landmarks`` (crops and landmark network of
            all regions, and the upload of the frame if a GPU is used).
        lost: identities that ended with this frame: state that belongs to them may be dropped.
    """

    objects: tuple[F, ...]
    ms: dict[str, float] = field(default_factory=dict)
    lost: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> F:
        return self.objects[index]

    def __iter__(self) -> Iterator[F]:
        return iter(self.objects)


class RegionTracker(Model, ABC, Generic[M, T, F]):
    """Track regions and assign identities to the objects in them.

    Args:
        bundle, task, execution: see `Model`.
        parameters: see `TrackParameters`.
        remember: s; an object that reappears within this time, near its predicted position, keeps its identity.
        search_interval: s between runs of the detector, while there are tracks and none was just lost.
        confirm: s; an object that appears after the first image of a scene is reported, and gets its identity, once it
            was seen with high confidence in every image for this long: a false detection hardly ever is.
    """

    SPARE_DETECTIONS = 2
    """Detections examined beyond the free track slots: a false detection must not hide a true one."""
    SPARE_OBSERVATIONS = 0
    """Objects observed beyond the free track slots, of which the preferred ones become tracks."""

    def __init__(
        self,
        bundle: Bundle | str | Path,
        task: str,
        execution: Execution,
        parameters: TrackParameters,
        *,
        remember: float,
        search_interval: float,
        confirm: float = 0.0,
    ) -> None:
        super().__init__(bundle, task, execution)
        device = self.backend.device
        self._upload = None if device is None else self.own(GpuUpload(device))  # a frame is uploaded once, for all
        self._parameters = parameters
        self._remember, self._search_interval, self._confirm = remember, search_interval, confirm
        self._next_id = 1
        self.picture: Picture = np.zeros((1, 1, 3), np.uint8)
        """The last image as the networks saw it, on their device."""
        self._cuts = CutDetector()
        self._watch = Stopwatch()  # of the current frame
        self.reset()

    def reset(self) -> None:
        """Drop all tracks. Identities are not reused."""
        self._cuts.reset()
        self._new_scene = False
        self._drop_tracks()

    def new_scene(self) -> None:
        """Declare that the next image starts a new scene, as between photographs; cuts in films are detected."""
        self._new_scene = True

    def _drop_tracks(self) -> None:
        """Drop all tracks at the beginning of a new scene."""
        self._tracks: list[T] = []
        self._t: float | None = None
        self._last_detection = self._last_rejected = -inf

    def _adapt(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the image that is passed to the networks."""
        return rgb

    @property
    @abstractmethod
    def max_tracks(self) -> int:
        """Maximum number of identities in a frame."""

    @abstractmethod
    def _observe_region(self, rgb: Picture, region: Region) -> M | None:
        """Return the observation in a region, or None if there is none."""

    @abstractmethod
    def _detect(self, rgb: Picture, t: float) -> Sequence[Region]:
        """Return the detector's regions in the image at ``t`` s, best first. May drop tracks that it refutes."""

    def _examine(self, rgb: Picture, region: Region) -> M | None:
        """Return the observation in a region of `_detect`, in which there was no track, or None if there is none."""
        return self._observe_region(rgb, region)

    def _worth_examining(self, region: Region, observations: Sequence[M], room: int) -> bool:
        """Return whether what is in a region of `_detect` could get one of ``room`` slots beside new observations."""
        return True

    def _preferred(self, observations: Sequence[M]) -> Sequence[M]:
        """Return new observations in the order in which they get the free track slots."""
        return observations

    def _is_confident(self, track: T) -> bool:
        """Return whether a track's last observation counts towards `confirm`."""
        return True

    def _is_verified(self, track: T) -> bool:
        """Return whether a track that was seen for long enough may be confirmed."""
        return True

    @abstractmethod
    def _new_track(self, identity: int, t: float, landmarks: M) -> T:
        """Create a track from its first observation."""

    @staticmethod
    @abstractmethod
    def _points(landmarks: M) -> NDArray[np.float32]:
        """Return the keypoints of an observation, [K, 2] px of the image."""

    @abstractmethod
    def _result(self, track: T) -> F:
        """Return the result for a track that is in the frame."""

    def __call__(self, rgb: NDArray[np.uint8] | str | Path, t: float | None = None) -> TrackedObjects[F]:
        """Track the objects in the next image. If it begins a new scene, all identities end (see `CutDetector`).

        Args:
            rgb: uint8 [H, W, 3], or the name of an image file.
            t: time of the image in s, non-decreasing; None: 1/30 s after the last one. A time before the last one
                resets the tracker: the source was rewound.

        Raises:
            ValueError: the image is not uint8 [H, W, 3], or ``t`` is not a finite number of seconds. The state is then
                unchanged.
        """
        rgb = as_image(rgb)
        t = None if t is None else check_time(t)
        before = [track.id for track in self._tracks if track.id]
        if t is None:
            t = 0.0 if self._t is None else self._t + 1 / 30
        elif self._t is not None and t < self._t:
            self.reset()
        if self._cuts(rgb) or self._new_scene:
            self._drop_tracks()
        self._new_scene = False
        first_image, self._t = self._t is None, t
        watch = self._watch = Stopwatch()
        self._tracks = [track for track in self._tracks if t - track.seen < self._remember]

        rgb = self._adapt(rgb)
        image = self.picture = self._upload(rgb) if self._upload else rgb
        seen = [self._observe_region(image, track.region) for track in self._tracks if track.active]
        for track in self._tracks:
            track.active = False
        self._update(self._without_duplicates([landmarks for landmarks in seen if landmarks]), t)
        watch.lap("landmarks")

        if self._must_detect(t):
            self._last_detection = t
            regions = self._detect(image, t)
            watch.lap("detect")
            # The detector finds tracked objects again: only detections elsewhere are examined.
            active = [track for track in self._tracks if track.active]
            new_regions = [
                region for region in regions if not any(self._contains(region, track.landmarks) for track in active)
            ]
            room = self.max_tracks - len(active)
            observations: list[M] = []
            examined = 0
            for region in new_regions:
                full = len(observations) == room + self.SPARE_OBSERVATIONS
                if full or examined == room + self.SPARE_DETECTIONS:
                    break
                if any(self._contains(region, one) for one in observations):
                    continue
                if not self._worth_examining(region, observations, room):
                    continue
                examined += 1
                if landmarks := self._examine(image, region):
                    known = [*(track.landmarks for track in active), *observations]
                    observations += self._without_duplicates([landmarks], known)
            self._update(self._preferred(observations)[:room], t)
            watch.lap("landmarks")

        self._confirm_all(t, first_image)
        alive = {track.id for track in self._tracks}
        results = tuple([self._result(track) for track in self._tracks if track.active and track.id])
        return TrackedObjects(results, watch.ms, tuple(id for id in before if id not in alive))

    def _update(self, observations: Sequence[M], t: float) -> None:
        """Assign observations to tracks that have none at this time, and start tracks for the rest."""
        tracks = [track for track in self._tracks if not track.active]
        costs = [[track.cost(landmarks, t) for track in tracks] for landmarks in observations]
        owners = assign(costs, gated(costs, self._parameters.unmatched_cost))
        for landmarks, owner in zip(observations, owners, strict=True):
            if owner is not None:
                tracks[owner].observe(landmarks, t)
            elif sum(track.active for track in self._tracks) < self.max_tracks:
                self._tracks.append(self._new_track(0, t, landmarks))

    def _confirm_all(self, t: float, first_image: bool) -> None:
        """Give identities to tracks that were seen for long enough, and drop unconfirmed ones that were not seen."""
        for track in [track for track in self._tracks if not track.id]:
            if not track.active:
                self._tracks.remove(track)
                self._last_rejected = t
            elif first_image or (
                self._is_confident(track) and t - track.since >= self._confirm and self._is_verified(track)
            ):
                track.id, self._next_id = self._next_id, self._next_id + 1
            elif not self._is_confident(track):
                track.since = t

    def _must_detect(self, t: float) -> bool:
        active = sum(track.active for track in self._tracks)
        if active >= self.max_tracks:
            return False
        if active < len(self._tracks) or active == 0:  # one was just lost, or there is none
            return True
        if t - self._last_rejected < self._remember:  # an unconfirmed track was dropped recently: it may have been real
            return True
        return t - self._last_detection >= self._search_interval

    def _contains(self, region: Region, landmarks: M) -> bool:
        """Return whether a region of `_detect` is of an object that has been observed."""
        return self._same_region(region, landmarks.region)

    def _same_region(self, region: Region, other: Region) -> bool:
        """Return whether two regions contain the same object."""
        apart = hypot(region.x - other.x, region.y - other.y)
        return apart < min(region.size, other.size) * self._parameters.duplicate_region_distance

    def _same_object(self, landmarks: M, other: M) -> bool:
        """Return whether two observations are of the same object."""
        gap = np.linalg.norm(self._points(landmarks) - self._points(other), axis=1).mean()
        return bool(gap < self._parameters.duplicate_point_distance * min(landmarks.region.size, other.region.size))

    def _without_duplicates(self, observations: Sequence[M], active: Sequence[M] = ()) -> list[M]:
        """Drop duplicates: observations whose points coincide with those of an active track or an earlier observation.

        Duplicates arise when two regions slide onto one object.
        """
        kept = list(active)
        for landmarks in observations:
            for other in kept:
                if self._same_object(landmarks, other):
                    break
            else:
                kept.append(landmarks)
        return kept[len(active) :]
