"""Training that stays able to adapt, and to remember: Meta-DR.

Volpi, Larlus and Rogez, Continual adaptation of visual representations via domain randomization and meta-learning,
2021. A batch of the current domain is changed at random into an auxiliary one, a meta-domain. After one gradient step
on that (the inner step, to weights w'), the network shall still know the current domain (recall), and have learned the
meta-domain (adapt)::

    w' = w - rate * grad L(meta; w)          total = L(current; w) + beta L(current; w') + gamma L(meta; w')

First order: the gradient of L(...; w') goes to w as if the inner step's gradient were a constant. Second order: through
it, by differentiating twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from humanrt.errors import HumanrtError
from humanrt_export.batches import PictureBatch
from humanrt_export.options import Option
from humanrt_export.training.loop import Task
from humanrt_export.training.methods.manipulations import Changes, Manipulations
from humanrt_export.training.methods.method import P
from humanrt_export.training.methods.pixels import normalised, pixels
from humanrt_export.training.methods.wrapped import Wrapped

__all__ = ["MetaDr", "MetaDrOptions", "MetaObjective", "Randomise", "Randomised"]


@dataclass(frozen=True)
class MetaDrOptions:
    """How the auxiliary objective is made.

    Attributes:
        recall: beta, weight of the current domain's loss after the inner step.
        adapt: gamma, weight of the meta-domain's loss after the inner step.
        rate: of the inner step.
        second_order: differentiate through the inner step.
        manipulations: what makes a meta-domain of a batch.
    """

    recall: float = 1.0
    adapt: float = 1.0
    rate: float = 0.01
    second_order: bool = False
    manipulations: Manipulations = field(default_factory=Manipulations)

    def __post_init__(self) -> None:
        if min(self.recall, self.adapt) < 0 or self.rate <= 0:
            raise HumanrtError("the weights of recall and adapt must be at least 0, and the inner rate above 0")


class MetaDr(Wrapped[P]):
    """A task with the objective above. Reports ``task``, ``recall`` and ``adapt`` beside ``total``."""

    def __init__(self, task: Task[P], options: MetaDrOptions) -> None:
        super().__init__(task)
        self.options = options

    def config(self) -> Mapping[str, Any]:
        """The task's, and the objective."""
        return {**self.task.config(), "meta_dr": asdict(self.options)}

    def losses(self, model: nn.Module, batch: P) -> Mapping[str, Tensor]:
        """See the module."""
        meta = replace(batch, image=normalised(self.options.manipulations(pixels(batch.image))))
        current = self.task.losses(model, batch)["total"]
        stepped = self._stepped(model, meta)
        recall = self._total(model, batch, stepped) if self.options.recall else torch.zeros_like(current)
        adapt = self._total(model, meta, stepped) if self.options.adapt else torch.zeros_like(current)
        total = current + self.options.recall * recall + self.options.adapt * adapt
        return {"total": total, "task": current, "recall": recall, "adapt": adapt}

    def _stepped(self, model: nn.Module, meta: P) -> dict[str, Tensor]:
        """The weights after the inner step, by name."""
        weights = {name: value for name, value in model.named_parameters() if value.requires_grad}
        twice = self.options.second_order
        loss = self._total(model, meta, weights)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=twice, allow_unused=True)
        return {
            name: weight if gradient is None else weight - self.options.rate * gradient
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }

    def _total(self, model: nn.Module, batch: P, weights: Mapping[str, Tensor]) -> Tensor:
        """The task's loss of ``model`` with these weights. Running statistics, of batch norm say, stay as they are."""
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        values = {f"model.{name}": value for name, value in {**weights, **buffers}.items()}
        total: Tensor = functional_call(_Loss(self.task, model), values, (batch,))
        return total


class Randomised(Wrapped[P]):
    """A task whose pictures are changed at random: domain randomisation alone.

    Args:
        task: the one inside.
        manipulations: what changes them.
        share: part of every batch that is changed.
    """

    def __init__(self, task: Task[P], manipulations: Manipulations | None = None, share: float = 0.5) -> None:
        super().__init__(task)
        if not 0 <= share <= 1:
            raise HumanrtError(f"the randomised fraction is {share}; it must be 0 to 1")
        self.manipulations, self.share = manipulations or Manipulations(), share

    def config(self) -> Mapping[str, Any]:
        """The task's, and the changes."""
        about = {"manipulations": asdict(self.manipulations), "share": self.share}
        return {**self.task.config(), "randomised": about}

    def losses(self, model: nn.Module, batch: P) -> Mapping[str, Tensor]:
        """The task's, of changed pictures."""
        picture = pixels(batch.image)
        changed = round(self.share * len(picture))
        places = torch.randperm(len(picture), device=picture.device)[:changed]
        if changed:
            picture[places] = self.manipulations(picture[places])
        return self.task.losses(model, replace(batch, image=normalised(picture)))


@dataclass(frozen=True, kw_only=True)
class Randomise(Changes):
    """Train on pictures that are changed at random.

    Attributes:
        randomise: change this part of each batch's pictures at random.
    """

    randomise: Annotated[float | None, Option(metavar="P")] = None

    def wrap(self, task: Task[P]) -> Task[P]:
        """Change the task's pictures."""
        return task if self.randomise is None else Randomised(task, self.changes, self.randomise)


@dataclass(frozen=True, kw_only=True)
class MetaObjective(Changes):
    """Train by the objective of Meta-DR.

    Attributes:
        meta_dr: recall and adapt after a step on changed pictures.
        recall: beta of Meta-DR.
        adapt: gamma of Meta-DR.
        inner_rate: of Meta-DR's inner step.
        second_order: differentiate through Meta-DR's inner step.
    """

    meta_dr: bool = False
    recall: Annotated[float, Option(metavar="W")] = 1.0
    adapt: Annotated[float, Option(metavar="W")] = 1.0
    inner_rate: Annotated[float, Option(metavar="R")] = 0.01
    second_order: bool = False

    def check(self) -> None:
        """Refuse an objective that cannot be."""
        _ = self._objective

    def wrap(self, task: Task[P]) -> Task[P]:
        """Put the objective around the task's own."""
        return MetaDr(task, self._objective) if self.meta_dr else task

    @property
    def _objective(self) -> MetaDrOptions:
        return MetaDrOptions(self.recall, self.adapt, self.inner_rate, self.second_order, self.changes)


class _Loss(nn.Module):
    """A task's total as a module, so that its weights can be replaced, however the task calls the model."""

    def __init__(self, task: Task[Any], model: nn.Module) -> None:
        super().__init__()
        self.task, self.model = task, model

    def forward(self, batch: PictureBatch) -> Tensor:
        return self.task.losses(self.model, batch)["total"]
