"""ONNX Runtime's CUDA backend: its control flow on a FAKE GPU (fake_cuda.py), and what it says where things lack."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fake_cuda
from humanrt.backends import cuda, onnxruntime_cuda, open_backend
from humanrt.backends.base import Sequential
from humanrt.backends.cuda import CudaBackend, CudaDevice
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import BackendError, MissingDependencyError
from humanrt.kernels import loader
from humanrt.kernels.loader import load_kernel

pytest.importorskip("onnx", reason="onnx (extra `export`) makes the toy graphs")
from test_backends import INPUTS, OUTPUTS, toy_graph

COMPILE = loader._compile  # as it is: the fake GPU's kernels are not compiled by nvcc
X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    files = {"double.onnx": toy_graph(2), "triple.onnx": toy_graph(3)}
    graphs = {name: {"file": f"{name}.onnx", "inputs": INPUTS, "outputs": OUTPUTS} for name in ("double", "triple")}
    return load_bundle(make_bundle(files, graphs=graphs))


@pytest.mark.parametrize("graphs", [True, False])
def test_a_chain_stays_on_the_device(gpu: Any, bundle: Bundle, graphs: bool) -> None:
    with (
        gpu("cuda", cuda_graphs=graphs) as backend,
        backend.open(bundle.graph("double")) as double,
        backend.open(bundle.graph("triple")) as triple,
        double.buffer("x") as x,
        double.buffer("y") as between,
        triple.buffer("y") as y,
        backend.stream() as other,
    ):
        np.testing.assert_array_equal(double.run({"x": X})["y"], 2 * X)
        steps = [double.bind({"x": x}, {"y": between}), triple.bind({"x": between}, {"y": y})]
        whole = backend.record(steps)
        assert isinstance(whole, Sequential)  # ONNX Runtime records its own graphs
        x.upload(X)
        whole.run()
        np.testing.assert_array_equal(y.download(), 6 * X)
        # In another stream than the session's: events hold the two together.
        pinned = backend.pinned(x.spec)
        pinned[...] = 5 * X
        x.upload_async(pinned, other)
        whole.run_async(other)
        y.download_async(pinned, other)
        other.synchronize()
        np.testing.assert_array_equal(pinned, 30 * X)
        with pytest.raises(ValueError, match="takes inputs"):
            double.run({"z": X})
        for step in steps:
            step.close()


def test_each_binding_has_a_cuda_graph_of_its_own(gpu: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA graph holds the addresses that it was recorded with: two slots must not share one."""
    given, plain = [], fake_cuda.Session.run_with_iobinding

    def run(self: Any, binding: Any, options: Any) -> None:
        given.append(options.get_run_config_entry("gpu_graph_id"))
        plain(self, binding, options)

    monkeypatch.setattr(fake_cuda.Session, "run_with_iobinding", run)
    with gpu("cuda") as backend, backend.open(bundle.graph("double")) as graph:
        buffers = [(graph.buffer("x"), graph.buffer("y")) for _ in range(2)]
        for x, y in buffers:
            x.upload(X)
            graph.bind({"x": x}, {"y": y}).run()
        for x, y in buffers:
            np.testing.assert_array_equal(y.download(), 2 * X)
            x.close()
            y.close()
    assert given == ["1", "2"]


def test_a_run_that_fails_is_one_line(gpu: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Any, binding: Any, options: Any) -> None:
        raise RuntimeError("[ONNXRuntimeError] CUDA failure 2: out of memory ; GPU=0 ;\n#0 stack")

    monkeypatch.setattr(fake_cuda.Session, "run_with_iobinding", run)
    with (
        gpu("cuda") as backend,
        backend.open(bundle.graph("double")) as graph,
        pytest.raises(BackendError, match=r"CUDA cannot run graph double with ONNX Runtime: .*out of memory.*; close"),
    ):
        graph.run({"x": X})


def test_buffers_of_the_cpu_are_refused(gpu: Any, bundle: Bundle) -> None:
    cpu = open_backend("cpu").open(bundle.graph("double"))
    with (
        gpu("cuda") as backend,
        backend.open(bundle.graph("double")) as graph,
        graph.buffer("y") as y,
        pytest.raises(BackendError, match="buffer for `x` belongs to another backend"),
    ):
        graph.bind({"x": cpu.buffer("x")}, {"y": y})


