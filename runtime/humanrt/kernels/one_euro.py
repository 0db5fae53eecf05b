"""One-Euro on the GPU for a batch of hands: one_euro.cu."""

from __future__ import annotations

import numpy as np

from humanrt.backends.cuda import CudaBuffer, CudaDevice, CudaStream, Kernel
from humanrt.bundle import TensorSpec
from humanrt.kernels.loader import load_kernel
from humanrt.resource import Resource
from humanrt.smoothing.one_euro import OneEuroOptions

__all__ = ["GpuOneEuro"]


class GpuOneEuro(Resource):
    """Smooths keypoints [B, N, D] on the device; the state of every hand stays there.

    Args:
        device: the GPU.
        points: float32 [B, N, D], filled by a network or kernel.
        options: parameters of the filter.
        span: the two keypoints whose distance counts as 1 in beta; None uses the unit of the points.

    Attributes:
        dt: float64 [B], to be uploaded before each frame: s since the hand's last frame; -1 for a new hand.
        out: float32 [B, N, D].
        step: the binding to run.
    """

    def __init__(
        self,
        device: CudaDevice,
        points: CudaBuffer,
        options: OneEuroOptions | None = None,
        span: tuple[int, int] | None = (0, 9),
    ) -> None:
        options = options or OneEuroOptions()
        hands, count, dims = points.spec.shape
        self.dt = CudaBuffer(TensorSpec("dt", (hands,), "float64"), device)
        self.out = CudaBuffer(TensorSpec("smooth", points.spec.shape, "float32"), device)
        self._state = [
            CudaBuffer(TensorSpec(name, points.spec.shape, "float64"), device) for name in ("raw", "state", "velocity")
        ]
        for buffer in self._state:
            buffer.upload(np.zeros(points.spec.shape))
        self.dt.upload(np.full(hands, -1.0))
        function = load_kernel("one_euro", device)
        function.prepare("PiiiPiidddPPPP")
        first, last = span or (-1, -1)

        def give(stream: CudaStream) -> None:
            function.prepared_async_call(
                (-(-hands * count // 64), 1), (64, 1, 1), stream.stream, points.address, hands, count, dims,
                self.dt.address, first, last, options.min_cutoff, options.beta, options.derivative_cutoff,
                *(buffer.address for buffer in self._state), self.out.address,
            )  # fmt: skip

        self.step = Kernel(device, give, [self.out])

    def close(self) -> None:
        """Free the device memory."""
        for buffer in (self.dt, self.out, *self._state):
            buffer.close()
