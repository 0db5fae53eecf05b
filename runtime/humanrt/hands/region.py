"""The rotated square of the image that a network looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import atan2, cos, floor, pi, sin
from typing import Any

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
        """[2, 3] affine map from a crop of ``pixels`` x ``pixels`` to the source image, both in px."""
        scale = self.size / pixels
        c, s = scale * cos(self.angle), scale * sin(self.angle)
        half = pixels / 2
        return np.array([[c, -s, self.x - (c - s) * half], [s, c, self.y - (s + c) * half]])


@dataclass(frozen=True)
class RegionRule:
    """How a region is grown from what it must hold (the numbers are the bundle's).

    Attributes:
        scale: size of the region relative to the longer side of the box.
        shift: move along the region's own y axis, as a fraction of the box's height (negative is towards the fingers).
    """

    scale: float
    shift: float


def region_from_box(centre: Sequence[float], width: float, height: float, angle: float, rule: RegionRule) -> Region:
    """Grow a box of ``width`` x ``height`` px, turned by ``angle``, to the square that the landmark network expects."""
    x = centre[0] - height * rule.shift * sin(angle)
    y = centre[1] + height * rule.shift * cos(angle)
    return Region(x, y, max(width, height) * rule.scale, angle)


def upright_angle(start: Sequence[float], end: Sequence[float]) -> float:
    """Angle in [-pi, pi) that turns the vector ``start`` -> ``end`` (px) to point up in the crop."""
    angle = pi / 2 - atan2(-(end[1] - start[1]), end[0] - start[0])
    return angle - 2 * pi * floor((angle + pi) / (2 * pi))


@dataclass(frozen=True)
class FollowRule:
    """How the next region is found from keypoints (the bundle's `landmarks.region`).

    Attributes:
        grow: from the keypoints' box to the region.
        inside: indices of the keypoints that the box must hold: the palm and the joints next to it, for fingertips
            would make the region swing with every movement.
        axis: [2, 21] weights of the two points whose connection points up in the crop: wrist, and the knuckles' mean.
    """

    grow: RegionRule
    inside: NDArray[np.intp]
    axis: NDArray[np.float64]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> FollowRule:
        axis = np.zeros((2, 21))
        for row, end in enumerate(("from", "to")):
            for index, weight in settings["up"][end].items():
                axis[row, int(index)] = weight
        grow = RegionRule(float(settings["scale"]), float(settings["shift"]))
        return cls(grow, np.array(settings["keypoints"], np.intp), axis)


def region_from_keypoints(keypoints: Floats, rule: FollowRule) -> Region:
    """The next frame's region from this frame's keypoints [21, 2] px."""
    points = keypoints.astype(np.float64)
    start, end = (rule.axis @ points).tolist()
    angle = upright_angle(start, end)
    # The box is taken in the frame turned by `angle`, so that a hand on its side gets no larger region.
    c, s = cos(angle), sin(angle)
    turned = points[rule.inside] @ np.array([[c, -s], [s, c]])
    low, high = turned.min(axis=0), turned.max(axis=0)
    (u, v), (width, height) = ((low + high) / 2).tolist(), (high - low).tolist()
    return region_from_box((c * u - s * v, s * u + c * v), width, height, angle, rule.grow)
