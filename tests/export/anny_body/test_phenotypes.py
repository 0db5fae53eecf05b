"""Blending is a partition of unity that meets its anchors."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from humanrt_export.bodies.anny.phenotypes import PHENOTYPES, corner_weights

shapes = st.lists(st.floats(-1, 2, width=32), min_size=6, max_size=6)


@given(shapes)
@settings(max_examples=50, deadline=None)
def test_weights_are_a_partition_of_unity(shape: list[float]) -> None:
    weights = corner_weights(torch.tensor([shape], dtype=torch.float64))
    assert weights.shape == (1, 360)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert (weights > 0).sum() <= 64  # two anchors of each at most


@given(shapes)
@settings(max_examples=50, deadline=None)
def test_they_reproduce_the_shape(shape: list[float]) -> None:
    """Linear functions are blended exactly: weighted corners give the shape back, clamped to its range."""
    corners = torch.cartesian_prod(*(torch.tensor(p.values, dtype=torch.float64) for p in PHENOTYPES))
    given_shape = torch.tensor([shape], dtype=torch.float64)
    low, high = (torch.tensor([getattr(p, end) for p in PHENOTYPES], dtype=torch.float64) for end in ("low", "high"))
    torch.testing.assert_close(corner_weights(given_shape) @ corners, given_shape.clamp(low, high))
