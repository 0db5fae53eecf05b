"""Windows: square parts of a picture in which to search for people who are too small in the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from humanrt.geometry.region import Region

__all__ = ["Window", "whole_picture", "window_region", "windows"]

Window = tuple[int, int, int]
"""Left, top and side of a square part of a picture, px."""

_MAX_WINDOWS = 96  # windows of one size, however long and thin a picture is
_MIN_SIDE = 32  # px, of a window; no one is found in smaller ones


def windows(size: tuple[int, int], parts: Sequence[float] = (1.0, 0.6), overlap: float = 0.5) -> list[Window]:
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


def _square_grid(size: tuple[int, int], side: int, overlap: float) -> list[Window]:
    """Return squares of one size, row by row, that cover a picture evenly."""
    starts = []
    for extent in size:
        count = ceil((extent - side) / (side * (1 - overlap)) - 1e-9) + 1
        starts.append([round(k * (extent - side) / max(count - 1, 1)) for k in range(count)])
    return [(x, y, side) for y in starts[1] for x in starts[0]]


def whole_picture(size: tuple[int, int]) -> Region:
    """Return the upright square around a picture of (width, height) px."""
    return Region(size[0] / 2, size[1] / 2, float(max(size)))


def window_region(window: Window) -> Region:
    """Return a window as a region."""
    left, top, side = window
    return Region(left + side / 2, top + side / 2, float(side))
