"""Frames in GPU memory: uploaded once, read by every kernel that crops them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.backends.base import Event
from humanrt.backends.cuda import CudaBuffer, CudaDevice
from humanrt.bundle import TensorSpec
from humanrt.resource import Resource

__all__ = ["GpuImage", "GpuUpload", "Picture", "window_of"]


@dataclass(frozen=True)
class GpuImage:
    """uint8 RGB pixels [height, width, 3] on a GPU, ``pitch`` bytes from one row to the next."""

    address: int
    width: int
    height: int
    pitch: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the image, like that of a numpy array."""
        return self.height, self.width, 3


Picture = NDArray[np.uint8] | GpuImage
"""A frame on the host or on a GPU: uint8 [H, W, 3] RGB."""


def window_of(image: Picture, left: int, top: int, side: int) -> Picture:
    """Return a square part of a frame without copying it, clipped at the edges of the frame."""
    if not isinstance(image, GpuImage):
        return image[top : top + side, left : left + side]
    start = image.address + top * image.pitch + 3 * left
    return GpuImage(start, min(side, image.width - left), min(side, image.height - top), image.pitch)


class GpuUpload(Resource):
    """Uploads frames of any size to GPU memory, where each replaces the previous one.

    Args:
        device: the GPU; the work is submitted to its compute stream, in which all readers of the frame run too.
    """

    def __init__(self, device: CudaDevice) -> None:
        self._device = device
        self._buffer: CudaBuffer | None = None
        self._uploaded: Event = Event()

    def __call__(self, rgb: NDArray[np.uint8]) -> GpuImage:
        """Upload a frame, uint8 [H, W, 3], for all later work in the stream. The array may be changed at once."""
        if self._buffer is None or self._buffer.spec.shape != rgb.shape:
            self._free()
            spec = TensorSpec("frame", rgb.shape, "uint8")
            self._buffer, self._pinned = CudaBuffer(spec, self._device), self._device.pinned(spec)
        else:
            self._uploaded.wait()  # the previous frame has left the pinned array
        np.copyto(self._pinned, rgb)
        self._buffer.upload_async(self._pinned, self._device.compute)
        self._uploaded = self._device.compute.record()
        height, width, _ = rgb.shape
        return GpuImage(self._buffer.address, width, height, 3 * width)

    def close(self) -> None:
        self._free()
        super().close()

    def _free(self) -> None:
        """Free the frame's memory."""
        if self._buffer is not None:
            self._device.compute.synchronize()
            self._buffer.close()
            self._buffer = None
