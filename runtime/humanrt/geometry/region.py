"""The rotated square of the image that a network looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, cos, floor, pi, sin

import numpy as np
from numpy.typing import NDArray

__all__ = ["FollowRule", "Region", "RegionRule", "region_from_box", "region_from_keypoints", "upright_angle"]

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Region:
    """A square in source pixels.

    Attributes:
        x, y: centre in px.
        size: side in px.
        angle: rotation in rad, clockwise as seen in the image (x right, y down); 0 is upright.
    """

    x: float
    y: float
    size: float
    angle: float = 0.0

    def to_image(self, pixels: float) -> NDArray[np.float64]:
        """Return the affine map [2, 3] from a crop of ``pixels`` x ``pixels`` to the source image, both in px."""
        return np.array(self.affine(pixels)).reshape(2, 3)

    def affine(self, pixels: float) -> tuple[float, float, float, float, float, float]:
        """Return the numbers of `to_image` row by row."""
        scale = self.size / pixels
        c, s = scale * cos(self.angle), scale * sin(self.angle)
        half = pixels / 2
        return c, -s, self.x - (c - s) * half, s, c, self.y - (s + c) * half


@dataclass(frozen=True)
class RegionRule:
    """How a region is grown from the box that it must contain (the numbers come from the bundle).

    Attributes:
        scale: size of the region relative to the longer side of the box.
        shift: shift along the region's own y axis, as a fraction of the box's height (negative is towards the fingers).
    """

    scale: float
    shift: float


def region_from_box(centre: Sequence[float], width: float, height: float, angle: float, rule: RegionRule) -> Region:
    """Grow a box of ``width`` x ``height`` px, rotated by ``angle``, to the square for the landmark network."""
    x = centre[0] - height * rule.shift * sin(angle)
    y = centre[1] + height * rule.shift * cos(angle)
    return Region(x, y, max(width, height) * rule.scale, angle)


def upright_angle(start: Sequence[float], end: Sequence[float]) -> float:
    """Return the angle in [-pi, pi] at which the vector ``start`` -> ``end`` (px) points up in the crop."""
    angle = pi / 2 - atan2(-(end[1] - start[1]), end[0] - start[0])
    return angle - 2 * pi * floor((angle + pi) / (2 * pi))


@dataclass(frozen=True)
class FollowRule:
    """How the next region is computed from keypoints (the bundle's `landmarks.region`).

    Attributes:
        grow: how the region is grown from the bounding box of the keypoints.
        inside: indices of the keypoints that the box must contain: the palm and the joints next to it, because
            fingertips would make the region swing with every movement.
        start, end: (index, weight) of the keypoints whose weighted sums are two points, the wrist and the mean of the
            knuckles; the line from the first to the second points up in the crop.
    """

    grow: RegionRule
    inside: tuple[int, ...]
    start: tuple[tuple[int, float], ...]
    end: tuple[tuple[int, float], ...]


def region_from_keypoints(keypoints: Floats, rule: FollowRule) -> Region:
    """Compute the region of the next frame from the keypoints [21, 2] px of this one.

    Uses plain Python numbers: for a dozen points that takes a third of the time of numpy calls.
    """
    points: list[list[float]] = keypoints.tolist()
    start, end = (
        (sum(weight * points[i][0] for i, weight in side), sum(weight * points[i][1] for i, weight in side))
        for side in (rule.start, rule.end)
    )
    angle = upright_angle(start, end)
    # The box is computed in the frame rotated by `angle`, so that a hand on its side does not get a larger region.
    c, s = cos(angle), sin(angle)
    us, vs = [], []
    for index in rule.inside:
        x, y = points[index]
        us.append(c * x + s * y)
        vs.append(c * y - s * x)
    left, right, top, bottom = min(us), max(us), min(vs), max(vs)
    u, v = (left + right) / 2, (top + bottom) / 2
    return region_from_box((c * u - s * v, s * u + c * v), right - left, bottom - top, angle, rule.grow)
