"""The interface of backends: a backend opens graphs, and a graph runs on arrays or on device buffers.

The interface is small so that TensorRT with device buffers fits beside ONNX Runtime: shapes are static and known
before the first run, buffers are allocated once by the caller and bound once, and a frame is then one `run()` without
allocation. `Graph.run` (host arrays in, host arrays out) is the simple way; `Graph.bind` the fast one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import GraphSpec, TensorSpec
from humanrt.errors import BackendError
from humanrt.resource import Resource

if TYPE_CHECKING:
    from humanrt.backends.cuda import CudaBuffer, CudaDevice

__all__ = ["Array", "Backend", "Binding", "Buffer", "Event", "Graph", "Stream"]

Array = NDArray[Any]


class Event:
    """A point in the work of a stream. In this base class all work is synchronous, so the event has already passed."""

    def __init__(self) -> None:
        self._passed = perf_counter()

    def wait(self) -> None:
        """Block until all work before the event is done."""

    def ms_since(self, earlier: Event) -> float:
        """Return the milliseconds between two events that have passed, of any streams of a device."""
        return (self._passed - earlier._passed) * 1e3


class Stream(Resource):
    """Work that a device does in order, asynchronously to the host. This base class is the host's: synchronous."""

    def record(self) -> Event:
        """Return an event after all work submitted so far."""
        return Event()

    def wait(self, event: Event) -> None:
        """Make work submitted from now on wait for ``event``, of any stream. The host does not wait."""

    def synchronize(self) -> None:
        """Block until all work is done. BackendError if some of it failed."""


class Buffer(Resource, ABC):
    """Memory on a backend's device for one tensor of fixed shape and dtype. ``close()`` frees it."""

    NEEDS_OPEN = ("upload", "download", "upload_async", "download_async")

    spec: TensorSpec

    @abstractmethod
    def upload(self, array: Array) -> None:
        """Copy a host array of exactly this shape and dtype into the buffer."""

    @property
    def host(self) -> Array | None:
        """Return the buffer's memory if it is host memory, so that writing to it needs no upload; else None."""
        return None

    @property
    def gpu(self) -> CudaBuffer | None:
        """Return the buffer in the form that kernels take if its memory is on a GPU; else None."""
        return None

    @abstractmethod
    def download(self, out: Array | None = None) -> Array:
        """Copy to the host, into ``out`` if given. Waits for the work that writes the buffer."""

    def upload_async(self, array: Array, stream: Stream) -> None:
        """Like `upload`, but queued in ``stream``; ``array`` (from `Backend.pinned`) must not change until then."""
        self.upload(array)

    def download_async(self, out: Array, stream: Stream) -> None:
        """Like `download`, but queued in ``stream``; ``out`` (from `Backend.pinned`) is filled when it is done."""
        self.download(out)


B = TypeVar("B", bound=Buffer)


class Binding(Resource, ABC):
    """A graph with its inputs and outputs bound to buffers: ``run()`` transfers nothing over the bus."""

    NEEDS_OPEN = ("run", "run_async")

    @abstractmethod
    def run(self) -> None: ...

    def run_async(self, stream: Stream) -> None:
        """Like `run`, but queued in ``stream``: the outputs are ready when the stream reaches that point."""
        self.run()


class Sequential(Binding):
    """Several bindings, run one after the other. It does not own them: closing this closes none of them."""

    def __init__(self, steps: Sequence[Binding]) -> None:
        self._steps = tuple(steps)

    def run(self) -> None:
        for step in self._steps:
            step.run()

    def run_async(self, stream: Stream) -> None:
        for step in self._steps:
            step.run_async(stream)


