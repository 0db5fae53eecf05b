"""A training whose samples have weights; as a program it is its second process (see test_processes.py)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from humanrt_export.batches import Batch
from humanrt_export.training.loop import TrainOptions, train
from humanrt_export.training.processes import shared

WIDTH = 70  # wide enough for Muon


@dataclass(frozen=True)
class Rows(Batch):
    """Inputs [B, WIDTH], what is to be predicted [B, WIDTH], and the weight of each sample [B], often 0."""

    x: Tensor
    y: Tensor
    weight: Tensor


class Weighted:
    """Fits a matrix. A part of the weights only learns from the third step on, as where a loss sets in later."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.ModuleDict({"first": nn.Linear(WIDTH, WIDTH), "later": nn.Linear(WIDTH, WIDTH)})
        self.validated = 0

    def config(self) -> Mapping[str, Any]:
        return {"width": WIDTH}

    def batch(self, seed: int, step: int, size: int) -> Rows:
        generator = torch.Generator().manual_seed(1000 * seed + step)
        x = torch.randn(size, WIDTH, generator=generator)
        weight = torch.rand(size, generator=generator) * (torch.rand(size, generator=generator) < 0.6)
        return Rows(x, x.flip(1) + float(step >= 3), weight)

    def losses(self, model: nn.Module, batch: Rows) -> dict[str, Tensor]:
        assert isinstance(model, nn.ModuleDict)
        said = model["first"](batch.x)
        if float(batch.y.sum() - batch.x.sum()) > WIDTH / 2:
            said = said + model["later"](batch.x)
        off = (said - batch.y).square().mean(1)
        fit = (off * batch.weight).sum() / shared(batch.weight.sum(), least=1e-6)
        return {"total": fit + 0.01 * off.mean(), "fit": fit, "weight": batch.weight.mean()}

    def validate(self, model: nn.Module) -> dict[str, float]:
        self.validated += 1
        return {"fit": float(self.losses(model, self.batch(99, 5, 8))["fit"])}


def options(steps: int, **changes: Any) -> TrainOptions:
    usual: dict[str, Any] = {"batch": 8, "warmup": 2, "report_every": 2, "validate_every": 4, "average": 0.9, "seed": 3}
    return TrainOptions(**{**usual, "steps": steps, "muon": True, "threads": 1, **changes})


if __name__ == "__main__":
    torch.set_num_threads(1)
    task = Weighted()
    for stop_at in (None if word == "end" else float(word) for word in sys.argv[3:]):
        found = train(task, Path(sys.argv[1]), options(int(sys.argv[2]), minutes=stop_at), lambda line: None)
        assert found == {}, "only the first process validates"
    assert task.validated == 0
