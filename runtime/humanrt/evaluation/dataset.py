"""What a reader of a data set gives: clips of pictures, each with who is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_shapes
from humanrt.sources.opening import Frame

__all__ = ["BodyParameters", "Clip", "DataSet", "Root", "Shot", "TruePeople"]

Array = NDArray[Any]

Root = Literal["pelvis", "hips"]
"""Where people are aligned for root-relative errors: the body's own pelvis joint, or the midpoint of the two hips."""


@dataclass(frozen=True)
class BodyParameters:
    """Parameters of N people, which a bundle poses whose body has as many bones and shape coefficients.

    Attributes:
        rotations: [N, R, 3, 3], the root's relative to the camera.
        shape: [N, S].
        heads: [N, 3] m, the joint ``head`` in camera space.
    """

    rotations: Array
    shape: Array
    heads: Array

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of rotations and of shape coefficients."""
        return self.rotations.shape[1], self.shape.shape[1]


@dataclass(frozen=True)
class TruePeople:
    """The true people of one picture.

    Attributes:
        joints: [N, J, 3] m, camera space.
        ids: [N] identities within the clip.
        wanted: [N] bool: whoever must be found. Others count neither as found nor as missed.
        visible: [N] fraction of each person that can be seen, NaN where that is not known.
        vertices: [N, V, 3] m, or None.
        parameters: or None; vertices are posed from them if there are none.
        masks: returns person i's silhouette, bool [H, W]; None where the data has none.
    """

    joints: Array
    ids: tuple[int, ...]
    wanted: NDArray[np.bool_]
    visible: Array
    vertices: Array | None = None
    parameters: BodyParameters | None = None
    masks: Callable[[int], NDArray[np.bool_]] | None = None

    def __post_init__(self) -> None:
        check_shapes(self, joints="float64 N J 3", wanted="bool N", visible="float64 N", vertices="float64 N V 3")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Shot:
    """One picture and who is in it.

    Attributes:
        frame: the picture.
        people: who is in it.
        intrinsics: [3, 3] px.
        to_world: [4, 4] from camera space to a world that does not move with the camera; None: the camera stands still.
    """

    frame: Frame
    people: TruePeople
    intrinsics: Array
    to_world: Array | None = None


@dataclass(frozen=True)
class Clip:
    """Pictures that belong together.

    Attributes:
        name: unique in the data set; it names files.
        shots: opens the clip and yields its pictures in order. What it holds open it closes.
        joint_names: [J] of `TruePeople.joints`.
        film: pictures of one camera in the order of time; otherwise each stands for itself.
        fps: of a film.
        version: tells a changed clip from the one that was scored before: sizes and times of its files.
    """

    name: str
    shots: Callable[[], Iterator[Shot]] = field(repr=False)
    joint_names: tuple[str, ...] = field(repr=False)
    film: bool = True
    fps: float = 30.0
    version: str = ""


@dataclass(frozen=True)
class DataSet:
    """Clips with truth.

    Attributes:
        name: of the format.
        clips: all of them.
        root: where people are aligned unless another root is asked for: as the set's own papers do.
        everybody: whether all people in the pictures are in the truth. If not, further finds are not called wrong.
        about: what the truth is and how certain, in a sentence.
    """

    name: str
    clips: tuple[Clip, ...]
    root: Root
    everybody: bool
    about: str
