"""One picture of people with its exact truth: `PeopleSample`, `PeopleLabels`.

Units: metres and pixels. Frame: the camera's, x right, y down, z forward. Pixels: the origin is the picture's top left
corner, pixel (column i, row j) covers [i, i+1) x [j, j+1).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PeopleLabels", "PeopleSample"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PeopleLabels:
    """N people, the nearest head first. The body is the naked one: clothes are seen, and labelled nowhere.

    Attributes:
        rotations: [N, R, 3, 3] of `humanrt_export.bodies.anny.bones.ACTIVE`, as `AnnyBody` takes them: the root's from
            Anny's frame to the camera's.
        shape: [N, 6] `humanrt_export.bodies.anny.phenotypes.PHENOTYPES`.
        translation: [N, 3] m, of the joint `head`.
        joints: [N, J, 3] m, of `AnnyData.joint_names`.
        joints_2d: [N, J, 2] px, also of joints out of the picture.
        visible: [N], share of the person's own pixels, drawn alone and without the picture's borders, that is seen.
    """

    rotations: Floats
    shape: Floats
    translation: Floats
    joints: Floats
    joints_2d: Floats
    visible: Floats

    def __len__(self) -> int:
        return len(self.shape)

    def take(self, places: NDArray[np.integer[Any]] | NDArray[np.bool_] | slice) -> PeopleLabels:
        """Those people only."""
        return PeopleLabels(**{field.name: getattr(self, field.name)[places] for field in fields(self)})


@dataclass(frozen=True)
class PeopleSample:
    """A picture and who is in it.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        intrinsics: float32 [3, 3] px.
        people: who.
        mask: uint8 [H, W]: 0 where nobody is seen, i + 1 where person i is.
        depth: float16 [H, W] m along z, of the nearest person's surface as dressed; 0 where nobody is seen.
    """

    image: NDArray[np.uint8]
    intrinsics: Floats
    people: PeopleLabels
    mask: NDArray[np.uint8]
    depth: NDArray[np.float16]
