"""One picture of people with exact ground truth: `PeopleSample`, `PeopleLabels`.

Units: metres and pixels. Camera axes: x right, y down, z forward. Pixels: the origin is the top left corner of the
picture; pixel (column i, row j) covers [i, i+1) x [j, j+1).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt_export.bodies.anny.face_units import NAMES as FACE_UNITS

__all__ = ["PeopleLabels", "PeopleSample"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PeopleLabels:
    """Labels of N people, nearest head first. They describe the body without clothes, also where clothes hide it.

    Attributes:
        rotations: [N, R, 3, 3] of `humanrt_export.bodies.anny.bones.ACTIVE`, as `AnnyBody` takes them: the root's from
            Anny's frame to the camera's.
        shape: [N, 6] values of `humanrt_export.bodies.anny.phenotypes.PHENOTYPES`.
        translation: [N, 3] m, position of the joint `head`.
        joints: [N, J, 3] m, in the order of `AnnyData.joint_names`.
        joints_2d: [N, J, 2] px, including joints outside the picture.
        visible: [N], visible fraction of the pixels that the dressed person would cover alone in a picture without
            borders.
        expression: [N, 52] weights of Anny's ARKit blend shapes (`face_units.NAMES`), as they are drawn: people who
            are too small for it have none. Not given: zeros, faces at rest.

    Raises:
        ValueError: the expression is of another number of people, or blend shapes.
    """

    rotations: Floats
    shape: Floats
    translation: Floats
    joints: Floats
    joints_2d: Floats
    visible: Floats
    expression: Floats = field(default_factory=lambda: np.zeros((0, len(FACE_UNITS)), np.float32))

    def __post_init__(self) -> None:
        wanted = len(self.shape), len(FACE_UNITS)
        if self.expression.shape == (0, len(FACE_UNITS)):  # not given: faces at rest
            object.__setattr__(self, "expression", np.zeros(wanted, np.float32))
        elif self.expression.shape != wanted:
            raise ValueError(f"expression has the shape {self.expression.shape}; {wanted[0]} people have {wanted}")

    def __len__(self) -> int:
        return len(self.shape)

    def take(self, indices: NDArray[np.integer[Any]] | NDArray[np.bool_] | slice) -> PeopleLabels:
        """Select people."""
        return PeopleLabels(**{field.name: getattr(self, field.name)[indices] for field in fields(self)})


@dataclass(frozen=True)
class PeopleSample:
    """A picture and its labels.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        intrinsics: float32 [3, 3] px.
        people: the labels.
        mask: uint8 [H, W]: 0 where there is nobody, i + 1 where person i is visible: skin, clothes, shoes or hair.
            Where a skirt hides the legs, the skirt is the silhouette: joints of the legs lie in it, their outline does
            not show.
        depth: float16 [H, W] m along z, of the nearest person's dressed surface; 0 where there is nobody.
    """

    image: NDArray[np.uint8]
    intrinsics: Floats
    people: PeopleLabels
    mask: NDArray[np.uint8]
    depth: NDArray[np.float16]
