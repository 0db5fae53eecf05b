"""Rotations: matrices, axis-angle vectors, and the two 6-d layouts in use. All arrays may have leading dimensions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Layout6d",
    "between",
    "matrices_from_6d",
    "matrices_from_vectors",
    "quaternions_from_matrices",
    "vectors_from_matrices",
]

Floats = NDArray[np.floating[Any]]

Layout6d = Literal["columns", "rows"]
"""How six numbers encode the first two columns a, b of a matrix (the third is their cross product).

``columns``: a1 a2 a3 b1 b2 b3 (Multi-HMR). ``rows``: a1 b1 a2 b2 a3 b3, a 3 x 2 matrix row by row (PoseBERT, Anny).
"""


def vectors_from_matrices(R: Floats) -> NDArray[np.float64]:
    """Convert rotation matrices [..., 3, 3] to axis-angle vectors [..., 3] rad of length 0..pi.

    Accurate to the precision of the matrices everywhere, including angles near 0 and near pi.
    """
    R = np.asarray(R, np.float64)
    xx, yy, zz = R[..., 0, 0], R[..., 1, 1], R[..., 2, 2]
    xy, yx = R[..., 0, 1], R[..., 1, 0]
    xz, zx = R[..., 0, 2], R[..., 2, 0]
    yz, zy = R[..., 1, 2], R[..., 2, 1]
    # 4 q q^T of the quaternion q = (w, x, y, z): every row is q times one of its components. The row of the largest
    # diagonal entry has the least cancellation.
    rows = np.stack(
        [
            np.stack([1 + xx + yy + zz, zy - yz, xz - zx, yx - xy], -1),
            np.stack([zy - yz, 1 + xx - yy - zz, yx + xy, xz + zx], -1),
            np.stack([xz - zx, yx + xy, 1 - xx + yy - zz, zy + yz], -1),
            np.stack([yx - xy, xz + zx, zy + yz, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    best = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    q = np.where(q[..., :1] < 0, -q, q)  # the shorter way around
    length = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, q[..., :1])
    vectors: NDArray[np.float64] = q[..., 1:] * np.where(length > 1e-12, angle / np.maximum(length, 1e-12), 2.0)
    return vectors


def quaternions_from_matrices(R: Floats) -> NDArray[np.float64]:
    """Convert rotation matrices [..., 3, 3] to unit quaternions x, y, z, w [..., 4] with w >= 0."""
    vectors = vectors_from_matrices(R)
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    # numpy's sinc is sin(pi x) / (pi x): half the vector times sin(a / 2) / (a / 2).
    q = np.concatenate([vectors / 2 * np.sinc(angle / (2 * np.pi)), np.cos(angle / 2)], axis=-1)
    return np.asarray(q / np.linalg.norm(q, axis=-1, keepdims=True))


def matrices_from_vectors(vectors: Floats) -> NDArray[np.float64]:
    """Convert axis-angle vectors [..., 3] rad to rotation matrices [..., 3, 3] (Rodrigues)."""
    v = np.asarray(vectors, np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    zero = np.zeros_like(v[..., 0])
    x, y, z = np.moveaxis(v, -1, 0)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*v.shape[:-1], 3, 3)
    # sin(a) / a and (1 - cos(a)) / a^2, both smooth at 0: numpy's sinc is sin(pi x) / (pi x).
    first = np.sinc(angle / np.pi)
    second = np.sinc(angle / (2 * np.pi)) ** 2 / 2
    matrices: NDArray[np.float64] = np.eye(3) + first * cross + second * (cross @ cross)
    return matrices


def matrices_from_6d(numbers: Floats, layout: Layout6d) -> NDArray[np.float64]:
    """Convert six numbers [..., 6] in the given layout to rotation matrices [..., 3, 3] by Gram-Schmidt."""
    numbers = np.asarray(numbers, np.float64)
    shape = (*numbers.shape[:-1], *((2, 3) if layout == "columns" else (3, 2)))
    a, b = np.moveaxis(numbers.reshape(shape), -2 if layout == "columns" else -1, 0)
    a = a / np.linalg.norm(a, axis=-1, keepdims=True)
    b = b - (a * b).sum(-1, keepdims=True) * a
    b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    return np.stack([a, b, np.cross(a, b)], axis=-1)


def between(a: Floats, b: Floats, amount: float | Floats = 0.5) -> NDArray[np.float64]:
    """Interpolate rotations [..., 3, 3] from a to b by the fraction ``amount`` (or [..., 1]), the shorter way."""
    return np.asarray(a @ matrices_from_vectors(amount * vectors_from_matrices(np.swapaxes(a, -1, -2) @ b)))
