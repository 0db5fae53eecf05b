"""RegionTracker: what HandTracker and BodyTracker have in common.

What is found in a region of one frame gives the region of the next, so that each that is followed costs one run of a
landmark network. The detector, which looks at the whole image, runs only while there is room for more.
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

__all__ = ["Found", "Marks", "RegionTracker", "Track", "TrackRule"]

_FALSE = 2  # detections more than there is room for that are looked at: a false one must not hide a true one


class Marks(Protocol):
    """What a landmark network found."""

    @property
    def region(self) -> Region:
        """Where to look in the next frame."""


M = TypeVar("M", bound=Marks)


@dataclass(frozen=True)
class TrackRule:
    """How what is followed moves. Times are s; a *size* is `unit` of a region's side.

    Attributes:
        unit: part of a region's side.
        settle: time constant of the velocity estimate.
        coast: what is not seen is assumed to move on for so long.
        reach: sizes, how far from where it was predicted it may be seen...
        speed: sizes a second, ...and how much farther for every second since it was last seen.
        ratio_weight: how much a change of size counts against one size of distance.
        unnamed: sizes: what it costs, in `Track.cost`, to leave something without the identity that it might have.
        near: two regions whose centres are closer than this part of the smaller's side look at the same.
        same: two sets of points that are closer on average than this part of the smaller region's side are of the same.
    """

    unit: float
    settle: float
    coast: float
    reach: float
    speed: float
    ratio_weight: float
    unnamed: float
    near: float
    same: float


@dataclass
class Track(Generic[M]):
    """An identity: what was last seen of it, when, and how it moved (px/s); ``active``: it is in the last frame.

    ``id`` is 0 while it is not told yet; ``since``: s, when it was seen first.
    """

    rule: TrackRule
    id: int
    seen: float
    marks: M
    velocity: tuple[float, float] = (0.0, 0.0)
    active: bool = True
    since: float = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.seen

    @property
    def region(self) -> Region:
        return self.marks.region

    def observe(self, marks: M, t: float) -> None:
        """It was seen at ``t`` s, not before the last time."""
        dt = t - self.seen
        if dt > SAME_INSTANT:
            keep = exp(-dt / self.rule.settle)
            old, new = self.region, marks.region
            vx, vy = (new.x - old.x) / dt, (new.y - old.y) / dt
            self.velocity = (keep * self.velocity[0] + (1 - keep) * vx, keep * self.velocity[1] + (1 - keep) * vy)
        self.seen, self.marks, self.active = t, marks, True

    def cost(self, marks: M, t: float) -> float:
        """How badly ``marks`` fit this identity, in sizes; inf when it cannot be the same."""
        rule, dt = self.rule, t - self.seen
        ahead = min(dt, rule.coast)
        here, there = self.region, marks.region
        distance = hypot(there.x - here.x - self.velocity[0] * ahead, there.y - here.y - self.velocity[1] * ahead)
        size = max(here.size, there.size) * rule.unit
        if distance > size * (rule.reach + rule.speed * dt):
            return inf
        ratio = there.size / here.size
        return distance / size + rule.ratio_weight * abs(ratio - 1 / ratio)


T = TypeVar("T", bound=Track[Any])
F = TypeVar("F")


@dataclass(frozen=True)
class Found(Generic[F]):
    """What is followed in one frame, and what finding it cost. A sequence of what was found.

    Attributes:
        found: oldest identity first.
        ms: by stage: ``detect`` (the detector, where it ran), ``landmarks`` (crops and landmark network, of all, and
            the frame's way to a GPU, where that is used).
        lost: identities that ended with this frame: state that belongs to them may be dropped.
    """

    found: tuple[F, ...]
    ms: dict[str, float] = field(default_factory=dict)
    lost: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, index: int) -> F:
        return self.found[index]

    def __iter__(self) -> Iterator[F]:
        return iter(self.found)


class RegionTracker(Model, ABC, Generic[M, T, F]):
    """Follows regions and gives identities to what is found in them.

    Args:
        bundle, task, execution: see `Model`.
        rule: see `TrackRule`.
        remember: s; what comes back within this time, near where it would be, keeps its identity.
        search_interval: s between searches for more, while there are some and none was just lost.
        confirm: s; what appears in a scene that is under way is told, and gets its identity, when it was surely seen in
            every image for so long: a false detection hardly ever is.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path,
        task: str,
        execution: Execution,
        rule: TrackRule,
        *,
        remember: float,
        search_interval: float,
        confirm: float = 0.0,
    ) -> None:
        super().__init__(bundle, task, execution)
        device = self.backend.device
        self._upload = None if device is None else self.own(GpuUpload(device))  # a frame is uploaded once, for all
        self._rule = rule
        self._remember, self._search_interval, self._confirm = remember, search_interval, confirm
        self._next_id = 1
        self._cuts = CutDetector()
        self.reset()

    def reset(self) -> None:
        """Forget all. Identities go on counting."""
        self._cuts.reset()
        self._new_scene = False
        self._forget()

    def new_scene(self) -> None:
        """The next image has nothing to do with those before it: say so of photographs; cuts of films are found."""
        self._new_scene = True

    def _forget(self) -> None:
        """Forget all that was seen: a new scene begins."""
        self._tracks: list[T] = []
        self._t: float | None = None
        self._searched = self._doubted = -inf

    def _adapt(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image as the networks are given it."""
        return rgb

    @property
    @abstractmethod
    def max_tracks(self) -> int:
        """The most identities that are in a frame."""

    @abstractmethod
    def _look(self, rgb: Picture, region: Region) -> M | None:
        """What is in a region; None where nothing is."""

    @abstractmethod
    def _search(self, rgb: Picture) -> Sequence[Region]:
        """What the detector sees in the whole image, best first."""

    def _sure(self, marks: M) -> bool:
        """Whether an observation counts for `confirm`."""
        return True

    @abstractmethod
    def _begin(self, identity: int, t: float, marks: M) -> T:
        """A new identity."""

    @staticmethod
    @abstractmethod
    def _points(marks: M) -> NDArray[np.float32]:
        """[K, 2] px of the image."""

    @abstractmethod
    def _result(self, track: T) -> F:
        """What is told of an identity that is in the frame."""

    def __call__(self, rgb: NDArray[np.uint8] | str | Path, t: float | None = None) -> Found[F]:
        """What is in the next image. Where a new scene begins with it, all identities end (see `CutDetector`).

        Args:
            rgb: uint8 [H, W, 3], or the name of an image file.
            t: time of the image in s, never falling; None takes 1/30 s after the last one. A time before the last
                one starts afresh: the source was rewound.

        Raises:
            ValueError: the image is not uint8 [H, W, 3], or ``t`` no finite number of seconds. The state is then as
                before.
        """
        rgb = as_image(rgb)
        t = None if t is None else check_time(t)
        before = [track.id for track in self._tracks if track.id]
        if t is None:
            t = 0.0 if self._t is None else self._t + 1 / 30
        elif self._t is not None and t < self._t:
            self.reset()
        if self._cuts(rgb) or self._new_scene:
            self._forget()
        self._new_scene = False
        begins, self._t = self._t is None, t
        watch = Stopwatch()
        self._tracks = [track for track in self._tracks if t - track.seen < self._remember]

        rgb = self._adapt(rgb)
        image: Picture = self._upload(rgb) if self._upload else rgb
        seen = [self._look(image, track.region) for track in self._tracks if track.active]
        for track in self._tracks:
            track.active = False
        self._update(self._distinct([marks for marks in seen if marks]), t)
        watch.lap("landmarks")

        if self._must_search(t):
            self._searched = t
            regions = self._search(image)
            watch.lap("detect")
            # What is followed is found again by the detector: only what lies elsewhere is looked at.
            held = [track for track in self._tracks if track.active]
            fresh = [region for region in regions if not any(self._holds(region, track.region) for track in held)]
            room = self.max_tracks - len(held)
            found: list[M] = []
            for region in fresh[: room + _FALSE]:
                if len(found) < room and (marks := self._look(image, region)):
                    found.append(marks)
            self._update(self._distinct(found, [track.marks for track in held]), t)
            watch.lap("landmarks")

        self._confirm_all(t, begins)
        alive = {track.id for track in self._tracks}
        results = tuple([self._result(track) for track in self._tracks if track.active and track.id])
        return Found(results, watch.ms, tuple(id for id in before if id not in alive))

    def _update(self, found: Sequence[M], t: float) -> None:
        """Give observations to identities that have none at this time, and to new ones."""
        tracks = [track for track in self._tracks if not track.active]
        costs = [[track.cost(marks, t) for track in tracks] for marks in found]
        owners = assign(costs, gated(costs, self._rule.unnamed))
        for marks, owner in zip(found, owners, strict=True):
            if owner is not None:
                tracks[owner].observe(marks, t)
            elif sum(track.active for track in self._tracks) < self.max_tracks:
                self._tracks.append(self._begin(0, t, marks))

    def _confirm_all(self, t: float, begins: bool) -> None:
        """Give identities to what was seen for long enough, and drop what was not seen again."""
        for track in [track for track in self._tracks if not track.id]:
            if not track.active:
                self._tracks.remove(track)
                self._doubted = t
            elif begins or (self._sure(track.marks) and t - track.since >= self._confirm):
                track.id, self._next_id = self._next_id, self._next_id + 1
            elif not self._sure(track.marks):
                track.since = t

    def _must_search(self, t: float) -> bool:
        active = sum(track.active for track in self._tracks)
        if active >= self.max_tracks:
            return False
        if active < len(self._tracks) or active == 0:  # one was just lost, or there is none
            return True
        if t - self._doubted < self._remember:  # something was seen, not for long: it may have been somebody
            return True
        return t - self._searched >= self._search_interval

    def _holds(self, region: Region, other: Region) -> bool:
        """Whether two regions look at the same."""
        apart = hypot(region.x - other.x, region.y - other.y)
        return apart < min(region.size, other.size) * self._rule.near

    def _same(self, marks: M, other: M) -> bool:
        """Whether two observations are of the same."""
        gap = np.linalg.norm(self._points(marks) - self._points(other), axis=1).mean()
        return bool(gap < self._rule.same * min(marks.region.size, other.region.size))

    def _distinct(self, found: Sequence[M], held: Sequence[M] = ()) -> list[M]:
        """Observations less those that are another's or a held one's again (two regions slid onto one)."""
        kept = list(held)
        for marks in found:
            for other in kept:
                if self._same(marks, other):
                    break
            else:
                kept.append(marks)
        return kept[len(held) :]
