"""A task around a task: what methods that change how a step is made have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from humanrt_export.batches import Batch
from humanrt_export.training.loop import Task, rate_of

__all__ = ["Wrapped", "held_out", "sample_losses"]


B = TypeVar("B", bound=Batch)


@runtime_checkable
class HoldsOut(Protocol):
    """A task with pictures that it does not train on."""

    def held_out_batch(self, size: int) -> Any:
        """Always the same batch of at most ``size``, on the CPU."""


@runtime_checkable
class TellsApart(Protocol):
    """A task that knows the loss of each sample of a batch."""

    def sample_losses(self, model: nn.Module, batch: Any) -> Tensor:
        """[B]."""


class Wrapped(Generic[B]):
    """Everything as in ``task``; `losses`, and what else a method changes, is overridden. A `training.Task` itself.

    Args:
        task: the one inside.
    """

    def __init__(self, task: Task[B]) -> None:
        self.task = task
        self.model: nn.Module = task.model

    def config(self) -> Mapping[str, Any]:
        """The task's own."""
        return self.task.config()

    def batch(self, seed: int, step: int, size: int) -> B:
        """The task's own."""
        return self.task.batch(seed, step, size)

    def losses(self, model: nn.Module, batch: B) -> Mapping[str, Tensor]:
        """The task's own."""
        return self.task.losses(model, batch)

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """The task's own."""
        return self.task.validate(model)

    def rate(self, name: str) -> float:
        """The task's own."""
        return rate_of(self.task, name)

    def held_out_batch(self, size: int) -> B:
        """See `held_out`."""
        return held_out(self.task, size)

    def sample_losses(self, model: nn.Module, batch: B) -> Tensor:
        """See `sample_losses`."""
        return sample_losses(self.task, model, batch)


def held_out(task: Task[B], size: int) -> B:
    """Pictures that ``task`` does not train on; where it keeps none, a batch of a seed that no training has."""
    batch: B = task.held_out_batch(size) if isinstance(task, HoldsOut) else task.batch(2**31, 0, size)
    return batch


def sample_losses(task: Task[B], model: nn.Module, batch: B) -> Tensor:
    """The loss [B] of each sample. Tasks that cannot tell are asked one by one."""
    if isinstance(task, TellsApart):
        return task.sample_losses(model, batch)
    rows = (batch.rows(slice(index, index + 1)) for index in range(len(batch)))
    return torch.stack([task.losses(model, row)["total"] for row in rows])
