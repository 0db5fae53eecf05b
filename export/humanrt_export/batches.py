"""Batches of a training: frozen dataclasses of tensors, and of values that hold for the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Batch", "PictureBatch"]


@dataclass(frozen=True)
class Batch:
    """Base of all batches: fields that are tensors have a row per sample, [B, ...]; others hold for all samples."""

    def __len__(self) -> int:
        """Return B."""
        return len(next(iter(self._tensors().values())))

    def to(self, device: torch.device | str) -> Self:
        """Return the batch with its tensors on a device."""
        return replace(self, **{name: value.to(device, non_blocking=True) for name, value in self._tensors().items()})

    def clone(self) -> Self:
        """Return the batch with copies of its tensors."""
        return replace(self, **{name: value.clone() for name, value in self._tensors().items()})

    def rows(self, rows: slice | NDArray[np.integer] | Tensor) -> Self:
        """Return the batch of some of its samples."""
        return replace(self, **{name: value[rows] for name, value in self._tensors().items()})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return one batch of the samples of several; what holds for all samples is the first's."""
        tensors = [part._tensors() for part in parts]
        return replace(parts[0], **{name: torch.cat([each[name] for each in tensors]) for name in tensors[0]})

    def _tensors(self) -> dict[str, Tensor]:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


@dataclass(frozen=True)
class PictureBatch(Batch):
    """Base of batches of pictures, which training methods change (`training.methods`).

    Attributes:
        image: float32 [B, 3, S, S] RGB, normalised (`networks.camera`).
    """

    image: Tensor
