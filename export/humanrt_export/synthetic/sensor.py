"""A model of a small camera: frame times, motion blur, tone curve, noise and noise reduction, compression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Filming", "NoiseReduction", "Sensor", "compressed", "frame_times", "shutter"]


@dataclass(frozen=True)
class Filming:
    """Recording settings of a clip.

    Attributes:
        t: [T] s, middle of each frame's exposure, not always evenly spaced.
        exposure: exposure time, s; subframes: number of instants averaged over it.
        noise: standard deviation of the sensor noise, as a fraction of full scale.
        jpeg: compression quality of the frames; 0: not compressed.
        light: factor on all light.
    """

    t: NDArray[np.float64]
    exposure: float
    subframes: int
    noise: float
    jpeg: int
    light: float


def frame_times(
    generator: np.random.Generator,
    seconds: float,
    rates: Mapping[int, float],
    *,
    stutter: float,
    drop: float,
    dropped: float,
    kept: int = 0,
) -> tuple[NDArray[np.float64], float]:
    """Sample frame times [T] s from 0, and the camera's frames per second.

    Args:
        rates: frames per second -> probability.
        stutter: fraction of cameras whose frames are not evenly spaced.
        drop: fraction of cameras that drop frames: up to a fraction ``dropped``, none of the first ``kept``.
    """
    fps = float(generator.choice(list(rates), p=list(rates.values())))
    t = np.arange(max(round(seconds * fps), 2)) / fps
    if generator.uniform() < stutter:
        t = t + np.clip(generator.normal(0, generator.uniform(0.05, 0.2), len(t)), -0.45, 0.45) / fps
    if generator.uniform() < drop:
        there = generator.uniform(size=len(t)) > generator.uniform(0.02, dropped)
        there[:kept] = True
        t = t[there]
    return np.asarray(t - t[0]), fps


def shutter(subframes: int) -> NDArray[np.float64]:
    """Return the instants [subframes] to average, in exposures from the middle of one."""
    return np.asarray((np.arange(subframes) + 0.5) / subframes - 0.5)


class Sensor:
    """Converts linear light to the picture of a small camera: vignette, tone curve, slightly correlated noise.

    Args:
        size: (W, H) px.
        noise: standard deviation over full scale.
        generator: source of the noise.
    """

    def __init__(self, size: tuple[int, int], noise: float, generator: np.random.Generator) -> None:
        width, height = size
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        radius = np.hypot((x + 0.5) / width - 0.5, ((y + 0.5) / height - 0.5) * height / width)
        self._vignette = (1 - 0.55 * radius**2)[..., None].astype(np.float32)
        self._noise = noise
        self._generator = generator
        # The tone curve (a soft shoulder, then sRGB) as a table: pow() per pixel would cost more than drawing.
        light = np.linspace(0, 4, 4096)
        tone = 1 - np.exp(-1.25 * light)
        self._table = np.where(tone < 0.0031308, 12.92 * tone, 1.055 * tone ** (1 / 2.4) - 0.055).astype(np.float32)

    def develop(self, light: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert linear RGB [H, W, 3], 1 is bright, to a picture [H, W, 3]."""
        index = (light * self._vignette * (len(self._table) / 4)).clip(0, len(self._table) - 1)
        picture = self._table[index.astype(np.int32)]
        if self._noise:
            shape = picture.shape[:2]
            grain = self._generator.standard_normal(shape, dtype=np.float32)[..., None]
            chroma = self._generator.standard_normal((shape[0] // 2, shape[1] // 2, 3), dtype=np.float32)
            chroma = cv2.resize(chroma, shape[::-1], interpolation=cv2.INTER_LINEAR)
            # Dark parts are noisier, as the tone curve amplifies them.
            picture = picture + self._noise * (1.3 - 0.6 * picture) * (grain + 0.7 * chroma)
        return np.asarray((picture * 255 + 0.5).clip(0, 255), dtype=np.uint8)


class NoiseReduction:
    """A camera's noise reduction: each pixel keeps a fraction of the last picture, unless it and its neighbours changed
    by more than noise does.

    Args:
        keep: the fraction, 0..1.
        noise: the sensor's noise, as a fraction of full scale.
    """

    def __init__(self, keep: float, noise: float) -> None:
        self._keep, self._threshold = keep, 255 * (0.006 + 1.2 * noise)
        self._last: NDArray[np.float32] | None = None

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the next image [H, W, 3], denoised."""
        new = picture.astype(np.float32)
        if self._last is not None:
            change = cv2.blur(cv2.transform(self._last - new, np.full((1, 3), 1 / 3, np.float32)), (5, 5))
            keep = self._keep * np.exp(-np.square(change / self._threshold))
            new += keep[..., None] * (self._last - new)
        self._last = new
        return np.asarray(new + 0.5, dtype=np.uint8)


def compressed(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return RGB [H, W, 3] after JPEG compression at this quality; 0: unchanged."""
    if not quality:
        return picture
    _, packed = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
