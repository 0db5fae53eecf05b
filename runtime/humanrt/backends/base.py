"""What every backend is: it opens graphs, and a graph runs on arrays or on device buffers.

The interface is small so that TensorRT with device buffers fits beside ONNX Runtime: shapes are static and known
before the first run, buffers are allocated once by the caller and bound once, and a frame is then `run()` with no
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
    """A point in a stream's work. Where work is done when the call returns, as here, it has passed already."""

    def __init__(self) -> None:
        self._passed = perf_counter()

    def wait(self) -> None:
        """Return when all work before it is done."""

    def ms_since(self, earlier: Event) -> float:
        """Milliseconds between two points that have passed, of whichever streams of a device."""
        return (self._passed - earlier._passed) * 1e3


class Stream(Resource):
    """Work that a device does in order, while the host goes on. This one is the host's: done when the call returns."""

    def record(self) -> Event:
        """A point after all work given so far."""
        return Event()

    def wait(self, event: Event) -> None:
        """Work given from now on begins when ``event``, of any stream, has passed. The host does not wait."""

    def synchronize(self) -> None:
        """Return when all work is done. BackendError when some of it failed."""


class Buffer(Resource, ABC):
    """Memory of a backend's device for one tensor of fixed shape and dtype. ``close()`` frees it."""

    NEEDS_OPEN = ("upload", "download", "upload_async", "download_async")

    spec: TensorSpec

    @abstractmethod
    def upload(self, array: Array) -> None:
        """Copy a host array of exactly this shape and dtype into the buffer."""

    @property
    def host(self) -> Array | None:
        """The buffer's memory itself, where it is the host's: what is written there needs no upload. Else None."""
        return None

    @property
    def gpu(self) -> CudaBuffer | None:
        """The buffer as kernels take it, where its memory is a GPU's. Else None."""
        return None

    @abstractmethod
    def download(self, out: Array | None = None) -> Array:
        """Copy to the host, into ``out`` if it is given. Waits for the work that writes the buffer."""

    def upload_async(self, array: Array, stream: Stream) -> None:
        """As `upload`, in ``stream``'s order; ``array`` (from `Backend.pinned`) must stay as it is until then."""
        self.upload(array)

    def download_async(self, out: Array, stream: Stream) -> None:
        """As `download`, in ``stream``'s order; ``out`` (from `Backend.pinned`) is filled when it gets there."""
        self.download(out)


B = TypeVar("B", bound=Buffer)


class Binding(Resource, ABC):
    """A graph with its inputs and outputs tied to buffers: ``run()`` moves nothing over the bus."""

    NEEDS_OPEN = ("run", "run_async")

    @abstractmethod
    def run(self) -> None: ...

    def run_async(self, stream: Stream) -> None:
        """As `run`, in ``stream``'s order: the outputs are there when the stream gets there."""
        self.run()


class Sequential(Binding):
    """Several bindings, one after the other. They stay their makers': closing this closes none of them."""

    def __init__(self, steps: Sequence[Binding]) -> None:
        self._steps = tuple(steps)

    def run(self) -> None:
        for step in self._steps:
            step.run()

    def run_async(self, stream: Stream) -> None:
        for step in self._steps:
            step.run_async(stream)


class Graph(Resource, ABC):
    """An opened graph."""

    NEEDS_OPEN = ("run", "buffer", "bind")

    spec: GraphSpec

    @property
    def title(self) -> str:
        return f"graph {self.spec.name}"

    @abstractmethod
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run on host arrays: every input by name -> every output by name. Outputs are the caller's to keep."""

    @abstractmethod
    def buffer(self, name: str) -> Buffer:
        """A new device buffer that fits the input or output ``name``."""

    @abstractmethod
    def bind(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> Binding:
        """Tie every input and output to a buffer; an output's buffer may be another graph's input."""

    def check_binding(
        self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer], kind: type[B]
    ) -> tuple[dict[str, B], dict[str, B]]:
        """The same buffers, all there, of the right shapes and of this backend's kind. ValueError, BackendError."""
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
        """Every input by name, as the runtime needs it. ValueError where one is missing or of another shape."""
        names = [tensor.name for tensor in self.spec.inputs]
        if set(feeds) != set(names):
            raise ValueError(f"graph {self.spec.name} takes inputs {names}, not {list(feeds)}")
        return {tensor.name: check_feed(tensor, feeds[tensor.name]) for tensor in self.spec.inputs}

    def tensor(self, name: str) -> TensorSpec:
        """The input or output called ``name``. KeyError lists the valid names."""
        specs = {spec.name: spec for spec in (*self.spec.inputs, *self.spec.outputs)}
        if name not in specs:
            raise KeyError(f"graph {self.spec.name} has no tensor `{name}`; it has: {', '.join(specs)}")
        return specs[name]


class Backend(Resource, ABC):
    """One way to run graphs on this machine.

    Attributes:
        name: as `humanrt.backends.open_backend` knows it.
        device: the GPU that graphs run on and buffers are in; None where both are the host's. Code above the backends
            asks this, and not which class a backend is of.
        unverified: also run graphs that have no passing verdict.
    """

    NEEDS_OPEN = ("open", "stream", "pinned", "record")

    name: str
    device: CudaDevice | None = None
    unverified: bool = False

    @abstractmethod
    def open(self, spec: GraphSpec) -> Graph:
        """Open a graph. BackendError when the file is not what the manifest says or the backend refuses it."""

    @property
    def main(self) -> Stream:
        """The stream that `Binding.run` works in."""
        return self.stream()

    def stream(self) -> Stream:
        """A new stream of the device."""
        return Stream()

    def pinned(self, spec: TensorSpec) -> Array:
        """A host array that `Buffer.upload_async` and `download_async` can copy while the host goes on."""
        return np.zeros(spec.shape, spec.dtype)

    def record(self, steps: Sequence[Binding]) -> Binding:
        """Bindings that always run one after the other, as one: on CUDA a graph of one launch."""
        return Sequential(steps)


def check_feed(spec: TensorSpec, array: Array) -> Array:
    """``array`` as the runtime needs it: C-contiguous, and exactly the spec's shape and dtype."""
    if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
        raise ValueError(
            f"input `{spec.name}` must be {spec.dtype} {list(spec.shape)}, not {array.dtype} {list(array.shape)}"
        )
    return np.ascontiguousarray(array)
