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
