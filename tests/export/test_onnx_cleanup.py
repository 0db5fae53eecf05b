"""Every clean-up pass leaves the function of a graph as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from humanrt_export.conversion import onnx_cleanup
from humanrt_export.conversion.rewriting import check, self_contained, set_constant, tidy

ort = pytest.importorskip("onnxruntime")
Array = NDArray[Any]


def model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Array],
    shape: tuple[int, ...],
    outputs: dict[str, tuple[int, ...]],
) -> ir.Model:
    """A checked model with the input ``x`` of the given shape."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "test",
        [value("x", onnx.TensorProto.FLOAT, shape)],
        [value(name, onnx.TensorProto.FLOAT, out) for name, out in outputs.items()],
        [numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in constants.items()],
    )
    result = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    check(result)
    return result


def changed(before: ir.Model, rewrite: Callable[[ir.Model], int], times: int) -> ir.Model:
    """The graph after a pass that found so much to do."""
    after = before.clone()
    assert rewrite(after) == times
    tidy(after)
    check(after)
    return after


def run(graph: ir.Model, x: Array) -> list[Array]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(self_contained(graph), options, providers=["CPUExecutionProvider"])
    result: list[Array] = session.run(None, {session.get_inputs()[0].name: x})
    return result


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(
    slopes=st.lists(
        st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.25, 3.5]), st.floats(-10, 10, width=32)), min_size=1, max_size=40
    ),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_prelu_is_the_same_for_every_slope(slopes: list[float], seed: int) -> None:
    channels = len(slopes)
    slope = np.array(slopes, np.float32)
    node = helper.make_node("PRelu", ["x", "s"], ["y"])
    shape = (1, channels, 3, 5)
    before = model([node], {"s": slope.reshape(-1, 1, 1)}, shape, {"y": shape})
    after = changed(before, onnx_cleanup.prelu_to_convolution, 1)
    assert "PRelu" not in ops(after)
    x = normal(*shape, seed=seed) * 10
    x[0, :, 0, 0] = 0
    (got,) = run(after, x)
    expected = np.where(x >= 0, x, x * slope.reshape(-1, 1, 1))
    # y + (1 - s)(-y) rounds where it cancels: the error is relative to |y| (1 + |1 - s|), not to the result.
    bound = 3e-7 * np.abs(x) * (1 + np.abs(1 - slope.reshape(-1, 1, 1)))
    assert (np.abs(got - expected) <= bound).all()
    assert (got[x >= 0] == x[x >= 0]).all()


