"""Person detection: rotated regions in the whole image, one per person (MediaPipe's detector, BlazePose)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import LandmarksSettings
from humanrt.geometry.region import Region, upright_angle
from humanrt.kernels.image import Picture, window_of
from humanrt.people.windows import Window
from humanrt.perception.ssd import SingleShotDetector
from humanrt.resource import Owner, releasing

__all__ = ["Person", "PersonDetector", "is_grey", "region_from_circle", "region_of_trunk", "sepia"]

_PER_TRUNK = 3.1  # side of the region, relative to the length from pelvis to head, seen from the front


@dataclass(frozen=True)
class Person:
    """One detected person: score in 0..1, and the region in which the landmark network finds the body."""

    score: float
    region: Region


def region_from_circle(centre: Sequence[float], edge: Sequence[float], scale: float) -> Region:
    """Return the square around a circle that encloses a body, scaled by ``scale``.

    Args:
        centre: px, midpoint of the hips.
        edge: px, the circle's point beyond the head; it is upwards in the region.
        scale: the bundle's scale.
    """
    radius = hypot(edge[0] - centre[0], edge[1] - centre[1])
    return Region(centre[0], centre[1], 2 * radius * scale, upright_angle(centre, edge))


def region_of_trunk(
    head: NDArray[np.floating[Any]], hips: NDArray[np.floating[Any]], length: float, focal: float, depth: float
) -> Region:
    """Return the square about a person of whom head and hips are known.

    Args:
        head, hips: [2] px.
        length: m, from one to the other.
        focal: px.
        depth: m, of the hips.
    """
    x, y = hips.tolist()
    return Region(x, y, _PER_TRUNK * length * focal / max(depth, 0.1), upright_angle((x, y), head.tolist()))


class PersonDetector(Owner):
    """Detect people in an RGB image; their heads must be visible.

    In the whole picture only people taller than about half of it are found; smaller ones are found in `windows` of it.
    All sizes, thresholds and anchors come from the bundle.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        settings = LandmarksSettings.of(bundle)
        self._detect = self.own(SingleShotDetector(bundle, backend, "person_detector", "person"))
        self._circle = [2 + index for index in settings.person_circle]
        self._scale = settings.person_scale

    def __call__(self, rgb: Picture, threshold: float | None = None, window: Window | None = None) -> list[Person]:
        """Return the people in ``rgb``, best score first.

        Args:
            rgb: uint8 [H, W, 3], on the network's device.
            threshold: minimum score; None: the bundle's.
            window: search only this part of the image, see `windows`.
        """
        left, top = 0, 0
        if window is not None:
            left, top, side = window
            rgb = window_of(rgb, left, top, side)
        scores, points = self._detect(rgb, threshold)
        circles = points[:, self._circle].tolist()
        people = [
            Person(score, region_from_circle(centre, edge, self._scale))
            for score, (centre, edge) in zip(scores, circles, strict=True)
        ]
        if window is None:
            return people
        return [replace(p, region=replace(p.region, x=p.region.x + left, y=p.region.y + top)) for p in people]


_MIN_SATURATION = 0.025  # mean saturation below which a picture has no colour
_SEPIA_GAINS = (1.1, 0.95, 0.75)  # red, green, blue


def is_grey(rgb: NDArray[np.uint8]) -> bool:
    """Return whether a picture, uint8 [H, W, 3], has no colour except traces of compression."""
    step = max(1, min(rgb.shape[:2]) // 90)
    red, green, blue = cv2.split(np.ascontiguousarray(rgb[::step, ::step]))
    brightest, darkest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    total = float(brightest.sum())
    return total - float(darkest.sum()) < _MIN_SATURATION * total


def sepia(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tint a grey picture brown: the networks recognise skin by its colour, and find hardly anyone in grey."""
    levels = np.arange(256)[:, None] * np.array(_SEPIA_GAINS) + 0.5
    return np.asarray(cv2.LUT(rgb, np.clip(levels, 0, 255).astype(np.uint8)[None]), np.uint8)
