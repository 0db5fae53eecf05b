"""Crop rotated squares of a frame on the GPU into the network's input: crop.cu."""

from __future__ import annotations

import ctypes

from humanrt.backends.cuda import CudaBuffer, CudaDevice
from humanrt.geometry.region import Region
from humanrt.kernels.image import GpuImage
from humanrt.kernels.parameters import Parameters, input_kernel
from humanrt.resource import Resource

__all__ = ["Crop", "GpuCrop"]


class Crop(ctypes.Structure):
    """The struct ``Crop`` of crop.cu."""

    _fields_ = (
        ("source", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("affine", ctypes.c_double * 6),
        *((name, ctypes.c_int32) for name in ("width", "height", "pitch", "side")),
    )

    @classmethod
    def of(cls, image: GpuImage, region: Region, out: int, side: int) -> Crop:
        """Fill the struct; ``out`` is a device address, ``side`` in px."""
        affine = (ctypes.c_double * 6)(*region.affine(side))
        return cls(image.address, out, affine, image.width, image.height, image.pitch, side)


class GpuCrop(Resource):
    """Crops regions of frames into a network's input buffer.

    Args:
        device: the GPU.
        out: float32 [1, 3, S, S].

    Attributes:
        step: the binding to run after a call of this object and before the network. Until the first call the crop is
            black.
    """

    name = "gpu"

    def __init__(self, device: CudaDevice, out: CudaBuffer) -> None:
        self._out, self._side = out, out.spec.shape[-1]
        nothing = GpuImage(0, 0, 0, 0)
        self._parameters = Parameters(Crop.of(nothing, Region(0, 0, 1), out.address, self._side), device)
        self.step = input_kernel("crop", device, self._parameters, out)

    def __call__(self, image: GpuImage, region: Region) -> None:
        """Set the image and region that `step` will crop."""
        self._parameters.give(Crop.of(image, region, self._out.address, self._side))

    def close(self) -> None:
        self._parameters.close()
