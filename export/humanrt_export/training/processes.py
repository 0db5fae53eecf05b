"""Several processes of one training, one for each GPU: `torchrun` starts them, and each computes its part of a batch.

All hold the same weights: `DistributedDataParallel` averages their gradients. With `shared` denominators that average
is the gradient of the whole batch, so that the number of processes changes no result beyond rounding.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from humanrt.errors import HumanrtError
from humanrt_export.batches import Batch

__all__ = ["Processes", "is_first", "joined", "leave", "several", "shared", "started"]

_PATIENCE = timedelta(hours=2)  # the first process validates and saves while the others wait
_PRESENT = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun

B = TypeVar("B", bound=Batch)
Losses = Callable[[nn.Module, Any], Mapping[str, Tensor]]


def started() -> int:
    """Return how many processes torchrun has started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in _PRESENT) else 1


def several() -> bool:
    """Whether torchrun has started several processes."""
    return started() > 1


def is_first() -> bool:
    """Whether this process writes: it is the only one, or the first of those that torchrun started."""
    return started() == 1 or os.environ["RANK"] == "0"


def shared(count: Tensor | float, least: float = 0.0) -> Tensor:
    """Return the denominator of a mean over a batch: its count, of all processes' parts on average.

    A sum over the own part divided by it, averaged over the processes, is the mean over the whole batch. Validation,
    in inference mode, is one process's own.

    Args:
        count: number or weight of what is averaged in this process's part.
        least: lower bound of the count of the whole batch.
    """
    total = torch.as_tensor(count).detach()
    together = distributed.is_available() and distributed.is_initialized() and not torch.is_inference_mode_enabled()
    if not together:
        return total.clamp(min=least)
    total = total.to(torch.float32).clone()
    if distributed.get_backend() == "nccl":
        total = total.cuda()
    distributed.all_reduce(total)
    return total.clamp(min=least) / distributed.get_world_size()


@dataclass(frozen=True)
class Processes:
    """The processes of a training.

    Attributes:
        rank: number of this one, from 0.
        count: how many there are.
        device: where this one computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that validates, reports and writes."""
        return self.rank == 0

    def part(self, batch: B) -> B:
        """Return this process's part of a batch."""
        return batch.part(self.rank, self.count) if self.count > 1 else batch

    def losses(self, losses: Losses, model: nn.Module) -> Callable[[Any], Mapping[str, Tensor]]:
        """Return the losses of a batch's part as a function whose backward pass averages gradients over all."""
        if self.count == 1:
            return lambda batch: losses(model, batch)
        together: Callable[[Any], Mapping[str, Tensor]]
        together = DistributedDataParallel(_Losses(losses, model), find_unused_parameters=True)
        return together

    def any(self, here: bool) -> bool:
        """Whether something holds in any process."""
        if self.count == 1:
            return here
        flag = torch.tensor(float(here), device=self.device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag > 0)

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the mean over the processes of each value."""
        if self.count == 1 or not values:
            return dict(values)
        numbers = torch.tensor(list(values.values()), device=self.device)
        distributed.all_reduce(numbers)
        return dict(zip(values, (numbers / self.count).tolist(), strict=True))

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.any(False)


class _Losses(nn.Module):
    """Losses as the forward pass of a module: losses use more of a model than its own forward pass."""

    def __init__(self, losses: Losses, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._losses = losses

    def forward(self, batch: Any) -> dict[str, Tensor]:
        found = self._losses(self.model, batch)
        return {name: value if name == "total" else value.detach() for name, value in found.items()}


def joined(device: str, batch: int) -> Processes:
    """Join the processes that torchrun started, until this one ends; without torchrun there is one.

    Args:
        device: of torch; ``cuda`` is the GPU of this process's number on its machine.
        batch: samples of a step, of all processes together.

    Raises:
        HumanrtError: torch cannot use the device, or the batch cannot be divided.
    """
    count = started()
    if count > 1 and device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        own = torch.device(device)
        torch.zeros(1, device=own)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise HumanrtError(f"--device {device}: torch cannot use it ({reason}); choose cpu") from error
    if count == 1:
        return Processes(0, 1, own)
    if batch % count:
        raise HumanrtError(f"--batch is {batch}, of all {count} processes together; give a multiple of {count}")
    if own.type == "cuda":
        torch.cuda.set_device(own)
    if not distributed.is_initialized():  # once: a second meeting at the same port could miss the first's end
        distributed.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=_PATIENCE)
        atexit.register(leave)
    return Processes(distributed.get_rank(), count, own)


def leave() -> None:
    """Leave the other processes, as at the end of this one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
