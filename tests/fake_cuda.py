"""A FAKE of the few calls of pycuda, TensorRT, ONNX Runtime and libcuda that the backends make: a GPU without a GPU.

Its memory is the host's. Networks are `y = factor * x`, or graphs that ONNX Runtime runs on the CPU; kernels are their
own sources compiled for the CPU. It shows the control flow, and nothing of a GPU's numbers or times. What it is strict
about is order: a stream does nothing until somebody waits for it, and then only what that needs. Work that lacks an
event, or a host array that is changed too early, so gives wrong numbers here where a real GPU might by luck give right
ones.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from time import perf_counter
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np

LIVE: dict[str, int] = {}
"""How many of each resource are alive."""

KERNELS: list[Callable[[str], Any]] = []
"""Of a kernel's name its ``run`` of on_cpu.cpp: the fixture puts it here."""


class FakeError(Exception):
    """pycuda.driver.Error"""


class Event:
    def __init__(self, flags: int = 0) -> None:
        self.stream: Stream | None = None
        self.passed = True

    def record(self, stream: Stream) -> None:
        self.stream, self.passed = stream, False
        stream.give(self._pass)

    def _pass(self) -> None:
        self.passed, self.at = True, perf_counter()

    def time_since(self, earlier: Event) -> float:
        if not (self.passed and earlier.passed):
            raise FakeError("cuEventElapsedTime failed: device not ready")
        return (self.at - earlier.at) * 1e3

    def synchronize(self) -> None:
        while not self.passed:
            assert self.stream is not None
            self.stream.step()


class Stream:
    by_handle: ClassVar[dict[int, Stream]] = {}

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None
        self.handle = 1000 + len(self.by_handle)
        self.by_handle[self.handle] = self

    def give(self, work: Callable[[], None]) -> None:
        (self.work if self.recording is None else self.recording).append(work)

    def wait_for_event(self, event: Event) -> None:
        self.give(event.synchronize)

    def step(self) -> None:
        self.work.pop(0)()

    def synchronize(self) -> None:
        while self.work:
            self.step()


class Memory:
    pool: ClassVar[dict[int, np.ndarray]] = {}
    limit = 1 << 20

    def __init__(self, size: int) -> None:
        if size > self.limit:
            raise FakeError("cuMemAlloc failed: out of memory")
        memory = np.full(size, 255, np.uint8)  # NaN as floats
        self.address = memory.ctypes.data
        self.pool[self.address] = memory
        LIVE["memory"] = LIVE.get("memory", 0) + 1

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        del self.pool[self.address]
        LIVE["memory"] -= 1


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


class Function:
    """A kernel, compiled for the CPU; of these, all but the last few arguments are its own."""

    def __init__(self, name: str) -> None:
        self.name = name.removeprefix("humanrt_")
        self.run = KERNELS[0](self.name)

    def prepare(self, arguments: str) -> None:
        self.arguments = arguments

    def set_attribute(self, attribute: str, value: int) -> None: ...

    def prepared_async_call(
        self, grid: tuple[int, int], block: tuple[int, int, int], stream: Stream, *given: Any, shared_size: int = 0
    ) -> None:
        kinds = {"P": ctypes.c_void_p, "i": ctypes.c_int, "f": ctypes.c_float, "d": ctypes.c_double}
        assert len(given) == len(self.arguments)
        own = [kinds[kind](value) for kind, value in zip(self.arguments, given, strict=True)]
        rest = {
            "one_euro": (block[0], grid[0]),
            "pick": (block[0], grid[0]),
            "retarget": (grid[0], shared_size, block[0], 0),
        }.get(self.name, grid)
        stream.give(lambda: self.run(*own, *rest))


class Context:
    stack: ClassVar[list[Context]] = []

    def push(self) -> None:
        self.stack.append(self)

    @classmethod
    def pop(cls) -> None:
        cls.stack.pop()

    def detach(self) -> None:
        LIVE["context"] -= 1


class Device:
    def __init__(self, ordinal: int) -> None:
        if ordinal > 0:
            raise FakeError("cuDeviceGet failed: invalid device ordinal")

    def name(self) -> str:
        return "Fake GPU"

    def compute_capability(self) -> tuple[int, int]:
        return 8, 6

    def retain_primary_context(self) -> Context:
        LIVE["context"] = LIVE.get("context", 0) + 1
        return Context()


def make_driver() -> ModuleType:
    """The module pycuda.driver."""
    module = ModuleType("pycuda.driver")

    def htod(address: int, array: np.ndarray) -> None:
        Memory.pool[address][:] = _bytes(array)

    def dtoh(out: np.ndarray, address: int) -> None:
        _bytes(out)[:] = Memory.pool[address]

    for name, value in {
        "function_attribute": SimpleNamespace(MAX_DYNAMIC_SHARED_SIZE_BYTES=8),
        "module_from_buffer": lambda data: SimpleNamespace(get_function=Function),
        "Error": FakeError, "Device": Device, "Context": Context, "Stream": Stream, "Event": Event,
        "init": lambda: None, "mem_alloc": Memory,
        "memcpy_htod": htod, "memcpy_dtoh": dtoh, "pagelocked_zeros": np.zeros,
        "memcpy_htod_async": lambda to, array, stream: stream.give(lambda: htod(to, array)),
        "memcpy_dtoh_async": lambda out, address, stream: stream.give(lambda: dtoh(out, address)),
        "mem_get_info": lambda: (1, 2), "get_version": lambda: (13, 0, 0), "get_driver_version": lambda: 13000,
    }.items():  # fmt: skip
        setattr(module, name, value)
    return module


