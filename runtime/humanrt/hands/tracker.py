"""HandTracker: hands in a stream of images, with identities.

Each tracked hand costs one run of the landmark network: the keypoints of one frame give the region of the next.
The palm detector runs only while a hand is missing (see `TrackerOptions`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import exp, hypot, inf
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.assignment import assign
from humanrt.backends import Backend, BackendOptions, open_backend
from humanrt.bundle import Bundle, load_bundle
from humanrt.hands.landmarks import HandLandmarks, LandmarkNetwork
from humanrt.hands.palm import PalmDetector
from humanrt.hands.region import Region
from humanrt.timing import Stopwatch

__all__ = ["Hand", "HandTracker", "Hands", "TrackerOptions"]

Side = Literal["left", "right"]

_MIRROR = np.array((-1, 1, 1), np.float32)
_FALSE_PALMS = 2  # palms more than there is room for that are looked at: a false one must not hide a hand
_UNNAMED = 2.0  # hand sizes: what it costs, in `_Track.cost`, to leave a hand without the identity it might have


@dataclass(frozen=True)
class TrackerOptions:
    """How hands are looked for. Times are seconds of the source's clock.

    Attributes:
        max_hands: at most so many hands are tracked.
        model: ``"full"`` or ``"lite"`` landmark network.
        min_detection: palm score below which nothing is looked at; None takes the bundle's.
        min_presence: a hand whose presence falls below is gone from the result in that very frame; None takes the
            bundle's.
        remember: a hand that comes back within this time, near where it would be, keeps its identity. While a
            hand has been missing for less than this, the detector runs on every frame.
        search_interval: with at least one hand tracked and none just lost, the detector looks for further hands
            this often.
        mirrored: the images are mirrored (a selfie view): sides are exchanged and metric keypoints mirrored back, so
            that both are the person's; keypoints in pixels stay where they are seen.
    """

    max_hands: int = 2
    model: str = "full"
    min_detection: float | None = None
    min_presence: float | None = None
    remember: float = 0.7
    search_interval: float = 0.5
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.max_hands < 1:
            raise ValueError(f"max_hands must be at least 1, not {self.max_hands}")


@dataclass(frozen=True)
class Hand:
    """One hand in one frame.

    Attributes:
        id: identity, from 1; never reused within a tracker's life.
        side: the person's ``"left"`` or ``"right"``, for images that are not mirrored.
        score: presence, 0..1.
        keypoints_2d: float32 [21, 2] px of the source image, origin top left, MediaPipe order.
        keypoints_3d: float32 [21, 3] m, relative to the hand's own origin, camera axes (x right, y down, z forward).
    """

    id: int
    side: Side
    score: float
    keypoints_2d: NDArray[np.float32]
    keypoints_3d: NDArray[np.float32]


@dataclass(frozen=True)
class Hands:
    """The hands of one frame, oldest identity first, and what finding them cost (ms per stage).

    Attributes:
        hands: the hands.
        ms: ``detect`` (palm detection, where it ran), ``landmarks`` (crops and landmark network, all hands).
        lost: identities that ended with this frame: state that belongs to them may be dropped.
    """

    hands: tuple[Hand, ...]
    ms: dict[str, float] = field(default_factory=dict)
    lost: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.hands)

    def __getitem__(self, index: int) -> Hand:
        return self.hands[index]

    def __iter__(self) -> Iterator[Hand]:
        return iter(self.hands)


@dataclass
class _Track:
    """An identity: where the hand was last seen and how it moved."""

    id: int
    seen: float
    marks: HandLandmarks
    right: float
    velocity: tuple[float, float] = (0.0, 0.0)
    active: bool = True

    @property
    def region(self) -> Region:
        return self.marks.region

    def observe(self, marks: HandLandmarks, t: float) -> None:
        dt = t - self.seen
        if dt > 0:
            keep = exp(-dt / 0.1)  # velocity over about the last tenth of a second
            old, new = self.region, marks.region
            vx, vy = (new.x - old.x) / dt, (new.y - old.y) / dt
            self.velocity = (
                keep * self.velocity[0] + (1 - keep) * vx,
                keep * self.velocity[1] + (1 - keep) * vy,
            )
            # The side is a property of the person: a blurred frame must not flip it.
            weight = 1 - exp(-dt / 0.5)
            self.right += weight * (marks.right - self.right)
        self.seen, self.marks, self.active = t, marks, True

    def cost(self, marks: HandLandmarks, t: float) -> float:
        """How badly ``marks`` fit this identity, in hand sizes; inf when it cannot be the same hand."""
        dt = t - self.seen
        ahead = min(dt, 0.25)  # a hand does not fly on for long
        here, there = self.region, marks.region
        distance = hypot(there.x - here.x - self.velocity[0] * ahead, there.y - here.y - self.velocity[1] * ahead)
        size = max(here.size, there.size) / 2  # a region is about twice as large as its hand
        if distance > size * (1.5 + 4 * dt):
            return inf
        ratio = there.size / here.size
        return distance / size + abs(self.right - marks.right) + abs(ratio - 1 / ratio) / 2


class HandTracker:
    """Finds and follows hands.

    >>> tracker = HandTracker()                     # the shipped bundle, on the CPU
    >>> hands = tracker(rgb, t)                     # uint8 [H, W, 3], seconds -> Hands

    Args:
        bundle: name or folder of a bundle for the task ``hands``, or a loaded one.
        backend: ``auto``, ``cpu``, ``cuda``, or an opened backend.
        options: see `TrackerOptions`.

    Raises:
        BundleError, BackendError: what is wrong and how to mend it.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path = "hands",
        backend: Backend | str = "cpu",
        options: TrackerOptions | None = None,
        *,
        threads: int = 0,
    ) -> None:
        self.options = options or TrackerOptions()
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle, task="hands")
        self.backend = (
            backend if isinstance(backend, Backend) else open_backend(backend, BackendOptions(threads=threads))
        )
        self._palms = PalmDetector(self.bundle, self.backend)
        self._landmarks = LandmarkNetwork(self.bundle, self.backend, self.options.model)
        presence = self.options.min_presence
        self._presence = self.bundle.number("landmarks", "presence_threshold") if presence is None else presence
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget all hands. Identities go on counting."""
        self._tracks: list[_Track] = []
        self._t: float | None = None
        self._searched = -inf

    def __call__(self, rgb: NDArray[np.uint8], t: float | None = None) -> Hands:
        """The hands in one image.

        Args:
            rgb: uint8 [H, W, 3].
            t: time of the image in s, never falling; None takes 1/30 s after the last one. A time before the last
                one starts afresh: the source was rewound.

        Raises:
            ValueError: the image is not uint8 [H, W, 3].
        """
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
            raise ValueError(f"an image must be uint8 [H, W, 3], not {rgb.dtype} {list(rgb.shape)}")
        before = [track.id for track in self._tracks]
        if t is None:
            t = 0.0 if self._t is None else self._t + 1 / 30
        elif self._t is not None and t < self._t:
            self.reset()
        self._t = t
        watch = Stopwatch()
        self._tracks = [track for track in self._tracks if t - track.seen < self.options.remember]

        seen = [self._look(rgb, track.region) for track in self._tracks if track.active]
        self._update(_distinct([marks for marks in seen if marks]), t)
        watch.lap("landmarks")

        if self._must_search(t):
            self._searched = t
            palms = self._palms(rgb, self.options.min_detection)
            watch.lap("detect")
            # Tracked hands are found again by the detector: only what lies elsewhere is looked at.
            held = [track.region for track in self._tracks if track.active]
            fresh = [palm.region for palm in palms if not any(_holds(region, palm.region) for region in held)]
            room = self.options.max_hands - len(held)
            found: list[HandLandmarks] = []
            for region in fresh[: room + _FALSE_PALMS]:
                if len(found) < room and (marks := self._look(rgb, region)):
                    found.append(marks)
            known = [track.marks for track in self._tracks if track.active]
            self._update(_distinct([*known, *found])[len(known) :], t, new=True)
            watch.lap("landmarks")

        self._tracks = [track for track in self._tracks if track.active or t - track.seen < self.options.remember]
        alive = {track.id for track in self._tracks}
        hands = tuple(self._hand(track) for track in self._tracks if track.active)
        return Hands(hands, watch.ms, tuple(id for id in before if id not in alive))

    def _look(self, rgb: NDArray[np.uint8], region: Region) -> HandLandmarks | None:
        """Landmarks in a region; None where no hand is."""
        marks = self._landmarks(rgb, region)
        if not marks.presence >= self._presence:
            return None
        height, width = rgb.shape[:2]
        inside = 0 <= marks.region.x < width and 0 <= marks.region.y < height
        return marks if inside and marks.region.size > 4 else None

    def _update(self, found: Sequence[HandLandmarks], t: float, *, new: bool = False) -> None:
        """Give observations to identities: to all of them, or with ``new`` to the lost ones and to new ones."""
        tracks = [track for track in self._tracks if not track.active] if new else list(self._tracks)
        if not new:
            for track in tracks:
                track.active = False
        owners = assign([[track.cost(marks, t) for track in tracks] for marks in found], _UNNAMED)
        for marks, owner in zip(found, owners, strict=True):
            if owner is not None:
                tracks[owner].observe(marks, t)
            elif sum(track.active for track in self._tracks) < self.options.max_hands:
                self._tracks.append(_Track(self._next_id, t, marks, marks.right))
                self._next_id += 1

    def _must_search(self, t: float) -> bool:
        active = sum(track.active for track in self._tracks)
        if active >= self.options.max_hands:
            return False
        if active < len(self._tracks) or active == 0:  # one was just lost, or there is none
            return True
        return t - self._searched >= self.options.search_interval

    def _hand(self, track: _Track) -> Hand:
        marks = track.marks
        right, metric = track.right > 0.5, marks.keypoints_3d
        if self.options.mirrored:
            right, metric = not right, metric * _MIRROR
        return Hand(track.id, "right" if right else "left", marks.presence, marks.keypoints_2d, metric)


def _holds(region: Region, other: Region) -> bool:
    """Whether two regions look at the same hand: their centres are closer than a hand's half."""
    return hypot(region.x - other.x, region.y - other.y) < min(region.size, other.size) / 4


def _distinct(found: Sequence[HandLandmarks]) -> list[HandLandmarks]:
    """Observations less those that are another's hand again (two regions slid onto one hand); earlier ones stay."""
    kept: list[HandLandmarks] = []
    for marks in found:
        for other in kept:
            gap = np.linalg.norm(marks.keypoints_2d - other.keypoints_2d, axis=1).mean()
            if gap < 0.1 * min(marks.region.size, other.region.size):
                break
        else:
            kept.append(marks)
    return kept
