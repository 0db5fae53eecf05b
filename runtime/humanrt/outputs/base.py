"""Outputs: where results of the live loop go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from humanrt.perception.pipeline import Result

__all__ = ["Image", "Output"]

Image = NDArray[np.uint8]


class Output(Protocol):
    """Somewhere for results to go. Inherit from it and write `put`; `start` and `close` do nothing by themselves.

    `humanrt.live.play` calls `start` once, `put` for every frame, and `close` once, whatever happens in between.
    """

    def start(self, header: Mapping[str, Any]) -> None:
        """Begin. ``header`` is a recording's first line: task, robots and their joint names, bundle, source, fps."""
        return

    def put(self, result: Result, picture: Image | None) -> bool:
        """Take one frame's result.

        Args:
            result: everything known of the frame.
            picture: RGB uint8 [H, W, 3] as the painter drew it; None where nothing is drawn.

        Returns:
            False to stop the loop: the user closed the window, the receiver is full.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End, and free what is held. May be called twice."""
        return
