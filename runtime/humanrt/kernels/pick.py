"""Select one frame of a batch of windows on the GPU: pick.cu."""

from __future__ import annotations

from humanrt.backends.cuda import CudaBuffer, CudaStream, Kernel
from humanrt.bundle import TensorSpec
from humanrt.kernels.loader import load_kernel
from humanrt.resource import Resource

__all__ = ["GpuPick"]


class GpuPick(Resource):
    """Selects a frame of windows.

    Args:
        windows: float32 [B, T, ...], filled by a network.
        row: index of the frame, 0..T - 1; a fraction lies between two frames.

    Attributes:
        out: float32 [B, ...].
        step: the binding to run.

    Raises:
        ValueError: ``row`` is out of range.
    """

    def __init__(self, windows: CudaBuffer, row: float) -> None:
        count, frames, *frame = windows.spec.shape
        if not 0 <= row <= frames - 1:
            raise ValueError(f"row {row} is not in a window of {frames} frames")
        first = int(row)
        device = windows.device
        self.out = CudaBuffer(TensorSpec("picked", (count, *frame), "float32"), device)
        values = self.out.spec.nbytes // 4 // count
        function = load_kernel("pick", device)
        function.prepare("PiiiifP")

        def give(stream: CudaStream) -> None:
            function.prepared_async_call(
                (-(-count * values // 64), 1), (64, 1, 1), stream.stream, windows.address, count, frames, values, first,
                row - first, self.out.address,
            )  # fmt: skip

        self.step = Kernel(device, give, [self.out])

    def close(self) -> None:
        self.out.close()
