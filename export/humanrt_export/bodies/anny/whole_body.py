"""Anny with its full mesh and face, in two steps: shape -> a body at rest, then pose and expression -> the mesh.

A person's shape stays constant while the pose changes with every frame, so the costly step, 136 blend shapes of
13718 vertices, runs only when the shape changes. The blend shapes of the surface are stored as principal
components, as integers times a scale: 2.4 MB instead of 11, with an error of 0.05 mm (rms over random shapes).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humanrt_export.bodies.anny.body import AnnyBody, Rest
from humanrt_export.bodies.anny.face_units import FaceUnits
from humanrt_export.bodies.anny.model import AnnyData
from humanrt_export.bodies.anny.phenotypes import corner_weights
from humanrt_export.bodies.smplx import BodyOutput

__all__ = ["AnnyPose", "AnnyRest", "Components", "principal_components"]

Array = NDArray[Any]

_FINE, _ALL = 12, 80  # components stored with 16 bits, and in total


class Components(NamedTuple):
    """Blend shapes as principal components: at corner c of the phenotype grid, ``mean + weights[c] @ basis``.

    Attributes:
        mean: float32 [D].
        weights: float32 [360, K], with the scales of the levels multiplied in.
        fine: [F, D] the first components, integers in +-32767, as float32.
        coarse: [K - F, D] the others, integers in +-127, as float32.
    """

    mean: Array
    weights: Array
    fine: Array
    coarse: Array


def principal_components(corners: Array, template: Array, blend: Array) -> Components:
    """Compute the principal components of blend shapes over the corners of the phenotype grid.

    Args:
        corners: [360, B] coefficients of the corners.
        template: [D] m.
        blend: [B, D] m.
    """
    shapes = np.asarray(corners, np.float64) @ np.asarray(blend, np.float64)
    mean = shapes.mean(axis=0)
    left, sizes, basis = np.linalg.svd(shapes - mean, full_matrices=False)
    basis = basis[:_ALL]
    levels = np.where(np.arange(len(basis)) < _FINE, 32767, 127)
    scale = np.abs(basis).max(axis=1) / levels
    integers = np.rint(basis / scale[:, None]).astype(np.float32)
    weights = left[:, :_ALL] * (sizes[:_ALL] * scale)
    return Components(
        (mean + template).astype(np.float32), weights.astype(np.float32), integers[:_FINE], integers[_FINE:]
    )


class AnnyRest(nn.Module):
    """Compute a body at rest from its shape, for one person.

    Args:
        body: the body with the blend shapes.
        data: the data from which it was created.
    """

    corners: Tensor
    mean: Tensor
    fine: Tensor
    coarse: Tensor

    def __init__(self, body: AnnyBody, data: AnnyData) -> None:
        super().__init__()
        self.body = body
        vertices = 3 * (len(data.template) + body.points)
        parts = principal_components(data.corners, body.template.numpy(), body.blend.numpy().reshape(-1, vertices))
        for name, array in (
            ("corners", parts.weights),
            ("mean", parts.mean),
            ("fine", parts.fine),
            ("coarse", parts.coarse),
        ):
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def forward(self, shape: Tensor) -> Rest:
        """Return surface [1, 3, V + P] m, heads [1, J, 3] m, turns [1, J, 3, 3] for phenotypes [1, 6]."""
        weights = corner_weights(shape) @ self.corners
        fine = weights[:, : len(self.fine)] @ self.fine
        surface = self.mean + fine + weights[:, len(self.fine) :] @ self.coarse
        return Rest(surface.unflatten(-1, (3, -1)), *self.body.bones_at_rest(shape))


class AnnyPose(nn.Module):
    """Compute vertices and joints from pose and expression, for one person.

    Args:
        body: the body to pose.
        units: the face units.
    """

    units: Tensor

    def __init__(self, body: AnnyBody, units: FaceUnits) -> None:
        super().__init__()
        self.body = body
        # Units move only the face: the other vertices are left out.
        moved = np.flatnonzero(np.abs(units.deltas).max(axis=(0, 2)) > 0)
        deltas = units.deltas[:, moved].transpose(0, 2, 1).reshape(len(units.names), -1)
        scale = np.abs(deltas).max(axis=1, keepdims=True) / np.float32(127)
        self.register_buffer("units", torch.from_numpy(np.rint(deltas / scale) * scale))
        self.register_buffer("moved", torch.from_numpy(moved))

    def forward(
        self, rotations: Tensor, expression: Tensor, translation: Tensor, surface: Tensor, heads: Tensor, turns: Tensor
    ) -> BodyOutput:
        """Pose a body.

        Args:
            rotations: [1, R, 3, 3], as `AnnyBody` takes them.
            expression: [1, E] amounts of the face units, 0..1.
            translation: [1, 3] m, camera space: position of the body's anchor.
            surface, heads, turns: the body at rest, from `AnnyRest`.
        """
        face = (expression @ self.units).unflatten(-1, (3, -1))
        surface = surface.index_add(2, self.moved, face)
        return self.body.pose(Rest(surface, heads, turns), rotations, translation)
