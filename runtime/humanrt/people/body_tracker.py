"""BodyTracker: people's landmarks in a stream of images, with identities.

As with hands, each tracked person costs one run of the landmark network, as the landmarks of one frame give the
region of the next. New people are proposed (`humanrt.people.proposals`) while there is room for more, and become
tracks if the landmark network sees a body there and a second network agrees (`humanrt.people.confirmation`). Tracks
are checked in the same way, one at a time. `BodyTrackerOptions` says when, and what it costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
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
from humanrt.people.confirmation import (
    SAME_TRUNK,
    accepted,
    confidence,
    disagreement,
    is_part,
    needed_of_body,
    pose_distance,
    trunk_distance,
    trunk_gap,
)
from humanrt.people.landmarks import BalancedNetwork, BodyLandmarks, BodyNetwork
from humanrt.people.person import is_grey, sepia
from humanrt.people.proposals import (
    PROPOSALS,
    Look,
    MultiposeProposals,
    Proposal,
    around,
    check_proposals,
)
from humanrt.people.windows import Window, windows
from humanrt.perception.region_tracker import RegionTracker, Track, TrackedObjects, TrackParameters
from humanrt.resource import releasing

__all__ = ["ZOOMS_OF_TRUNKS", "Bodies", "Body", "BodyTracker", "BodyTrackerOptions"]

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
_SAME_FACE_DISTANCE = 0.5  # two faces whose centres are closer than this fraction of their size are the same

_SAME_POSE_DISTANCE = 0.1  # likewise, for proposals with keypoints: trunks and heads

_CONFIDENT_SCORE = 0.9  # without a second network: score below which a new track may be a false detection
_HOPELESS_SCORE = 0.05  # of the landmark network, in a proposal: nobody is there, whatever the second network sees
_CHECKED_PRESENCE = 0.1  # min score of tracks that a second network checks
_ZOOMS = (1.0, 0.75, 1.3)  # of close looks at new people, see `accepted`
ZOOMS_OF_TRUNKS = (*_ZOOMS, 0.6, 0.87)
"""Likewise of those whom our own Multi-HMR proposes: the second network has overlooked them so far, and gets more."""
_MAX_FURTHER_LOOKS, _SETTLED = 4, 0.06  # at new people, while their region moves by more than this part of its side
_DOUBTFUL = -1.5  # `confidence` of a track below which its check fails
_CONFIRMED = 2.0  # the same of a new track, before it is reported
_CHECK_INTERVAL = 1.0  # s between checks of a track
_MAX_FAILED_CHECKS = 2  # in a row; then the track is dropped


@dataclass(frozen=True)
class BodyTrackerOptions:
    """Options of `BodyTracker`. Times are seconds of the source's clock.

    Attributes:
        max_people: maximum number of tracked people; None: the bundle's.
        proposals: names of the sources of proposals (`humanrt.people.proposals.PROPOSALS`): the first one searches all
            frames, the others only the first frame of a scene, and parts only of a photograph. With ``multipose`` its
            network is also the second opinion on new people and on tracks; without it, the landmark network's score
            alone decides.
        min_detection: minimum score of a proposal; None: each source's own.
        min_presence: minimum score; a person who falls below it is dropped from the result in the same frame. None:
            the bundle's, or 0.1 where a second network checks.
        remember: a person who reappears within this time, near their predicted position, keeps their identity. While
            a person has been missing for less than this, every frame is searched around the place where they were.
        windows: also search windows of the picture, for people who are too small in the whole of it.
        search_interval: the first frame of a scene is searched in all windows. Later, the whole picture
            or one window is searched, in turn: in this interval while there is room for further people, and in every
            frame as long as there is nobody.
        confirm: a person who appears after the first image of a scene is reported, and gets an identity, once they were
            seen in every image for this long. In a scene's first image (a photograph) everyone is reported.
    """

    max_people: int | None = None
    proposals: Sequence[str] = ("multipose",)
    min_detection: float | None = None
    min_presence: float | None = None
    remember: float = 1.0
    windows: bool = True
    search_interval: float = 0.25
    confirm: float = 0.1

    def __post_init__(self) -> None:
        if self.max_people is not None:
            check_count(self.max_people, "max_people")
        check_proposals(self.proposals)
        check_probability(self.min_detection, "min_detection")
        check_probability(self.min_presence, "min_presence")
        check_range(self.remember, "remember (s)", 0.0)
        check_range(self.search_interval, "search_interval (s)", 0.0)
        check_range(self.confirm, "confirm (s)", 0.0)


@dataclass
class _BodyTrack(Track[BodyLandmarks]):
    """Track of a person.

    Attributes:
        checked: s, when the second network looked at it last; at first, when it proposed or confirmed the person.
        failed_checks: how often in a row it disagreed.
    """

    checked: float = 0.0
    failed_checks: int = 0


@dataclass(frozen=True)
class Body:
    """Landmarks of one person in one frame, with an identity: from 1, never reused within a tracker's life."""

    id: int
    landmarks: BodyLandmarks


