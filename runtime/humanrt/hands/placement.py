"""Placement of landmarks: from the network's crop to the image and the camera's axes, and the next region."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from humanrt import native
from humanrt.geometry.region import FollowRule, Region, region_from_box, region_from_keypoints

__all__ = ["NativePlacement", "NumpyPlacement", "Placed", "Placement", "make_placement"]

Floats = NDArray[np.float32]
KEYPOINTS = 21


@dataclass(frozen=True)
class Placed:
    """Keypoints [21, 2] px of the image, [21, 3] m in the camera's axes, and the region of the next frame.

    ``region`` is None if a keypoint is not a finite number: there is no hand then.
    """

    keypoints_2d: Floats
    keypoints_3d: Floats
    region: Region | None


class Placement(Protocol):
    """Place the keypoints of a crop of S x S px.

    Each instance reads fixed tensors, contiguous float32 [21, 3] each: ``pixels`` in px of the crop (the third column
    is not used) and ``metres`` in the axes of the crop.
    """

    name: str

    def __call__(self, region: Region) -> Placed:
        """Place the tensors' current contents, for the crop of ``region``; the caller may keep the arrays."""


class NativePlacement:
    """Place keypoints in C: see _native/hand.c.

    Raises:
        BackendError: the compiled library is missing.
    """

    name = "native"

    def __init__(self, pixels: Floats, metres: Floats, size: int, rule: FollowRule) -> None:
        self._place = native.library().humanrt_place
        self._size = size
        self._grow = rule.grow
        ends, inside = np.zeros((2, KEYPOINTS)), np.array(rule.inside, np.int32)
        for row, side in enumerate((rule.start, rule.end)):
            for index, weight in side:
                ends[row, index] = weight
        self._points, self._turned = np.empty((KEYPOINTS, 2), np.float32), np.empty((KEYPOINTS, 3), np.float32)
        self._box = np.empty(5)
        self._arrays = (pixels, metres, ends, inside)  # keep them alive: the addresses below do not
        self._from = (native.address(pixels, np.float32), native.address(metres, np.float32), KEYPOINTS)
        self._to = (
            native.address(ends, np.float64),
            native.address(inside, np.int32),
            len(inside),
            native.address(self._points, np.float32),
            native.address(self._turned, np.float32),
            native.address(self._box, np.float64),
        )

    def __call__(self, region: Region) -> Placed:
        turn = region.angle
        finite = self._place(*self._from, *region.affine(self._size), cos(turn), sin(turn), *self._to)
        following = None
        if finite:
            angle, x, y, width, height = self._box.tolist()
            following = region_from_box((x, y), width, height, angle, self._grow)
        return Placed(self._points.copy(), self._turned.copy(), following)


class NumpyPlacement:
    """Place keypoints in numpy, for installations without the compiled library."""

    name = "numpy"

    def __init__(self, pixels: Floats, metres: Floats, size: int, rule: FollowRule) -> None:
        self._pixels, self._metres = pixels, metres
        self._size = size
        self._rule = rule

    def __call__(self, region: Region) -> Placed:
        to_image = region.to_image(self._size)
        c, s = cos(region.angle), sin(region.angle)
        # The network sees the hand upright; its metric axes are rotated back to the camera's.
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
        with np.errstate(invalid="ignore"):
            points = self._pixels[:, :2] @ to_image[:, :2].T + to_image[:, 2]
            turned = self._metres @ turn
        finite = bool(np.isfinite(points).all() and np.isfinite(turned).all())
        following = region_from_keypoints(points, self._rule) if finite else None
        return Placed(points.astype(np.float32), turned, following)


def make_placement(pixels: Floats, metres: Floats, size: int, rule: FollowRule) -> Placement:
    """Return a native placement if the library loads, else numpy's; its ``name`` tells which."""
    kind = NumpyPlacement if native.problem() else NativePlacement
    return kind(pixels, metres, size, rule)
