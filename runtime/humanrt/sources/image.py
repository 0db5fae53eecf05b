"""Conversion of images and image files to arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.geometry.camera import check_image

__all__ = ["as_image"]


def as_image(image: ArrayLike | str | Path) -> NDArray[np.uint8]:
    """Return an image as uint8 [H, W, 3], RGB; an array is returned as it is, an image file is read.

    Raises:
        ValueError: an array of another kind, or a name that is not an image file's.
        SourceError: the file cannot be read.
    """
    if isinstance(image, str | Path):
        from humanrt.sources.opening import is_image, open_source

        if not is_image(Path(image)):
            raise ValueError(f"{image}: not the name of an image file; for videos and cameras use `open_source`")
        with open_source(str(image)) as source:
            return next(iter(source)).image
    array = np.asarray(image)
    check_image(array)
    return array
