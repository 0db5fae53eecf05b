"""SingleShotBody: a body as a single-shot network sees it in a part of a picture, and where it is before the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_shapes
from humanrt.geometry.camera import directions
from humanrt.geometry.skeleton import shortest_arc

__all__ = ["SingleShotBody"]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SingleShotBody:
    """A body, in the axes of the camera that the network assumed for the part of the picture that it was shown.

    Attributes:
        score: 0..1.
        rotations: [74, 3, 3] of Anny's bones, the root's relative to that camera.
        shape: [6] phenotypes.
        root: [3] m, the pelvis.
        pixels: [J, 2] px of the whole picture, the joints.
        intrinsics: [3, 3] px of the whole picture, that camera.
    """

    score: float
    rotations: Floats
    shape: Floats
    root: Floats
    pixels: Floats
    intrinsics: Array

    def __post_init__(self) -> None:
        check_shapes(
            self,
            rotations="float32 74 3 3",
            shape="float32 6",
            root="float32 3",
            pixels="float32 J 2",
            intrinsics="float64 3 3",
        )

    def before(self, K: Array) -> tuple[Array, Array]:
        """Return rotations [74, 3, 3] and the pelvis [3] m in the axes of the picture's camera K [3, 3] px.

        The pelvis keeps its pixel, and the body keeps the side that it shows there and its size in the picture: a
        network that sees a part of a picture assumes a camera that looks at the middle of this part.
        """
        pixel = (self.intrinsics @ self.root)[:2] / self.root[2]
        assumed, ray = (np.append(directions(pixel, one), 1.0) for one in (self.intrinsics, K))
        rotations = self.rotations.astype(np.float64)
        rotations[0] = shortest_arc(assumed, ray) @ rotations[0]
        scale = (K[0, 0] + K[1, 1]) / (self.intrinsics[0, 0] + self.intrinsics[1, 1])
        return rotations, ray * float(self.root[2]) * scale