Bodies = TrackedObjects[Body]
"""The people of one frame."""


class BodyTracker(RegionTracker[BodyLandmarks, _BodyTrack, Body]):
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
        self._landmarks = self.own(network or BodyNetwork(self.bundle, self.backend))
        self._sources = [self.own(PROPOSALS[name](self.bundle, self.backend)) for name in self.options.proposals]
        self._second = next((one.network for one in self._sources if isinstance(one, MultiposeProposals)), None)
        presence, max_people = self.options.min_presence, self.options.max_people
        self._grey = False
        if presence is None:
            presence = settings.network.presence_threshold if self._second is None else _CHECKED_PRESENCE
        self._presence = presence
        self.max_people = settings.max_people if max_people is None else max_people

    looks: Sequence[Look] = ()
    """What the sources saw of the last photograph; empty in a film."""
    _photograph = False

    def photograph(self) -> None:
        """Declare that the next image is a photograph: a scene by itself, of which `looks` tells all that was seen."""
        self.new_scene()
        self._photograph = True

    def new_identity(self) -> int:
        """Return an identity that nobody has or will have."""
        identity, self._next_id = self._next_id, self._next_id + 1
        return identity

    SPARE_DETECTIONS = 8
    SPARE_OBSERVATIONS = 4  # people in a crowd, of whom the largest are tracked

    @property
    def max_tracks(self) -> int:
        return self.max_people

    def _drop_tracks(self) -> None:
        super()._drop_tracks()
        self.looks = ()
        self._search_count, self._searched = 0, -inf

    def _adapt(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.looks = ()  # of the photograph before, even if this image is of the same scene
        self._grey = is_grey(rgb)
        self._host = sepia(rgb) if self._grey else rgb
        return self._host

    def _must_detect(self, t: float) -> bool:
        return self._searches(t) or self._to_check(t) is not None or any(not track.active for track in self._tracks)

    def _searches(self, t: float) -> bool:
        """Return whether to search for further people now: at intervals, and as long as nobody is tracked."""
        active = sum(track.active for track in self._tracks)
        return active == 0 or (active < self.max_tracks and t - self._searched >= self._search_interval)

    def _detect(self, rgb: Picture, t: float) -> list[Region]:
        proposals: list[Proposal] = []
        if self._second is not None:
            for track in self._tracks:
                if not track.active:
                    proposals += around(self._second, rgb, track.region)
        if self._searches(t):
            self._searched = t
            proposals += self._search(rgb)
        elif (due := self._to_check(t)) is not None:
            self._check(due, rgb, t)
        distinct: list[Region] = []
        for proposal in proposals:
            if not any(self._same_region(proposal, other) for other in distinct):
                distinct.append(proposal)
        return distinct

    def _search(self, rgb: Picture) -> list[Proposal]:
        """Return proposals: at first of all sources, later of the first one for one part of the picture.

        At first the first source searches all parts, and the others the whole picture; all parts only of a photograph,
        of which `looks` are kept. Later every other time is for the whole picture, in between for one window, in turn.
        """
        keep, self._photograph = self._photograph, False
        looks: list[Look] = []
        parts = windows((rgb.shape[1], rgb.shape[0])) if self.options.windows else []
        turn, self._search_count = self._search_count, self._search_count + 1
        places: Sequence[Window | None] = [None, *parts]
        if turn:
            places = [parts[turn // 2 % len(parts)] if parts and turn % 2 else None]
        proposals: list[Proposal] = []
        for index, source in enumerate(self._sources[: None if turn == 0 else 1]):
            least = source.threshold(self._grey) if self.options.min_detection is None else self.options.min_detection
            threshold = min(least, source.faint) if keep and source.faint is not None else least
            # A film goes on: whom only a slow source sees in a part of its first frame is found later, or never moves.
            searched = places if index == 0 or keep else places[:1]
            seen = [Look(window, source(rgb, self._host, window, threshold)) for window in searched]
            found = [proposal for look in seen for proposal in look.proposals if proposal.score >= least]
            proposals += sorted(found, key=lambda proposal: -proposal.score)
            looks += seen if keep else []
        self.looks = looks
        return proposals

    def _same_region(self, region: Region, other: Region) -> bool:
        if not (isinstance(region, Proposal) and isinstance(other, Proposal) and region.pose and other.pose):
            return super()._same_region(region, other)
        size = min(region.size, other.size)
        return pose_distance(region.pose, other.pose) < _SAME_POSE_DISTANCE * size

    def _contains(self, region: Region, landmarks: BodyLandmarks) -> bool:
        if not (isinstance(region, Proposal) and region.pose):
            return super()._contains(region, landmarks)
        return sum(disagreement(landmarks, region.pose)) < 2 * _SAME_POSE_DISTANCE

    def _to_check(self, t: float) -> _BodyTrack | None:
        """Return the track that the second network should look at now, the one it has not seen for longest.

        New tracks are looked at once more before they are reported.
        """
        if self._second is None:
            return None
        due = {True: _CHECK_INTERVAL, False: self._confirm}
        tracks = [track for track in self._tracks if track.active and t - track.checked >= due[track.id > 0]]
        return min(tracks, key=lambda track: (track.id > 0, track.checked), default=None)

    def _check(self, track: _BodyTrack, rgb: Picture, t: float) -> None:
        """Ask the second network about a track, and drop the track if it keeps disagreeing."""
        assert self._second is not None
        track.checked = t
        poses = self._second(rgb, track.region)
        if confidence(track.landmarks, [track.landmarks.score], poses) >= (_DOUBTFUL if track.id else _CONFIRMED):
            track.failed_checks = 0
            return
        track.failed_checks += 1
        if track.failed_checks == _MAX_FAILED_CHECKS or not track.id:
            self._tracks.remove(track)

    def _examine(self, rgb: Picture, region: Region) -> BodyLandmarks | None:
        """Return the landmarks of the person in a proposal, or None if there is none.

        Landmarks are those of a second look, at the region that the first one gives: a person is found there again.
        """
        if self._second is None:
            return self._observe_region(rgb, region)
        first, landmarks, there = self._looked_at(rgb, region)
        if not there:
            return None
        scores = (first.score, landmarks.score)
        proposal = region if isinstance(region, Proposal) else None
        first_look = proposal.confidence(landmarks, scores) if proposal else -inf
        second = self._second

        def close_look(zoom: float) -> float:
            square = replace(landmarks.region, size=zoom * landmarks.region.size)
            return confidence(landmarks, scores, second(rgb, square))

        if proposal is None or proposal.trunk is None:
            found = accepted(first_look, close_look, _ZOOMS)
        else:
            needed = needed_of_body(proposal.score, trunk_distance(landmarks, proposal.trunk))
            found = accepted(-inf, close_look, ZOOMS_OF_TRUNKS, needed)
        self._watch.lap("detect")
        return self._settled(rgb, first.region, landmarks) if found else None

    def _looked_at(self, rgb: Picture, region: Region) -> tuple[BodyLandmarks, BodyLandmarks, bool]:
        """Return the landmarks of a first look and of a second one, and whether somebody may be there at all."""
        first = self._landmarks(rgb, region)
        landmarks = self._landmarks(rgb, first.region) if first.score >= _HOPELESS_SCORE else first
        self._watch.lap("landmarks")
        return first, landmarks, landmarks.score >= _HOPELESS_SCORE and _is_inside(landmarks.region, rgb)

    def _settled(self, rgb: Picture, region: Region, landmarks: BodyLandmarks) -> BodyLandmarks:
        """Return the landmarks of a person where the network finds them again; ``region``: where it looked last.

        A proposal from a part of the picture may hold half of somebody, whom the network then completes too small. From
        frame to frame the region grows; a photograph has no next frame.
        """
        for _ in range(_MAX_FURTHER_LOOKS):
            following = landmarks.region
            moved = max(abs(following.x - region.x), abs(following.y - region.y), abs(following.size - region.size))
            if moved <= _SETTLED * region.size:
                break
            again = self._landmarks(rgb, following)
            if again.score < self._presence or not _is_inside(again.region, rgb):
                break
            region, landmarks = following, again
        self._watch.lap("landmarks")
        return landmarks

    def _observe_region(self, rgb: Picture, region: Region) -> BodyLandmarks | None:
        """Return the landmarks in a region, or None if there is no person."""
        landmarks = self._landmarks(rgb, region)
        return landmarks if landmarks.score >= self._presence and _is_inside(landmarks.region, rgb) else None

    def _worth_examining(self, region: Region, observations: Sequence[BodyLandmarks], room: int) -> bool:
        """Return whether somebody of this size would be tracked: the largest are, and before a crowd looks run out."""
        sizes = sorted((landmarks.region.size for landmarks in observations), reverse=True)
        return len(sizes) < room or (room > 0 and region.size > sizes[room - 1])

    def _preferred(self, observations: Sequence[BodyLandmarks]) -> Sequence[BodyLandmarks]:
        return sorted(observations, key=lambda landmarks: -landmarks.region.size)

    def _new_track(self, identity: int, t: float, landmarks: BodyLandmarks) -> _BodyTrack:
        return _BodyTrack(self._parameters, identity, t, landmarks, checked=t)

    def _result(self, track: _BodyTrack) -> Body:
        return Body(track.id, track.landmarks)

    def _is_confident(self, track: _BodyTrack) -> bool:
        return self._second is not None or track.landmarks.score >= _CONFIDENT_SCORE

    def _is_verified(self, track: _BodyTrack) -> bool:
        return self._second is None or track.checked > track.since

    def _same_object(self, landmarks: BodyLandmarks, other: BodyLandmarks) -> bool:
        """Return whether two observations are of the same person.

        They are if faces or trunks coincide, or if one is a part of the other: from a face, a trunk or an arm alone,
        the network may complete a smaller body, or one upside down.
        """
        faces = [one.landmarks_2d[_FACE_LANDMARKS] for one in (landmarks, other)]
        gap = np.linalg.norm(faces[0].mean(axis=0) - faces[1].mean(axis=0))
        size = np.mean([np.hypot(*np.ptp(face, axis=0)) for face in faces])
        return (
            bool(gap < _SAME_FACE_DISTANCE * size)
            or trunk_gap(landmarks, other) < SAME_TRUNK
            or is_part(landmarks, other)
            or is_part(other, landmarks)
            or super()._same_object(landmarks, other)
        )

    @staticmethod
    def _points(landmarks: BodyLandmarks) -> NDArray[np.float32]:
        return landmarks.landmarks_2d


def _is_inside(region: Region, rgb: Picture) -> bool:
    """Return whether a person is in the picture; their hips may lie below it, as at a desk."""
    height, width = rgb.shape[:2]
    margin = region.size / 2
    return region.size > 8 and -margin < region.x < width + margin and -margin < region.y < height + margin
