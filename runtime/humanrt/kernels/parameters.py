"""A kernel's parameters in a struct on the GPU: a recorded launch keeps its address while its values change."""

from __future__ import annotations

import ctypes

import numpy as np

from humanrt.backends.cuda import CudaBuffer, CudaDevice, CudaStream, Kernel
from humanrt.bundle import TensorSpec
from humanrt.kernels.loader import load_kernel
from humanrt.resource import Resource

__all__ = ["Parameters", "input_kernel"]


class Parameters(Resource):
    """A struct on the GPU that one kernel reads.

    Args:
        first: initial values.
        device: the GPU; values change in its compute stream.
    """

    def __init__(self, first: ctypes.Structure, device: CudaDevice) -> None:
        self._device = device
        spec = TensorSpec(type(first).__name__.lower(), (ctypes.sizeof(first),), "uint8")
        self._buffer, self._pinned = CudaBuffer(spec, device), device.pinned(spec)
        self._buffer.upload(np.frombuffer(bytes(first), np.uint8))
        self._taken = device.compute.record()

    @property
    def address(self) -> int:
        return self._buffer.address

    def give(self, values: ctypes.Structure) -> None:
        """Set the values for all work submitted to the stream from now on."""
        self._taken.wait()  # the previous values have left the pinned array
        self._pinned[...] = np.frombuffer(bytes(values), np.uint8)
        self._buffer.upload_async(self._pinned, self._device.compute)
        self._taken = self._device.compute.record()

    def close(self) -> None:
        self._taken.wait()
        self._buffer.close()


def input_kernel(name: str, device: CudaDevice, parameters: Parameters, out: CudaBuffer) -> Kernel:
    """Return the kernel that fills a network's input, float32 [..., 3, H, W], one thread per pixel of its first image.

    Raises:
        ValueError: the input has another shape or dtype.
    """
    if out.spec.dtype != "float32" or len(out.spec.shape) < 3 or out.spec.shape[-3] != 3:
        raise ValueError(f"a network's input is float32 [1, 3, H, W], not {out.spec.dtype} {list(out.spec.shape)}")
    function = load_kernel(name, device)
    function.prepare("P")
    grid = (-(-out.spec.shape[-1] // 32), -(-out.spec.shape[-2] // 8))

    def give(stream: CudaStream) -> None:
        function.prepared_async_call(grid, (32, 8, 1), stream.stream, parameters.address)

    return Kernel(device, give, [out])
