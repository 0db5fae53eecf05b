"""One NVIDIA GPU through pycuda: its primary context, streams, events, buffers, pinned memory and CUDA graphs.

The primary context is the one that ONNX Runtime, TensorRT and torch use, so that they see each other's memory; they
would not with a context of our own (`pycuda.autoinit`, `make_context`). pycuda does not support stream capture, so CUDA
graphs call the driver directly.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from humanrt.backends.base import Array, Backend, Binding, Buffer, Event, Graph, Stream, check_feed
from humanrt.bundle import GraphSpec, TensorSpec
from humanrt.errors import BackendError, HumanrtError, MissingDependencyError

__all__ = [
    "INSTALL", "CudaBackend", "CudaBinding", "CudaBuffer", "CudaDevice", "CudaEvent", "CudaGraph", "CudaNetwork",
    "CudaStream", "Kernel", "cuda_call", "device_count", "driver", "failure", "problem",
]  # fmt: skip

INSTALL = "pip install pycuda (it compiles itself: the CUDA toolkit's nvcc must be on the PATH)"

# Part of the driver's message -> advice. The first match counts.
_ADVICE = (
    ("out of memory", "close other programs on the GPU (`nvidia-smi` lists them) or use a smaller bundle"),
    ("no kernel image", "the kernels are not compiled for this GPU: delete the cache folder and start again"),
    ("illegal", "the GPU's context is lost: start the program again; with compute-sanitizer it says where"),
    ("launch failed", "the GPU's context is lost: start the program again; with compute-sanitizer it says where"),
    ("launch timeout", "the GPU that draws the screen stops long work: use another GPU or a smaller bundle"),
    ("insufficient", "the driver is older than the CUDA toolkit: update the driver"),
    ("no CUDA-capable device", "no GPU is visible: check `nvidia-smi` and CUDA_VISIBLE_DEVICES"),
    ("invalid device ordinal", "there is no GPU of that number: check `nvidia-smi`"),
    ("captur", "run without CUDA graphs (BackendOptions.cuda_graphs): this network does work that cannot be recorded"),
)


def driver() -> Any:
    """Import pycuda.driver. MissingDependencyError says what to install, BackendError why it cannot be loaded."""
    try:
        return importlib.import_module("pycuda.driver")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "pycuda":
            raise MissingDependencyError(f"pycuda is only partly installed ({error}); run: {INSTALL}") from error
        raise MissingDependencyError(f"pycuda is not installed; run: {INSTALL}") from error
    except ImportError as error:  # libcuda.so.1: no driver; another shared library: another CUDA version
        first = str(error).strip().splitlines()[0]
        raise BackendError(
            f"pycuda cannot be loaded ({first}): if libcuda is missing, there is no NVIDIA driver (check "
            "`nvidia-smi`); after updating CUDA, run: pip install --force-reinstall --no-cache-dir pycuda"
        ) from error


def problem(device: int = 0) -> str | None:
    """Return why this GPU cannot be used and how to fix it; None if it can, as far as is known without using it."""
    count = device_count()
    if count == 0:
        return "no NVIDIA GPU or driver is visible (check `nvidia-smi`)"
    if device >= count:
        return f"GPU {device} does not exist; this machine has {count}"
    try:
        driver()
    except HumanrtError as error:
        return str(error)
    return None


def device_count() -> int:
    """Return the number of NVIDIA GPUs that the driver shows; 0 without a driver. Creates no CUDA context."""
    try:
        library = _libcuda()
    except BackendError:
        return 0
    count = ctypes.c_int(0)
    if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


@contextmanager
def cuda_call(what: str) -> Iterator[None]:
    """Turn a CUDA error inside into a one-line BackendError: what was done, the call that failed, what to do."""
    try:
        yield
    except driver().Error as error:
        raise failure(what, str(error)) from error


def failure(what: str, message: str) -> BackendError:
    """Return the BackendError for pycuda's message, which names the call: ``cuMemAlloc failed: out of memory``."""
    line = message.strip().splitlines()[0] if message.strip() else "no reason given"
    advice = next((advice for text, advice in _ADVICE if text in line), "see `humanrt doctor`")
    return BackendError(f"CUDA cannot {what}: {line}; {advice}")


