"""Whether a camera still stands and looks as it did, by corners of the background that are where they were."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["StillCamera"]

Array = NDArray[np.float64]

_WIDTH = 480  # px, of the longer side of the picture in which corners are looked for
_CORNERS = 400
_ALIKE = 48  # bits of 256 in which descriptors of one corner differ at most
_LEAST = 20  # corners, from which anything is said
_MOVED = 0.005  # of the picture's longer side


class StillCamera:
    """Compare pictures with the first since `reset`. A comparison takes some milliseconds: do it twice a second.

    >>> camera = StillCamera()
    >>> camera(rgb, boxes)                 # "still", "moved", or "unknown"

    Corners on people do not count. How far the others went, their median, decides: a camera that turns by less than
    half a percent of what it sees counts as still. In a picture that hardly has corners nothing is known.
    """

    def __init__(self) -> None:
        self._orb = cv2.ORB_create(_CORNERS)  # type: ignore[attr-defined]  # missing in cv2's stubs
        self._matcher = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True)
        self.reset()

    def reset(self) -> None:
        """Take the next picture as what others are compared with."""
        self._first: tuple[Array, NDArray[np.uint8]] | None = None

    def __call__(self, rgb: NDArray[np.uint8], boxes: NDArray[np.floating]) -> Literal["still", "moved", "unknown"]:
        """Return whether the camera moved since the first picture.

        Args:
            rgb: uint8 [H, W, 3], as large as the first.
            boxes: [N, 4] px, x0, y0, x1, y1 of the people in it.
        """
        places, descriptors = self._corners(rgb, boxes)
        if self._first is None:
            self._first = places, descriptors
        before, known = self._first
        if min(len(places), len(before)) < _LEAST:
            return "unknown"
        pairs = [
            (one.queryIdx, one.trainIdx) for one in self._matcher.match(known, descriptors) if one.distance < _ALIKE
        ]
        if len(pairs) < _LEAST:
            return "unknown"
        old, new = np.array(pairs).T
        way = np.linalg.norm(places[new] - before[old], axis=1)
        return "moved" if np.median(way) > _MOVED else "still"

    def _corners(self, rgb: NDArray[np.uint8], boxes: NDArray[np.floating]) -> tuple[Array, NDArray[np.uint8]]:
        """Return corners outside of boxes: places [K, 2], in parts of the longer side, and descriptors [K, 32]."""
        longer = max(rgb.shape[:2])
        scale = min(_WIDTH / longer, 1.0)
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        mask = np.full(small.shape[:2], 255, np.uint8)
        for x0, y0, x1, y1 in np.clip(np.nan_to_num(boxes) * scale, 0, _WIDTH).astype(int):
            mask[y0 : y1 + 1, x0 : x1 + 1] = 0
        points, descriptors = self._orb.detectAndCompute(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), mask)
        if descriptors is None:
            return np.zeros((0, 2)), np.zeros((0, 32), np.uint8)
        return np.array([point.pt for point in points]) / (longer * scale), descriptors
