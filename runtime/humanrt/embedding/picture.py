"""A person's picture as an embedder's network wants it: cut out, padded with black to the input's form, scaled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import numbers
from humanrt.errors import InvalidInputError
from humanrt.geometry.camera import check_image
from humanrt.geometry.letterbox import pillow_resize

__all__ = ["MARGIN", "cut_out", "network_picture"]

MARGIN = 0.05
"""What is added to each side of a person's box, as a part of the box's diagonal."""


def network_picture(
    image: NDArray[Any], size: tuple[int, int], box: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Return the network's picture, float32 [3, H, W] from 0 to 1.

    Args:
        image: uint8 RGB, [h, w, 3] of any size; or float32 [3, H, W] in 0..1, which is passed on.
        size: (H, W) of the network, px.
        box: (left, top, right, bottom) px around the person in ``image``, tight: `MARGIN` is added. None: the whole
            image is the person's picture, with no margin added.

    Raises:
        InvalidInputError: another kind of picture, or a box outside of it.
    """
    if isinstance(image, np.ndarray) and image.dtype == np.float32 and image.shape == (3, *size):
        if box is not None:
            raise InvalidInputError("a picture that is ready for the network has no box; leave it out")
        if not (image.min() >= 0 and image.max() <= 1):  # NaN included
            raise InvalidInputError("image: float32 pictures hold R, G, B from 0 to 1, and nothing is subtracted")
        return image
    if not isinstance(image, np.ndarray):
        raise InvalidInputError(f"image must be an array, uint8 [H, W, 3], not a {type(image).__name__}")
    try:
        check_image(image)
    except ValueError as error:
        raise InvalidInputError(f"{error}; or float32 [3, {size[0]}, {size[1]}] from 0 to 1") from None
    person = image if box is None else cut_out(image, box)
    scaled = pillow_resize(_padded(person, size), (size[1], size[0]))
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), np.float32) / np.float32(255)


def cut_out(image: NDArray[np.uint8], box: Sequence[float]) -> NDArray[np.uint8]:
    """Return the part of an image in a box with its margin, black where it reaches beyond the image.

    Args:
        image: [h, w, 3].
        box: (left, top, right, bottom) px.
    """
    corners = numbers(box, "box")
    if corners.shape != (4,) or not np.isfinite(corners).all() or not (corners[2:] > corners[:2]).all():
        raise InvalidInputError("box must be (left, top, right, bottom) px with left < right and top < bottom")
    height, width = image.shape[:2]
    if corners[0] >= width or corners[1] >= height or (corners[2:] <= 0).any():
        raise InvalidInputError(f"box {corners.round(1).tolist()} lies outside of the image of {width} x {height} px")
    margin = MARGIN * float(np.hypot(*(corners[2:] - corners[:2])))
    # A box may be far larger than the image; what lies farther out than the image is wide is black anyway.
    low = np.maximum(np.floor(corners[:2] - margin), (-width, -height)).astype(int)
    high = np.minimum(np.ceil(corners[2:] + margin), (2 * width, 2 * height)).astype(int)
    out = np.zeros((high[1] - low[1], high[0] - low[0], 3), np.uint8)
    left, top, right, bottom = max(low[0], 0), max(low[1], 0), min(high[0], width), min(high[1], height)
    out[top - low[1] : bottom - low[1], left - low[0] : right - low[0]] = image[top:bottom, left:right]
    return out


def _padded(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the image in the middle of a black one of the form of ``size`` (height, width)."""
    height, width = image.shape[:2]
    rows = max(height, round(width * size[0] / size[1]))
    columns = max(width, round(height * size[1] / size[0]))
    out = np.zeros((rows, columns, 3), np.uint8)
    top, left = (rows - height) // 2, (columns - width) // 2
    out[top : top + height, left : left + width] = image
    return out
