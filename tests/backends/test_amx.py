"""Linear layers and attention on AMX against numpy in double precision, on shapes that fit no tile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from own_operators import attention, gelu

from humanrt import native
from humanrt.errors import BackendError

pytest.importorskip("onnx", reason="onnx (extra `export`) makes the graphs")
needs_amx = pytest.mark.skipif(native.amx_problem() is not None, reason=str(native.amx_problem()))

Array = NDArray[Any]
# Of 3 parts: what float arithmetic itself loses. Of 2: 16 bits.
TOLERANCE = {3: 1.5e-6, 2: 5e-5}


@needs_amx
@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize(
    ("lead", "depth", "width", "activate", "bias", "residual"),
    [
        ((1, 129), 64, 96, 0, True, True),
        ((2, 65), 33, 50, 1, True, True),
        ((3, 5), 37, 19, 1, False, True),
        ((7,), 100, 1, 0, True, False),
        ((1,), 1, 1, 1, False, False),
        ((300,), 384, 33, 0, False, False),
    ],
)
def test_linear(
    run: Callable[..., Array],
    parts: int,
    lead: tuple[int, ...],
    depth: int,
    width: int,
    activate: int,
    bias: bool,
    residual: bool,
) -> None:
    r = np.random.default_rng(3)
    x, w, b, s = (
        r.standard_normal(shape).astype(np.float32)
        for shape in ((*lead, depth), (depth, width), (width,), (*lead, width))
    )
    expected = x.astype(np.float64) @ w + b * bias
    expected = (gelu(expected) if activate else expected) + s * residual
    feeds = {"x": x, "r": s} if residual else {"x": x}
    found = run("Linear", feeds, {"w": w, "b": b} if bias else {"w": w}, width, parts=parts, gelu=activate)
    # What rounding can lose grows with the terms of the sum, not with what they sum up to.
    np.testing.assert_array_less(np.abs(found - expected), TOLERANCE[parts] * (np.abs(x) @ np.abs(w) + 2))


@needs_amx
@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize(
    ("images", "tokens", "heads", "sharpness"),
    [(2, 33, 1, 1), (1, 1, 2, 1), (3, 16, 2, 1), (1, 257, 3, 0.2), (1, 300, 2, 2)],
)
def test_attention(
    run: Callable[..., Array], parts: int, images: int, tokens: int, heads: int, sharpness: float
) -> None:
    x = np.random.default_rng(4).standard_normal((images, tokens, 3, heads, 64)).astype(np.float32)
    x[:, :, :2] *= sharpness
    expected = attention(x)
    flat = x.reshape(images, tokens, 3 * heads * 64)
    for threads in (1, 2):
        found = run("Attention", {"x": flat}, {}, heads * 64, threads=threads, parts=parts, heads=heads)
        np.testing.assert_allclose(found, expected, atol=TOLERANCE[parts] * 4 * (1 + sharpness**2))


@needs_amx
def test_three_parts_lose_less_than_float_arithmetic_does(run: Callable[..., Array]) -> None:
    """docs/measurements/people.md says so: root mean square errors of a linear layer, beside numpy's own in float32."""
    r = np.random.default_rng(5)
    x, w = (r.standard_normal(shape).astype(np.float32) for shape in ((500, 384), (384, 1152)))
    exact = x.astype(np.float64) @ w
    own, three, two = (
        np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2))
        for found in (x @ w, *(run("Linear", {"x": x}, {"w": w}, 1152, parts=parts, gelu=0) for parts in (3, 2)))
    )
    assert three < own / 2
    assert two < 20 * own


@needs_amx
def test_what_is_not_finite_stays_so_in_its_own_row(run: Callable[..., Array]) -> None:
    x = np.ones((40, 64), np.float32)
    x[3, 5], x[20, 60] = np.nan, np.inf
    for parts in (2, 3):
        found = run("Linear", {"x": x}, {"w": np.ones((64, 32), np.float32)}, 32, parts=parts, gelu=0)
        bad = ~np.isfinite(found).all(axis=1)
        assert np.flatnonzero(bad).tolist() == [3, 20]
        assert not np.isfinite(found[bad]).any()
        np.testing.assert_array_equal(found[~bad], 64)


@needs_amx
def test_graphs_that_make_no_sense_are_refused(run: Callable[..., Array]) -> None:
    x, w = np.ones((4, 8), np.float32), np.ones((8, 8), np.float32)
    with pytest.raises(BackendError, match="parts must be 2 or 3"):
        run("Linear", {"x": x}, {"w": w}, 8, parts=4, gelu=0)
    with pytest.raises(BackendError, match="must be constant"):
        run("Linear", {"x": x, "w": w}, {}, 8, parts=3, gelu=0)


def test_without_amx_a_graph_that_needs_it_is_an_error(
    run: Callable[..., Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "amx_problem", lambda: "this processor has no AMX")
    with pytest.raises(BackendError, match="graph one has operators that cannot run here: this processor has no AMX"):
        run("Linear", {"x": np.ones((4, 8), np.float32)}, {"w": np.ones((8, 8), np.float32)}, 8, parts=3, gelu=0)


def test_doctor_says_whether_they_run() -> None:
    code = "from humanrt.commands.doctor import examine; print([f for f in examine() if f.what == 'AMX operators'])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert ("state='yes'" in said) == (native.amx_problem() is None)
