"""A colour for each identity."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["colour_of"]

Colour = tuple[int, int, int]


def colour_of(id: int) -> Colour:
    """Return the RGB colour 0..255 of an id: constant, of similar brightness for all, far from those of nearby ids."""
    hue = 0.7 + id * math.pi * (3 - math.sqrt(5))  # steps of the golden angle keep recent hues apart
    lightness, chroma = (0.72, 0.72, 0.80, 0.64)[id // 4 % 4], 0.135
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    lms = (np.array([[1, 0.3963, 0.2158], [1, -0.1056, -0.0639], [1, -0.0895, -1.2915]]) @ (lightness, a, b)) ** 3
    linear = np.array([[4.0767, -3.3077, 0.2310], [-1.2684, 2.6098, -0.3413], [-0.0042, -0.7034, 1.7076]]) @ lms
    red, green, blue = np.rint(255 * np.clip(linear, 0, 1) ** (1 / 2.2)).astype(int).tolist()  # Oklab to sRGB
    return (red, green, blue)
