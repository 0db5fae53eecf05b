"""A graph's buffer as an array of this process, wherever the buffer is."""

from __future__ import annotations

import numpy as np

from humanrt.backends import Array, Buffer

__all__ = ["HostCopy"]


class HostCopy:
    """A buffer as an array that stays in one place: its own memory on the CPU, a copy of a GPU's.

    Attributes:
        array: of the buffer's shape and dtype; zeros at first, of a GPU's.
        on_device: whether it is a copy, which `send` and `fetch` bring up to date; of the CPU's own memory they do
            nothing.
    """

    def __init__(self, buffer: Buffer) -> None:
        self._device = None if buffer.host is not None else buffer
        self.array: Array = np.zeros(buffer.spec.shape, buffer.spec.dtype) if buffer.host is None else buffer.host

    @property
    def on_device(self) -> bool:
        return self._device is not None

    def send(self) -> None:
        """The array to the buffer."""
        if self._device:
            self._device.upload(self.array)

    def fetch(self) -> None:
        """The buffer to the array."""
        if self._device:
            self._device.download(self.array)
