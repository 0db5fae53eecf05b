"""Arguments of the text and pose networks, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import numbers
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices

__all__ = ["pose_vectors", "token_ids"]

_LOOSE = 0.02  # of R^T R from the identity; recordings are rounded to 1e-5


def pose_vectors(pose: ArrayLike, joints: int, name: str = "pose") -> NDArray[np.float32]:
    """Return the axis-angle vectors [1, J, 3] rad, each of at most pi, that a network takes.

    Args:
        pose: rotation matrices [J, 3, 3], or axis-angle vectors [J, 3].
        joints: J of the network.
        name: of the argument, for messages.

    Raises:
        InvalidInputError: of another shape, or no rotations.
    """
    array = numbers(pose, name)
    if array.shape not in ((joints, 3, 3), (joints, 3)):
        raise InvalidInputError(
            f"{name}: expected rotations [{joints}, 3, 3] of the bundle's joints, got {list(array.shape)}"
        )
    if not np.isfinite(array).all():
        raise InvalidInputError(f"{name}: holds values that are not finite")
    if array.ndim == 3:
        off = abs(np.swapaxes(array, -1, -2) @ array - np.eye(3)).max()
        if off > _LOOSE or np.linalg.det(array).min() < 0:
            raise InvalidInputError(f"{name}: these matrices are not rotations; check their order and layout")
        array = vectors_from_matrices(array)
    else:
        far = np.linalg.norm(array, axis=-1) > np.pi
        array = np.where(far[:, None], vectors_from_matrices(matrices_from_vectors(array)), array)
    return array.astype(np.float32)[None]


def token_ids(ids: Any, words: int, longest: int, name: str = "token_ids") -> NDArray[np.int64]:
    """Return ids of words [L].

    Args:
        ids: as given.
        words: how many the network knows.
        longest: largest L.
        name: of the argument, for messages.

    Raises:
        InvalidInputError: no whole numbers, too many of them or none, or beyond the list.
    """
    try:
        array = np.asarray(ids)
    except ValueError:
        array = np.empty((0, 0))
    if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array):
        raise InvalidInputError(f"{name} must be whole numbers [L], not {array.dtype} {list(array.shape)}")
    if len(array) > longest:
        raise InvalidInputError(f"{name}: {len(array)} tokens; the network takes {longest} at most: shorten the text")
    if array.min() < 0 or array.max() >= words:
        raise InvalidInputError(f"{name} must be from 0 to {words - 1}: the network knows {words} words")
    return array.astype(np.int64)
