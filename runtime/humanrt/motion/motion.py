"""A motion: one person's poses, frame after frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_range, check_shapes
from humanrt.errors import InvalidInputError, choices

__all__ = ["Motion"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Motion:
    """Poses of one person over time, in a fixed world.

    Attributes:
        rotations: [T, J, 3, 3] matrices, each against the parent's joint, the root's against the world.
        translation: [T, 3] m, position of the root.
        fps: frames per second.
        joint_names: [J] names of the joints, root first.
        parents: [J] indices of the joints' parents, each before its children; -1 for the root.
        up: axis of the world that points up: ``y``, ``-y``, ``z``, ...
    """

    rotations: Floats
    translation: Floats
    fps: float
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    up: str = "-y"

    def __post_init__(self) -> None:
        check_shapes(self, rotations="float32 T J 3 3", translation="float32 T 3")
        check_range(self.fps, "fps", 0.0, above=True)
        joints = self.rotations.shape[1]
        if len(self.joint_names) != joints or len(self.parents) != joints:
            raise InvalidInputError(
                f"Motion: {joints} rotations a frame need as many joint_names and parents, not "
                f"{len(self.joint_names)} and {len(self.parents)}"
            )

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def seconds(self) -> float:
        """Duration: each frame lasts 1 / fps."""
        return len(self) / self.fps

    def cut(self, start: int, stop: int | None = None) -> Motion:
        """Return frames ``start`` to ``stop``, as a slice takes them."""
        part = slice(start, stop)
        return Motion(self.rotations[part], self.translation[part], self.fps, self.joint_names, self.parents, self.up)

    def with_joints(self, joint_names: tuple[str, ...]) -> Floats:
        """Return the rotations [T, len(joint_names), 3, 3] of these joints, by their names.

        Joints that this motion does not have at all do not bend: those of fingers and face, and hands.

        Raises:
            InvalidInputError: a joint of the body is missing; the message lists them.
        """
        index = {name: position for position, name in enumerate(self.joint_names)}
        needed = [name for name in joint_names[:22] if name not in index]
        if needed:
            raise InvalidInputError(
                f"the motion has no joints {choices(needed)}; its joints are {choices(self.joint_names)}: rename them"
            )
        out = np.tile(np.eye(3, dtype=np.float32), (len(self), len(joint_names), 1, 1))
        for position, name in enumerate(joint_names):
            if name in index:
                out[:, position] = self.rotations[:, index[name]]
        return out
