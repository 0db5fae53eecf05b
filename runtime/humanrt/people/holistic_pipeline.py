"""Pipeline for whole bodies: people, their hands and faces, and the robot hands that their hands move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import check_kind, check_probability
from humanrt.geometry.camera import check_intrinsics
from humanrt.hands.pipeline import hand_entity, hand_record
from humanrt.hands.robots import RobotHands
from humanrt.hands.tracker import Hands
from humanrt.people.holistic import HolisticPeople
from humanrt.people.pipeline import PeopleResult, people_header
from humanrt.perception.pipeline import Pipeline
from humanrt.retarget import HandDescription
from humanrt.sources.opening import Frame, check_frame
from humanrt.timing import Stopwatch

__all__ = ["HolisticPipeline", "HolisticResult"]


@dataclass(frozen=True, repr=False)
class HolisticResult(PeopleResult):
    """Everything known of one frame.

    Attributes:
        hands: the hands of all people, smoothed.
        hands_of: identity of a person -> identities of their hands in this frame.
        robots: identity of a hand -> robot's name -> float64 [dof] rad, in that robot's `joint_names` order.
    """

    hands: Hands = field(default_factory=lambda: Hands(()))
    hands_of: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    robots: Mapping[int, dict[str, NDArray[np.float64]]] = field(default_factory=dict)

    def entities(self) -> list[str]:
        return [*super().entities(), *(hand_entity(hand, self.robots.get(hand.id, {})) for hand in self.hands)]

    def hand_records(self) -> list[dict[str, Any]]:
        return [hand_record(hand, self.robots.get(hand.id, {})) for hand in self.hands]

    def people_records(self) -> list[dict[str, Any]]:
        return [{**record, "hands": list(self.hands_of.get(record["id"], ()))} for record in super().people_records()]


class HolisticPipeline(Pipeline[HolisticResult]):
    """Follow the people of a stream of frames with their hands and faces. Closes the model that it was given.

    Args:
        model: detects and tracks the people.
        robots: names or description files of robot hands, or one of them; may be empty.
        intrinsics: K [3, 3] of the camera in px of the frames; None assumes the model's field of view.
        threshold: minimum score of a person; None: the tracker's.
    """

    task = "people"
    target = "people"
    overlaps = False
    """Each frame's regions come from the people of the frame before, so frames cannot overlap."""

    def __init__(
        self,
        model: HolisticPeople,
        robots: str | Path | Sequence[str | Path] = (),
        *,
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
    ) -> None:
        check_kind(model, HolisticPeople, "model", "a HolisticPeople")
        check_probability(threshold, "threshold")
        self.model = model
        self.intrinsics = None if intrinsics is None else check_intrinsics(intrinsics)
        self.threshold = threshold
        self._robots = RobotHands(robots)

    @property
    def robots(self) -> dict[str, HandDescription]:
        """Robot hands by name, in the order in which they were requested."""
        return dict(self._robots.descriptions)

    def about(self) -> dict[str, Any]:
        model = self.model
        return {
            **people_header(model, model.joint_names),
            "robots": self._robots.joint_names,
            "poses": model.poses,
            "quality": model.quality,
            "expression_units": list(model.expression_units),
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show the user once: assumptions about robots."""
        return self._robots.notes

    def close(self) -> None:
        """Free the model's networks."""
        self.model.close()

    def reset(self) -> None:
        """Forget all identities."""
        self.model.reset()
        self._robots.reset()

    def __call__(self, frame: Frame) -> HolisticResult:
        """Process one frame. Frames come in the order of their time stamps."""
        check_frame(frame)
        if frame.cut:
            self.model.tracker.new_scene()
        tracked = self.model.track(frame.image, frame.t, self.intrinsics, self.threshold)
        ms = dict(tracked.people.ms)
        watch = Stopwatch()
        robots = self._robots.solve(tracked.hands, frame.t, tracked.hands.lost)
        if self._robots:
            watch.lap("retarget")
        ms |= watch.ms
        ms["total"] = sum(ms.values())
        return HolisticResult(
            frame,
            tracked.people,
            tracked.ids,
            tracked.lost,
            ms,
            tracked.filled,
            tracked.hands,
            tracked.hands_of,
            robots,
        )
