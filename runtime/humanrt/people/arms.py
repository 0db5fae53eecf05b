"""Robot arms that people's arms move: who moves them, and their solvers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.people.results import Person
from humanrt.retarget import ArmDescription, ArmPose, ArmRetargeter, trunk_axes, wrist_frame

__all__ = ["RobotArms", "arm_pose", "wrist_of"]

Array = NDArray[np.float64]

_PALM = {0: "wrist", 1: "finger1-1", 5: "finger2-1", 9: "finger3-1", 13: "finger4-1", 17: "finger5-1"}


def arm_pose(joints: NDArray[np.floating], joint_names: Sequence[str], side: str) -> ArmPose:
    """Return an arm of a person on Anny's body.

    Args:
        joints: [J, 3] m, camera space.
        joint_names: their names.
        side: left or right.
    """
    where = {name: np.asarray(joints[row], np.float64) for row, name in enumerate(joint_names)}
    end = side[0].upper()
    shoulders, hips = ([where[f"{name}.L"], where[f"{name}.R"]] for name in ("upperarm01", "upperleg01"))
    return ArmPose(
        shoulder=where[f"upperarm01.{end}"],
        elbow=where[f"lowerarm01.{end}"],
        wrist=where[f"wrist.{end}"],
        hand=wrist_of(joints, joint_names, side)[:3, :3],
        trunk=trunk_axes(shoulders, hips),
    )


def wrist_of(joints: NDArray[np.floating], joint_names: Sequence[str], side: str) -> Array:
    """Return the pose [4, 4] m of a wrist of a person on Anny's body, with the axes of `humanrt.retarget.wrist_frame`.

    Args:
        joints, joint_names, side: see `arm_pose`.
    """
    names = list(joint_names)
    keypoints = np.zeros((21, 3))
    for row, name in _PALM.items():
        keypoints[row] = joints[names.index(f"{name}.{side[0].upper()}")]
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = wrist_frame(keypoints, side), keypoints[0]
    return pose


class RobotArms:
    """Compute the joint angles of robot arms from one person's arms.

    Whoever is seen first moves all of them until they are lost, however many others come.

    Args:
        arms: the robot arms.
        joint_names: names of people's joints.

    Attributes:
        descriptions: the arms by name.

    Raises:
        HumanrtError: two of one name, or an arm that cannot be solved.
    """

    def __init__(self, arms: Iterable[ArmDescription], joint_names: Sequence[str]) -> None:
        self.descriptions: dict[str, ArmDescription] = {}
        for arm in arms:
            if arm.name in self.descriptions:
                raise HumanrtError(f"robot {arm.name}: there is already an arm named `{arm.name}`; rename one of them")
            self.descriptions[arm.name] = arm
        self._joint_names = tuple(joint_names)
        self.reset()

    def __bool__(self) -> bool:
        return bool(self.descriptions)

    def reset(self) -> None:
        """Forget who moves them, and where they are."""
        self._solvers = {name: ArmRetargeter(arm) for name, arm in self.descriptions.items()}
        self._driver: int | None = None
        self._solved: float | None = None

    @property
    def errors(self) -> dict[str, tuple[float, float]]:
        """How far each tool of the last result is from where it should be: m and rad."""
        return {name: solver.error for name, solver in self._solvers.items()}

    def solve(self, persons: Sequence[Person], t: float, lost: Iterable[int] = ()) -> dict[int, dict[str, Array]]:
        """Return identity of the person who moves the arms -> arm's name -> float64 [dof] rad; empty without them.

        Args:
            persons: the people of a frame, with joints.
            t: its time stamp, s.
            lost: identities that ended.
        """
        if self._driver in set(lost):
            self._driver = None
        if not self.descriptions or not persons:
            return {}
        if self._driver is None:
            self._driver = persons[0].id
            for solver in self._solvers.values():
                solver.forget_person()
        person = next((one for one in persons if one.id == self._driver), None)
        if person is None or person.joints is None:
            return {}
        dt = None if self._solved is None else t - self._solved
        self._solved = t
        return {
            person.id: {
                name: solver.solve(arm_pose(person.joints, self._joint_names, solver.arm.side), dt=dt)
                for name, solver in self._solvers.items()
            }
        }