def test_another_provider_than_asked_for_is_an_error(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime warns and goes on with the CPU when a provider fails to load: the session must be refused."""
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake_cuda.make_driver())
    monkeypatch.setattr(onnxruntime_cuda, "why_not", lambda device=0: None)
    with open_backend("cuda") as backend, pytest.raises(BackendError, match=r"double\.onnx|CPUExecutionProvider"):
        backend.open(bundle.graph("double"))


def test_backends_and_buffers_say_whether_they_are_a_gpus(gpu: Any, bundle: Bundle) -> None:
    with open_backend("cpu") as cpu, cpu.open(bundle.graph("double")) as graph:
        buffer = graph.buffer("x")
        assert (cpu.device, buffer.gpu) == (None, None)
        assert buffer.host is not None
    with gpu("cuda") as backend, backend.open(bundle.graph("double")) as graph, graph.buffer("x") as buffer:
        assert backend.device is buffer.device
        assert buffer.gpu is buffer
        assert buffer.host is None


def test_what_is_left_open_is_released_at_the_end(gpu: Any, bundle: Bundle) -> None:
    """pycuda ends a program with an error where a context is left."""
    backend = gpu("cuda")
    assert isinstance(backend, CudaBackend)
    CudaDevice._leave()
    assert not fake_cuda.Context.stack
    backend.device._users = 0


# What lacks, and what to do about it


def test_without_pycuda_the_cuda_backend_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(BackendError, match=r"`cuda` cannot run here: pycuda is not installed; run: pip install"):
        open_backend("cuda")
    assert open_backend("auto").name == "cpu"
    with pytest.raises(MissingDependencyError, match="pip install pycuda"):
        CudaDevice.open()


def test_a_gpu_that_is_not_there_is_named() -> None:
    if cuda.device_count():
        pytest.skip("there is a GPU")
    assert cuda.problem() == "no NVIDIA GPU or driver is visible (check `nvidia-smi`)"


def test_without_nvcc_a_kernel_says_what_to_install(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = ModuleType("pycuda.compiler")
    monkeypatch.setitem(sys.modules, "pycuda.compiler", compiler)
    monkeypatch.setattr(loader, "_compile", COMPILE)
    with gpu("cuda") as backend:
        monkeypatch.setattr(loader.shutil, "which", lambda name: None)
        with pytest.raises(MissingDependencyError, match=r"nvcc is not on the PATH: kernel crop .*pip install nvidia"):
            load_kernel("crop", backend.device)
        monkeypatch.setattr(loader.shutil, "which", lambda name: name)

        def fails(*_: object, **__: object) -> bytes:
            raise CompileError("nvcc fatal", "k.cu(3): error: unsupported GPU architecture 'sm_999'\n1 error")

        compiler.__dict__["compile"] = fails
        with pytest.raises(BackendError, match=r"nvcc cannot compile .*crop\.cu for sm_86: .*unsupported GPU"):
            load_kernel("crop", backend.device)
        compiler.__dict__["compile"] = lambda *_, **__: b"humanrt_crop"
        assert load_kernel("crop", backend.device).name == "crop"
        compiler.__dict__["compile"] = fails  # the cubin is kept: it is not compiled again
        assert load_kernel("crop", backend.device).name == "crop"


class CompileError(Exception):
    """pycuda's CompileError."""

    def __init__(self, message: str, stderr: str) -> None:
        super().__init__(message)
        self.stderr = stderr


def test_options_reach_the_session(gpu: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []
    plain = onnxruntime_cuda.open_session

    def session(spec: Any, options: Any, providers: Any) -> Any:
        seen.append(providers[0][1])
        assert options.get_session_config_entry(onnxruntime_cuda.NO_CPU) == "1"
        return plain(spec, options, providers)

    monkeypatch.setattr(onnxruntime_cuda, "open_session", session)
    for graphs in (True, False):
        with gpu("cuda", cuda_graphs=graphs) as backend, backend.open(bundle.graph("double")):
            assert seen[-1]["user_compute_stream"] == str(backend.device.compute.handle)
            assert seen[-1]["enable_cuda_graph"] == str(int(graphs))
    assert BackendOptions().cuda_graphs
    assert (seen[0]["device_id"], seen[0]["use_tf32"]) == ("0", "0")
