"""A graph with its own buffers, allocated and bound once: used for everything that runs on every frame."""

from __future__ import annotations

from humanrt.backends import Array, Backend, Binding, Buffer
from humanrt.bundle import GraphSpec
from humanrt.resource import Owner, releasing

__all__ = ["BoundGraph"]


class BoundGraph(Owner):
    """A graph with its inputs and outputs. Not thread-safe.

    On the CPU the network reads and writes the arrays directly. On a GPU they are pinned copies: `run` uploads the
    inputs, runs the network, and has the outputs when it returns; all of it is submitted to the GPU at once.

    Args:
        backend: the backend that runs it.
        spec: the graph.

    Attributes:
        buffers: buffers of the inputs and outputs, by name.
        arrays: their contents by name: write the inputs, read the outputs. The arrays are never reallocated.
        on_device: whether the buffers are in GPU memory and the arrays are copies.
    """

    @releasing
    def __init__(self, backend: Backend, spec: GraphSpec) -> None:
        self.backend, self.spec = backend, spec
        graph = self.own(backend.open(spec))
        inputs = {tensor.name: self.own(graph.buffer(tensor.name)) for tensor in spec.inputs}
        outputs = {tensor.name: self.own(graph.buffer(tensor.name)) for tensor in spec.outputs}
        self._steps: list[Binding] = [self.own(graph.bind(inputs, outputs))]
        self.buffers = {**inputs, **outputs}
        self.arrays: dict[str, Array] = {}
        self.on_device = False
        for name, buffer in self.buffers.items():
            array = buffer.host
            if array is None:
                array, self.on_device = backend.pinned(buffer.spec), True
            self.arrays[name] = array
        self._sent = set(inputs)
        self._fetched: tuple[str, ...] = tuple(outputs)
        self._whole: Binding | None = None

    def precede(self, step: Binding, fills: str) -> None:
        """Run ``step`` before the network from now on; it fills the input ``fills``, which is no longer uploaded."""
        self._steps.insert(0, step)
        self._sent.remove(fills)

    def follow(self, step: Binding, **results: Buffer) -> None:
        """Run ``step``, on a GPU, after the network from now on; ``arrays`` then also holds its ``results``."""
        self._steps.append(step)
        for name, buffer in results.items():
            self.buffers[name], self.arrays[name] = buffer, self.backend.pinned(buffer.spec)
            self._fetched += (name,)

    def run(self) -> None:
        """Compute the outputs from the current contents of the inputs."""
        if not self.on_device:
            self._steps[0].run()
            return
        if self._whole is None:
            self._whole = self.own(self.backend.record(self._steps))
        stream = self.backend.main
        for name in self._sent:
            self.buffers[name].upload_async(self.arrays[name], stream)
        self._whole.run()
        for name in self._fetched:
            self.buffers[name].download_async(self.arrays[name], stream)
        stream.synchronize()
