"""Linear layers and attention in 16-bit integers against numpy in double precision, on either instruction set."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from own_operators import attention, gelu

from humanrt import native
from humanrt.errors import BackendError
from humanrt.native.processor import HIDE

pytest.importorskip("onnx", reason="onnx (extra `export`) makes the graphs")
pytestmark = pytest.mark.skipif(native.int16_problem() is not None, reason=str(native.int16_problem()))

Array = NDArray[Any]
AVX2, FASTEST = 1, 2


@pytest.fixture(params=["avx2", "fastest"], autouse=True)
def code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "avx2":
        monkeypatch.setenv(HIDE, "amx_bf16,avx512_vnni")
        assert native.library().humanrt_int16() == AVX2
    elif native.library().humanrt_int16() != FASTEST:
        pytest.skip("this processor has no AVX-512 VNNI")


def lengths(x: Array, axis: int, finer: float) -> Array:
    """Return what an integer is worth (`_native/int16.c`), along an axis that is summed over in blocks of 128."""
    x = np.moveaxis(x.astype(np.float64), axis, -1)
    blocks = [np.linalg.norm(x[..., k : k + 128], axis=-1, keepdims=True) for k in range(0, x.shape[-1], 128)]
    worth = np.maximum(np.max(blocks, axis=0) / (46000 * finer), np.abs(x).max(-1, keepdims=True) / 32767)
    return np.moveaxis(worth, -1, axis)


@pytest.mark.parametrize(
    ("lead", "depth", "width", "activate", "bias", "residual"),
    [
        ((1, 129), 64, 96, 0, True, True),
        ((2, 65), 33, 50, 1, True, True),
        ((3, 5), 37, 19, 1, False, True),
        ((7,), 100, 1, 0, True, False),
        ((1,), 1, 1, 1, False, False),
        ((300,), 384, 33, 0, False, False),
        ((30,), 130, 40, 0, True, False),
        ((14,), 1536, 33, 0, False, True),
    ],
)
def test_linear(
    run: Callable[..., Array],
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
    found = run("LinearInt16", feeds, {"w": w, "b": b} if bias else {"w": w}, width, gelu=activate)
    # Each integer is off by half of one at most; those of weights are worth half, those of rows twice.
    most = 0.5 * (np.abs(x).sum(-1, keepdims=True) * lengths(w, 0, 2) + np.abs(w).sum(0) * lengths(x, -1, 0.5))
    np.testing.assert_array_less(np.abs(found - expected), 1.2 * most + 2e-5)


def test_sums_that_nearly_fill_32_bits_do_not_run_over(run: Callable[..., Array]) -> None:
    x, w = np.full((13, 1536), -3.0, np.float32), np.full((1536, 40), 7.0, np.float32)
    x[1], x[2, 1:], w[:, 1], w[1:, 2] = -x[1], 0, -w[:, 1], 0
    found = run("LinearInt16", {"x": x}, {"w": w}, 40, gelu=0)
    expected = x.astype(np.float64) @ w
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * 21)
    assert (np.sign(found) == np.sign(expected)).all()


@pytest.mark.parametrize(
    ("images", "tokens", "heads", "sharpness"),
    [(2, 33, 1, 1), (1, 1, 2, 1), (3, 16, 2, 1), (1, 257, 3, 0.2), (1, 300, 2, 2)],
)
def test_attention(run: Callable[..., Array], images: int, tokens: int, heads: int, sharpness: float) -> None:
    x = np.random.default_rng(4).standard_normal((images, tokens, 3, heads, 64)).astype(np.float32)
    x[:, :, :2] *= sharpness
    flat = x.reshape(images, tokens, 3 * heads * 64)
    for threads in (1, 2):
        found = run("AttentionInt16", {"x": flat}, {}, heads * 64, threads=threads, heads=heads)
        np.testing.assert_allclose(found, attention(x), atol=1e-3 * (1 + sharpness**2))


def test_scores_far_below_zero_keep_their_order(run: Callable[..., Array]) -> None:
    x = np.random.default_rng(6).standard_normal((1, 40, 3, 1, 64)).astype(np.float32)
    x[:, :, 0], x[:, :, 1] = 9.0, x[:, :, 1] * 0.3 - 9.0  # all scores about -650
    found = run("AttentionInt16", {"x": x.reshape(1, 40, 192)}, {}, 64, heads=1)
    np.testing.assert_allclose(found, attention(x), atol=0.1)


def test_it_is_nearly_as_exact_as_float(run: Callable[..., Array]) -> None:
    """docs/measurements/people.md says so: root mean square error of a linear layer, relative to its result."""
    r = np.random.default_rng(5)
    x, w = (r.standard_normal(shape).astype(np.float32) for shape in ((500, 384), (384, 1152)))
    exact = x.astype(np.float64) @ w
    error, half = (
        np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2))
        for found in (
            run("LinearInt16", {"x": x}, {"w": w}, 1152, gelu=0),
            x.astype(np.float16).astype(np.float64) @ w.astype(np.float16).astype(np.float64),
        )
    )
    assert error < 1.6e-4
    assert error < 0.6 * half


def test_what_is_not_finite_stays_so_in_its_own_row(run: Callable[..., Array]) -> None:
    x = np.ones((40, 64), np.float32)
    x[3, 5], x[20, 60] = np.nan, np.inf
    found = run("LinearInt16", {"x": x}, {"w": np.ones((64, 32), np.float32)}, 32, gelu=0)
    bad = ~np.isfinite(found).all(axis=1)
    assert np.flatnonzero(bad).tolist() == [3, 20]
    np.testing.assert_allclose(found[~bad], 64, rtol=1e-3)
    for value in (np.nan, np.inf):
        w = np.ones((64, 32), np.float32)
        w[:, 2], w[9, 30] = 0, value
        found = run("LinearInt16", {"x": x[:3]}, {"w": w}, 32, gelu=0)
        assert np.flatnonzero(~np.isfinite(found).all(axis=0)).tolist() == [30]
    for part in range(3):
        qkv = np.ones((1, 20, 3, 2, 64), np.float32)
        qkv[0, 7, part, 1, 9] = np.inf
        found = run("AttentionInt16", {"x": qkv.reshape(1, 20, 384)}, {}, 128, heads=2)
        assert np.isfinite(found[..., :64]).all()
        assert not np.isfinite(found[0, 7, 64:]).any()


@pytest.mark.parametrize("at", [5, 200, 383])
def test_what_is_not_finite_shows_in_whichever_block_it_is(run: Callable[..., Array], at: int) -> None:
    x = np.ones((40, 384), np.float32)
    x[3, at], x[20, at] = np.nan, np.inf
    found = run("LinearInt16", {"x": x}, {"w": np.ones((384, 32), np.float32)}, 32, gelu=0)
    assert np.flatnonzero(~np.isfinite(found).all(axis=1)).tolist() == [3, 20]
    qkv = np.ones((1, 384, 3, 2, 64), np.float32)
    qkv[0, at, 2, 1, 9] = np.nan
    found = run("AttentionInt16", {"x": qkv.reshape(1, 384, 384)}, {}, 128, heads=2)
    assert np.isfinite(found[..., :64]).all()
    assert not np.isfinite(found[0, :, 64:]).all()


def test_zeros(run: Callable[..., Array]) -> None:
    w, b = np.zeros((8, 8), np.float32), np.arange(8, dtype=np.float32)
    np.testing.assert_array_equal(
        run("LinearInt16", {"x": np.zeros((4, 8), np.float32)}, {"w": w, "b": b}, 8, gelu=0), [b] * 4
    )
    assert not run("AttentionInt16", {"x": np.zeros((1, 5, 192), np.float32)}, {}, 64, heads=1).any()


def test_graphs_that_make_no_sense_are_refused(run: Callable[..., Array]) -> None:
    x, w = np.ones((4, 8), np.float32), np.ones((8, 8), np.float32)
    with pytest.raises(BackendError, match="must be constant"):
        run("LinearInt16", {"x": x, "w": w}, {}, 8, gelu=0)
    with pytest.raises(BackendError, match="heads must be 1 or more"):
        run("AttentionInt16", {"x": np.ones((1, 4, 192), np.float32)}, {}, 64, heads=0)


@pytest.mark.parametrize("name", ["avx512_bf16", "avx512_vnni2", "vnni", "avx2x,avx512", ",", "avx512_vbmi avx_vnni"])
def test_hiding_other_features_changes_nothing(monkeypatch: pytest.MonkeyPatch, code: None, name: str) -> None:
    before = native.library().humanrt_int16()
    monkeypatch.setenv(HIDE, ",".join((os.environ.get(HIDE, ""), name)))
    assert native.library().humanrt_int16() == before


def test_without_avx2_a_graph_that_needs_it_is_an_error(
    run: Callable[..., Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HIDE, "avx2")
    with pytest.raises(BackendError, match="operators that cannot run here: HUMANRT_HIDE_CPU hides it"):
        run("LinearInt16", {"x": np.ones((4, 8), np.float32)}, {"w": np.ones((8, 8), np.float32)}, 8, gelu=0)
