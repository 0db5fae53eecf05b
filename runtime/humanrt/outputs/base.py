"""The interface of outputs: where results of the live loop go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from humanrt.perception.pipeline import Result

__all__ = ["Image", "Output"]

Image = NDArray[np.uint8]


class Output(Protocol):
    """Base class of outputs. Subclasses implement `put`; by default `start` and `close` do nothing.

    `humanrt.live.play` calls `start` once, `put` for every frame, and `close` once, whatever happens in between.
    """

    def start(self, header: Mapping[str, Any]) -> None:
        """Begin. ``header`` is the first line of a recording: task, robots and joint names, bundle, source, fps."""
        return

    def put(self, result: Result, picture: Image | None) -> bool:
        """Take one frame's result.

        Args:
            result: everything known about the frame.
            picture: RGB uint8 [H, W, 3] as drawn by the painter; None if nothing is drawn.

        Returns:
            False to stop the loop, for example because the user closed the window or the receiver is full.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End, and free all resources. May be called twice."""
        return
