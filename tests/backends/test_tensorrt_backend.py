"""The TensorRT backend's control flow, on a FAKE of pycuda and TensorRT (fake_cuda.py): it proves nothing about a GPU.

What is real here: how missing libraries are reported. tests/gpu runs the backend itself, where there is a GPU.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fake_cuda
from humanrt.backends import cuda, open_backend, tensorrt
from humanrt.backends.cuda import CudaDevice, CudaGraph
from humanrt.backends.engines import Recipe, shapes_of, this_platform, update_json
from humanrt.backends.options import BackendOptions
from humanrt.backends.pipelined import Pipelined, Slot
from humanrt.backends.tensorrt import TensorRt
from humanrt.bundle import Bundle, TensorSpec, load_bundle
from humanrt.errors import BackendError, HumanrtError, MissingDependencyError
from humanrt.verdict.engines import give

TENSORS = {"x": (2, 3), "y": (2, 3)}
X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One fake GPU; all that was made of it must be gone at the end."""
    fake_cuda.LIVE.clear()
    fake_cuda.Stream.by_handle.clear()
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake_cuda.make_driver())
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_cuda.make_tensorrt())
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    yield
    assert not fake_cuda.Context.stack
    assert not any(fake_cuda.LIVE.values()), fake_cuda.LIVE


