"""Person detection: rotated regions in the whole image, one per person (MediaPipe's detector, BlazePose)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, hypot

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import LandmarksSettings
from humanrt.geometry.region import Region, upright_angle
from humanrt.kernels.image import Picture, window_of
from humanrt.perception.ssd import SingleShotDetector
from humanrt.resource import Owner, releasing

__all__ = ["Person", "PersonDetector", "is_grey", "region_from_circle", "sepia", "windows"]

_Window = tuple[int, int, int]


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

    def __call__(self, rgb: Picture, threshold: float | None = None, window: _Window | None = None) -> list[Person]:
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
    some = rgb[::step, ::step].astype(np.float32)
    return float((some.max(axis=2) - some.min(axis=2)).sum()) < _MIN_SATURATION * float(some.max(axis=2).sum())


def sepia(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tint a grey picture brown: the networks recognise skin by its colour, and find hardly anyone in grey."""
    levels = np.arange(256)[:, None] * np.array(_SEPIA_GAINS) + 0.5
    return np.asarray(cv2.LUT(rgb, np.clip(levels, 0, 255).astype(np.uint8)[None]), np.uint8)


_MAX_WINDOWS = 96  # windows of one size, however long and thin a picture is
_MIN_SIDE = 32  # px, of a window; no one is found in smaller ones


def windows(size: tuple[int, int], parts: Sequence[float] = (1.0, 0.6), overlap: float = 0.5) -> list[_Window]:
    """Return square windows of a picture in which to detect people too small in the whole of it, large ones first.

    Args:
        size: (width, height) px.
        parts: sides of the squares, relative to the picture's shorter side.
        overlap: min overlap of neighbouring squares, as a fraction of their side; less, and eventually gaps, if there
            would be more than 96 of one size: in very long and thin pictures.

    Returns:
        Left, top and side of each, px.
    """
    result = []
    for part in parts:
        side = round(min(size) * part)
        if side < _MIN_SIDE:
            continue
        for shared in (overlap, overlap / 2, 0.0):
            squares = _square_grid(size, side, shared)
            if len(squares) <= _MAX_WINDOWS:
                break
        result += [
            squares[k] for k in np.linspace(0, len(squares) - 1, min(len(squares), _MAX_WINDOWS)).round().astype(int)
        ]
    return [window for window in result if window[2] < max(size)]


def _square_grid(size: tuple[int, int], side: int, overlap: float) -> list[_Window]:
    """Return squares of one size, row by row, that cover a picture evenly."""
    starts = []
    for extent in size:
        count = ceil((extent - side) / (side * (1 - overlap)) - 1e-9) + 1
        starts.append([round(k * (extent - side) / max(count - 1, 1)) for k in range(count)])
    return [(x, y, side) for y in starts[1] for x in starts[0]]
