"""A toy transformer whose activations have outliers, in a bundle; calibration keeps its results apart meanwhile."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from humanrt.bundle import Bundle, load_bundle

onnx = pytest.importorskip("onnx", reason="onnx (extra `export`) makes the toy graphs")
ir = pytest.importorskip("onnx_ir", reason="onnx-ir (extra `export`) holds the toy graphs")

WIDTH, HIDDEN, OUT, TOKENS = 32, 64, 6, 10


def transformer(seed: int = 0) -> ir.Model:
    """x [1, T, W] -> LayerNorm -> MatMul, Add, Gelu -> MatMul -> + x -> MatMul -> MatMul (the head), y [1, T, 6].

    Two channels of the LayerNorm are 60 times larger than the others.
    """
    helper, rng = onnx.helper, np.random.default_rng(seed)
    scale = np.ones(WIDTH)
    scale[[3, 17]] = 60
    first = rng.normal(0, WIDTH**-0.5, (WIDTH, HIDDEN))
    first[[3, 17]] /= 60
    weights = {
        "norm.scale": scale,
        "norm.bias": rng.normal(0, 0.1, WIDTH),
        "fc1.weight": first,
        "fc1.bias": rng.normal(0, 0.1, HIDDEN),
        "fc2.weight": rng.normal(0, HIDDEN**-0.5, (HIDDEN, WIDTH)),
        "neck.weight": rng.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)),
        "head.weight": rng.normal(0, WIDTH**-0.5, (WIDTH, OUT)),
    }
    nodes = [
        helper.make_node(
            "LayerNormalization", ["x", "norm.scale", "norm.bias"], ["n"], name="block.norm/n", epsilon=1e-6
        ),
        helper.make_node("MatMul", ["n", "fc1.weight"], ["a"], name="block.fc1/matmul"),
        helper.make_node("Add", ["a", "fc1.bias"], ["b"], name="block.fc1/add"),
        helper.make_node("Gelu", ["b"], ["g"], name="block/gelu"),
        helper.make_node("MatMul", ["g", "fc2.weight"], ["c"], name="block.fc2/matmul"),
        helper.make_node("Add", ["c", "x"], ["r"], name="block/add"),
        helper.make_node("MatMul", ["r", "neck.weight"], ["k"], name="neck/matmul"),
        helper.make_node("MatMul", ["k", "head.weight"], ["y"], name="head/matmul"),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", kind, [1, TOKENS, WIDTH])],
        [helper.make_tensor_value_info("y", kind, [1, TOKENS, OUT])],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))


def run(model: ir.Model, *inputs: np.ndarray) -> np.ndarray:
    from humanrt_export.conversion.quantize.session import session

    opened = session(model)
    names = [value.name for value in opened.get_inputs()]
    return opened.run(None, dict(zip(names, inputs, strict=True)))[0]


@pytest.fixture
def model() -> ir.Model:
    return transformer()


@pytest.fixture
def feeds() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(size=(1, TOKENS, WIDTH)).astype(np.float32)} for _ in range(24)]


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Bundle]:
    """Writes and loads a bundle with the graph ``toy``, the limits of whose verdict are ``limit``, of numbers."""

    def make(limit: float = 0.05) -> Bundle:
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        data = ir.to_proto(transformer()).SerializeToString()
        (folder / "toy.onnx").write_bytes(data)
        tensors = {
            "inputs": {"x": {"shape": [1, TOKENS, WIDTH], "dtype": "float32"}},
            "outputs": {"y": {"shape": [1, TOKENS, OUT], "dtype": "float32"}},
        }
        limits = {precision: {"y": {"mean": limit}} for precision in ("fp16", "int8")}
        manifest = {
            "format": 1, "name": "toy", "task": "hands", "licence": "Apache-2.0",
            "graphs": {"toy": {"file": "toy.onnx", **tensors}},
            "settings": {"verdict_limits": limits},
            "files": {"toy.onnx": {"sha256": hashlib.sha256(data).hexdigest()}},
        }  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return load_bundle(folder)

    return make


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where results of calibration are kept meanwhile."""
    folder = tmp_path / "kept"
    monkeypatch.setattr("humanrt_export.conversion.quantize.recipe._result_folders", lambda: (folder,))
    return folder
