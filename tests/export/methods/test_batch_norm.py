"""Batch norm only: those tensors change and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from methods.picture_task import Brightness, quiet
from torch import nn

from humanrt.errors import HumanrtError
from humanrt_export.networks.encoders import ResNet
from humanrt_export.runs import LAST
from humanrt_export.training.loop import TrainOptions, train
from humanrt_export.training.methods.batch_norm import Partial, batch_norm_state

OPTIONS = TrainOptions(steps=6, batch=8, warmup=1, rate=0.1, report_every=3, validate_every=3, average=0.5)


def network() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(ResNet(4), nn.Linear(32, 1))


def test_only_batch_norm_changes_and_all_of_it(tmp_path: Path) -> None:
    task = Partial(Brightness(network=network()), "batch-norm")
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    train(task, tmp_path, OPTIONS, quiet)
    names = batch_norm_state(task.model)
    kept = torch.load(tmp_path / LAST, weights_only=True)
    for state in (kept["model"], kept["average"]):
        changed = {name for name, value in state.items() if not torch.equal(value, before[name])}
        assert changed == names
    # 13 norms: the stem's, and of each of four blocks two and the shortcut's (the first block keeps its width).
    wanted = sum(isinstance(module, nn.BatchNorm2d) for module in task.model.modules())
    assert len(names) == 5 * wanted > 5 * 8
    assert {name.rpartition(".")[2] for name in names} == {
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked",
    }  # fmt: skip


def test_full_changes_everything(tmp_path: Path) -> None:
    task = Partial(Brightness(network=network()), "full")
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    train(task, tmp_path, OPTIONS, quiet)
    assert all(not torch.equal(value, before[name]) for name, value in task.model.state_dict().items())


def test_refusals() -> None:
    with pytest.raises(HumanrtError, match="has no batch norm"):
        Partial(Brightness())
    with pytest.raises(HumanrtError, match="choose one of: batch-norm, full"):
        Partial(Brightness(network=network()), "bn")