@pytest.fixture
def bundle(make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """Graphs ``double`` and ``triple`` with engines that have passed on sm 86."""
    monkeypatch.setenv("HUMANRT_CACHE", str(tmp_path / "cache"))
    tensors = {name: {"shape": list(shape), "dtype": "float32"} for name, shape in TENSORS.items()}
    files = {f"{name}.onnx": name.encode() for name in ("double", "triple")}
    graphs = {
        name: {"file": f"{name}.onnx", "inputs": {"x": tensors["x"]}, "outputs": {"y": tensors["y"]}}
        for name in ("double", "triple")
    }
    folder = make_bundle(files, graphs=graphs)
    bundle = load_bundle(folder)
    for name, factor in (("double", 2), ("triple", 3)):
        add_engine(bundle, name, {"factor": factor, "tensors": TENSORS})
    return load_bundle(folder)


def add_engine(bundle: Bundle, name: str, plan: object, passed: bool = True, **changes: object) -> None:
    spec = bundle.graph(name)
    data = plan if isinstance(plan, bytes) else json.dumps(plan).encode()
    (bundle.path / f"{name}.plan").write_bytes(data)
    recipe = Recipe(
        graph=name, sources={f"{name}.onnx": hashlib.sha256(spec.path.read_bytes()).hexdigest()}, precision="fp16",
        library="tensorrt-rtx", version="1.7.1", sm=(86,), platform=this_platform(), cuda="13",
        shapes=shapes_of((*spec.inputs, *spec.outputs)), options={}, tool="0",
    )  # fmt: skip
    recipe = replace(recipe, **changes)  # type: ignore[arg-type]
    entry = {
        "file": f"{name}.plan", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "key": recipe.key,
        "recipe": recipe.to_json(), "verdicts": {"sm_86": {"passed": True, "key": recipe.key}} if passed else {},
    }  # fmt: skip
    update_json(bundle.path / "manifest.json", f"{name}-fp16", entry)


def test_arrays_in_arrays_out(fake: None, bundle: Bundle) -> None:
    with open_backend("tensorrt") as backend, backend.open(bundle.graph("double")) as graph:
        for factor in (1, 5):
            np.testing.assert_array_equal(graph.run({"x": factor * X})["y"], 2 * factor * X)
        with pytest.raises(ValueError, match="takes inputs"):
            graph.run({"z": X})
        with pytest.raises(ValueError, match="must be float32"):
            graph.run({"x": X[:1]})
    assert next((bundle.path.parent / "cache" / "kernels").iterdir()).read_bytes() == b"kernels"


def test_a_chain_stays_on_the_device_and_becomes_one_launch(
    fake: None, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = fake_cuda.Libcuda()
    monkeypatch.setattr(cuda, "_libcuda", lambda: library)
    with (
        TensorRt() as backend,
        backend.open(bundle.graph("double")) as double,
        backend.open(bundle.graph("triple")) as triple,
        double.buffer("x") as x,
        double.buffer("y") as between,
        triple.buffer("y") as y,
    ):
        steps = [double.bind({"x": x}, {"y": between}), triple.bind({"x": between}, {"y": y})]
        x.upload(X)
        for step in steps:
            step.run()
        np.testing.assert_array_equal(y.download(), 6 * X)
        whole = backend.record(steps)
        for factor in (1, 3):
            x.upload(factor * X)
            whole.run()
            np.testing.assert_array_equal(y.download(), 6 * factor * X)
        assert library.launches == 2
        whole.close()
        with pytest.raises(ValueError, match="closed"):
            whole.run()


@pytest.mark.parametrize("step", ["begin", "end", "instantiate"])
def test_a_graph_that_cannot_be_recorded_names_the_call(fake: None, bundle: Bundle, step: str) -> None:
    with (
        TensorRt() as backend,
        backend.open(bundle.graph("double")) as graph,
        graph.buffer("x") as x,
        graph.buffer("y") as y,
    ):
        binding = graph.bind({"x": x}, {"y": y})
        with pytest.raises(BackendError, match=r"cu\w+ failed: operation not permitted.*without CUDA graphs"):
            CudaGraph(backend.device, [binding], fake_cuda.Libcuda(step))
        fake_cuda.LIVE.pop("graph", None)


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_frames_overlap_and_come_in_order(fake: None, bundle: Bundle, slots: int) -> None:
    with TensorRt() as backend, backend.open(bundle.graph("double")) as graph:

        def slot() -> Slot:
            x, y = graph.buffer("x"), graph.buffer("y")
            return Slot({"x": x}, {"y": y}, {"network": graph.bind({"x": x}, {"y": y})})

        with Pipelined(backend, slot, slots) as frames:
            given, results = 0, []
            while len(results) < 7:
                while frames.in_flight < slots and given < 7:
                    feed = (given + 1) * X
                    frames.submit({"x": feed})
                    feed[:] = -1  # the caller may change it at once
                    given += 1
                results.append(frames.result().outputs["y"].copy())
            with pytest.raises(ValueError, match="submit one first"):
                frames.result()
        for index, result in enumerate(results):
            np.testing.assert_array_equal(result, 2 * (index + 1) * X)


def test_the_next_upload_goes_before_the_last_download(
    fake: None, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for name in ("upload_async", "download_async"):
        plain = getattr(cuda.CudaBuffer, name)
        monkeypatch.setattr(
            cuda.CudaBuffer, name, lambda self, *a, plain=plain, name=name: (order.append(name[:2]), plain(self, *a))[1]
        )
    with TensorRt() as backend, backend.open(bundle.graph("double")) as graph:

        def slot() -> Slot:
            x, y = graph.buffer("x"), graph.buffer("y")
            return Slot({"x": x}, {"y": y}, {"network": graph.bind({"x": x}, {"y": y})})

        with Pipelined(backend, slot) as frames:
            for _ in range(2):
                frames.submit({"x": X})
            with pytest.raises(ValueError, match="take a result first"):
                frames.submit({"x": X})
            frames.result()
            frames.submit({"x": X})
    assert order == ["up", "up", "do", "up", "do"]


def test_pipelined_runs_on_the_cpu_too(make_bundle: Callable[..., Path]) -> None:
    pytest.importorskip("onnx")
    from test_backends import INPUTS, OUTPUTS, toy_graph

    folder = make_bundle(
        {"a.onnx": toy_graph(2)}, graphs={"a": {"file": "a.onnx", "inputs": INPUTS, "outputs": OUTPUTS}}
    )
    with open_backend("cpu") as backend, backend.open(load_bundle(folder).graph("a")) as graph:

        def slot() -> Slot:
            x, y = graph.buffer("x"), graph.buffer("y")
            return Slot({"x": x}, {"y": y}, {"network": backend.record([graph.bind({"x": x}, {"y": y})])})

        with Pipelined(backend, slot) as frames:
            frames.submit({"x": X})
            frames.submit({"x": 3 * X})
            np.testing.assert_array_equal(frames.result().outputs["y"], 2 * X)
            np.testing.assert_array_equal(frames.result().outputs["y"], 6 * X)


def test_errors_name_the_call_and_what_to_do(fake: None, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with TensorRt() as backend, backend.open(bundle.graph("double")) as graph:
        monkeypatch.setattr(fake_cuda.Memory, "limit", 8)
        with pytest.raises(
            BackendError, match=r"allocate .* `x`: cuMemAlloc failed: out of memory; close other programs"
        ):
            graph.buffer("x")
    with pytest.raises(BackendError, match="GPU 1 does not exist; this machine has 1"):
        open_backend("tensorrt", BackendOptions(device=1))
    monkeypatch.setattr(cuda, "device_count", lambda: 2)
    with pytest.raises(BackendError, match=r"use GPU 1: cuDeviceGet failed: invalid device ordinal; there is no GPU"):
        open_backend("tensorrt", BackendOptions(device=1))


def test_engines_that_may_not_run_are_refused(fake: None, bundle: Bundle) -> None:
    good = {"factor": 2, "tensors": TENSORS}
    with TensorRt() as backend:

        def refuse(match: str) -> None:
            with pytest.raises(BackendError, match=match):
                backend.open(bundle.graph("double"))

        add_engine(bundle, "double", good, sm=(89,))
        refuse("built for sm 89, this GPU is sm 86")
        add_engine(bundle, "double", good, version="1.6")
        refuse("built by tensorrt-rtx 1.6, installed is 1.7.1")
        add_engine(bundle, "double", good, platform="linux-aarch64")
        refuse("built for linux-aarch64, this is")
        add_engine(bundle, "double", good, library="tensorrt", version="10.14")
        refuse("needs tensorrt 10.14, which is not installed")
        add_engine(bundle, "double", good, sources={"double.onnx": "0" * 64})
        refuse("built from another double.onnx than the bundle's")
        add_engine(bundle, "double", good)
        manifest = bundle.path / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"cuda": "13"', '"cuda": "12"'))
        refuse(r"its key is not that of its recipe \(.*was edited\)")
        add_engine(bundle, "double", good, passed=False)
        refuse("no verdict on sm 86")
        add_engine(bundle, "double", b"not a plan")
        refuse(r"TensorRT cannot open engine .*double\.plan: Serialization assertion failed: magic; build it")
        add_engine(bundle, "double", {"factor": 2, "tensors": {**TENSORS, "y": (2, 4)}})
        refuse("the manifest says")
        add_engine(bundle, "double", good)
        (bundle.path / "double.plan").write_bytes(json.dumps(good).encode() + b" ")
        refuse("is damaged")
        (bundle.path / "double.plan").unlink()
        refuse("No such file")
        add_engine(bundle, "double", {**good, "fails": True})
        with backend.open(bundle.graph("double")) as graph, pytest.raises(BackendError, match="execute_async_v3"):
            graph.run({"x": X})
    for names in ("double", "triple"):
        assert (bundle.path / f"{names}.onnx").is_file()


def test_a_gpu_is_shared_and_released_by_its_last_user(fake: None) -> None:
    first, second = TensorRt(), TensorRt()
    assert first.device is second.device
    first.close()
    first.close()
    assert fake_cuda.LIVE["context"] == 1
    with second.device.active():
        assert len(fake_cuda.Context.stack) == 2
    second.close()
    assert not CudaDevice._open


def test_the_verdict_is_written_and_counts(
    fake: None, make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    from test_backends import INPUTS, OUTPUTS, toy_graph

    monkeypatch.setenv("HUMANRT_CACHE", str(tmp_path / "cache"))
    graphs = {"double": {"file": "double.onnx", "inputs": INPUTS, "outputs": OUTPUTS}}
    folder = make_bundle({"double.onnx": toy_graph(2)}, graphs=graphs)
    for factor, passed in ((2.0001, True), (2.5, False), (float("nan"), False)):
        add_engine(load_bundle(folder), "double", {"factor": factor, "tensors": TENSORS}, passed=False)
        verdict = give(load_bundle(folder))["double-fp16"]
        assert verdict["passed"] is passed, verdict
        assert verdict["feeds"] == "synthetic"
        with TensorRt() as backend:
            if passed:
                backend.open(load_bundle(folder).graph("double")).close()
            else:
                with pytest.raises(BackendError, match="failed its verdict on sm 86: y"):
                    backend.open(load_bundle(folder).graph("double"))


def test_memory_of_other_backends_is_refused(fake: None, bundle: Bundle) -> None:
    with TensorRt() as backend, backend.open(bundle.graph("double")) as graph:
        from humanrt.backends.base import Stream

        spec = TensorSpec("x", (2, 3), "float32")
        with graph.buffer("x") as x:
            with pytest.raises(BackendError, match="needs one of its streams"):
                x.upload_async(X, Stream())
            with pytest.raises(ValueError, match="contiguous"):
                x.download(np.empty((3, 2), np.float32))
        with pytest.raises(ValueError, match="closed"):
            _ = x.address
        assert backend.pinned(spec).shape == (2, 3)


# Real from here on: what this machine has and lacks.


def test_without_a_gpu_it_says_so() -> None:
    if tensorrt.problem() is None:
        pytest.skip("TensorRT works here")
    with pytest.raises(BackendError, match="backend `tensorrt` cannot run here: "):
        open_backend("tensorrt")


def test_without_pycuda_or_tensorrt_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "problem", lambda device: None)
    found = [name for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings") if importlib.util.find_spec(name)]
    if not found:
        assert "TensorRT is not installed; run: pip install 'humanrt[engine]'" in str(tensorrt.problem())
    if importlib.util.find_spec("pycuda") is None:
        with pytest.raises(MissingDependencyError, match=r"pycuda is not installed; run: pip install pycuda"):
            cuda.driver()


def test_a_half_installed_pycuda_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pycuda").mkdir()
    (tmp_path / "pycuda" / "__init__.py").write_text("")
    (tmp_path / "pycuda" / "driver.py").write_text("raise ImportError('libcuda.so.1: cannot open shared object file')")
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "pycuda"}
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(BackendError, match=r"pycuda cannot be loaded \(libcuda\.so\.1.*no NVIDIA driver") as error:
            cuda.driver()
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "pycuda"]:
            del sys.modules[name]
        sys.modules.update(kept)
    assert isinstance(error.value, HumanrtError)
