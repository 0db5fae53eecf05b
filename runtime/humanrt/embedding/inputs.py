"""What the open embedder's networks read of a pose and of a person's picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.geometry.pose_descriptor import POINTS, describe
from humanrt.geometry.region import Region
from humanrt.people.landmarks import BodyLandmarks, BodyNetwork
from humanrt.resource import Owner, releasing

__all__ = ["PICTURE_NUMBERS", "POSE_NUMBERS", "PersonReader", "picture_numbers", "pose_numbers"]

Floats = NDArray[np.float32]

_LANDMARKS = 33
POSE_NUMBERS = 3 * len(POINTS)
PICTURE_NUMBERS = 7 * _LANDMARKS + 3

_SCALE = 1.25  # side of the first region, relative to the box's longer side; the landmark network's own rule
_SEEN = 0.2  # score of the first look from which the second one follows it


def pose_numbers(poses: NDArray[Any]) -> Floats:
    """Return what is read of poses, [..., `POSE_NUMBERS`]: the descriptors of `humanrt.geometry.pose_descriptor`.

    So an index of descriptors, which needs no weights, can be searched by words too. The heading is taken out as there:
    the part of the pelvis's rotation about the vertical.

    Args:
        poses: [..., 22, 3, 3] of SMPL's body joints, the root's to a level camera (y down).
    """
    return describe(poses)


def picture_numbers(seen: BodyLandmarks, region: Region) -> Floats:
    """Return what is read of a person's picture, [`PICTURE_NUMBERS`]: the landmarks, and how sure they are.

    Args:
        seen: the landmarks in ``region``.
        region: where the network looked.
    """
    flat = (seen.landmarks_2d - (region.x, region.y)) / max(region.size, 1e-6)
    turn = (np.cos(region.angle), np.sin(region.angle), seen.score)
    parts = (2 * seen.landmarks_3d.ravel(), flat.ravel().clip(-2, 2), seen.visibility, seen.presence, turn)
    return np.concatenate(parts).astype(np.float32)


class PersonReader(Owner):
    """Look at one person in a picture twice: in the box, and in the region that the landmarks of the first look give.

    Args:
        bundle: with the landmark network, ``landmarks``.
        backend: runs it.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._network = self.own(BodyNetwork(bundle, backend))

    def __call__(self, rgb: NDArray[np.uint8], box: Sequence[float]) -> Floats:
        """Return what is read of the person [`PICTURE_NUMBERS`].

        Args:
            rgb: uint8 [H, W, 3].
            box: (left, top, right, bottom) px, tight around the person.
        """
        left, top, right, bottom = (float(one) for one in box)
        region = Region((left + right) / 2, (top + bottom) / 2, _SCALE * max(right - left, bottom - top, 1.0))
        return self.look(rgb, region)[0]

    def look(self, rgb: NDArray[np.uint8], region: Region, *, again: bool = True) -> tuple[Floats, Region]:
        """Return what is read in a region, and the region that was read at last; ``again``: look twice."""
        seen = self._network(rgb, region)
        if again and seen.score >= _SEEN and seen.region.size > 1:
            region = seen.region
            seen = self._network(rgb, region)
        numbers = picture_numbers(seen, region)
        return (numbers if np.isfinite(numbers).all() else np.zeros_like(numbers)), region
