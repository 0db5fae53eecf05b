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
    """Base of all batches: fields that are tensors have a row per sample, [B, ...]; others hold for all samples.

    A field may be a batch of its own, of other samples than these: it is moved, copied, joined and divided alike.
    """

    def __len__(self) -> int:
        """Return B."""
        return len(next(iter(self._tensors().values())))

    def to(self, device: torch.device | str) -> Self:
        """Return the batch with its tensors on a device."""
        moved: dict[str, Any] = {name: value.to(device, non_blocking=True) for name, value in self._tensors().items()}
        return replace(self, **moved, **{name: batch.to(device) for name, batch in self._batches().items()})

    def clone(self) -> Self:
        """Return the batch with copies of its tensors."""
        copies: dict[str, Any] = {name: value.clone() for name, value in self._tensors().items()}
        return replace(self, **copies, **{name: batch.clone() for name, batch in self._batches().items()})

    def rows(self, rows: slice | NDArray[np.integer] | Tensor) -> Self:
        """Return the batch of some of its samples; batches within it, whose samples are others, stay whole."""
        return replace(self, **{name: value[rows] for name, value in self._tensors().items()})

    def part(self, number: int, count: int) -> Self:
        """Return one of ``count`` equal parts, from 0, with the same part of each batch within it."""
        size = len(self) // count
        inner: dict[str, Any] = {name: batch.part(number, count) for name, batch in self._batches().items()}
        return replace(self.rows(slice(number * size, (number + 1) * size)), **inner)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return one batch of the samples of several; what holds for all samples is the first's."""
        tensors, batches = [part._tensors() for part in parts], [part._batches() for part in parts]
        whole: dict[str, Any] = {name: torch.cat([each[name] for each in tensors]) for name in tensors[0]}
        inner = {name: type(one).joined([each[name] for each in batches]) for name, one in batches[0].items()}
        return replace(parts[0], **whole, **inner)

    def _tensors(self) -> dict[str, Tensor]:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def _batches(self) -> dict[str, Batch]:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Batch)}


@dataclass(frozen=True)
class PictureBatch(Batch):
    """Base of batches of pictures, which training methods change (`training.methods`).

    Attributes:
        image: float32 [B, 3, S, S] RGB, normalised (`networks.camera`).
    """

    image: Tensor
