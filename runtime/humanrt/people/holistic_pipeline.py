"""Pipeline for whole bodies: people, their hands and faces, and the robot hands that their hands move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import check_kind
from humanrt.hands.pipeline import hand_entity, hand_record
from humanrt.hands.robots import RobotHands
from humanrt.hands.tracker import Hands
from humanrt.people.holistic import HolisticPeople, TrackedBodies
from humanrt.people.landmark_pipeline import FollowingPipeline
from humanrt.people.pipeline import PeopleResult
from humanrt.retarget import HandDescription
from humanrt.sources.opening import Frame
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


class HolisticPipeline(FollowingPipeline[TrackedBodies, HolisticResult]):
    """Follow the people of a stream of frames with their hands and faces. Closes the model that it was given.

    Args:
        model: detects and tracks the people.
        robots: names or description files of robot hands, or one of them; may be empty.
        intrinsics, threshold: see `FollowingPipeline`.
    """

    model: HolisticPeople

    def __init__(
        self,
        model: HolisticPeople,
        robots: str | Path | Sequence[str | Path] = (),
        *,
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
    ) -> None:
        check_kind(model, HolisticPeople, "model", "a HolisticPeople")
        super().__init__(model, intrinsics=intrinsics, threshold=threshold)
        self._robots = RobotHands(robots)

    @property
    def robots(self) -> dict[str, HandDescription]:
        """Robot hands by name, in the order in which they were requested."""
        return dict(self._robots.descriptions)

    def about(self) -> dict[str, Any]:
        return {
            **super().about(),
            "robots": self._robots.joint_names,
            "quality": self.model.quality,
            "expression_units": list(self.model.expression_units),
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show the user once: assumptions about robots."""
        return self._robots.notes

    def reset(self) -> None:
        """Forget all identities."""
        super().reset()
        self._robots.reset()

    def __call__(self, frame: Frame) -> HolisticResult:
        """Process one frame. Frames come in the order of their time stamps."""
        tracked = self._track(frame)
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
