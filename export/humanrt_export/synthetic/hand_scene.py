"""The scene of a clip: camera, light, background room, and colours of skin and clothes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Camera", "Look", "room"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion, looking along +z.

    Attributes:
        size: (W, H) px.
        fov: horizontal field of view [rad]; a webcam's is about 1.05.
    """

    size: tuple[int, int] = (640, 480)
    fov: float = 1.0

    @property
    def intrinsics(self) -> Array:
        """Return K [3, 3] px; the principal point is the picture's centre, (W / 2, H / 2) in corner-origin pixels."""
        width, height = self.size
        focal = width / 2 / np.tan(self.fov / 2)
        return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


@dataclass(frozen=True)
class Look:
    """Colours (linear RGB) and light of one clip.

    Attributes:
        skin: albedo of the back of the hand.
        sleeve: albedo of the cloth.
        key: direction towards the key light (camera space: x right, y down, z forward), and its radiance.
        fill: radiance of the ambient light from above and from below.
    """

    skin: Array
    sleeve: Array
    key: Array
    key_radiance: Array
    fill_above: Array
    fill_below: Array

    def lit(self, factor: float) -> Look:
        """Return the same look with all light scaled by ``factor``."""
        return replace(
            self,
            key_radiance=factor * self.key_radiance,
            fill_above=factor * self.fill_above,
            fill_below=factor * self.fill_below,
        )

    @classmethod
    def sample(cls, generator: np.random.Generator) -> Look:
        """Sample a random person in random (indoor) light."""
        light, dark = np.array([0.62, 0.38, 0.27]), np.array([0.17, 0.085, 0.05])
        tone = generator.uniform(0, 1) ** 1.4
        sleeves = np.array(
            [
                (0.05, 0.08, 0.14),
                (0.13, 0.13, 0.14),
                (0.28, 0.06, 0.05),
                (0.06, 0.13, 0.09),
                (0.4, 0.38, 0.33),
            ]
        )
        key = generator.uniform((0.4, -1.1, -1.2), (1.0, -0.5, -0.6)) * (generator.choice([-1, 1]), 1, 1)
        warmth = generator.uniform(-1, 1)
        colour = 1 + warmth * np.array([0.08, 0.0, -0.1])
        return cls(
            skin=light ** (1 - tone) * dark**tone,
            sleeve=sleeves[generator.integers(len(sleeves))] * generator.uniform(0.8, 1.2),
            key=key / np.linalg.norm(key),
            key_radiance=colour * generator.uniform(1.2, 1.7),
            fill_above=np.array([0.40, 0.42, 0.46]) * generator.uniform(0.8, 1.3),
            fill_below=np.array([0.30, 0.25, 0.21]) * generator.uniform(0.7, 1.2),
        )


def room(
    size: tuple[int, int], generator: np.random.Generator, *, bright_side: float = 1.0, blur: float = 0.013
) -> NDArray[np.float32]:
    """Draw an out-of-focus room, [H, W, 3] linear RGB: wall, window, shelf with books, a plant, a lamp.

    Args:
        size: (W, H) px.
        generator: source of the arrangement.
        bright_side: 1 for a window on the right of the picture, -1 for the left.
        blur: standard deviation of the lens blur, as a fraction of the picture's width.
    """
    width, height = size
    scale = 2  # painted coarsely at twice the size, then blurred, so that hard edges never show
    w, h = width * scale, height * scale
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    x, y = x / w, y / h

    wall = generator.uniform(0.22, 0.4) * np.array([1.0, 0.97, 0.9]) * (1 + generator.uniform(-0.08, 0.08, 3))
    side = -bright_side  # position of the shelf
    falloff = np.exp(-((x - (0.5 - 0.55 * side)) ** 2) / 0.5 - ((y - 0.25) ** 2) / 0.9)
    image = (wall * (0.45 + 0.75 * falloff[..., None])).astype(np.float32)

    def box(x0: float, y0: float, x1: float, y1: float, colour: Any, shade: float = 0.25) -> None:
        a, b, c, d = (round(float(v)) for v in (x0 * w, y0 * h, x1 * w, y1 * h))
        a, c, b, d = max(a, 0), min(c, w), max(b, 0), min(d, h)
        if c > a and d > b:
            ramp = np.linspace(1, 1 - shade, c - a, dtype=np.float32)[None, :, None]
            image[b:d, a:c] = np.asarray(colour, dtype=np.float32) * ramp

    # Window on the light's side.
    left = 0.82 if side < 0 else 0.02
    top, bottom = generator.uniform(-0.05, 0.08), generator.uniform(0.42, 0.6)
    box(left - 0.02, top - 0.02, left + 0.18, bottom + 0.02, (0.5, 0.48, 0.45))
    box(left, top, left + 0.16, bottom, np.array([0.9, 1.0, 1.15]) * generator.uniform(0.9, 1.5), 0.1)
    box(left + 0.075, top, left + 0.087, bottom, (0.45, 0.44, 0.42))
    # Shelves with books on the other side.
    at = 0.66 if side > 0 else 0.0
    for shelf in np.arange(generator.uniform(0.12, 0.22), 0.75, generator.uniform(0.2, 0.27)):
        box(at - 0.01, shelf, at + 0.36, shelf + 0.018, np.array([0.16, 0.10, 0.06]))
        book = at + 0.005
        while book < at + 0.33:
            thick = generator.uniform(0.012, 0.03)
            tall = generator.uniform(0.07, 0.15)
            if generator.uniform() < 0.8:
                colour = generator.uniform(0.03, 0.4) * (1 + generator.uniform(-0.7, 0.7, 3))
                box(book, shelf - tall, book + thick, shelf, colour.clip(0.02, 0.6))
            book += thick + generator.choice([0.0, 0.003, 0.02])
    # A plant, a framed picture, the desk's edge.
    px, py = 0.5 + 0.12 * side * generator.uniform(-1, 1), generator.uniform(0.62, 0.72)
    for _ in range(40):
        cx, cy = px + generator.normal(0, 0.035), py - abs(generator.normal(0, 0.06))
        tint = np.array([0.05, 0.14, 0.04]) * generator.uniform(0.5, 1.6)
        cv2.ellipse(
            image,
            (int(cx * w), int(cy * h)),
            (int(0.018 * w), int(0.006 * w)),
            float(generator.uniform(0, 180)),
            0,
            360,
            tint.tolist(),
            -1,
        )
    box(px - 0.03, py, px + 0.03, py + 0.09, (0.32, 0.20, 0.14))
    fx = 0.5 - 0.14 * side
    box(fx - 0.07, 0.1, fx + 0.07, 0.34, (0.07, 0.06, 0.05))
    box(fx - 0.06, 0.118, fx + 0.06, 0.322, generator.uniform(0.15, 0.45, 3), 0.5)
    desk = generator.uniform(0.78, 0.86)
    box(0, desk, 1, 1, np.array([0.22, 0.14, 0.09]) * generator.uniform(0.6, 1.4), 0.35)

    image = cv2.GaussianBlur(image, (0, 0), blur * w)
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image, dtype=np.float32)
