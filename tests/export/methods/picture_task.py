"""A task on tiny pictures whose gradients are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from humanrt_export.batches import PictureBatch
from humanrt_export.runs import load_run
from humanrt_export.training.loop import Task, TrainOptions, train
from humanrt_export.training.methods.pixels import normalised, pixels

SIZE = 6


@dataclass(frozen=True)
class Pictures(PictureBatch):
    """Pictures and how bright they are.

    Attributes:
        brightness: [B], 0..1.
        weight: of the loss.
    """

    brightness: Tensor
    weight: float = 1.0


class Brightness:
    """Tells how bright a weighted part of a picture is. The loss is linear in the picture if ``power`` is 1."""

    def __init__(self, power: int = 2, limit: int | None = None, network: nn.Module | None = None) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = network or nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 1))
        self.power, self.limit, self.steps = power, limit, 0
        self.seen: list[Tensor] = []

    def config(self) -> Mapping[str, Any]:
        return {"power": self.power}

    def batch(self, seed: int, step: int, size: int) -> Pictures:
        generator = torch.Generator().manual_seed(1000 * seed + step)
        picture = torch.rand(size, 3, SIZE, SIZE, generator=generator)
        return Pictures(normalised(picture), picture.mean((1, 2, 3)))

    def losses(self, model: nn.Module, batch: Pictures) -> dict[str, Tensor]:
        if self.steps == self.limit:
            raise RuntimeError("power cut")
        self.steps += 1
        self.seen.append(pixels(batch.image).detach())
        off = model(batch.image)[:, 0] - batch.brightness
        return {"total": (off if self.power == 1 else off.square()).mean() * batch.weight}

    def validate(self, model: nn.Module) -> dict[str, float]:
        return {"weight": float(next(model.parameters()).abs().mean())}


def quiet(line: str) -> None:
    """Instead of print."""


def check_resuming(folder: Path, method: Callable[[Brightness], Task[Pictures]], steps_before: int) -> None:
    """A run that is interrupted after so many losses and resumed ends with the weights of one that was not."""
    options = TrainOptions(steps=8, batch=4, warmup=2, report_every=4, validate_every=4, average=0.9, seed=3)
    train(method(Brightness()), folder / "whole", options, quiet)
    with pytest.raises(RuntimeError, match="power cut"):
        train(method(Brightness(limit=steps_before)), folder / "cut", replace(options, save_every=0.0), quiet)
    train(method(Brightness()), folder / "cut", options, quiet)
    whole, cut = (load_run(folder / run)[1] for run in ("whole", "cut"))
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=0, atol=0)
