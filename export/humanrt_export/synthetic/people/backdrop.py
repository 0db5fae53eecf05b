"""Backgrounds and surfaces: a pool of textures created once, and backdrops composed from them.

Colours here are sRGB, uint8, as in photographs; `light_of` converts them to linear light.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.errors import SourceError
from humanrt_export.synthetic.hand_scene import room

__all__ = ["KINDS", "Backdrops", "light_of"]

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

KINDS = ("gradient", "noise", "room", "clutter", "photo", "sky")
"""Kinds of backdrops. Without photographs from the user, `photo` becomes `clutter`."""

_SIDE = 256  # px of a texture
_TEXTURES = 56
_LARGEST = 640  # px, longer side of the stored photographs
_MOST = 4000
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_TABLE = (np.arange(256, dtype=np.float32) / 255) ** 2.2


def light_of(picture: Picture) -> Floats:
    """Convert sRGB [H, W, 3] to linear light, 1 is white."""
    return np.asarray(_TABLE[picture], np.float32)


class Backdrops:
    """Textures and backdrops.

    Args:
        seed: seed of the textures.
        folder: folder of photographs, searched recursively; None: no photographs.

    Attributes:
        textures: list of uint8 [256, 256, 3]: procedural ones, then crops of photographs.

    Raises:
        SourceError: no picture can be read in ``folder``.
    """

    def __init__(self, seed: int, folder: Path | None = None) -> None:
        generator = np.random.default_rng([seed, 55])
        self._photos = _photos(folder) if folder else []
        self.textures = [_texture(generator) for _ in range(_TEXTURES)]
        for photo in self._photos[:200]:
            self.textures.append(_cut(photo, generator, (_SIDE, _SIDE), flip=False))

    def draw(self, size: tuple[int, int], generator: np.random.Generator, kinds: Mapping[str, float]) -> Picture:
        """Draw a backdrop [H, W, 3] for a picture of ``size`` (W, H), of a kind chosen by weight."""
        weights = np.array([kinds.get(kind, 0.0) for kind in KINDS])
        kind = str(generator.choice(KINDS, p=weights / weights.sum()))
        if kind == "photo" and self._photos:
            picture = _cut(self._photos[generator.integers(len(self._photos))], generator, size)
            if generator.uniform() < 0.25:
                self._litter(picture, generator, int(generator.integers(1, 6)))
        elif kind == "room":
            linear = room(size, generator, bright_side=float(generator.choice([-1, 1])), blur=0.002)
            picture = np.asarray(255 * linear.clip(0, 1) ** (1 / 2.2), np.uint8)
        elif kind == "gradient":
            picture = _gradient(size, generator)
        elif kind == "sky":
            picture = _sky(size, generator)
        elif kind == "noise":
            picture = _tinted(self._any(generator, size), generator)
        else:
            base = _gradient(size, generator) if generator.uniform() < 0.4 else self._any(generator, size)
            picture = _tinted(base, generator)
            self._litter(picture, generator, int(generator.integers(4, 40)))
        if generator.uniform() < 0.5:  # out of focus
            picture = cv2.GaussianBlur(picture, (0, 0), float(np.exp(generator.uniform(-1.0, 1.6))) * size[0] / 224)
        return np.ascontiguousarray(picture, np.uint8)

    def _any(self, generator: np.random.Generator, size: tuple[int, int]) -> Picture:
        return _cut(self.textures[generator.integers(len(self.textures))], generator, size)

    def _litter(self, picture: Picture, generator: np.random.Generator, count: int) -> None:
        """Draw clutter over a picture: patches of textures, ellipses, lines, polygons, and limb-like shapes."""
        height, width = picture.shape[:2]
        for _ in range(count):
            at = generator.uniform(-0.1, 1.1, 2) * (width, height)
            reach = float(np.exp(generator.uniform(np.log(0.02), np.log(0.45)))) * width
            colour = [int(v) for v in generator.integers(0, 256, 3)]
            if generator.uniform() < 0.2:  # skin-coloured distractors
                colour = [int(v) for v in np.array([224, 172, 138]) * generator.uniform(0.25, 1.1)]
                colour = [min(value, 255) for value in colour]
            kind, angle = generator.integers(5), float(generator.uniform(0, 360))
            spread = generator.uniform(0.15, 1.0)
            if kind == 0:
                x0, y0 = np.maximum(at - reach * np.array([1, spread]), 0).astype(int).tolist()
                x1, y1 = (at + reach * np.array([1, spread])).astype(int).tolist()
                part = picture[y0:y1, x0:x1]
                if part.size:
                    part[:] = _tinted(self._any(generator, (part.shape[1], part.shape[0])), generator)
            elif kind == 1:
                centre, axes = at.astype(int).tolist(), (int(reach) + 1, int(reach * spread) + 1)
                cv2.ellipse(picture, centre, axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
            elif kind == 2:
                end = at + reach * 2 * np.array([np.cos(angle), np.sin(angle)])
                thick = max(int(reach * 0.2 * spread), 1)
                cv2.line(picture, at.astype(int).tolist(), end.astype(int).tolist(), colour, thick, cv2.LINE_AA)
            else:
                corners = at + reach * generator.uniform(-1, 1, (int(generator.integers(3, 7)), 2))
                cv2.fillPoly(picture, [corners.astype(np.int32)], colour, cv2.LINE_AA)


def _photos(folder: Path) -> list[Picture]:
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder; give one that holds photographs ({', '.join(_SUFFIXES)})")
    photos: list[Picture] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _SUFFIXES and len(photos) < _MOST:
            read: Any = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if read is not None:
                scale = min(_LARGEST / max(read.shape[:2]), 1.0)
                read = cv2.resize(read, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                photos.append(np.ascontiguousarray(read[..., ::-1], np.uint8))
    if not photos:
        raise SourceError(f"{folder}: no readable photograph there ({', '.join(_SUFFIXES)})")
    return photos


def _cut(picture: Picture, generator: np.random.Generator, size: tuple[int, int], flip: bool = True) -> Picture:
    """Crop a random part of a picture, resized to ``size`` (W, H)."""
    height, width = picture.shape[:2]
    aspect = size[0] / size[1]
    high = min(height, width / aspect) * generator.uniform(0.35, 1.0)
    wide = high * aspect
    x, y = generator.uniform(0, width - wide), generator.uniform(0, height - high)
    part = picture[int(y) : max(int(y + high), int(y) + 1), int(x) : max(int(x + wide), int(x) + 1)]
    if flip and generator.uniform() < 0.5:
        part = part[:, ::-1]
    return np.ascontiguousarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _tinted(picture: Picture, generator: np.random.Generator) -> Picture:
    """Change the colours: mix the channels a little, scale and shift them."""
    mix = generator.dirichlet(np.ones(3) * 0.7, 3) if generator.uniform() < 0.5 else np.eye(3)
    scale, shift = generator.uniform(0.5, 1.3), generator.uniform(-25, 60)
    flat = picture.reshape(-1, 3).astype(np.float32) @ np.asarray(scale * mix, np.float32) + np.float32(shift)
    return np.asarray(flat.clip(0, 255), np.uint8).reshape(picture.shape)


def _gradient(size: tuple[int, int], generator: np.random.Generator) -> Picture:
    corners: NDArray[Any] = generator.uniform(30, 255, (2, 2, 3))
    if generator.uniform() < 0.6:  # one colour, often a dull one
        grey = corners.mean()
        corners = grey + generator.uniform(0, 1) * (corners[:1, :1] - grey)
    corners = np.broadcast_to(corners, (2, 2, 3)) * generator.uniform(0.6, 1.0, (2, 2, 1))
    return np.asarray(cv2.resize(corners.astype(np.float32), size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _sky(size: tuple[int, int], generator: np.random.Generator) -> Picture:
    """Draw a sky with clouds over hills or houses."""
    width, height = size
    top, low = np.array([90, 140, 220]) * generator.uniform(0.6, 1.1), np.array([200, 215, 235])
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = np.broadcast_to((1 - ramp) * top + ramp * low, (height, width, 3)).astype(np.float32)
    clouds = cv2.resize(_octaves(generator, 128, 2, 6), size)[..., None]
    sky = sky + (235 - sky) * (2 * clouds - generator.uniform(0.7, 1.4)).clip(0, 1)
    line = height * generator.uniform(0.35, 0.65)
    for _ in range(int(generator.integers(1, 4))):
        colour = generator.uniform((30, 40, 20), (140, 140, 120)) * generator.uniform(0.5, 1.2)
        if generator.uniform() < 0.5:
            for _ in range(int(generator.integers(2, 9))):
                left, wide = generator.uniform(-0.1, 1) * width, generator.uniform(0.05, 0.3) * width
                roof = line - generator.uniform(0.02, 0.35) * height
                shade = colour * generator.uniform(0.6, 1.3)
                sky[int(max(roof, 0)) :, int(max(left, 0)) : int(max(left + wide, 0))] = shade.clip(0, 255)
        else:
            x = np.linspace(0, generator.uniform(2, 9), width)
            hills = line + 0.06 * height * (np.sin(x + generator.uniform(0, 6)) + 0.4 * np.sin(3.1 * x))
            sky = np.where(np.arange(height)[:, None, None] > hills[None, :, None], colour, sky)
        line += generator.uniform(0, 0.1) * height
    return np.asarray(sky.clip(0, 255), np.uint8)


def _octaves(generator: np.random.Generator, side: int, low: int, levels: int, fall: float = 0.6) -> Floats:
    """Return octave noise [side, side], 0..1: the finer the details, the weaker."""
    total = np.zeros((side, side), np.float32)
    for level in range(levels):
        count = min(low * 2**level, side)
        grid = generator.uniform(-1, 1, (count, count)).astype(np.float32)
        total += fall**level * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    total -= total.min()
    return np.asarray(total / max(float(total.max()), 1e-6), np.float32)


def _texture(generator: np.random.Generator) -> Picture:
    """Draw a texture: noise of some scale, marble, planks, bricks, checks, dots, stripes, speckles, random shapes."""
    side = _SIDE
    y, x = (axis.astype(np.float32) / side for axis in np.mgrid[:side, :side])
    colours = generator.uniform(20, 255, (4, 3)) * generator.uniform(0.5, 1.0)
    if generator.uniform() < 0.7:  # mostly dull, as in the real world
        colours = colours.mean(axis=1, keepdims=True) * (1 + 0.25 * generator.uniform(-1, 1, (4, 3)))
    fine = _octaves(generator, side, int(generator.choice([2, 4, 8, 32, 64])), 5, generator.uniform(0.4, 0.9))
    kind = int(generator.integers(9))
    period = float(generator.integers(2, 14))
    mix: NDArray[Any] = fine
    if kind == 1:
        mix = 0.5 + 0.5 * np.sin(2 * np.pi * period * (x + 0.3 * fine))
    elif kind == 2:  # planks
        row = np.floor(period * y)
        mix = 0.3 + 0.4 * _hash(row) + 0.3 * fine - 0.6 * (np.mod(period * y, 1) < 0.04)
    elif kind == 3:  # bricks or tiles
        row = np.floor(period * y)
        shift = 0.5 * np.mod(row, 2) * generator.integers(2)
        column = np.floor(period / 2 * x + shift)
        joint = (np.mod(period * y, 1) < 0.08) | (np.mod(period / 2 * x + shift, 1) < 0.04)
        mix = np.where(joint, 0.0, 0.5 + 0.4 * _hash(row * 17.3 + column)) + 0.15 * fine
    elif kind == 4:
        mix = np.mod(np.floor(period * x) + np.floor(period * y), 2) * 0.8 + 0.2 * fine
    elif kind == 5:
        mix = (
            np.hypot(np.mod(period * x, 1) - 0.5, np.mod(period * y, 1) - 0.5) < generator.uniform(0.1, 0.45)
        ) + 0.2 * fine
    elif kind == 6:
        angle = generator.uniform(0, np.pi)
        mix = (np.mod(period * (np.cos(angle) * x + np.sin(angle) * y), 1) < generator.uniform(0.2, 0.8)) + 0.2 * fine
    elif kind == 7:
        mix = (generator.uniform(size=(side, side)) < generator.uniform(0.02, 0.5)) * 0.7 + 0.3 * fine
    elif kind == 8:
        mix = fine > 0.5
    mix = np.asarray(mix, np.float32).clip(0, 1)[..., None]
    picture = (1 - mix) * colours[0] + mix * colours[1]
    picture = picture + generator.uniform(0, 60) * (_octaves(generator, side, 3, 3)[..., None] - 0.5)
    picture = np.ascontiguousarray(picture.clip(0, 255), np.uint8)
    if generator.uniform() < 0.15:
        for _ in range(int(generator.integers(5, 60))):
            at, size = generator.integers(0, side, 2).tolist(), int(generator.integers(2, 30))
            cv2.circle(picture, at, size, generator.uniform(0, 255, 3).tolist(), -1, cv2.LINE_AA)
    return picture


def _hash(values: Floats) -> Floats:
    """Return a pseudo-random number from 0 to 1 for every value."""
    return np.asarray(np.mod(np.sin(values * 12.9898 + 4.1) * 43758.5453, 1.0), np.float32)
