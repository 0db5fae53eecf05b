"""TensorRT and TensorRT for RTX, with pycuda's buffers and streams. If they cannot run, the error says why.

Graphs run from plans that `humanrt-export engine` built (`humanrt.backends.engines`): this backend builds nothing and
never falls back to another. A frame stays on the device: an output's buffer may be another graph's input, and bindings
that always follow each other become one CUDA graph (`record`).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from humanrt.backends import cuda
from humanrt.backends.cuda import CudaBackend, CudaBinding, CudaBuffer, CudaDevice, CudaNetwork, CudaStream, cuda_call
from humanrt.backends.engines import Engine, engines_of, read_plan, select, why_not
from humanrt.backends.options import BackendOptions
from humanrt.bundle import GraphSpec, cache_folder
from humanrt.errors import BackendError, HumanrtError, MissingDependencyError
from humanrt.files import write_atomically

__all__ = ["INSTALL", "TensorRt", "TensorRtGraph", "installed_libraries", "problem"]

INSTALL = (
    "pip install 'humanrt[engine]' for RTX GPUs (20 series and newer), or pip install 'humanrt[tensorrt]' for others"
)
_MODULES = {"tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"), "tensorrt": ("tensorrt",)}


def installed_libraries() -> dict[str, Any]:
    """Return {``tensorrt-rtx`` or ``tensorrt``: module} of the libraries that load.

    Raises:
        MissingDependencyError: none is installed.
        BackendError: one is installed but cannot be loaded.
    """
    modules: dict[str, Any] = {}
    for library, names in _MODULES.items():
        for name in names:
            try:
                module = importlib.import_module(name)
            except ModuleNotFoundError:
                continue
            except (ImportError, OSError, RuntimeError) as error:
                first = str(error).strip().splitlines()[0]
                raise BackendError(f"{library} is installed but cannot be loaded ({first}); run: {INSTALL}") from error
            if hasattr(module, "Runtime"):
                modules.setdefault(library, module)
    if not modules:
        raise MissingDependencyError(f"TensorRT is not installed; run: {INSTALL}")
    return modules


def problem(device: int = 0) -> str | None:
    """Return why TensorRT cannot run here and how to fix it; None if it can (engines are checked when opened)."""
    if reason := cuda.problem(device):
        return reason
    try:
        installed_libraries()
    except HumanrtError as error:
        return str(error)
    return None


class TensorRt(CudaBackend):
    """Runs engines on one NVIDIA GPU. A context manager, which releases the GPU; close graphs and buffers first."""

    name = "tensorrt"

    def __init__(self, options: BackendOptions | None = None) -> None:
        self.options = options or BackendOptions()
        self.unverified = self.options.unverified
        if reason := problem(self.options.device):
            raise BackendError(f"backend `tensorrt` cannot run here: {reason}")
        self.libraries = installed_libraries()
        self.versions = {name: str(module.__version__) for name, module in self.libraries.items()}
        super().__init__(self.options.device, self.options.cuda_graphs)

    @property
    def sm(self) -> int:
        """Compute capability of the GPU, such as 86."""
        return self.device.sm

    def about(self) -> dict[str, Any]:
        """Return the hardware and versions to record with a verdict or a benchmark."""
        version = ".".join(map(str, self.device.drv.get_version()))
        return {
            "gpu": self.device.name, "sm": self.sm, "libraries": self.versions, "cuda": version,
            "driver": int(self.device.drv.get_driver_version()), "python": sys.version.split()[0],
        }  # fmt: skip

    def engines(self, spec: GraphSpec) -> list[Engine]:
        """Return all engines listed for a graph, runnable or not."""
        return engines_of(spec, [self.options.engines] if self.options.engines else [])

    def why_not(self, spec: GraphSpec, engine: Engine) -> str | None:
        """Return why an engine cannot run here, verdicts aside; None if it can."""
        return why_not(spec, engine, self.versions, self.sm, unverified=True)

    def open(self, spec: GraphSpec) -> TensorRtGraph:
        if spec.operators:
            raise BackendError(f"graph {spec.name} has operators for the CPU; use --backend cpu")
        engine = select(
            spec,
            self.engines(spec),
            versions=self.versions,
            sm=self.sm,
            precision=self.options.precision,
            unverified=self.options.unverified,
        )
        return self.open_engine(spec, engine)

    def open_engine(self, spec: GraphSpec, engine: Engine) -> TensorRtGraph:
        """Open this engine for the graph. BackendError if its bytes are not those built or TensorRT refuses them."""
        return TensorRtGraph(spec, engine, self.libraries[engine.recipe.library], read_plan(engine), self.device)


class TensorRtGraph(CudaNetwork):
    """A deserialised engine.

    Args:
        spec: the graph as declared in the manifest.
        engine: the engine's checked entry.
        trt: the module of the library.
        data: the plan.
        device: the GPU to run on.
    """

    def __init__(self, spec: GraphSpec, engine: Engine, trt: Any, data: bytes, device: CudaDevice) -> None:
        self.spec = spec
        self.engine = engine
        self.device = device
        self._logger, messages = _logger(trt)
        self._runtime = trt.Runtime(self._logger)
        self._engine: Any = self._runtime.deserialize_cuda_engine(data) if self._runtime is not None else None
        if self._engine is None:
            reason = " ".join(messages[0].split())[:300] if messages else "it gave no reason"
            raise BackendError(f"TensorRT cannot open engine {engine.path}: {reason}; build it on this machine")
        self.messages = messages
        self._check(trt)
        self._config, self._cache = self._runtime_config(engine)

    def _check(self, trt: Any) -> None:
        actual = {}
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            kind = "input" if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else "output"
            dtype = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name))).name
            actual[name] = (kind, tuple(self._engine.get_tensor_shape(name)), dtype)
        declared = {
            tensor.name: (kind, tensor.shape, tensor.dtype)
            for kind, tensors in (("input", self.spec.inputs), ("output", self.spec.outputs))
            for tensor in tensors
        }
        if actual != declared:
            raise BackendError(
                f"engine {self.engine.path} has {actual}, but the manifest says {declared}; build it again"
            )

    def _runtime_config(self, engine: Engine) -> tuple[Any, Any]:
        """Return the configuration and kernel cache of TensorRT for RTX, which compiles kernels on a plan's first run.

        The cache keeps them for the next start.
        """
        if engine.recipe.library != "tensorrt-rtx":
            return None, None
        config = self._engine.create_runtime_config()
        cache = config.create_runtime_cache()
        file = self._cache_file()
        if file.is_file():
            cache.deserialize(file.read_bytes())  # a cache of another driver is ignored
        config.set_runtime_cache(cache)
        return config, cache

    def _cache_file(self) -> Path:
        return cache_folder() / "kernels" / f"{self.engine.key[:24]}-sm{self.device.sm}.cache"

    def context(self) -> Any:
        """Create an execution context with its own scratch memory and tensor addresses."""
        with cuda_call(f"make room for graph {self.spec.name}"):
            context = (
                self._engine.create_execution_context(self._config)
                if self._config is not None
                else self._engine.create_execution_context()
            )
        if context is None:
            reason = self.messages[-1] if self.messages else "it gave no reason"
            raise BackendError(
                f"TensorRT cannot prepare graph {self.spec.name}: {' '.join(reason.split())[:300]}; "
                "the GPU's memory may be full (`nvidia-smi`)"
            )
        return context

    def _bound(self, inputs: Mapping[str, CudaBuffer], outputs: Mapping[str, CudaBuffer]) -> TensorRtBinding:
        return TensorRtBinding(self, {**inputs, **outputs}, tuple(outputs.values()))

    def close(self) -> None:
        if self._engine is None:
            return
        super().close()
        if self._cache is not None:
            data = bytes(memoryview(self._cache.serialize()))
            if data:
                write_atomically(self._cache_file(), data)
        # The contexts of bindings keep the engine alive until they are freed themselves.
        self._config = self._cache = self._engine = self._runtime = None


class TensorRtBinding(CudaBinding):
    """An execution context permanently bound to buffers."""

    def __init__(
        self, graph: TensorRtGraph, buffers: Mapping[str, CudaBuffer], written: tuple[CudaBuffer, ...]
    ) -> None:
        self.device = graph.device
        self.written = written
        self._name = graph.spec.name
        self._messages = graph.messages
        self._buffers = dict(buffers)  # the context points into them, so they must live as long as it
        self._context: Any = graph.context()
        for name, buffer in self._buffers.items():
            if not self._context.set_tensor_address(name, buffer.address):
                raise BackendError(f"TensorRT rejects the buffer of `{name}` in graph {self._name}: {self._last()}")

    def launch(self, stream: CudaStream) -> None:
        with cuda_call(f"run graph {self._name}"):
            given = self._context.execute_async_v3(stream.handle)
        if not given:
            raise BackendError(f"TensorRT cannot run graph {self._name} (execute_async_v3): {self._last()}")

    def close(self) -> None:
        self._context = None  # this also frees its scratch memory

    def _last(self) -> str:
        return " ".join(self._messages[-1].split())[:300] if self._messages else "it gave no reason"


def _logger(trt: Any) -> tuple[Any, list[str]]:
    """Return a logger for the library, and the list that collects its errors."""
    messages: list[str] = []
    errors = (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)

    class Collector(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in errors:
                messages.append(message)

    return Collector(), messages
