"""Training domain after domain without replay, and what is forgotten of the earlier ones.

Each domain is a training of its own, in a folder of its own, which begins with the averaged weights of the one before:
what is left of a domain when the next begins is the network alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from humanrt.errors import HumanrtError
from humanrt_export.training.loop import Task, TrainOptions, trained

__all__ = ["Continual", "train_domains"]

Metric = Callable[[str, nn.Module], float]
"""(domain, network in evaluation mode) -> error."""


@dataclass(frozen=True)
class Continual:
    """Errors of every domain after training on each.

    Attributes:
        domains: in the order of training.
        errors: after the i-th domain (rows), on the j-th (columns).
    """

    domains: tuple[str, ...]
    errors: tuple[tuple[float, ...], ...]

    @property
    def final(self) -> float:
        """Mean error over all domains after the last."""
        return sum(self.errors[-1]) / len(self.domains)

    @property
    def forgetting(self) -> float:
        """How much worse the domains before the last are at the end than they were at their best, on average."""
        before = range(len(self.domains) - 1)
        rises = [self.errors[-1][j] - min(self.errors[i][j] for i in range(j, len(self.domains))) for j in before]
        return sum(rises) / max(1, len(rises))


def train_domains(
    tasks: Mapping[str, Task[Any]],
    out: Path,
    options: TrainOptions,
    error: Metric,
    say: Callable[[str], object] = print,
) -> Continual:
    """Train on each domain in turn, ``options.steps`` each. Resumable as `training.train` is: what is done stays.

    Args:
        tasks: name -> task, in order. They share one architecture; the first one's weights are the beginning.
        out: holds a run for each: ``0-studio``, ``1-outdoor``, ...
        options: of each training; the seed grows by one a domain.
        error: what is measured on every domain after each.
    """
    if not tasks:
        raise HumanrtError("no domains to train on; give at least one")
    rows: list[tuple[float, ...]] = []
    weights: Mapping[str, torch.Tensor] | None = None
    for number, (name, task) in enumerate(tasks.items()):
        if weights is not None:
            task.model.load_state_dict(dict(weights))
        folder = out / f"{number}-{name}"
        own = TrainOptions(**{**options.__dict__, "seed": options.seed + number})
        weights = trained(task, folder, own, say)
        with torch.inference_mode():
            rows.append(tuple(error(domain, task.model) for domain in tasks))
    return Continual(tuple(tasks), tuple(rows))