class CudaEvent(Event):
    """A point in the work of a CUDA stream."""

    def __init__(self, event: Any) -> None:  # no super().__init__(): the time comes from the GPU
        self.event = event

    def wait(self) -> None:
        with cuda_call("finish the work before an event"):
            self.event.synchronize()

    def ms_since(self, earlier: Event) -> float:
        assert isinstance(earlier, CudaEvent)
        with cuda_call("time what lies between two events"):
            ms: float = self.event.time_since(earlier.event)
        return ms


class CudaStream(Stream):
    """A CUDA stream; ``handle`` is the CUstream as an integer, as TensorRT and ONNX Runtime expect it."""

    def __init__(self, device: CudaDevice) -> None:
        self._drv = device.drv
        with cuda_call("make a stream"):
            self.stream = device.drv.Stream()

    @property
    def handle(self) -> int:
        handle: int = self.stream.handle
        return handle

    def record(self) -> CudaEvent:
        with cuda_call("record an event"):
            event = self._drv.Event()
            event.record(self.stream)
        return CudaEvent(event)

    def wait(self, event: Event) -> None:
        if isinstance(event, CudaEvent):
            with cuda_call("wait for an event"):
                self.stream.wait_for_event(event.event)

    def synchronize(self) -> None:
        with cuda_call("finish the work of a stream"):
            self.stream.synchronize()


class CudaBuffer(Buffer):
    """Device memory for one tensor; ``address`` is that of its first byte."""

    def __init__(self, spec: TensorSpec, device: CudaDevice) -> None:
        self.spec = spec
        self.device = device
        self._writer: CudaStream | None = None  # the stream that wrote last
        with cuda_call(f"allocate {spec.nbytes / 1e6:.1f} MB for `{spec.name}`"):
            self._memory = device.drv.mem_alloc(max(spec.nbytes, 1))

    @property
    def address(self) -> int:
        if self._memory is None:
            raise ValueError(f"the buffer of `{self.spec.name}` is closed")
        return int(self._memory)

    @property
    def gpu(self) -> CudaBuffer:
        return self

    def written_by(self, stream: CudaStream) -> None:
        """Register that work submitted to ``stream`` fills the buffer: `download` waits for it."""
        self._writer = stream

    def upload(self, array: Array) -> None:
        array = check_feed(self.spec, array)
        self.device.compute.synchronize()  # work that reads it may still be running
        with cuda_call(f"upload `{self.spec.name}`"):
            self.device.drv.memcpy_htod(self.address, array)
        self._writer = None

    def upload_async(self, array: Array, stream: Stream) -> None:
        cuda = _cuda(stream)
        array = check_feed(self.spec, array)
        with cuda_call(f"upload `{self.spec.name}`"):
            self.device.drv.memcpy_htod_async(self.address, array, cuda.stream)
        self._writer = cuda

    def download(self, out: Array | None = None) -> Array:
        if out is None:
            out = np.empty(self.spec.shape, self.spec.dtype)
        _check_out(self.spec, out)
        if self._writer is not None:
            self._writer.synchronize()
        with cuda_call(f"download `{self.spec.name}`"):
            self.device.drv.memcpy_dtoh(out, self.address)
        return out

    def download_async(self, out: Array, stream: Stream) -> None:
        _check_out(self.spec, out)
        with cuda_call(f"download `{self.spec.name}`"):
            self.device.drv.memcpy_dtoh_async(out, self.address, _cuda(stream).stream)

    def close(self) -> None:
        if self._memory is not None:
            with cuda_call(f"free `{self.spec.name}`"):
                self._memory.free()
            self._memory = None


def _cuda(stream: Stream) -> CudaStream:
    if not isinstance(stream, CudaStream):
        raise BackendError(f"a buffer on the GPU needs one of its streams, not a {type(stream).__name__}")
    return stream


def _check_out(spec: TensorSpec, out: Array) -> None:
    if out.shape != spec.shape or out.dtype != np.dtype(spec.dtype) or not out.flags.c_contiguous:
        raise ValueError(f"`{spec.name}` needs a contiguous {spec.dtype} {list(spec.shape)} array to be copied to")


