"""Weights in levels: the nearest integers, exact products, and graphs that compute the same constants."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper
from test_onnx_cleanup import model, run

from humanrt_export.conversion.onnx_cleanup import store_as_float16
from humanrt_export.conversion.weight_levels import MAX_LEVELS, integers, store_in_levels


@pytest.mark.parametrize("levels", [15, 127, 128, 300, MAX_LEVELS])
def test_rows_are_the_nearest_integers_times_a_scale(levels: int) -> None:
    rng = np.random.default_rng(levels)
    weight = (rng.normal(size=(6, 5, 3, 3)) * 10.0 ** rng.uniform(-6, 3, (6, 1, 1, 1))).astype(np.float32)
    weight[3] = 0
    whole, scale = integers(weight, levels)
    assert np.abs(whole).max() == levels
    product = whole * scale.astype(np.float64)
    assert np.array_equal((whole.astype(np.float32) * scale).astype(np.float64), product)  # float32 computes it exactly
    assert (np.abs(product - weight) <= scale * 0.5001).all()
    assert (product[3] == 0).all()


def graph() -> tuple[ir.Model, dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    shapes = {"few": (24, 16, 1, 1), "many": (16, 24, 1, 1), "half": (32, 16, 1, 1)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights["half"] = weights["half"].astype(np.float16).astype(np.float32)
    made, value = [], "x"
    for name in weights:
        made.append(helper.make_node("Conv", [value, name], [f"y_{name}"], kernel_shape=[1, 1]))
        value = f"y_{name}"
    return model(made, weights, (1, 16, 4, 4), {value: (1, 32, 4, 4)}), weights


def test_the_stored_graph_computes_with_the_rounded_weights() -> None:
    exact, weights = graph()
    levels = {"few": 100, "many": 700}
    stored = store_as_float16(store_in_levels(exact, levels))
    kept = {name: value.dtype for name, value in stored.graph.initializers.items()}
    assert {"few_low", "few_scale", "many_low", "many_high", "many_256", "many_scale", "half_f16"} == set(kept)
    assert kept["few_low"] == kept["many_high"] == ir.DataType.INT8
    rounded = exact.clone()
    for name, count in levels.items():
        whole, scale = integers(weights[name], count)
        rounded.graph.initializers[name].const_value = ir.tensor((whole * scale).astype(np.float32))
    x = np.random.default_rng(2).normal(size=(1, 16, 4, 4)).astype(np.float32)
    for got, expected in zip(run(stored, x), run(rounded, x), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert not np.array_equal(run(stored, x)[0], run(exact, x)[0])
