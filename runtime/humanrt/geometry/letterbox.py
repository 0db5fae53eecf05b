"""Convert pictures of any size to the input of a people network: scaled, centred on black, normalised, planar.

The bundle sets how pictures are scaled (`settings.letterbox.resize`, one of `RESIZES`): a network has to see what its
authors trained it with, or it finds other people.

``pillow-bicubic`` is Pillow's ``Image.resize(size, BICUBIC)``, equal in every level. It is antialiased: when enlarging,
a pixel is a sum over 4 x 4 pixels; when shrinking, over proportionally more. It uses integers: 22-bit weights, one
horizontal and one vertical pass, rounded and clipped to 0..255 after each. `windows` computes the weights, `down_first`
the order; the compiled library (_native/letterbox.c), numpy (`pillow_resize`) and the GPU (kernels/letterbox.cu) share
them and give the same levels. The order is that of Pillow 13. Before 13 the horizontal pass always came first: pictures
that become smaller and are more than twice as high as wide differ a little between the two.

``opencv-area`` is OpenCV's INTER_AREA for shrinking, which is the mean over the area that a pixel covers, and its
INTER_CUBIC for enlarging.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt import native
from humanrt.errors import choices
from humanrt.geometry.camera import Letterbox, check_image

__all__ = [
    "PILLOW", "RESIZES", "NativeScaler", "PortableScaler", "Preprocessor", "Resize", "down_first", "levels_of",
    "pillow_resize", "resize", "windows",
]  # fmt: skip

Resize = Literal["pillow-bicubic", "opencv-area"]
RESIZES: tuple[Resize, ...] = get_args(Resize)
PILLOW: Resize = "pillow-bicubic"

BITS = 22
"""Fixed-point bits of the weights: sums of products with bytes fit 32 bits, with room for the filter's overshoot."""


def levels_of(mean: ArrayLike, std: ArrayLike) -> NDArray[np.float32]:
    """Return the normalised value of every level of R, G, B as float32 [3, 256], rounded where Multi-HMR's authors do.

    Args:
        mean, std: [3] of R, G, B in 0..1.
    """
    levels = (np.arange(256) / 255).astype(np.float32)
    mean, std = (np.asarray(value, np.float64).reshape(3, 1) for value in (mean, std))
    return ((levels - mean) / std).astype(np.float32)


@lru_cache(maxsize=64)
def windows(size: int, scaled: int) -> NDArray[np.int32]:
    """Compute the weights of Pillow's bicubic filter from ``size`` to ``scaled`` pixels along an axis. Read-only.

    Returns:
        int32 [scaled, 2 + taps]: for each output pixel the first source pixel, the number of source pixels, and the
        weight of each times 2^22; the rest of a row is 0. Weights of 0 at the ends of a window are left out.
    """
    ratio = size / scaled
    stretch = max(ratio, 1.0)  # when shrinking, the filter is wider by this ratio
    support = 2.0 * stretch
    centres = (np.arange(scaled) + 0.5) * ratio
    begin = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    end = np.minimum((centres + support + 0.5).astype(np.int64), size)
    at = begin[:, None] + np.arange(int((end - begin).max()))
    inside = at < end[:, None]
    weights = np.where(inside, _bicubic((at - centres[:, None] + 0.5) * (1.0 / stretch)), 0.0)
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # summed sequentially, as in Pillow
    fixed = np.trunc(weights * (1 << BITS) + np.where(weights < 0, -0.5, 0.5)).astype(np.int32)
    used = fixed != 0
    skipped = used.argmax(axis=1)
    count = fixed.shape[1] - used[:, ::-1].argmax(axis=1) - skipped
    taps = np.arange(int(count.max()))
    kept = np.take_along_axis(fixed, np.minimum(skipped[:, None] + taps, fixed.shape[1] - 1), axis=1)
    kept[taps >= count[:, None]] = 0
    table = np.ascontiguousarray(np.column_stack((begin + skipped, count, kept)), np.int32)
    table.setflags(write=False)
    return table


def down_first(source: tuple[int, int], scaled: tuple[int, int]) -> bool:
    """Return whether Pillow does the vertical pass first for an image (width, height): if much more height is lost."""
    lost = [before - after for before, after in zip(source, scaled, strict=True)]
    return lost[1] > max(0, 2 * lost[0])


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate the cubic convolution kernel with a = -0.5."""
    x, a = np.abs(x), -0.5
    near, far = ((a + 2.0) * x - (a + 3.0)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def resize(rgb: NDArray[np.uint8], size: tuple[int, int], way: Resize = PILLOW) -> NDArray[np.uint8]:
    """Scale an image, uint8 [H, W, 3], to (width, height) px, by one of `RESIZES`."""
    height, width = rgb.shape[:2]
    if (width, height) == size:
        return rgb
    if way == PILLOW:
        return pillow_resize(rgb, size)
    smaller = size[0] < width or size[1] < height
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC), np.uint8)


def pillow_resize(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Compute Pillow's ``resize(size, BICUBIC)`` in numpy: the portable twin of the compiled library's."""
    axes = (0, 1) if down_first((rgb.shape[1], rgb.shape[0]), size) else (1, 0)
    for axis in axes:
        rgb = _pass(rgb, size[1 - axis], axis)
    return rgb


