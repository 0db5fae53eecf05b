"""A task around a task: what methods that change how a step is made have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from humanrt_export.training.loop import Task, rate_of

__all__ = ["Wrapped", "held_out", "sample_losses"]


@runtime_checkable
class HoldsOut(Protocol):
    """A task with pictures that it does not train on."""

    def held_out_batch(self, size: int) -> Mapping[str, Tensor]:
        """Always the same batch of at most ``size``, on the CPU."""


@runtime_checkable
class TellsApart(Protocol):
    """A task that knows the loss of each sample of a batch."""

    def sample_losses(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """[B]."""


class Wrapped:
    """Everything as in ``task``; `losses`, and what else a method changes, is overridden. A `training.Task` itself.

    Args:
        task: the one inside. Batches hold ``image`` [B, 3, S, S], normalised as in `pixels`.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.model: nn.Module = task.model

    def config(self) -> Mapping[str, Any]:
        """The task's own."""
        return self.task.config()

    def batch(self, seed: int, step: int, size: int) -> Mapping[str, Tensor]:
        """The task's own."""
        return self.task.batch(seed, step, size)

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The task's own."""
        return self.task.losses(model, batch)

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """The task's own."""
        return self.task.validate(model)

    def rate(self, name: str) -> float:
        """The task's own."""
        return rate_of(self.task, name)

    def held_out_batch(self, size: int) -> Mapping[str, Tensor]:
        """See `held_out`."""
        return held_out(self.task, size)

    def sample_losses(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """See `sample_losses`."""
        return sample_losses(self.task, model, batch)


def held_out(task: Task, size: int) -> Mapping[str, Tensor]:
    """Pictures that ``task`` does not train on; where it keeps none, a batch of a seed that no training has."""
    return task.held_out_batch(size) if isinstance(task, HoldsOut) else task.batch(2**31, 0, size)


def sample_losses(task: Task, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """The loss [B] of each sample. Tasks that cannot tell are asked one by one: tensors are [B, ...], or scalars."""
    if isinstance(task, TellsApart):
        return task.sample_losses(model, batch)
    size = len(batch["image"])

    def one(place: int) -> dict[str, Tensor]:
        return {name: value[place : place + 1] if value.ndim else value for name, value in batch.items()}

    return torch.stack([task.losses(model, one(place))["total"] for place in range(size)])
