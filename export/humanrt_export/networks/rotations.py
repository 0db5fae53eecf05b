"""Rotations in torch: the two 6-d layouts, matrices, axis-angle. numpy's are in `humanrt.geometry.rotation`.

Layout `columns`: six numbers are the first column of the matrix, then the second, before orthonormalisation.
Layout `rows`: they are a 3 x 2 matrix, row by row, whose columns are the first two of the rotation.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["matrices_from_columns", "matrices_from_rows", "matrices_from_vectors", "rows_from_matrices"]

_EPS = 1e-12


def matrices_from_columns(six: Tensor) -> Tensor:
    """Convert 6-d layout `columns` [..., 6] to rotation matrices [..., 3, 3] by Gram-Schmidt on two columns."""
    first, second = six[..., :3], six[..., 3:]
    x = _unit(first)
    y = _unit(second - (x * second).sum(-1, keepdim=True) * x)
    z = torch.cat(
        (
            x[..., 1:2] * y[..., 2:3] - x[..., 2:3] * y[..., 1:2],
            x[..., 2:3] * y[..., 0:1] - x[..., 0:1] * y[..., 2:3],
            x[..., 0:1] * y[..., 1:2] - x[..., 1:2] * y[..., 0:1],
        ),
        dim=-1,
    )
    return torch.stack((x, y, z), dim=-1)


def matrices_from_rows(six: Tensor) -> Tensor:
    """Convert 6-d layout `rows` [..., 6] to rotation matrices [..., 3, 3] by Gram-Schmidt on two columns."""
    return matrices_from_columns(torch.cat((six[..., 0::2], six[..., 1::2]), dim=-1))


def rows_from_matrices(R: Tensor) -> Tensor:
    """Return the first two columns of [..., 3, 3] in 6-d layout `rows`, [..., 6]."""
    return R[..., :2].flatten(-2)


def matrices_from_vectors(vectors: Tensor) -> Tensor:
    """Convert axis-angle [..., 3] rad to rotation matrices [..., 3, 3] (Rodrigues; exact limit at zero)."""
    angle = vectors.norm(dim=-1, keepdim=True)[..., None]
    x, y, z = (vectors / angle[..., 0].clamp(min=_EPS)).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    return identity + torch.sin(angle) * cross + (1 - torch.cos(angle)) * (cross @ cross)


def _unit(vectors: Tensor) -> Tensor:
    """Normalise vectors to length 1; a zero vector stays zero instead of becoming NaN."""
    return vectors / (vectors * vectors).sum(-1, keepdim=True).sqrt().clamp(min=_EPS)