def _pass(image: NDArray[np.uint8], scaled: int, axis: int) -> NDArray[np.uint8]:
    """Scale the image to ``scaled`` pixels along an axis."""
    size = image.shape[axis]
    if size == scaled:
        return image
    image = np.ascontiguousarray(image)
    rows = (cv2.transpose(image) if axis else image).reshape(size, -1)  # so that each tap is a whole row
    table = windows(size, scaled)
    first, weights = table[:, 0], table[:, 2:]
    sums = np.full((scaled, rows.shape[1]), 1 << (BITS - 1), np.int32)
    term = np.empty_like(sums)
    for tap in range(weights.shape[1]):
        np.multiply(rows[np.minimum(first + tap, size - 1)], weights[:, tap, None], out=term, casting="unsafe")
        sums += term
    sums >>= BITS
    result = np.clip(sums, 0, 255, out=sums).astype(np.uint8).reshape(scaled, -1, 3)
    return np.asarray(cv2.transpose(result), np.uint8) if axis else result


class Scaler(Protocol):
    """Scales images into a letterbox as Pillow does."""

    name: str

    def __call__(self, rgb: NDArray[np.uint8], box: Letterbox, out: NDArray[np.float32], /) -> None:
        """Fill ``out``, float32 [3, H, W] of the box's size, with the image, uint8 [H, W, 3] of any strides."""


class NativeScaler:
    """Scaler in C, in one pass from the image to the tensor: see _native/letterbox.c.

    Args:
        levels: float32 [3, 256], see `levels_of`.
        code: ``fastest`` that this processor supports; for tests also ``sse2``, if available, or ``portable``.

    Raises:
        BackendError: the compiled library is missing.
    """

    name = "native"

    def __init__(self, levels: NDArray[np.float32], *, code: str = "fastest") -> None:
        self._letterbox = native.library().humanrt_letterbox
        self._levels = np.ascontiguousarray(levels, np.float32)
        self._path = ("fastest", "portable", "sse2").index(code)

    def __call__(self, rgb: NDArray[np.uint8], box: Letterbox, out: NDArray[np.float32]) -> None:
        height, width, _ = rgb.shape
        if rgb.strides[1:] != (3, 1):
            rgb = np.ascontiguousarray(rgb)
        tables = [windows(size, scaled) for size, scaled in zip(box.source, box.scaled, strict=True)]
        across, down = ((native.address(t, np.int32), len(t), t.shape[1] - 2) for t in tables)
        first = down_first(box.source, box.scaled)
        addresses = native.address(self._levels, np.float32), native.address(out, np.float32)
        pixels, row = rgb.__array_interface__["data"][0], rgb.strides[0]
        done = self._letterbox(
            pixels, width, height, row, *across, *down, first, *addresses, *box.size, *box.offset, self._path
        )
        if not done:
            raise MemoryError(f"no memory to scale an image of {width} x {height} px")


class PortableScaler:
    """Scaler with numpy and OpenCV, for installations without the compiled library: same numbers, slower."""

    name = "portable"

    def __init__(self, levels: NDArray[np.float32], way: Resize = PILLOW) -> None:
        self._levels, self._way = levels, way

    def __call__(self, rgb: NDArray[np.uint8], box: Letterbox, out: NDArray[np.float32]) -> None:
        (width, height), (x, y) = box.scaled, box.offset
        planes = cv2.split(resize(rgb, box.scaled, self._way))
        for plane, table, colours in zip(planes, self._levels, out, strict=True):
            colours[:y], colours[y + height :] = table[0], table[0]
            colours[:, :x], colours[:, x + width :] = table[0], table[0]
            cv2.LUT(plane, table, dst=colours[y : y + height, x : x + width])


class Preprocessor:
    """Converts uint8 RGB images of any size to the network's input: letterboxed, normalised, planar.

    Args:
        size: (width, height) px of the network's input, or the side of a square one.
        mean, std: [3] of R, G, B in 0..1. Padding is black, normalised like any other colour.
        resize: how images are scaled, one of `RESIZES`.

    Raises:
        ValueError: ``resize`` is unknown.
    """

    def __init__(self, size: int | tuple[int, int], mean: ArrayLike, std: ArrayLike, resize: Resize = PILLOW) -> None:
        if resize not in RESIZES:
            raise ValueError(f"resize is {resize!r}; choose one of: {choices(RESIZES)}")
        self.size = size
        levels = levels_of(mean, std)
        native_one = resize == PILLOW and native.problem() is None
        self._scale: Scaler = NativeScaler(levels) if native_one else PortableScaler(levels, resize)

    def __call__(self, rgb: NDArray[np.uint8], out: NDArray[np.float32]) -> Letterbox:
        """Fill ``out``, float32 [3, H, W] of the size.

        Raises:
            ValueError: the image is not uint8 [H, W, 3].
        """
        check_image(rgb)
        box = Letterbox.fit((rgb.shape[1], rgb.shape[0]), self.size)
        self._scale(rgb, box, out)
        return box