def bottleneck(hidden: int, dead: list[int], *, zero_in: bool, residual: bool = True) -> ir.Model:
    """Expand, depthwise 3x3, project, add: as in the landmark models, with dead hidden channels."""
    expand, expand_b = normal(hidden, 8, 1, 1), normal(hidden, seed=1)
    depth, depth_b = normal(hidden, 1, 3, 3, seed=2), normal(hidden, seed=3)
    if zero_in:
        expand[dead] = 0
    depth[dead] = 0
    constants = {
        "w1": expand, "b1": expand_b, "w2": depth, "b2": depth_b,
        "w3": normal(8, hidden, 1, 1, seed=4), "b3": normal(8, seed=5),
        "low": np.array(0, np.float32), "high": np.array(6, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["h1"]),
        helper.make_node("Clip", ["h1", "low", "high"], ["h2"]),
        helper.make_node("Conv", ["h2", "w2", "b2"], ["h3"], group=hidden, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h3"], ["h4"]),
        helper.make_node("Conv", ["h4", "w3", "b3"], ["h5"]),
        helper.make_node("Add", ["x", "h5"], ["y"]),
    ]
    shape = (1, 8, 6, 7)
    return model(nodes, constants, shape, {"y": shape})


@pytest.mark.parametrize("zero_in", [True, False])
@pytest.mark.parametrize(("hidden", "dead", "left"), [(48, 20, 32), (48, 16, 32), (48, 15, 48), (32, 32, 16)])
def test_dead_channels_are_pruned_to_whole_blocks(hidden: int, dead: int, left: int, zero_in: bool) -> None:
    chosen = np.random.default_rng(7).permutation(hidden)[:dead].tolist()
    before = bottleneck(hidden, chosen, zero_in=zero_in)
    after = changed(before, onnx_cleanup.prune_dead_channels, hidden - left)
    assert after.graph.initializers["w3"].shape == (8, left, 1, 1)
    x = normal(1, 8, 6, 7, seed=9)
    np.testing.assert_allclose(run(after, x)[0], run(before, x)[0], rtol=1e-5, atol=1e-5)


def test_a_constant_channel_before_zero_padding_is_not_dead() -> None:
    """relu(bias) > 0 with live depthwise weights differs at the border, so it must stay."""
    before = bottleneck(48, [], zero_in=False)
    set_constant(before.graph.initializers["w1"], np.zeros((48, 8, 1, 1), np.float32))
    set_constant(before.graph.initializers["b1"], np.ones(48, np.float32))
    changed(before, onnx_cleanup.prune_dead_channels, 0)


@pytest.mark.parametrize("mode", ["half_pixel", "align_corners", "asymmetric"])
def test_resize_moves_behind_a_pointwise_convolution(mode: str) -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "r"], ["h"], mode="linear", coordinate_transformation_mode=mode),
        helper.make_node("Conv", ["h", "w", "b"], ["y"]),
    ]
    constants = {"r": np.array([1, 1, 2, 2], np.float32), "w": normal(16, 32, 1, 1), "b": normal(16)}
    before = model(nodes, constants, (1, 32, 6, 5), {"y": (1, 16, 12, 10)})
    after = changed(before, onnx_cleanup.move_resize_after_pointwise, 1)
    assert ops(after) == ["Conv", "Resize"]
    x = normal(1, 32, 6, 5)
    np.testing.assert_allclose(run(after, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-5)


def test_resize_stays_before_a_spatial_convolution() -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "r"], ["h"], mode="linear"),
        helper.make_node("Conv", ["h", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    constants = {"r": np.array([1, 1, 2, 2], np.float32), "w": normal(16, 32, 3, 3)}
    before = model(nodes, constants, (1, 32, 6, 5), {"y": (1, 16, 12, 10)})
    changed(before, onnx_cleanup.move_resize_after_pointwise, 0)


def test_channel_padding_becomes_an_identity_convolution() -> None:
    pads = np.array([0, 0, 0, 0, 0, 16, 0, 0], np.int64)
    before = model([helper.make_node("Pad", ["x", "p"], ["y"])], {"p": pads}, (1, 16, 3, 4), {"y": (1, 32, 3, 4)})
    after = changed(before, onnx_cleanup.pad_channels_by_convolution, 1)
    assert ops(after) == ["Conv"]
    x = normal(1, 16, 3, 4)
    np.testing.assert_array_equal(run(after, x)[0], run(before, x)[0])


def test_spatial_padding_is_left_alone() -> None:
    pads = np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64)
    before = model([helper.make_node("Pad", ["x", "p"], ["y"])], {"p": pads}, (1, 16, 3, 4), {"y": (1, 16, 4, 5)})
    changed(before, onnx_cleanup.pad_channels_by_convolution, 0)


def test_heads_of_one_input_become_one() -> None:
    nodes = [helper.make_node("Gemm", ["x", f"w{i}", f"b{i}"], [f"y{i}"], transB=1) for i in range(3)]
    sizes = (1, 5, 9)
    constants = {f"w{i}": normal(n, 12, seed=i) for i, n in enumerate(sizes)}
    constants |= {f"b{i}": normal(n, seed=i) for i, n in enumerate(sizes)}
    before = model(nodes, constants, (1, 12), {f"y{i}": (1, n) for i, n in enumerate(sizes)})
    after = changed(before, onnx_cleanup.merge_heads, 3)
    assert ops(after) == ["Gemm", "Split"]
    x = normal(1, 12)
    for got, expected in zip(run(after, x), run(before, x), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_float16_storage_changes_no_bit() -> None:
    exact = normal(16, 32, 1, 1).astype(np.float16).astype(np.float32)
    inexact = normal(16, 16, 1, 1) * np.float32(1.0001)
    nodes = [helper.make_node("Conv", ["x", "w1"], ["h"]), helper.make_node("Conv", ["h", "w2"], ["y"])]
    before = model(nodes, {"w1": exact, "w2": inexact}, (1, 32, 3, 3), {"y": (1, 16, 3, 3)})
    after = onnx_cleanup.store_as_float16(before)
    stored = {name: value.dtype for name, value in after.graph.initializers.items()}
    assert stored == {"w1_f16": ir.DataType.FLOAT16, "w2": ir.DataType.FLOAT}
    x = normal(1, 32, 3, 3)
    np.testing.assert_array_equal(run(after, x)[0], run(before, x)[0])
