"""Frames that overlap: while one is computed the next is uploaded and the one before is downloaded.

Two slots, each with buffers, pinned arrays and bindings of its own. One stream copies and one computes, and events hold
them together; the order in which the copy stream is given its work makes them overlap:

    copy     up 0 | up 1      | down 0 | up 2      | down 1 | ...
    compute         run 0              | run 1              | run 2

The download of a frame is given only after the upload of the next, which would otherwise wait behind it for the
network. A result so comes one frame later: the way of `humanrt bench`, not that of a robot which needs the newest
frame first (it calls `submit` and `result` in turn, and nothing overlaps but also nothing waits).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from humanrt.backends.base import Array, Backend, Binding, Buffer, Event, check_feed
from humanrt.resource import Resource

__all__ = ["Pipelined", "Slot"]


@dataclass
class Slot:
    """What one frame in flight needs.

    Attributes:
        inputs, outputs: buffers that are filled from and copied to the host, by name.
        step: everything between; a `Sequential` or a CUDA graph for several networks and kernels.
        owned: buffers between the graphs, closed with the slot.
    """

    inputs: Mapping[str, Buffer]
    outputs: Mapping[str, Buffer]
    step: Binding
    owned: tuple[Buffer, ...] = ()


class Pipelined(Resource):
    """Runs frames through slots. A context manager: leaving it waits for the work and frees the slots.

    Args:
        backend: whose device does the work.
        make_slot: makes a slot with buffers and bindings of its own; called ``slots`` times.
        slots: frames in flight.
    """

    def __init__(self, backend: Backend, make_slot: Callable[[], Slot], slots: int = 2) -> None:
        if slots < 1:
            raise ValueError(f"{slots} slots; at least 1 is needed")
        self._slots = [make_slot() for _ in range(slots)]
        self._copy, self._compute = backend.stream(), backend.stream()
        self._host = [
            {name: backend.pinned(buffer.spec) for name, buffer in {**slot.inputs, **slot.outputs}.items()}
            for slot in self._slots
        ]
        self._next = 0
        # Frames in flight, oldest first: slot, end of the computation, end of the download once that is given.
        self._flight: deque[tuple[int, Event, Event | None]] = deque()

    @property
    def in_flight(self) -> int:
        """Frames submitted whose results were not taken."""
        return len(self._flight)

    def submit(self, feeds: Mapping[str, Array]) -> None:
        """Give a frame to the device; the arrays are copied and may change at once.

        Raises:
            ValueError: every slot is taken (take a `result` first), or a feed is not what the graph needs.
        """
        if len(self._flight) == len(self._slots):
            raise ValueError(f"{len(self._slots)} frames are in flight: take a result first")
        index = self._next
        slot, host = self._slots[index], self._host[index]
        if set(feeds) != set(slot.inputs):
            raise ValueError(f"a frame has inputs {list(slot.inputs)}, not {list(feeds)}")
        for name, buffer in slot.inputs.items():  # all checked before any is given to the device
            check_feed(buffer.spec, feeds[name])
        self._next = (index + 1) % len(self._slots)
        for name, buffer in slot.inputs.items():
            np.copyto(host[name], feeds[name])
            buffer.upload_async(host[name], self._copy)
        uploaded = self._copy.record()
        self._download()  # of the frames before, behind this upload
        self._compute.wait(uploaded)
        slot.step.run_async(self._compute)
        self._flight.append((index, self._compute.record(), None))

    def result(self) -> dict[str, Array]:
        """The outputs of the oldest frame, by name, the caller's to keep. ValueError when none is in flight."""
        if not self._flight:
            raise ValueError("no frame is in flight: submit one first")
        if self._flight[0][2] is None:
            self._download()
        index, _, downloaded = self._flight.popleft()
        assert downloaded is not None
        downloaded.wait()
        return {name: self._host[index][name].copy() for name in self._slots[index].outputs}

    def _download(self) -> None:
        """Give the copy stream the downloads that it has not been given."""
        for place, (index, computed, downloaded) in enumerate(self._flight):
            if downloaded is None:
                self._copy.wait(computed)
                for name, buffer in self._slots[index].outputs.items():
                    buffer.download_async(self._host[index][name], self._copy)
                self._flight[place] = (index, computed, self._copy.record())

    def close(self) -> None:
        """Wait for the work and free the slots."""
        if not self._slots:
            return
        self._flight.clear()
        self._compute.synchronize()
        self._copy.synchronize()
        for slot in self._slots:
            for buffer in {id(b): b for b in (*slot.inputs.values(), *slot.outputs.values(), *slot.owned)}.values():
                buffer.close()
        self._slots = []
        self._compute.close()
        self._copy.close()
