"""Robot hands driven by tracked hands: which hand moves which robot, and the solvers of each identity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_kind
from humanrt.errors import HumanrtError
from humanrt.hands.tracker import Hand
from humanrt.retarget import HandDescription, Retargeter

__all__ = ["RobotHands"]


class RobotHands:
    """Compute the joint angles of robot hands from human hands.

    A hand drives the robots of its own side. It drives a robot of the other side mirrored, but only if no robot of the
    hand's own side was requested: one person with one robot may use either hand.

    Args:
        robots: names or description files of robot hands, descriptions, or one of them; may be empty.
        collisions: keep fingers from penetrating each other (`RetargetOptions.collisions`).

    Attributes:
        descriptions: robot hands by name, in the order in which they were requested.

    Raises:
        HumanrtError: no such robot, a robot that cannot be solved, or two of one name.
    """

    def __init__(
        self, robots: str | Path | Sequence[str | Path | HandDescription] = (), *, collisions: bool = False
    ) -> None:
        self.descriptions: dict[str, HandDescription] = {}
        self._collisions = collisions
        check_kind(robots, (str, Path, Sequence), "robots", "names of robot hands, or paths of their descriptions")
        for robot in (robots,) if isinstance(robots, str | Path) else robots:
            # Create a solver and discard it, so that a robot it cannot solve is refused before the first frame.
            hand = Retargeter(robot, collisions=collisions).hand
            if hand.name in self.descriptions:
                raise HumanrtError(f"robot {robot}: there is already a robot named `{hand.name}`; rename one of them")
            self.descriptions[hand.name] = hand
        if collisions and not self.descriptions:
            raise HumanrtError("--collisions: none of the robots is a hand; add --robot HAND, or leave it out")
        self._solvers: dict[int, dict[str, Retargeter]] = {}
        self._solved: dict[int, float] = {}

    def __bool__(self) -> bool:
        return bool(self.descriptions)

    @property
    def joint_names(self) -> dict[str, list[str]]:
        """Joint names of each robot, in the order of its angles."""
        return {name: list(hand.joint_names) for name, hand in self.descriptions.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """Assumptions about the robots, for the user."""
        return tuple(note for robot in self.descriptions.values() for note in robot.notes)

    def reset(self) -> None:
        """Drop the state of all identities."""
        self._solvers.clear()
        self._solved.clear()

    def solve(
        self, hands: Iterable[Hand], t: float, lost: Iterable[int] = ()
    ) -> dict[int, dict[str, NDArray[np.float64]]]:
        """Return identity -> robot's name -> float64 [dof] rad, in that robot's `joint_names` order.

        Args:
            hands: the hands of a frame.
            t: its time stamp, s.
            lost: identities that ended; their solvers are dropped.
        """
        for identity in lost:
            self._solvers.pop(identity, None)
            self._solved.pop(identity, None)
        return {hand.id: self._solve(hand, t) for hand in hands} if self.descriptions else {}

    def _solve(self, hand: Hand, t: float) -> dict[str, NDArray[np.float64]]:
        solvers = self._solvers.get(hand.id)
        if solvers is None:
            own = [name for name, robot in self.descriptions.items() if robot.side == hand.side]
            names = own or list(self.descriptions)
            solvers = self._solvers[hand.id] = {
                name: Retargeter(self.descriptions[name], collisions=self._collisions) for name in names
            }
        dt = t - self._solved[hand.id] if hand.id in self._solved else None
        self._solved[hand.id] = t
        return {name: solver.solve(hand.keypoints_3d, dt=dt, side=hand.side) for name, solver in solvers.items()}
