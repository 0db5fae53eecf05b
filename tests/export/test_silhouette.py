"""The silhouette's branch: rewrites that keep its function, and storage as what it adds to another graph."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import helper
from test_onnx_cleanup import changed, model, run

from humanrt_export.conversion.onnx_cleanup import clip_after_convolution
from humanrt_export.conversion.rewriting import extension, to_bytes
from humanrt_export.conversion.silhouette import split_last_convolution, widen_channels

X = np.random.default_rng(5).normal(size=(1, 16, 8, 8)).astype(np.float32)


def branch(outputs: dict[str, tuple[int, ...]]) -> ir.Model:
    """A trunk of 16 channels, and a branch of 8 that ends in one: pointwise, depthwise, a sum that is clipped, 3x3."""
    rng = np.random.default_rng(0)
    shapes = {
        **{"w_trunk": (16, 16, 1, 1), "b_trunk": (16,), "w_in": (8, 16, 1, 1), "b_in": (8,)},
        **{
            "w_deep": (8, 1, 3, 3),
            "b_deep": (8,),
            "w_mix": (8, 8, 1, 1),
            "b_mix": (8,),
            "w_out": (1, 8, 3, 3),
            "b_out": (1,),
        },
    }
    constants: dict[str, NDArray[np.float32]] = {k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()}
    constants |= {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    three = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w_trunk", "b_trunk"], ["trunk"], name="trunk"),
        helper.make_node("Conv", ["trunk", "w_in", "b_in"], ["narrow"], name="narrow"),
        helper.make_node("Conv", ["narrow", "w_deep", "b_deep"], ["deep"], name="deep", group=8, **three),
        helper.make_node("Conv", ["deep", "w_mix", "b_mix"], ["mixed"], name="mixed"),
        helper.make_node("Add", ["narrow", "mixed"], ["sum"], name="sum"),
        helper.make_node("Clip", ["sum", "low", "high"], ["clipped"], name="clipped"),
        helper.make_node("Conv", ["clipped", "w_out", "b_out"], ["mask"], name="mask", **three),
    ]
    needed = {name for node in (nodes if "mask" in outputs else nodes[:1]) for name in node.input}
    return model(
        nodes if "mask" in outputs else nodes[:1],
        {name: value for name, value in constants.items() if name in needed},
        X.shape,
        outputs,
    )


def test_a_clipped_sum_goes_through_a_convolution_and_stays_the_same() -> None:
    before = branch({"mask": (1, 1, 8, 8)})
    after = changed(before, clip_after_convolution, 1)
    np.testing.assert_array_equal(run(after, X)[0], run(before, X)[0])
    assert [node.op_type for node in after.graph][-4:] == ["Add", "Conv", "Clip", "Conv"]


def test_filled_channels_and_the_split_convolution_leave_the_function() -> None:
    before = branch({"mask": (1, 1, 8, 8)})
    clip_after_convolution(before)
    after = changed(before, lambda graph: widen_channels(graph, 8), 5)
    split_last_convolution(after, "mask")
    widths = {node.outputs[0].name: node.inputs[1].shape for node in after.graph if node.op_type == "Conv"}
    assert widths["narrow"] == (16, 16, 1, 1)
    assert widths["deep"] == (16, 1, 3, 3)
    assert widths["mixed"] == (16, 16, 1, 1)
    assert widths["mask"] == (1, 16, 1, 1)
    np.testing.assert_allclose(run(after, X)[0], run(before, X)[0], rtol=1e-4, atol=1e-4)


def test_an_extension_makes_its_base_whole() -> None:
    base, whole = branch({"trunk": (1, 16, 8, 8)}), branch({"trunk": (1, 16, 8, 8), "mask": (1, 1, 8, 8)})
    added = extension(whole, base)
    assert len(added) < len(to_bytes(whole)) - 16 * 16 * 4  # the trunk's weights are not in it
    joined = ir.from_proto(onnx.load_model_from_string(to_bytes(base) + added))
    for got, expected in zip(run(joined, X), run(whole, X), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_an_extension_of_another_graph_is_refused() -> None:
    base, whole = branch({"trunk": (1, 16, 8, 8)}), branch({"trunk": (1, 16, 8, 8), "mask": (1, 1, 8, 8)})
    base.graph.initializers["b_trunk"].const_value = ir.tensor(np.ones(16, np.float32))
    with pytest.raises(ValueError, match="every initializer"):
        extension(whole, base)
