"""Palm detection: rotated regions in the whole image, one per hand (MediaPipe's detector, BlazePalm)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import HandsSettings
from humanrt.geometry.region import Region, region_from_box, upright_angle
from humanrt.kernels.image import Picture
from humanrt.perception.ssd import SingleShotDetector
from humanrt.resource import Owner, releasing

__all__ = ["Palm", "PalmDetector"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Palm:
    """One detected palm: its score in 0..1 and the region in which the landmark network finds the hand."""

    score: float
    region: Region


class PalmDetector(Owner):
    """Detect palms in an RGB image. All sizes, thresholds and anchors come from the bundle."""

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        settings = HandsSettings.of(bundle)
        self._detect = self.own(SingleShotDetector(bundle, backend, "palm_detector", "palm"))
        self._axis = (settings.wrist, settings.middle_mcp)
        self._rule = settings.palm_region

    def __call__(self, rgb: Picture, threshold: float | None = None) -> list[Palm]:
        """Return the palms in ``rgb`` (uint8 [H, W, 3], on the network's device), best score first."""
        return [self._palm(score, p) for score, p in zip(*self._detect(rgb, threshold), strict=True)]

    def _palm(self, score: float, points: Floats) -> Palm:
        width, height = points[0].tolist()
        wrist, middle = (points[2 + index].tolist() for index in self._axis)
        angle = upright_angle(wrist, middle)
        return Palm(score, region_from_box(points[1].tolist(), width, height, angle, self._rule))
