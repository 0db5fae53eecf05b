"""Batches keep the rows of their tensors together, and what holds for all of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'humanrt[export]'")

from humanrt_export.batches import Batch  # noqa: E402


@dataclass(frozen=True)
class Two(Batch):
    x: torch.Tensor
    y: torch.Tensor
    name: str = "both"


@dataclass(frozen=True)
class Beside(Batch):
    x: torch.Tensor
    two: Two | None


def test_batches_within_are_copied_joined_and_divided_alike() -> None:
    batch = Beside(torch.arange(2.0), Two(torch.arange(6.0), torch.arange(6)))
    first, second = batch.part(0, 2), batch.part(1, 2)
    assert first.two is not None
    assert second.two is not None
    assert (first.x.tolist(), first.two.y.tolist()) == ([0.0], [0, 1, 2])
    assert (second.x.tolist(), second.two.y.tolist()) == ([1.0], [3, 4, 5])
    again = Beside.joined([second, first])
    assert again.two is not None
    assert (again.x.tolist(), again.two.y.tolist()) == ([1.0, 0.0], [3, 4, 5, 0, 1, 2])
    copy, one, moved = batch.clone(), batch.rows(slice(1)), batch.to("meta")
    for each in (copy, one, moved):
        assert each.two is not None
        assert len(each.two) == 6
    assert copy.two is not None
    assert batch.two is not None
    copy.two.x[0] = -1
    assert batch.two.x[0] == 0
    assert moved.two is not None
    assert moved.two.x.device.type == "meta"
    assert Beside.joined([Beside(batch.x, None)] * 2).two is None


def test_rows_copies_and_devices() -> None:
    batch = Two(torch.arange(6.0).view(3, 2), torch.arange(3), "all")
    assert len(batch) == 3
    middle = batch.rows(slice(1, 2))
    assert isinstance(middle, Two)
    assert (middle.x.tolist(), middle.y.tolist(), middle.name) == ([[2.0, 3.0]], [1], "all")
    copy = batch.clone()
    copy.x[0] = -1
    assert batch.x[0].tolist() == [0.0, 1.0]
    moved = batch.to("meta")
    assert (moved.x.device.type, moved.y.device.type, moved.name) == ("meta", "meta", "all")
