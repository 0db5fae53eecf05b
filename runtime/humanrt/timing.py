"""Stage timings of one frame."""

from __future__ import annotations

from time import perf_counter
from typing import Final, Literal, get_args

__all__ = ["STAGES", "RunningMean", "Stage", "Stopwatch"]

Stage = Literal[
    "capture",  # decoding, or the age of a live frame when work on it began; not part of the total
    "upload",  # transfer to a GPU, with the host's copy
    "preprocess",  # letterboxing, normalising
    "detect",  # the detector, if it ran
    "landmarks",  # crops and landmark network, of all regions
    "hands",  # regions and landmarks of the hands of people
    "face",  # landmarks of their faces, and expressions
    "network",  # the network that gives the poses
    "body",  # parameters to joints and meshes
    "download",
    "wait",  # submitted, result not yet taken: other frames, launches, the caller
    "decode",  # outputs to results
    "track",  # identities, if the detector does not provide them
    "smooth",  # PoseBERT or One-Euro; for people from landmarks also the pose, which PoseBERT predicts
    "wrist",  # where the wrists of hands are in the room
    "retarget",  # all robots of all hands
    "forecast",  # what people do next
    "ground",  # the floor, and whether the camera stands still
    "coach",  # one person against the reference
]
"""Names of the stages in all pipelines. A frame has those that it went through."""

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)


class Stopwatch:
    """Milliseconds per named stage, accumulated.

    >>> watch = Stopwatch()
    >>> # ... work ...
    >>> watch.lap("landmarks")     # time since the last lap (or the start) belongs to "landmarks"
    """

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, stage: Stage) -> None:
        """Add the time since the last lap to ``stage``."""
        now = perf_counter()
        self.ms[stage] = self.ms.get(stage, 0.0) + (now - self._last) * 1e3
        self._last = now


class RunningMean:
    """Mean over about the last ten values, for display: a number that changes with every frame cannot be read."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, value: float) -> float:
        """Add a value and return the mean. A mean of 0 is replaced by the value."""
        self.value = 0.9 * self.value + 0.1 * value if self.value else value
        return self.value