class Graph(Resource, ABC):
    """An open graph."""

    NEEDS_OPEN = ("run", "buffer", "bind")

    spec: GraphSpec

    @property
    def title(self) -> str:
        return f"graph {self.spec.name}"

    @abstractmethod
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run on host arrays: all inputs by name -> all outputs by name. The outputs belong to the caller."""

    @abstractmethod
    def buffer(self, name: str) -> Buffer:
        """Return a new device buffer that fits the input or output ``name``."""

    @abstractmethod
    def bind(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> Binding:
        """Bind every input and output to a buffer; an output's buffer may be another graph's input."""

    def check_binding(
        self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer], kind: type[B]
    ) -> tuple[dict[str, B], dict[str, B]]:
        """Return the buffers after checking that they are complete, of the right shapes and of this backend's type.

        Raises:
            ValueError: a buffer is missing or does not fit.
            BackendError: a buffer belongs to another backend.
        """
        checked: tuple[dict[str, B], dict[str, B]] = ({}, {})
        for what, given, specs, into in (
            ("input", inputs, self.spec.inputs, checked[0]),
            ("output", outputs, self.spec.outputs, checked[1]),
        ):
            if set(given) != {spec.name for spec in specs}:
                raise ValueError(f"graph {self.spec.name} has {what}s {[s.name for s in specs]}, not {list(given)}")
            for spec in specs:
                buffer = given[spec.name]
                if not isinstance(buffer, kind):
                    raise BackendError(f"buffer for `{spec.name}` belongs to another backend ({type(buffer).__name__})")
                if (buffer.spec.shape, buffer.spec.dtype) != (spec.shape, spec.dtype):
                    raise ValueError(f"buffer for `{spec.name}` must be {spec.dtype} {list(spec.shape)}")
                into[spec.name] = buffer
        return checked

    def check_feeds(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every input by name, as the runtime needs it. ValueError if one is missing or of another shape."""
        names = [tensor.name for tensor in self.spec.inputs]
        if set(feeds) != set(names):
            raise ValueError(f"graph {self.spec.name} takes inputs {names}, not {list(feeds)}")
        return {tensor.name: check_feed(tensor, feeds[tensor.name]) for tensor in self.spec.inputs}

    def tensor(self, name: str) -> TensorSpec:
        """Return the input or output called ``name``. KeyError lists the valid names."""
        specs = {spec.name: spec for spec in (*self.spec.inputs, *self.spec.outputs)}
        if name not in specs:
            raise KeyError(f"graph {self.spec.name} has no tensor `{name}`; it has: {', '.join(specs)}")
        return specs[name]


class Backend(Resource, ABC):
    """One way to run graphs on this machine.

    Attributes:
        name: name as passed to `humanrt.backends.open_backend`.
        device: the GPU that graphs run on and buffers are in; None if both are on the host. Code above the backends
            tests this, not the class of a backend.
        unverified: whether to run also graphs without a passing verdict.
        threads: CPU threads per network; 0: all cores.
    """

    NEEDS_OPEN = ("open", "stream", "pinned", "record")

    name: str
    device: CudaDevice | None = None
    unverified: bool = False
    threads: int = 0

    @abstractmethod
    def open(self, spec: GraphSpec) -> Graph:
        """Open a graph. BackendError if the file does not match the manifest or the backend refuses it."""

    @property
    def main(self) -> Stream:
        """The stream in which `Binding.run` works."""
        return self.stream()

    def stream(self) -> Stream:
        """Return a new stream of the device."""
        return Stream()

    def pinned(self, spec: TensorSpec) -> Array:
        """Return a host array that `Buffer.upload_async` and `download_async` can copy while the host continues."""
        return np.zeros(spec.shape, spec.dtype)

    def record(self, steps: Sequence[Binding]) -> Binding:
        """Combine bindings that always run one after the other into one: with CUDA, a graph launched by one call."""
        return Sequential(steps)


def check_feed(spec: TensorSpec, array: Array) -> Array:
    """Return ``array`` as the runtime needs it: C-contiguous, with exactly the spec's shape and dtype."""
    if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
        raise ValueError(
            f"input `{spec.name}` must be {spec.dtype} {list(spec.shape)}, not {array.dtype} {list(array.shape)}"
        )
    return np.ascontiguousarray(array)
