"""Weights stored in 8 bits: rounded once, and then nothing is lost."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import helper, numpy_helper

from humanrt_export.conversion.onnx_cleanup import store_as_int8
from humanrt_export.conversion.quantize.session import session
from humanrt_export.conversion.rewriting import to_bytes
from humanrt_export.conversion.weights import int8_rows


def test_rows_are_rounded_by_half_a_step_at_most() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 7, 19, generator=generator) * 10 ** torch.linspace(-6, 3, 40)[:, None, None]
    weight[3] = 0
    rounded = int8_rows(weight)
    step = weight.abs().amax((1, 2), keepdim=True) / 127
    assert ((rounded - weight).abs() <= 0.501 * step).all()
    assert (rounded[3] == 0).all()
    assert torch.equal(int8_rows(rounded), rounded)


@pytest.mark.parametrize("transposed", [False, True])
def test_rounded_weights_are_stored_without_loss(transposed: bool) -> None:
    rounded = int8_rows(torch.randn(96, 64, generator=torch.Generator().manual_seed(1))).numpy()
    weight = rounded.T if transposed else rounded
    model = product(weight)
    stored = store_as_int8(model)
    assert len(to_bytes(stored)) < 0.4 * len(to_bytes(model))
    x = np.random.default_rng(0).normal(size=(5, weight.shape[0])).astype(np.float32)
    np.testing.assert_array_equal(run(stored, x), run(model, x))


def test_other_weights_stay_as_they_are() -> None:
    weight = np.random.default_rng(0).normal(size=(96, 64)).astype(np.float32)
    assert [node.op_type for node in store_as_int8(product(weight)).graph] == ["MatMul"]


def product(weight: np.ndarray) -> ir.Model:
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [5, size])
        for name, size in (("x", weight.shape[0]), ("y", weight.shape[1]))
    ]
    constant = numpy_helper.from_array(np.ascontiguousarray(weight), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"])], "g", values[:1], values[1:], [constant]
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))


def run(model: ir.Model, x: np.ndarray) -> np.ndarray:
    return session(model).run(None, {"x": x})[0]
