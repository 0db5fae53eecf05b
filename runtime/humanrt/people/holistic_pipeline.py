"""Pipeline for whole bodies: people, their hands and faces, and the robot hands that their hands move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import check_kind
from humanrt.errors import HumanrtError
from humanrt.hands.pipeline import hand_entity, hand_record
from humanrt.hands.robots import RobotHands
from humanrt.hands.tracker import Hands
from humanrt.people.arms import RobotArms
from humanrt.people.holistic import HolisticPeople, TrackedBodies
from humanrt.people.landmark_pipeline import FollowingPipeline
from humanrt.people.pipeline import PeopleResult
from humanrt.retarget import ArmDescription, RobotDescription, load_robot
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
        arms: identity of a person -> robot arm's name -> likewise.
        arm_errors: robot arm's name -> how far its tool is from where it should be: m, and rad.
    """

    hands: Hands = field(default_factory=lambda: Hands(()))
    hands_of: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    robots: Mapping[int, dict[str, NDArray[np.float64]]] = field(default_factory=dict)
    arms: Mapping[int, dict[str, NDArray[np.float64]]] = field(default_factory=dict)
    arm_errors: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def entities(self) -> list[str]:
        return [*super().entities(), *(hand_entity(hand, self.robots.get(hand.id, {})) for hand in self.hands)]

    def hand_records(self) -> list[dict[str, Any]]:
        return [hand_record(hand, self.robots.get(hand.id, {})) for hand in self.hands]

    def people_records(self) -> list[dict[str, Any]]:
        return [
            {**record, "hands": list(self.hands_of.get(record["id"], ())), **self._moved(record["id"])}
            for record in super().people_records()
        ]

    def _moved(self, person: int) -> dict[str, Any]:
        if person not in self.arms:
            return {}
        return {"robot": self.arms[person], "robot_error": {name: list(e) for name, e in self.arm_errors.items()}}


class HolisticPipeline(FollowingPipeline[TrackedBodies, HolisticResult]):
    """Follow the people of a stream of frames with their hands and faces. Closes the model that it was given.

    Args:
        model: detects and tracks the people.
        robots: names or description files of robot hands and arms, or one of them; may be empty.
        arm: the person's arm that moves arms, left or right; a URDF among the robots is then an arm. None: see
            `humanrt.retarget.load_robot`.
        collisions: keep the robots' fingers from penetrating each other (`RetargetOptions.collisions`).
        intrinsics, threshold: see `FollowingPipeline`.
    """

    model: HolisticPeople

    def __init__(
        self,
        model: HolisticPeople,
        robots: str | Path | Sequence[str | Path] = (),
        *,
        arm: str | None = None,
        collisions: bool = False,
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
    ) -> None:
        check_kind(model, HolisticPeople, "model", "a HolisticPeople")
        super().__init__(model, intrinsics=intrinsics, threshold=threshold)
        check_kind(robots, (str, Path, Sequence), "robots", "names of robots, or paths of their descriptions")
        loaded = [load_robot(robot, arm) for robot in ((robots,) if isinstance(robots, str | Path) else robots)]
        moving = [robot for robot in loaded if isinstance(robot, ArmDescription)]
        if arm is not None and not moving:
            raise HumanrtError("--arm: none of the robots is an arm; add --robot ARM.urdf, or leave it out")
        self._arms = RobotArms(moving, model.joint_names)
        hands = [robot for robot in loaded if not isinstance(robot, ArmDescription)]
        self._robots = RobotHands(hands, collisions=collisions)
        if twice := self._arms.descriptions.keys() & self._robots.descriptions.keys():
            raise HumanrtError(f"robot {min(twice)}: an arm and a hand have this name; rename one of them")

    @property
    def robots(self) -> dict[str, RobotDescription]:
        """Robots by name: hands, then arms, in the order in which they were requested."""
        return {**self._robots.descriptions, **self._arms.descriptions}

    def about(self) -> dict[str, Any]:
        return {
            **super().about(),
            "robots": {name: list(robot.joint_names) for name, robot in self.robots.items()},
            "quality": self.model.quality,
            "expression_units": list(self.model.expression_units),
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show the user once: assumptions about robots."""
        return tuple(note for robot in self.robots.values() for note in robot.notes)

    def reset(self) -> None:
        """Forget all identities."""
        super().reset()
        self._robots.reset()
        self._arms.reset()

    def __call__(self, frame: Frame) -> HolisticResult:
        """Process one frame. Frames come in the order of their time stamps."""
        tracked = self._track(frame)
        ms = dict(tracked.people.ms)
        watch = Stopwatch()
        robots = self._robots.solve(tracked.hands, frame.t, tracked.hands.lost)
        result = PeopleResult(frame, tracked.people, tracked.ids, tracked.lost, ms, tracked.filled)
        arms = self._arms.solve(result.persons, frame.t, tracked.lost) if self._arms else {}
        if self._robots or self._arms:
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
            arms,
            self._arms.errors if arms else {},
        )
