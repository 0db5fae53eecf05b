"""Which parts of a network a training changes.

Batch norm only: Baradel et al., Leveraging MoCap data for human mesh recovery, 2021 (MoCap-SPIN): on renders of motion
capture only the weights, biases and running statistics of batch norm are trained, so that a network learns new poses
without unlearning what real pictures look like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from humanrt.errors import HumanrtError, choices
from humanrt_export.options import Option
from humanrt_export.training.loop import Task
from humanrt_export.training.methods.method import Method, P
from humanrt_export.training.methods.wrapped import B, Wrapped

__all__ = ["PARTS", "Partial", "Update", "batch_norm_state"]

PARTS = ("full", "batch-norm")


@dataclass(frozen=True, kw_only=True)
class Update(Method):
    """Train a part of the network.

    Attributes:
        update: what is trained.
    """

    update: Annotated[str, Option(choices=PARTS)] = "full"

    def check(self) -> None:
        """Refuse a part that no network has."""
        if self.update not in PARTS:
            raise HumanrtError(f"unknown part `{self.update}` of a network; choose one of: {choices(PARTS)}")

    def wrap(self, task: Task[P]) -> Task[P]:
        """Train only that part of the task's network."""
        return task if self.update == "full" else Partial(task, self.update)


class Partial(Wrapped[B]):
    """A task of which only a part of the network is trained; every other tensor stays as it is, bit for bit.

    Args:
        task: the one inside; from now on only that part of its network asks for gradients.
        part: one of `PARTS`.

    Raises:
        HumanrtError: no such part, or the network has no batch norm.
    """

    def __init__(self, task: Task[B], part: str = "batch-norm") -> None:
        super().__init__(task)
        if part not in PARTS:
            raise HumanrtError(f"unknown part `{part}` of a network; choose one of: {choices(PARTS)}")
        self.part = part
        names = batch_norm_state(self.model)
        if part == "batch-norm" and not names:
            raise HumanrtError(
                "this network has no batch norm to train; choose --update full, or an encoder with batch norm"
            )
        for name, value in self.model.named_parameters():
            value.requires_grad_(part == "full" or name in names)

    def config(self) -> Mapping[str, Any]:
        """The task's, and the part."""
        return {**self.task.config(), "part": self.part}


def batch_norm_state(model: nn.Module) -> set[str]:
    """Names of the state that belongs to batch norm: weights, biases, running statistics and their counts."""
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        for name in module.state_dict()
    }
