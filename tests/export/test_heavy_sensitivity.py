"""Levels by sensitivity: the measure predicts the shift at other levels, and the choice spends the bits it is given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import helper
from test_onnx_cleanup import model

pytest.importorskip("torch", reason="needs humanrt[export]")
pytest.importorskip("tflite", reason="needs humanrt[export]")

from humanrt_export.conversion.heavy_sensitivity import TRIAL, choose_levels, outputs_in_px, sensitivities
from humanrt_export.conversion.weight_levels import MAX_LEVELS, integers

IMAGES = [np.random.default_rng(k).random((1, 3, 8, 8)).astype(np.float32) for k in range(4)]


def network() -> ir.Model:
    """A small network with the outputs of the landmark network; `deep` reaches the outputs ten times as strongly."""
    rng = np.random.default_rng(0)
    shapes = {"first": (16, 3, 8, 8), "deep": (195, 16, 1, 1), "metric": (117, 16, 1, 1), "score": (1, 16, 1, 1)}
    constants: dict[str, NDArray[np.generic]] = {k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()}
    constants["metric"] = constants["metric"] * np.float32(1e-3)
    constants["score"] = constants["score"] * np.float32(1e-2)
    constants |= {"s2": np.array([1, 39, 5]), "s3": np.array([1, 39, 3]), "s1": np.array([1, 1])}
    nodes = [helper.make_node("Conv", ["x", "first"], ["f"], name="first", kernel_shape=[8, 8])]
    for name, out, shape in (("deep", "landmarks", "s2"), ("metric", "landmarks_3d", "s3"), ("score", "logit", "s1")):
        nodes.append(helper.make_node("Conv", ["f", name], [f"{out}_raw"], name=name, kernel_shape=[1, 1]))
        nodes.append(helper.make_node("Reshape", [f"{out}_raw", shape], [out], name=f"reshape_{name}"))
    nodes.append(helper.make_node("Sigmoid", ["logit"], ["presence"], name="sigmoid"))
    outputs = {"landmarks": (1, 39, 5), "landmarks_3d": (1, 39, 3), "presence": (1, 1)}
    made = model(nodes, constants, (1, 3, 8, 8), outputs)
    made.graph.inputs[0].name = "image"
    return made


def shift(graph: ir.Model, levels: Mapping[str, int]) -> float:
    """Mean square of the shift, px, when these tensors are rounded together."""
    rounded = graph.clone()
    for name, count in levels.items():
        value = rounded.graph.initializers[name]
        whole, scale = integers(value.const_value.numpy(), count)
        value.const_value = ir.tensor((whole * scale).astype(np.float32))
    return float(np.mean((outputs_in_px(rounded, IMAGES) - outputs_in_px(graph, IMAGES)) ** 2))


def test_the_measure_predicts_the_shift_at_other_levels() -> None:
    graph, told = network(), list[str]()
    found = sensitivities(graph, IMAGES, told.append)
    assert set(found) == {"first", "deep", "metric"}  # the score's convolution is too small to be worth it
    assert len(told) == 3
    for name, value in found.items():
        for levels in (TRIAL, 4 * TRIAL):
            assert shift(graph, {name: levels}) == pytest.approx(value / levels**2, rel=0.5)


def test_the_choice_spends_its_bits_where_they_help() -> None:
    graph = network()
    found = sensitivities(graph, IMAGES, lambda line: None)
    sizes = {name: graph.graph.initializers[name].const_value.size for name in found}
    chosen = choose_levels(found, sizes, 7.0)
    bits = sum(sizes[name] * np.log2(2 * count + 1) for name, count in chosen.items()) / sum(sizes.values())
    assert bits == pytest.approx(7.0, abs=0.05)
    assert chosen["metric"] < chosen["deep"]
    # The same bits for all of them cost more.
    assert shift(graph, chosen) < shift(graph, dict.fromkeys(chosen, 63))


def test_what_needs_more_than_float16_has_is_left_out() -> None:
    chosen = choose_levels({"loud": 1e9, "quiet": 1.0}, {"loud": 1000, "quiet": 1000}, 8.0)
    assert set(chosen) == {"quiet"}
    assert chosen["quiet"] <= MAX_LEVELS