GRAPHS: dict[str, Any] = {}
"""Graphs of the CPU's backend, by the name that a plan gives them."""


def run_at(graph: Any, addresses: dict[str, int]) -> None:
    """A graph on inputs and outputs in the fake GPU's memory."""

    def at(tensor: Any) -> np.ndarray:
        return Memory.pool[addresses[tensor.name]].view(tensor.dtype).reshape(tensor.shape)

    for name, value in graph.run({tensor.name: at(tensor).copy() for tensor in graph.spec.inputs}).items():
        at(graph.tensor(name))[...] = value


class Session:
    """An ONNX Runtime session of the CUDA provider: a graph of the CPU's backend in a fake stream."""

    def __init__(self, graph: Any, options: dict[str, str]) -> None:
        self.graph, self.stream = graph, Stream.by_handle[int(options["user_compute_stream"])]

    def io_binding(self) -> SimpleNamespace:
        addresses: dict[str, int] = {}

        def bind(name: str, device: str, ordinal: int, kind: type, shape: list[int], address: int) -> None:
            tensor = self.graph.tensor(name)
            assert (device, ordinal, np.dtype(kind), tuple(shape)) == ("cuda", 0, tensor.dtype, tensor.shape)
            addresses[name] = address

        return SimpleNamespace(bind_input=bind, bind_output=bind, addresses=addresses)

    def run_with_iobinding(self, binding: SimpleNamespace, options: Any) -> None:
        assert options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        self.stream.give(lambda: run_at(self.graph, binding.addresses))


class Execution:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan, self.addresses = plan, {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return name in self.plan.get("tensors", (name,))

    def execute_async_v3(self, handle: int) -> bool:
        def graph() -> None:
            run_at(GRAPHS[self.plan["graph"]], self.addresses)

        def work() -> None:
            x, y = (Memory.pool[self.addresses[name]].view(np.float32) for name in "xy")
            y[:] = self.plan["factor"] * x

        Stream.by_handle[handle].give(graph if "graph" in self.plan else work)
        return not self.plan.get("fails")


class Engine:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        if "graph" in plan:
            spec = GRAPHS[plan["graph"]].spec
            self.kinds = {t.name: ("in" if t in spec.inputs else "out", t.dtype) for t in (*spec.inputs, *spec.outputs)}
            plan = {**plan, "tensors": {t.name: t.shape for t in (*spec.inputs, *spec.outputs)}}
            self.plan = plan
        else:
            self.kinds = {name: ("in" if name == "x" else "out", "float32") for name in plan["tensors"]}
        self.names = list(plan["tensors"])
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> str:
        return self.kinds[name][0]

    def get_tensor_dtype(self, name: str) -> str:
        return self.kinds[name][1]

    def get_tensor_shape(self, name: str) -> list[int]:
        return list(self.plan["tensors"][name])

    def create_execution_context(self, config: object = None) -> Execution:
        return Execution(self.plan)

    def create_runtime_config(self) -> SimpleNamespace:
        cache = SimpleNamespace(serialize=lambda: b"kernels", deserialize=lambda data: True)
        return SimpleNamespace(create_runtime_cache=lambda: cache, set_runtime_cache=lambda given: given is cache)


def make_tensorrt() -> ModuleType:
    """The module tensorrt_rtx; a plan is JSON."""
    module = ModuleType("tensorrt_rtx")

    class Logger:
        Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=2)

        def __init__(self) -> None: ...

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
            try:
                return Engine(json.loads(data))
            except ValueError:
                self.logger.log(1, "Serialization assertion failed:\n magic")
                return None

    module.__dict__.update(
        __version__="1.7.1", Runtime=Runtime, ILogger=Logger, TensorIOMode=SimpleNamespace(INPUT="in"), nptype=np.dtype
    )
    return module


class Libcuda:
    """The stream capture calls of libcuda."""

    def __init__(self, fail: str = "") -> None:
        self.fail, self.graphs, self.launches = fail, {}, 0

    def _status(self, name: str) -> int:
        return 901 if self.fail == name else 0

    def cuStreamBeginCapture_v2(self, stream: ctypes.c_void_p, mode: int) -> int:  # noqa: N802
        Stream.by_handle[stream.value].recording = []
        return self._status("begin")

    def cuStreamEndCapture(self, stream: ctypes.c_void_p, graph: Any) -> int:  # noqa: N802
        real = Stream.by_handle[stream.value]
        graph._obj.value = 7 + len(self.graphs)
        self.graphs[graph._obj.value], real.recording = real.recording, None
        return self._status("end")

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: ctypes.c_void_p, flags: object) -> int:  # noqa: N802
        executable._obj.value = graph.value
        LIVE["graph"] = LIVE.get("graph", 0) + 1
        return self._status("instantiate")

    def cuGraphLaunch(self, executable: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:  # noqa: N802
        self.launches += 1
        for work in self.graphs[executable.value]:
            Stream.by_handle[stream.value].give(work)
        return 0

    def cuGraphDestroy(self, graph: ctypes.c_void_p) -> int:  # noqa: N802
        return 0

    def cuGraphExecDestroy(self, executable: ctypes.c_void_p) -> int:  # noqa: N802
        LIVE["graph"] -= 1
        return 0

    def cuGetErrorString(self, status: int, text: Any) -> int:  # noqa: N802
        text._obj.value = b"operation not permitted when stream is capturing"
        return 0
