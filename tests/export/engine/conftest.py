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


def linear(operator: str = "MatMul", kind: int = onnx.TensorProto.FLOAT, opset: int = 17) -> onnx.ModelProto:
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
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Bundle]:
    """Writes and loads a bundle with the graph ``toy``; ``toy(model)`` for another model."""

    def make(model: onnx.ModelProto | None = None, dtype: str = "float32", name: str = "toy") -> Bundle:
        data = (model or linear()).SerializeToString()
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.onnx").write_bytes(data)
        tensors = {"x": {"shape": [2, 64], "dtype": dtype}}, {"y": {"shape": [2, 8], "dtype": dtype}}
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
    from humanrt_export.engine.library import load

    try:
        return load("tensorrt-rtx")
    except HumanrtError as error:
        pytest.skip(str(error))
