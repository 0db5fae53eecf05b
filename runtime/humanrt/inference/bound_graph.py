"""A graph with buffers of its own, allocated and bound once: how everything that runs on every frame runs."""

from __future__ import annotations

from humanrt.backends import Array, Backend, Binding, Buffer
from humanrt.bundle import GraphSpec
from humanrt.resource import Owner, releasing

__all__ = ["BoundGraph"]


class BoundGraph(Owner):
    """A graph and its inputs and outputs. Not for two threads.

    On the CPU the arrays are what the network reads and writes. On a GPU they are pinned copies: `run` sends the
    inputs, runs the network, and has the outputs when it returns; all of it is given to the GPU at once.

    Args:
        backend: runs it.
        spec: the graph.

    Attributes:
        buffers: of the inputs and outputs, by name.
        arrays: what they hold, by name: inputs to be written, outputs to be read. They stay in their places.
        on_device: whether that is a GPU's memory, and the arrays copies.
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
        """``step`` runs before the network from now on and fills this input, which is sent no more."""
        self._steps.insert(0, step)
        self._sent.remove(fills)

    def follow(self, step: Binding, **results: Buffer) -> None:
        """``step``, on a GPU, runs after the network from now on; ``arrays`` has its ``results`` too."""
        self._steps.append(step)
        for name, buffer in results.items():
            self.buffers[name], self.arrays[name] = buffer, self.backend.pinned(buffer.spec)
            self._fetched += (name,)

    def run(self) -> None:
        """The inputs as they are now -> the outputs."""
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
