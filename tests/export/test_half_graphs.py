"""Conversion to FP16: constants keep their sign and finiteness, and every tensor is cast once at most."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx_ir", reason="needs humanrt[export]")

import onnx_ir as ir

from humanrt_export.conversion.half_graphs import _half, to_fp16
from humanrt_export.conversion.quantize.half import emulated
from humanrt_export.conversion.quantize.session import session
from humanrt_export.conversion.rewriting import add_constant, check


def test_constants_keep_sign_and_finiteness() -> None:
    tiny, largest = 2.0**-24, 65504.0
    values = {1e-9: tiny, -1e-9: -tiny, 0.0: 0.0, 1 / 3: np.float16(1 / 3), 7e4: largest, -3e38: -largest}
    exact = np.array([*values, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(_half(exact), [*values.values(), np.inf, -np.inf])
    assert np.isnan(_half(np.array([np.nan], np.float32))).all()


def test_tensors_are_cast_once_and_shared_constants_stay_exact_in_fp32() -> None:
    """FP16: body, scale, sum, again. FP32 by the recipe: both Softmax, Exp, Pow, neck and head."""
    x, y = ir.val("x", ir.DataType.FLOAT, [4, 4]), ir.val("y", ir.DataType.FLOAT, [4, 4])
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 20}, name="shared")
    weight = add_constant(graph, "w", np.eye(4, dtype=np.float32) / 3)
    factor = add_constant(graph, "factor", np.array(1 + 2**-20, np.float32))

    def node(operator: str, name: str, *inputs: ir.Value, output: ir.Value | None = None) -> ir.Value:
        graph.append(ir.node(operator, inputs, outputs=[output or ir.val(f"{name}.y")], name=name))
        return graph[-1].outputs[0]

    scaled = node("Mul", "scale", node("MatMul", "body", x, weight), factor)
    first, second = node("Softmax", "first", scaled), node("Softmax", "second", scaled)
    joined = node("Mul", "again", node("Add", "sum", node("Exp", "exp", first), second), factor)
    neck = node("MatMul", "neck", node("Pow", "pow", joined, factor), weight)
    graph.outputs.append(node("MatMul", "head", neck, weight, output=y))
    model = ir.Model(graph, ir_version=9)
    check(model)

    half, kept = to_fp16(model, {})
    check(half)
    assert set(kept) == {"first", "second", "exp", "pow", "neck", "head"}
    casts = [node.inputs[0].name for node in half.graph if node.op_type == "Cast"]
    assert sorted(casts) == ["again.y", "exp.y", "scale.y", "second.y", "x"]
    assert {name: value.dtype.name for name, value in half.graph.initializers.items()} == {
        "w": "FLOAT", "w.fp16": "FLOAT16", "factor": "FLOAT", "factor.fp16": "FLOAT16",
    }  # fmt: skip
    assert not any(node.op_type == "Cast" for node in model.graph)  # the given model is as it was
    feed = {"x": np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)}
    exact, found = (session(m).run(None, feed)[0] for m in (model, emulated(half)))
    assert 0 < np.abs(found - exact).max() < 2e-3
