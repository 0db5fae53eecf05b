"""Multi-HMR on a GPU: frame -> letterbox -> network -> body, without copies to the host in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Graph
from humanrt.backends.cuda import CudaBuffer, CudaDevice
from humanrt.backends.pipelined import Finished, Pipelined, Slot
from humanrt.bundle import TensorSpec
from humanrt.errors import BackendError
from humanrt.geometry.camera import Letterbox
from humanrt.geometry.letterbox import PILLOW
from humanrt.kernels.letterbox import GpuLetterbox, LetterboxOptions
from humanrt.people.multihmr_networks import Networks
from humanrt.resource import Owner, releasing

__all__ = ["GpuPeople"]

FRAMES = 2
"""Number of frames in flight: one is uploaded or downloaded while the other is computed."""


class GpuPeople(Owner):
    """Run frames of one size through the networks, each frame in its own memory.

    Args:
        networks: the networks applied to a frame; owned by the caller.
        device: the networks' GPU.
        size: (width, height) px of the frames.
        meshes: whether to run the body model, too.

    Raises:
        BackendError: the graphs do not fit together, or the GPU is out of memory.
    """

    @releasing
    def __init__(self, networks: Networks, device: CudaDevice, size: tuple[int, int], *, meshes: bool = True) -> None:
        self.size, self.meshes = size, meshes
        self.box = Letterbox.fit(size, networks.settings.input_size)
        self._networks, self._device = networks, device
        self._pipeline = self.own(Pipelined(networks.backend, self._slot, FRAMES))

    @property
    def full(self) -> bool:
        """Whether a result must be taken before the next frame."""
        return self._pipeline.in_flight == self._pipeline.slots

    def submit(self, rgb: NDArray[np.uint8], intrinsics: NDArray[np.float32], threshold: NDArray[np.float32]) -> None:
        """Submit a frame, uint8 [H, W, 3], to the GPU; see `Pipelined.submit`."""
        self._pipeline.submit({"frame": rgb, "intrinsics": intrinsics, "threshold": threshold})

    def result(self) -> Finished:
        """Return the outputs of the network and of the body for the oldest frame."""
        return self._pipeline.result()

    def _slot(self) -> Slot:
        networks, device, settings = self._networks, self._device, self._networks.settings
        slot = _Slot()
        with slot.releasing():
            frame = slot.own(CudaBuffer(TensorSpec("frame", (self.size[1], self.size[0], 3), "uint8"), device))
            given = {spec.name: slot.own(CudaBuffer(spec, device)) for spec in networks.network.spec.inputs}
            outputs = {spec.name: slot.own(CudaBuffer(spec, device)) for spec in networks.network.spec.outputs}
            for buffer in given.values():  # for the other images of a batch, and for the graph captures below
                buffer.upload(np.zeros(buffer.spec.shape, buffer.spec.dtype))
            options = LetterboxOptions(
                "rgb",
                settings.mean,
                settings.std,
                filter="pillow" if settings.resize == PILLOW else None,
            )
            letterbox = slot.own(GpuLetterbox(device, given["image"], options))
            letterbox.set_frame(frame.address, 3 * self.size[0], self.box)
            network = slot.own(networks.network.bind(given, outputs))
            stages = {"preprocess": letterbox.step, "network": networks.backend.record([network])}
            if self.meshes and networks.body is not None:
                graph = networks.body.everybody
                posed = {spec.name: slot.own(CudaBuffer(spec, device)) for spec in graph.spec.outputs}
                body = slot.own(graph.bind(_shared(graph, outputs), posed))
                stages["body"] = networks.backend.record([body])
                outputs |= posed
            device.compute.synchronize()  # frames run in streams of their own
        inputs = {"frame": frame, "intrinsics": given["intrinsics"], "threshold": given["threshold"]}
        return Slot(inputs, outputs, stages, [slot])


class _Slot(Owner):
    """Resources of one slot."""


def _shared(body: Graph, outputs: dict[str, CudaBuffer]) -> dict[str, CudaBuffer]:
    """Return the network's outputs that the body takes.

    Raises:
        BackendError: the network lacks one of them.
    """
    for spec in body.spec.inputs:
        given = outputs[spec.name].spec if spec.name in outputs else None
        if given is None or (given.shape, given.dtype) != (spec.shape, spec.dtype):
            raise BackendError(
                f"graph {body.spec.name} takes `{spec.name}` {spec.dtype} {list(spec.shape)}, which the network "
                "does not provide; export the bundle again"
            )
    return {spec.name: outputs[spec.name] for spec in body.spec.inputs}
