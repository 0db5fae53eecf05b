"""Crops for landmark networks: a rotated square of the image, written into the network's input tensor."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt import native
from humanrt.geometry.region import Region
from humanrt.inference.bound_graph import BoundGraph

__all__ = ["Crop", "NativeCrop", "OpenCvCrop", "crop_into", "make_crop"]


class Crop(Protocol):
    """Crop a region into a fixed float32 [1, 3, S, S] tensor: bilinear, 0..1, black outside the image."""

    name: str

    def __call__(self, rgb: Any, region: Region, /) -> None:
        """Crop ``rgb``: uint8 [H, W, 3], any strides; a `GpuImage` if the network is on a GPU."""


class NativeCrop:
    """Crop in C, in one pass from the image to the tensor: see _native/crop.c.

    Raises:
        BackendError: the compiled library is missing.
    """

    name = "native"

    def __init__(self, tensor: NDArray[np.float32], *, portable: bool = False) -> None:
        self._crop = native.library().humanrt_crop
        self._tensor, self._size = _checked(tensor)
        self._out = self._tensor.ctypes.data
        self._path = int(portable)  # 1: without the processor's vector instructions, for the tests

    def __call__(self, rgb: NDArray[np.uint8], region: Region) -> None:
        height, width, _ = rgb.shape
        where = rgb.__array_interface__["data"][0]
        affine = region.affine(self._size)
        self._crop(where, width, height, *rgb.strides, *affine, self._size, self._out, self._path)


class OpenCvCrop:
    """Crop with OpenCV, for installations without the compiled library: two to four times slower."""

    name = "opencv"

    def __init__(self, tensor: NDArray[np.float32]) -> None:
        self._tensor, self._size = _checked(tensor)

    def __call__(self, rgb: NDArray[np.uint8], region: Region) -> None:
        crop = cv2.warpAffine(
            np.ascontiguousarray(rgb),
            region.to_image(self._size),
            (self._size, self._size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        np.copyto(self._tensor, cv2.dnn.blobFromImage(crop, 1 / 255.0))


def make_crop(tensor: NDArray[np.float32]) -> Crop:
    """Return a native crop if the library loads, else OpenCV's; its ``name`` tells which."""
    return OpenCvCrop(tensor) if native.problem() else NativeCrop(tensor)


def crop_into(network: BoundGraph, name: str = "image") -> Crop:
    """Return the crop that fills this input of a network, on the network's device; it closes with the network."""
    out = network.buffers[name].gpu
    if out is None:
        return make_crop(network.arrays[name])
    from humanrt.kernels.crop import GpuCrop

    crop = network.own(GpuCrop(out.device, out))
    network.precede(crop.step, name)
    return crop


def _checked(tensor: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    size = tensor.shape[-1]
    if tensor.shape != (1, 3, size, size) or tensor.dtype != np.float32 or not tensor.flags.c_contiguous:
        raise ValueError(f"a crop's tensor is contiguous float32 [1, 3, S, S], not {tensor.dtype} {tensor.shape}")
    return tensor, size
