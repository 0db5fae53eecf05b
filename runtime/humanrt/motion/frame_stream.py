"""FrameStream: motion frame by frame, from a network that gives several at once."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from humanrt.motion.seam import MotionFrame

__all__ = ["FrameStream"]

Floats = NDArray[np.float32]


class FrameStream(Iterator[MotionFrame]):
    """Yield frames for ever. Subclasses generate them (`_advance`).

    Args:
        fps: frames per second.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._ready: deque[tuple[Floats, Floats]] = deque()  # rotations and translation of each frame
        self._index = 0

    def __next__(self) -> MotionFrame:
        if not self._ready:
            self._advance()
        rotations, translation = self._ready.popleft()
        frame = MotionFrame(self._index, self._index / self._fps, rotations, translation)
        self._index += 1
        return frame

    @abstractmethod
    def _advance(self) -> None:
        """Append at least one frame to ``_ready``."""
