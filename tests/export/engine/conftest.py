"""A bundle of one linear layer, and the library that builds plans, where it is installed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import HumanrtError

onnx = pytest.importorskip("onnx", reason="onnx (extra `export`) makes the toy graphs")
ir = pytest.importorskip("onnx_ir", reason="onnx-ir (extra `export`) holds the toy graphs")


def linear(operator: str = "MatMul", kind: int = onnx.TensorProto.FLOAT, opset: int = 17) -> ir.Model:
    """y = relu(x) w, x [2, 64], w [64, 8]; or another operator of the same shapes."""
    helper = onnx.helper
    weight = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="body"),
        helper.make_node(operator, ["r", "w"], ["y"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", kind, [2, 64])],
        [helper.make_tensor_value_info("y", kind, [2, 8])],
        [onnx.numpy_helper.from_array(weight.astype(helper.tensor_dtype_to_np_dtype(kind)), "w")],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8))


def attention(kind: int = onnx.TensorProto.FLOAT16, wide_softmax: bool = True, tokens: int = 17) -> ir.Model:
    """One attention of 2 heads of 32 with its projections, x and y [1, tokens, 64]; its Softmax in FP32 if wide."""
    helper, constant = onnx.helper, onnx.numpy_helper.from_array
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    noise = np.random.default_rng(0)
    weights = [
        constant(noise.normal(size=(64, 192)).astype(dtype) / 8, "w_qkv"),
        constant(noise.normal(size=(64, 64)).astype(dtype) / 8, "w_out"),
        constant(np.array(32**-0.5, dtype), "scale"),
        constant(np.array([1, tokens, 3, 2, 32]), "heads"),
        constant(np.array([1, tokens, 64]), "flat"),
        *(constant(np.array(index), f"index_{index}") for index in range(3)),
    ]
    node = helper.make_node
    middle = [
        node("Cast", ["a"], ["a_wide"], name="widen", to=onnx.TensorProto.FLOAT),
        node("Softmax", ["a_wide"], ["p_wide"], name="softmax", axis=-1),
        node("Cast", ["p_wide"], ["p"], name="narrow", to=kind),
    ]
    nodes = [
        node("MatMul", ["x", "w_qkv"], ["x_qkv"], name="qkv"),
        node("Reshape", ["x_qkv", "heads"], ["x_heads"], name="split"),
        node("Transpose", ["x_heads"], ["qkv"], name="first", perm=[2, 0, 3, 1, 4]),
        *(node("Gather", ["qkv", f"index_{index}"], [name], name=name, axis=0) for index, name in enumerate("qkv")),
        node("Mul", ["q", "scale"], ["q_scaled"], name="scaled"),
        node("Transpose", ["k"], ["k_t"], name="k_t", perm=[0, 1, 3, 2]),
        node("MatMul", ["q_scaled", "k_t"], ["a"], name="qk"),
        *(middle if wide_softmax else [node("Softmax", ["a"], ["p"], name="softmax", axis=-1)]),
        node("MatMul", ["p", "v"], ["o"], name="pv"),
        node("Transpose", ["o"], ["o_t"], name="o_t", perm=[0, 2, 1, 3]),
        node("Reshape", ["o_t", "flat"], ["o_flat"], name="join"),
        node("MatMul", ["o_flat", "w_out"], ["y"], name="out"),
    ]
    info = [helper.make_tensor_value_info(name, kind, [1, tokens, 64]) for name in "xy"]
    graph = helper.make_graph(nodes, "attention", info[:1], info[1:], weights)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def fused_operator(kind: int = onnx.TensorProto.FLOAT) -> ir.Model:
    """``Attention`` of opset 23; q, k, v and y [1, 2, 16, 32]."""
    helper = onnx.helper
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"], name="attention")
    info = [helper.make_tensor_value_info(name, kind, [1, 2, 16, 32]) for name in "qkvy"]
    graph = helper.make_graph([node], "fused", info[:3], info[3:])
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10))


def quantised(kind: int = onnx.TensorProto.FLOAT, zero: int = 0) -> ir.Model:
    """y = x w with both sides through INT8 (Q/DQ), as `linear`: x [2, 64], w [64, 8]."""
    helper, constant = onnx.helper, onnx.numpy_helper.from_array
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weight = np.random.default_rng(0).integers(-127, 128, (64, 8), np.int8)
    values = {"x_scale": np.array(0.05, dtype), "x_zero": np.array(zero, np.int8), "w_int8": weight,
              "w_scale": np.full(8, 0.01, dtype), "w_zero": np.zeros(8, np.int8)}  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x_int8"], name="x_q"),
        helper.make_node("DequantizeLinear", ["x_int8", "x_scale", "x_zero"], ["x_dq"], name="x_dq"),
        helper.make_node("DequantizeLinear", ["w_int8", "w_scale", "w_zero"], ["w_dq"], name="w_dq", axis=1),
        helper.make_node("MatMul", ["x_dq", "w_dq"], ["y"], name="product"),
    ]
    info = [helper.make_tensor_value_info(name, kind, shape) for name, shape in (("x", [2, 64]), ("y", [2, 8]))]
    graph = helper.make_graph(nodes, "q", info[:1], info[1:], [constant(value, name) for name, value in values.items()])
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9))


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Bundle]:
    """Writes and loads a bundle with the graph ``toy``; ``toy(model)`` for another model."""

    def make(model: ir.Model | None = None, dtype: str = "float32", name: str = "toy") -> Bundle:
        model = model or linear()
        data = ir.to_proto(model).SerializeToString()
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.onnx").write_bytes(data)
        tensors = [
            {value.name: {"shape": list(value.shape.numpy()), "dtype": dtype} for value in values}
            for values in (model.graph.inputs, model.graph.outputs)
        ]
        manifest = {
            "format": 1, "name": "toy", "task": "hands", "licence": "Apache-2.0",
            "graphs": {name: {"file": f"{name}.onnx", "inputs": tensors[0], "outputs": tensors[1]}},
            "files": {f"{name}.onnx": {"sha256": hashlib.sha256(data).hexdigest()}},
        }  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return load_bundle(folder)

    return make


@pytest.fixture(scope="session")
def rtx():
    """TensorRT for RTX, which builds without a GPU; tests skip where it is not installed."""
    from humanrt_export.conversion.engine.library import load

    try:
        return load("tensorrt-rtx")
    except HumanrtError as error:
        pytest.skip(str(error))
