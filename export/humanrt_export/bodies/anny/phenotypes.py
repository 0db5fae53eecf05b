"""Phenotypes: the few numbers that shape an Anny body, and their blending.

Each phenotype has anchors, evenly spaced values for which artists modelled bodies; between two anchors a body is
interpolated linearly. Several phenotypes are interpolated multilinearly, so a body is a weighted sum of the bodies
at all combinations of anchors, the corners of a grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PHENOTYPES", "Phenotype", "corner_weights"]


@dataclass(frozen=True)
class Phenotype:
    """One number of a body's shape.

    Attributes:
        name: Anny's name.
        low, high: its range; values beyond are clamped.
        anchors: number of anchors, evenly spaced over the range.
        meaning: meaning of the ends of the range.
    """

    name: str
    low: float
    high: float
    anchors: int
    meaning: str

    @property
    def values(self) -> tuple[float, ...]:
        """The values of the anchors."""
        step = (self.high - self.low) / (self.anchors - 1)
        return tuple(self.low + step * k for k in range(self.anchors))


PHENOTYPES = (
    Phenotype("gender", 0.0, 1.0, 2, "male to female"),
    Phenotype("age", -1 / 3, 1.0, 5, "newborn, baby (0), child (1/3), young adult (2/3), old"),
    Phenotype("muscle", 0.0, 1.0, 3, "least to most"),
    Phenotype("weight", 0.0, 1.0, 3, "least to most"),
    Phenotype("height", 0.0, 1.0, 2, "least to most for that age"),
    Phenotype("proportions", 0.0, 1.0, 2, "ideal to uncommon"),
)
"""The phenotypes in Anny's order, which is that of every shape vector here."""


def corner_weights(shape: Tensor) -> Tensor:
    """Return the weight in a shape of the body at every corner of the grid.

    Args:
        shape: [N, 6] values of `PHENOTYPES`, clamped to their ranges.

    Returns:
        [N, 360], >= 0, sum 1. Corners are in row-major order of `PHENOTYPES`: the last one varies fastest.
    """
    weights = torch.ones_like(shape[:, :1])
    for value, phenotype in zip(shape.unbind(-1), PHENOTYPES, strict=True):
        steps = (value.clamp(phenotype.low, phenotype.high) - phenotype.low) * (
            (phenotype.anchors - 1) / (phenotype.high - phenotype.low)
        )
        # A hat function of width 1 around every anchor.
        anchors = torch.arange(phenotype.anchors, dtype=shape.dtype, device=shape.device)
        hats = torch.relu(1 - (steps[:, None] - anchors).abs())
        weights = (weights[:, :, None] * hats[:, None, :]).flatten(1)
    return weights
