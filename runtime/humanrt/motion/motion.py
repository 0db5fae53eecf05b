"""A motion: one person's poses, frame after frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_points, check_range, check_shapes, numbers
from humanrt.errors import InvalidInputError, choices
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS, shortest_arc

__all__ = ["Motion", "parents_of"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Motion:
    """Poses of one person over time, in a fixed world.

    Attributes:
        rotations: [T, J, 3, 3] matrices, each against the parent's joint, the root's against the world.
        translation: [T, 3] m, position of the root.
        fps: frames per second.
        joint_names: [J] names of the joints, root first.
        parents: [J] indices of the joints' parents, each before its children; -1 for the root. Left empty, those of
            SMPL's and SMPL-X's joints of these names.
        up: axis of the world that points up: ``y``, ``-y``, ``z``, ...
    """

    rotations: Floats
    translation: Floats
    fps: float
    joint_names: tuple[str, ...]
    parents: tuple[int, ...] = ()
    up: str = "-y"

    def __post_init__(self) -> None:
        for name in ("rotations", "translation"):
            object.__setattr__(self, name, _float32(getattr(self, name), name))
        object.__setattr__(self, "joint_names", tuple(self.joint_names))
        object.__setattr__(self, "parents", tuple(self.parents) or parents_of(self.joint_names))
        check_shapes(self, rotations="float32 T J 3 3", translation="float32 T 3")
        check_range(self.fps, "fps", 0.0, above=True)
        _axis(self.up)
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
        return replace(self, rotations=self.rotations[part], translation=self.translation[part])

    def turned(self, up: str) -> Motion:
        """Return the motion in a world with another axis up, turned about a horizontal axis (x, unless x is up).

        Raises:
            InvalidInputError: that is not an axis: x, y, z, -x, -y or -z.
        """
        start, end = (_axis(name) for name in (self.up, up))
        turn = shortest_arc(start, end).astype(np.float32)
        if up != self.up and not (start + end).any():  # upside down
            turn = np.diag(np.array([1, -1, -1] if start[0] == 0 else [-1, -1, 1], np.float32))
        rotations = self.rotations.copy()
        rotations[:, 0] = turn @ rotations[:, 0]
        return replace(self, rotations=rotations, translation=self.translation @ turn.T, up=up)

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


def parents_of(joint_names: Sequence[str]) -> tuple[int, ...]:
    """Return the parents of joints by SMPL's, SMPL-H's and SMPL-X's names, root first.

    Raises:
        InvalidInputError: a joint has another name, or its parent is not before it.
    """
    tree = {name: SMPL_24[parent] if parent >= 0 else "" for name, parent in zip(SMPL_24, SMPL_PARENTS, strict=True)}
    tree |= {"jaw": "head", "left_eye": "head", "right_eye": "head"}
    for side in ("left", "right"):
        for finger in ("index", "middle", "pinky", "ring", "thumb"):
            chain = [f"{side}_wrist", *(f"{side}_{finger}{joint}" for joint in (1, 2, 3))]
            tree |= dict(zip(chain[1:], chain, strict=False))
    index = {name: place for place, name in enumerate(joint_names)}
    parents = []
    for place, name in enumerate(joint_names):
        above = tree.get(name)
        if above is None or (above and index.get(above, place) >= place):
            raise InvalidInputError(f"no parent is known of joint `{str(name)[:60]}`; give Motion its parents")
        parents.append(index[above] if above else -1)
    return tuple(parents)


def _float32(values: Any, name: str) -> Floats:
    """Return numbers as float32. InvalidInputError if they are none, or not finite."""
    array = numbers(values, name)
    check_points(array, name)
    return array.astype(np.float32)


def _axis(name: str) -> NDArray[np.float64]:
    axes = {sign + axis: sign for axis in "xyz" for sign in ("", "-")}
    if name not in axes:
        raise InvalidInputError(f"up is {str(name)[:20]!r}; axes: {choices(axes)}")
    out = np.zeros(3)
    out["xyz".index(name[-1])] = -1.0 if axes[name] else 1.0
    return out
