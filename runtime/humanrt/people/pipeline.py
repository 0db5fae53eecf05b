"""The way of one frame: perceive -> track. Drawing, recording and mesh files come after, from the result."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.geometry.camera import check_intrinsics
from humanrt.geometry.rotation import vectors_from_matrices
from humanrt.people.multihmr import MultiHMR
from humanrt.people.results import People
from humanrt.people.tracking import PeopleTracker
from humanrt.perception.cuts import CutDetector
from humanrt.sources.opening import Frame
from humanrt.timing import Stopwatch

__all__ = ["PeoplePipeline", "PeopleResult"]


@dataclass(frozen=True)
class PeopleResult:
    """Everything known of one frame.

    Attributes:
        frame: the frame it belongs to.
        people: the people, highest score first.
        ids: [N] identity of each of them, from 1.
        lost: identities that ended with this frame.
        ms: milliseconds per stage, in the order of the work, and ``total`` (their sum: no waiting for the source).
        filled: identities that were not found in this frame: for a short while their pose is filled in.
    """

    frame: Frame
    people: People
    ids: tuple[int, ...]
    lost: tuple[int, ...]
    ms: dict[str, float]
    filled: frozenset[int] = frozenset()

    def record(self) -> dict[str, Any]:
        """The frame as one line of a recording (shared/CONTRACT.md; docs/use/people.md)."""
        height, width = self.frame.image.shape[:2]
        people = self.people
        vectors = vectors_from_matrices(people.rotations)
        joints: NDArray[np.float32] = np.zeros((len(people), 0, 3), np.float32)
        if people.joints is not None:
            joints = people.joints
        return {
            "frame": self.frame.index,
            "t": self.frame.t,
            "size": [width, height],
            "intrinsics": people.intrinsics,
            "hands": [],
            "people": [
                {
                    "id": identity,
                    "score": float(people.scores[i]),
                    "head_2d": people.locations[i],
                    "translation": people.translations[i],
                    "rotations": vectors[i],
                    "shape": people.shape[i],
                    "expression": people.expression[i],
                    "joints_3d": joints[i],
                    **({"filled": True} if identity in self.filled else {}),
                }
                for i, identity in enumerate(self.ids)
            ],
            "ms": self.ms,
        }


class PeoplePipeline:
    """The people of a stream of frames, with identities.

    Args:
        model: finds the people.
        tracker: gives them identities; None makes one.
        intrinsics: K [3, 3] of the camera in px of the frames; None assumes the model's field of view.
        threshold: lowest score of a person; None takes the bundle's.
    """

    def __init__(
        self,
        model: MultiHMR,
        tracker: PeopleTracker | None = None,
        *,
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
    ) -> None:
        self.model = model
        self.tracker = tracker or PeopleTracker()
        self.intrinsics = None if intrinsics is None else check_intrinsics(intrinsics)
        self.threshold = threshold
        self._cuts = CutDetector()

    def reset(self) -> None:
        """Forget all identities."""
        self.tracker.reset()
        self._cuts.reset()

    def __call__(self, frame: Frame) -> PeopleResult:
        """Process one frame. Frames come in the order of their time stamps."""
        self.model.submit(frame.image, self.intrinsics, self.threshold)
        return self._finish(frame)

    def overlapped(self, frames: Iterable[Frame]) -> Iterator[PeopleResult]:
        """Process frames, each given to the GPU before the last one's result is taken: more frames a second, and every
        result a frame later. On a CPU there is nothing to overlap."""
        waiting: deque[Frame] = deque()
        for frame in frames:
            if self.model.full:
                yield self._finish(waiting.popleft())
            self.model.submit(frame.image, self.intrinsics, self.threshold)
            waiting.append(frame)
        while waiting:
            yield self._finish(waiting.popleft())

    def _finish(self, frame: Frame) -> PeopleResult:
        people = self.model.result()
        watch = Stopwatch()
        cut = self._cuts(frame.image) or frame.cut
        identities = self.tracker(people, frame.t, cut=cut)
        watch.lap("track")
        ms = people.ms | watch.ms
        ms["total"] = sum(ms.values())
        return PeopleResult(frame, people, identities.ids, identities.lost, ms)
