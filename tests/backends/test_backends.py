"""Backends: the same small interface, and never another backend than the one asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from humanrt.backends import BACKENDS, open_backend
from humanrt.backends import cuda as gpu
from humanrt.backends import onnxruntime_cuda as cuda
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.packed import pack
from humanrt.errors import BackendError

onnx = pytest.importorskip("onnx", reason="onnx (extra `export`) makes the toy graphs")

INPUTS = {"x": {"shape": [2, 3], "dtype": "float32"}}
OUTPUTS = {"y": {"shape": [2, 3], "dtype": "float32"}}


def toy_graph(factor: float) -> bytes:
    """y = factor * x, as an ONNX file."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "toy",
        [helper.make_tensor_value_info("x", kind, [2, 3])],
        [helper.make_tensor_value_info("y", kind, [2, 3])],
        [helper.make_tensor("factor", kind, [], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    files = {"double.onnx": toy_graph(2), "triple.onnx": toy_graph(3), "text.onnx": b"not a graph"}
    graphs = {
        name: {"file": f"{name}.onnx", "inputs": INPUTS, "outputs": OUTPUTS} for name in ("double", "triple", "text")
    }
    wrong = {"x": {"shape": [2, 4], "dtype": "float32"}}
    graphs["wrong"] = {"file": "double.onnx", "inputs": wrong, "outputs": OUTPUTS}
    return load_bundle(make_bundle(files, graphs=graphs))


def test_arrays_in_arrays_out(bundle: Bundle) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    with open_backend("cpu") as backend, backend.open(bundle.graph("double")) as graph:
        np.testing.assert_array_equal(graph.run({"x": x})["y"], 2 * x)
        np.testing.assert_array_equal(graph.run({"x": np.asfortranarray(x)})["y"], 2 * x)


def test_a_packed_graph_is_the_same_graph(bundle: Bundle, make_bundle: Callable[..., Path]) -> None:
    entry = {"file": "double.onnx.z", "inputs": INPUTS, "outputs": OUTPUTS}
    other = load_bundle(make_bundle({"double.onnx.z": pack(toy_graph(2))}, "packed", graphs={"double": entry}))
    assert other.graph("double").source == bundle.graph("double").path.read_bytes()
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    with open_backend("cpu") as backend:
        plain, packed = (backend.open(one.graph("double")).run({"x": x})["y"] for one in (bundle, other))
    np.testing.assert_array_equal(plain, packed)


def test_bound_graphs_pass_a_buffer_on(bundle: Bundle) -> None:
    with open_backend("cpu") as backend:
        double, triple = backend.open(bundle.graph("double")), backend.open(bundle.graph("triple"))
        x, between, y = double.buffer("x"), double.buffer("y"), triple.buffer("y")
        first, second = double.bind({"x": x}, {"y": between}), triple.bind({"x": between}, {"y": y})
        for scale in (1, 5):
            value = scale * np.ones((2, 3), np.float32)
            x.upload(value)
            first.run()
            second.run()
            np.testing.assert_array_equal(y.download(), 6 * value)


def test_wrong_feeds_are_refused(bundle: Bundle) -> None:
    graph = open_backend("cpu").open(bundle.graph("double"))
    with pytest.raises(ValueError, match=r"must be float32 \[2, 3\], not float64"):
        graph.run({"x": np.zeros((2, 3))})
    with pytest.raises(ValueError, match=r"takes inputs \['x'\]"):
        graph.run({"z": np.zeros((2, 3), np.float32)})
    with pytest.raises(ValueError, match="has outputs"):
        graph.bind({"x": graph.buffer("x")}, {})
    with pytest.raises(KeyError, match="it has: x, y"):
        graph.buffer("z")
    with pytest.raises(ValueError, match="must be float32"):
        graph.buffer("x").upload(np.zeros(3, np.float32))


def test_a_graph_that_is_not_the_manifests_is_refused(bundle: Bundle) -> None:
    backend = open_backend("cpu")
    with pytest.raises(BackendError, match=r"text\.onnx"):
        backend.open(bundle.graph("text"))
    with pytest.raises(BackendError, match="the manifest says"):
        backend.open(bundle.graph("wrong"))


def test_unknown_backend_lists_the_names() -> None:
    with pytest.raises(BackendError, match="auto, cpu, cuda, tensorrt"):
        open_backend("cuad")
    assert set(BACKENDS) == {"cpu", "cuda", "tensorrt"}


def test_cuda_asked_for_and_absent_is_an_error_never_the_cpu() -> None:
    if cuda.why_not() is None:
        pytest.skip("CUDA works here")
    with pytest.raises(BackendError, match="backend `cuda` cannot run here: "):
        open_backend("cuda")
    assert open_backend("auto").name == "cpu"


def test_cuda_with_a_gpu_but_the_cpu_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "problem", lambda device: None)
    monkeypatch.setattr(cuda.onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match="pip install onnxruntime-gpu"):
        open_backend("cuda")


def test_cuda_that_does_not_start_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU package without CUDA's libraries lists its provider all the same: `auto` must see that it fails."""
    if cuda.why_not() is None:
        pytest.skip("CUDA works here")
    monkeypatch.setattr(gpu, "problem", lambda device: None)
    monkeypatch.setattr(cuda.onnxruntime, "get_available_providers", lambda: [cuda.PROVIDER, "CPUExecutionProvider"])
    assert "does not start" in (cuda.why_not() or "")
    assert open_backend("auto").name == "cpu"
    with pytest.raises(BackendError, match="does not start"):
        open_backend("cuda")


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(bundle: Bundle) -> None:
    if reason := cuda.why_not():
        pytest.skip(reason)
    x = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    with open_backend("cuda") as backend, backend.open(bundle.graph("double")) as graph:
        np.testing.assert_allclose(graph.run({"x": x})["y"], 2 * x, rtol=1e-6)
        source, target = graph.buffer("x"), graph.buffer("y")
        source.upload(x)
        graph.bind({"x": source}, {"y": target}).run()
        np.testing.assert_allclose(target.download(), 2 * x, rtol=1e-6)
