"""Pipeline for whole bodies: people, their hands and faces, and the robot hands that their hands move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import check_kind
from humanrt.errors import HumanrtError
from humanrt.geometry.camera import project
from humanrt.geometry.hand import WRIST
from humanrt.hands.pipeline import hand_entity, hand_record
from humanrt.hands.robots import RobotHands
from humanrt.hands.tracker import Hand, Hands
from humanrt.people.arms import RobotArms, wrist_of
from humanrt.people.holistic import HolisticPeople, TrackedBodies, hand_identities, person_of_hand
from humanrt.people.landmark_pipeline import FollowingPipeline
from humanrt.people.pipeline import PeopleResult
from humanrt.people.smoothed_pipeline import Shown, added
from humanrt.people.smoother import PeopleSmoother
from humanrt.retarget import ArmDescription, RobotDescription, load_robot
from humanrt.sources.opening import Frame
from humanrt.timing import Stopwatch

__all__ = ["HolisticPipeline", "HolisticResult"]

Array = NDArray[np.float64]

_NEAREST = 0.05  # m, of a hand that is seen


@dataclass(frozen=True, repr=False)
class HolisticResult(PeopleResult):
    """Everything known of one frame.

    Attributes:
        hands: the hands of these people, smoothed; lost: of those who ended.
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
        intrinsics, threshold, smoother, predict: see `FollowingPipeline`. Hands move with the wrists of people who are
            smoothed or predicted; their fingers, which robots follow, are those that were seen.
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
        smoother: PeopleSmoother | None = None,
        predict: float | None = None,
    ) -> None:
        check_kind(model, HolisticPeople, "model", "a HolisticPeople")
        super().__init__(model, intrinsics=intrinsics, threshold=threshold, smoother=smoother, predict=predict)
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

    def _result(self, frame: Frame, seen: TrackedBodies | None, shown: Shown, ms: dict[str, float]) -> HolisticResult:
        watch = Stopwatch()
        result = PeopleResult(frame, shown.people, shown.ids, shown.lost, {}, shown.filled)
        hands = self._hands(seen, shown)
        robots = self._robots.solve(hands, frame.t, hands.lost)
        arms = self._arms.solve(result.persons, frame.t, shown.lost) if self._arms else {}
        if self._robots or self._arms:
            watch.lap("retarget")
        whole = added(ms, watch.ms)
        whole["total"] = sum(whole.values())
        return HolisticResult(
            frame,
            shown.people,
            shown.ids,
            shown.lost,
            whole,
            shown.filled,
            hands,
            {} if seen is None else {id: seen.hands_of.get(id, ()) for id in shown.ids},
            robots,
            arms,
            self._arms.errors if arms else {},
            age=shown.age,
        )

    def _hands(self, seen: TrackedBodies | None, shown: Shown) -> Hands:
        """Return the hands of the people who are shown: whom perception fills in the smoother may have given up.

        Hands end with their people, since the last result: a look may be dropped, or shown with several frames.
        """
        lost = tuple(hand for person in shown.lost for hand in hand_identities(person).values())
        if seen is None:
            return Hands((), {}, lost)
        theirs = [hand for hand in seen.hands if person_of_hand(hand.id) in shown.ids]
        if self.smoother is not None:
            theirs = [self._carried(hand, seen, shown) for hand in theirs]
        return replace(seen.hands, objects=tuple(theirs), lost=lost)

    def _carried(self, hand: Hand, seen: TrackedBodies, shown: Shown) -> Hand:
        """Return a hand that was seen, moved as its wrist moves from the body that was seen to the one that is shown.

        Its fingers stay as they were; those of the body move on with its other rotations. Where people are not
        predicted it stays where it is in the picture.
        """
        person = person_of_hand(hand.id)
        if hand.wrist is None or person not in seen.ids:
            return hand
        rows = seen.ids.index(person), shown.ids.index(person)
        assert seen.people.joints is not None
        assert shown.people.joints is not None
        names = self.model.joint_names
        before = wrist_of(seen.people.joints[rows[0]], names, hand.side)
        now = wrist_of(shown.people.joints[rows[1]], names, hand.side)
        wrist = now @ np.linalg.inv(before) @ hand.wrist
        if shown.age is None:
            return replace(hand, wrist=wrist)
        turn = wrist[:3, :3] @ hand.wrist[:3, :3].T
        shape = hand.keypoints_3d.astype(np.float64)
        turned = shape @ turn.T
        flat = hand.keypoints_2d + _moved(shape, hand.wrist[:3, 3], turned, wrist[:3, 3], shown.people.intrinsics)
        return replace(hand, keypoints_2d=flat.astype(np.float32), keypoints_3d=turned.astype(np.float32), wrist=wrist)


def _moved(shape: Array, place: Array, turned: Array, moved: Array, K: Array) -> Array:
    """Return how far the keypoints of a hand, [21, 3] m with the wrist at [3] m, move in the picture, px.

    Nothing where a part of the hand is behind the camera.
    """
    then, now = shape - shape[WRIST] + place, turned - turned[WRIST] + moved
    if min(then[:, 2].min(), now[:, 2].min()) < _NEAREST:
        return np.zeros((len(shape), 2))
    return np.asarray(project(now, K) - project(then, K))
