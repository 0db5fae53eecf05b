"""From the network's crop to the image: the compiled sums are numpy's, and what is not a number is no hand."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanrt import native
from humanrt.bundle import load_bundle
from humanrt.bundle.settings import HandsSettings
from humanrt.geometry.region import Region
from humanrt.hands.placement import NativePlacement, NumpyPlacement, make_placement

RULE = HandsSettings.of(load_bundle("hands")).region
needs_native = pytest.mark.skipif(native.problem() is not None, reason=str(native.problem()))
KINDS = [NumpyPlacement, pytest.param(NativePlacement, marks=needs_native)]


@needs_native
@given(st.integers(0, 2**32 - 1), st.floats(-np.pi, np.pi), st.floats(10, 2000))
def test_native_is_numpy(seed: int, angle: float, size: float) -> None:
    rng = np.random.default_rng(seed)
    pixels, metres = rng.uniform(0, 224, (21, 3)).astype(np.float32), rng.normal(0, 0.05, (21, 3)).astype(np.float32)
    region = Region(*rng.uniform(0, 1000, 2).tolist(), size, angle)
    a, b = (kind(pixels, metres, 224, RULE)(region) for kind in (NativePlacement, NumpyPlacement))
    np.testing.assert_allclose(a.keypoints_2d, b.keypoints_2d, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(a.keypoints_3d, b.keypoints_3d, rtol=1e-5, atol=1e-7)
    assert a.region is not None
    assert b.region is not None
    np.testing.assert_allclose(astuple(a.region), astuple(b.region), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("tensor", [0, 1])
def test_what_is_not_a_number_has_no_region(
    kind: type[NumpyPlacement] | type[NativePlacement], wrong: float, tensor: int
) -> None:
    tensors = [np.ones((21, 3), np.float32), np.ones((21, 3), np.float32)]
    tensors[tensor][7, 1] = wrong
    assert kind(tensors[0], tensors[1], 224, RULE)(Region(5, 5, 9)).region is None


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_the_callers_to_keep(kind: type[NumpyPlacement] | type[NativePlacement]) -> None:
    pixels, metres = np.random.default_rng(0).uniform(0, 1, (2, 21, 3)).astype(np.float32)
    place = kind(pixels, metres, 224, RULE)
    first = place(Region(5, 5, 9))
    kept = first.keypoints_2d.copy(), first.keypoints_3d.copy()
    pixels *= 2
    metres *= 2
    place(Region(5, 5, 9))
    np.testing.assert_array_equal(first.keypoints_2d, kept[0])
    np.testing.assert_array_equal(first.keypoints_3d, kept[1])


def test_without_the_library_numpy_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "LIBRARY", native.LIBRARY.with_name("absent.so"))
    tensor = np.zeros((21, 3), np.float32)
    assert make_placement(tensor, tensor, 224, RULE).name == "numpy"