class CudaDevice:
    """A GPU. `open` returns the same object to all users of a GPU; each of them calls ``close()`` once.

    The context is current in the thread that opened it first; another thread works inside ``with device.active():``.

    Attributes:
        drv: the module pycuda.driver.
        sm: compute capability, such as 86.
        compute, copy: the stream of networks and kernels, and the one that transfers data in parallel.
    """

    _open: dict[int, CudaDevice] = {}  # noqa: RUF012  (shared on purpose: one primary context per GPU)

    def __init__(self, ordinal: int) -> None:
        self.drv = driver()
        self.ordinal = ordinal
        self._users = 0
        with cuda_call(f"use GPU {ordinal}"):
            self.drv.init()
            device = self.drv.Device(ordinal)
            self.name: str = device.name()
            major, minor = device.compute_capability()
            self.sm: int = 10 * major + minor
            self.context = device.retain_primary_context()
            self.context.push()
        try:
            self.compute, self.copy = CudaStream(self), CudaStream(self)
        except BackendError:
            self._release()
            raise

    @classmethod
    def open(cls, ordinal: int = 0) -> CudaDevice:
        """Open the GPU with this ordinal. BackendError if there is none."""
        device = cls._open.get(ordinal)
        if device is None:
            if not cls._open:  # pycuda ends a program with an error if a context is left over
                atexit.unregister(cls._leave)
                atexit.register(cls._leave)
            device = cls._open[ordinal] = cls(ordinal)
        device._users += 1
        return device

    def close(self) -> None:
        """Release the GPU; the call of the last user releases the context."""
        if self._users == 0:
            return
        self._users -= 1
        if self._users == 0:
            del self._open[self.ordinal]
            try:
                self.compute.synchronize()
                self.copy.synchronize()
            finally:
                self._release()

    @classmethod
    def _leave(cls) -> None:
        """Release, at the end of the program, the GPUs that were not closed."""
        for device in list(cls._open.values()):
            device._users = 1
            with contextlib.suppress(BackendError):
                device.close()

    def _release(self) -> None:
        # Streams must be destroyed while their context is current.
        self.__dict__.pop("compute", None)
        self.__dict__.pop("copy", None)
        with cuda_call(f"release GPU {self.ordinal}"):
            self.drv.Context.pop()
            self.context.detach()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the context current inside ``with``: for threads other than the one that opened the GPU."""
        with cuda_call("make the context current"):
            self.context.push()
        try:
            yield
        finally:
            self.drv.Context.pop()

    def pinned(self, spec: TensorSpec) -> Array:
        """Return a zeroed host array that the GPU can copy from and to while the host continues."""
        with cuda_call(f"allocate {spec.nbytes / 1e6:.1f} MB of pinned memory for `{spec.name}`"):
            array: Array = self.drv.pagelocked_zeros(spec.shape, np.dtype(spec.dtype))
        return array

    def memory(self) -> tuple[int, int]:
        """Return the free and the total memory in bytes."""
        with cuda_call("ask for its memory"):
            free, total = self.drv.mem_get_info()
        return int(free), int(total)


class CudaBinding(Binding):
    """Work on a GPU; ``written`` holds the buffers that it fills."""

    written: tuple[CudaBuffer, ...] = ()
    device: CudaDevice

    def run(self) -> None:
        self.run_async(self.device.compute)

    def run_async(self, stream: Stream) -> None:
        cuda = _cuda(stream)
        self.launch(cuda)
        for buffer in self.written:
            buffer.written_by(cuda)

    def launch(self, stream: CudaStream) -> None:
        """Submit the work to the stream."""
        raise NotImplementedError


class CudaGraph(CudaBinding):
    """Work recorded once and launched as one CUDA graph: a frame of fixed shapes costs one call.

    Args:
        device: the GPU.
        steps: the bindings to run, in this order, always on the same buffers. They run once before the recording,
            because TensorRT initialises itself in its first run.
        library: the driver; for tests.
    """

    def __init__(self, device: CudaDevice, steps: Sequence[Binding], library: Any = None) -> None:
        self.device = device
        self.written = tuple(b for step in steps if isinstance(step, CudaBinding) for b in step.written)
        self._library = library if library is not None else _libcuda()
        self._exec = ctypes.c_void_p()
        self._steps = tuple(steps)  # their buffers and contexts must outlive the graph
        stream = device.compute
        for step in self._steps:
            step.run_async(stream)
        stream.synchronize()
        handle = ctypes.c_void_p(stream.handle)
        graph = ctypes.c_void_p()
        # 1: CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, so that other threads may still allocate
        self._call("cuStreamBeginCapture_v2", handle, 1)
        try:
            for step in self._steps:
                step.run_async(stream)
        finally:
            ended = self._library.cuStreamEndCapture(handle, ctypes.byref(graph))
        self._check("cuStreamEndCapture", ended)
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(self._exec), graph, ctypes.c_ulonglong(0))
        finally:
            self._call("cuGraphDestroy", graph)

    def launch(self, stream: CudaStream) -> None:
        if not self._exec:
            raise ValueError("the CUDA graph is closed")
        self._call("cuGraphLaunch", self._exec, ctypes.c_void_p(stream.handle))

    def close(self) -> None:
        """Release the recording."""
        if self._exec:
            executable, self._exec = self._exec, ctypes.c_void_p()
            self._call("cuGraphExecDestroy", executable)

    def _call(self, name: str, *arguments: Any) -> None:
        self._check(name, getattr(self._library, name)(*arguments))

    def _check(self, name: str, status: int) -> None:
        if status:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(status, ctypes.byref(text))
            reason = (text.value or f"error {status}".encode()).decode()
            raise failure("run a CUDA graph", f"{name} failed: {reason}")


def _libcuda() -> Any:
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        raise BackendError(f"no NVIDIA driver was found ({error}); check `nvidia-smi`") from error


class Kernel(CudaBinding):
    """A CUDA kernel with its arguments: a step of a frame, like a network.

    Args:
        give: function that submits the kernel to a stream.
        written: the buffers that it fills.
    """

    def __init__(
        self, device: CudaDevice, give: Callable[[CudaStream], None], written: Sequence[CudaBuffer] = ()
    ) -> None:
        self.device, self._give, self.written = device, give, tuple(written)

    def launch(self, stream: CudaStream) -> None:
        with cuda_call("launch a kernel"):
            self._give(stream)


class CudaNetwork(Graph):
    """A network with inputs and outputs in GPU memory, whichever library runs it."""

    device: CudaDevice
    _own: tuple[dict[str, CudaBuffer], dict[str, Array], CudaBinding] | None = None

    @abstractmethod
    def _bound(self, inputs: Mapping[str, CudaBuffer], outputs: Mapping[str, CudaBuffer]) -> CudaBinding:
        """Bind the network to buffers that are known to fit."""

    def buffer(self, name: str) -> CudaBuffer:
        return CudaBuffer(self.tensor(name), self.device)

    def bind(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> CudaBinding:
        return self._bound(*self.check_binding(inputs, outputs, CudaBuffer))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        feeds = self.check_feeds(feeds)
        if self._own is None:
            tensors = (*self.spec.inputs, *self.spec.outputs)
            buffers = {tensor.name: self.buffer(tensor.name) for tensor in tensors}
            pinned = {tensor.name: self.device.pinned(tensor) for tensor in tensors}
            binding = self.bind(
                {tensor.name: buffers[tensor.name] for tensor in self.spec.inputs},
                {tensor.name: buffers[tensor.name] for tensor in self.spec.outputs},
            )
            self._own = buffers, pinned, binding
        buffers, pinned, binding = self._own
        stream = self.device.compute
        for name, array in feeds.items():
            pinned[name][...] = array
            buffers[name].upload_async(pinned[name], stream)
        binding.run_async(stream)
        for tensor in self.spec.outputs:
            buffers[tensor.name].download_async(pinned[tensor.name], stream)
        stream.synchronize()
        return {tensor.name: pinned[tensor.name].copy() for tensor in self.spec.outputs}

    def close(self) -> None:
        """Free what `run` allocated; subclasses free the rest."""
        if self._own is not None:
            self.device.compute.synchronize()
            buffers, _, binding = self._own
            binding.close()
            for buffer in buffers.values():
                buffer.close()
            self._own = None


class CudaBackend(Backend):
    """Base of the backends on one GPU: buffers, streams and kernels are those of this module, whatever the library.

    A context manager, which releases the GPU; close graphs and buffers first.

    Args:
        ordinal: ordinal of the GPU.
        graphs: whether `record` makes CUDA graphs of work that always runs together.
    """

    device: CudaDevice

    def __init__(self, ordinal: int, graphs: bool) -> None:
        self.device = CudaDevice.open(ordinal)
        self._graphs = graphs

    @abstractmethod
    def open(self, spec: GraphSpec) -> CudaNetwork: ...

    @property
    def main(self) -> CudaStream:
        return self.device.compute

    def stream(self) -> CudaStream:
        return CudaStream(self.device)

    def pinned(self, spec: TensorSpec) -> Array:
        return self.device.pinned(spec)

    def record(self, steps: Sequence[Binding]) -> Binding:
        return CudaGraph(self.device, steps) if self._graphs else super().record(steps)

    def close(self) -> None:
        device, self.__dict__["device"] = self.__dict__.get("device"), None
        if device is not None:
            device.close()
