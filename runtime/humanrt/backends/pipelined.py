"""Frames that overlap: while one is computed the next is uploaded and the one before is downloaded.

Two slots, each with buffers, pinned arrays and bindings of its own. One stream copies and one computes, and events hold
them together; the order in which the copy stream is given its work makes them overlap:

    copy     up 0 | up 1      | down 0 | up 2      | down 1 | ...
    compute         run 0              | run 1              | run 2

The download of a frame is given only after the upload of the next, which would otherwise wait behind it for the
network. A result so comes one frame later: the way of `humanrt run --overlap`, not that of a robot which needs the
newest frame first (it calls `submit` and `result` in turn, and nothing overlaps but also nothing waits).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

import numpy as np

from humanrt.backends.base import Array, Backend, Binding, Buffer, Event, check_feed
from humanrt.resource import Resource

__all__ = ["Finished", "Pipelined", "Slot"]


@dataclass
class Slot:
    """What one frame in flight needs.

    Attributes:
        inputs, outputs: buffers that are filled from and copied to the host, by name.
        stages: what is between, by name, in this order; each may be many networks and kernels (`Backend.record`).
        owned: what else is closed with the slot: bindings, buffers between the stages. Closed before the buffers.
    """

    inputs: Mapping[str, Buffer]
    outputs: Mapping[str, Buffer]
    stages: Mapping[str, Binding]
    owned: Sequence[Resource] = ()


@dataclass(frozen=True)
class Finished:
    """A frame that is done.

    Attributes:
        outputs: by name, in the slot's own pinned memory: they last until a frame is submitted.
        ms: ``upload`` (with the host's copying), the stages, ``download``, each as the device took it; and ``wait``,
            what is left of the time from `submit` to `result`: other frames, or the caller. Their sum is that time.
    """

    outputs: dict[str, Array]
    ms: dict[str, float]


@dataclass
class _Flight:
    """A frame on its way: its slot, when it was submitted and how long the host copied, s; points in the streams."""

    slot: int
    submitted: float
    copied: float
    upload: tuple[Event, Event]
    stages: list[Event]
    download: tuple[Event, Event] | None = None


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
        self._slots: list[Slot] = []
        self._next = 0
        self._flight: deque[_Flight] = deque()  # oldest first
        self._copy, self._compute = backend.stream(), backend.stream()
        try:
            for _ in range(slots):
                self._slots.append(make_slot())
            self._host = [
                {name: backend.pinned(buffer.spec) for name, buffer in {**slot.inputs, **slot.outputs}.items()}
                for slot in self._slots
            ]
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """Frames that can be in flight."""
        return len(self._slots)

    @property
    def in_flight(self) -> int:
        """Frames submitted whose results were not taken."""
        return len(self._flight)

    def submit(self, feeds: Mapping[str, Array]) -> None:
        """Give a frame to the device; the arrays are copied and may change at once.

        Raises:
            ValueError: every slot is taken (take a `result` first), or a feed is not what the graph needs.
        """
        submitted = perf_counter()
        if len(self._flight) == len(self._slots):
            raise ValueError(f"{len(self._slots)} frames are in flight: take a result first")
        index = self._next
        slot, host = self._slots[index], self._host[index]
        if set(feeds) != set(slot.inputs):
            raise ValueError(f"a frame has inputs {list(slot.inputs)}, not {list(feeds)}")
        for name, buffer in slot.inputs.items():  # all checked before any is given to the device
            check_feed(buffer.spec, feeds[name])
        self._next = (index + 1) % len(self._slots)
        for name in slot.inputs:
            np.copyto(host[name], feeds[name])
        copied = perf_counter() - submitted
        begin = self._copy.record()
        for name, buffer in slot.inputs.items():
            buffer.upload_async(host[name], self._copy)
        uploaded = self._copy.record()
        self._download()  # of the frames before, behind this upload
        self._compute.wait(uploaded)
        points = [self._compute.record()]
        for stage in slot.stages.values():
            stage.run_async(self._compute)
            points.append(self._compute.record())
        self._flight.append(_Flight(index, submitted, copied, (begin, uploaded), points))

    def result(self) -> Finished:
        """The oldest frame's outputs and times. ValueError when none is in flight."""
        if not self._flight:
            raise ValueError("no frame is in flight: submit one first")
        if self._flight[0].download is None:
            self._download()
        frame = self._flight.popleft()
        assert frame.download is not None
        downloaded = frame.download[1]
        downloaded.wait()
        slot = self._slots[frame.slot]
        ms = {"upload": frame.upload[1].ms_since(frame.upload[0]) + 1e3 * frame.copied}
        for name, (begin, end) in zip(slot.stages, pairwise(frame.stages), strict=True):
            ms[name] = end.ms_since(begin)
        ms["download"] = downloaded.ms_since(frame.download[0])
        ms["wait"] = max(0.0, 1e3 * (perf_counter() - frame.submitted) - sum(ms.values()))
        return Finished({name: self._host[frame.slot][name] for name in slot.outputs}, ms)

    def _download(self) -> None:
        """Give the copy stream the downloads that it has not been given."""
        for frame in self._flight:
            if frame.download is None:
                self._copy.wait(frame.stages[-1])
                begin = self._copy.record()
                for name, buffer in self._slots[frame.slot].outputs.items():
                    buffer.download_async(self._host[frame.slot][name], self._copy)
                frame.download = begin, self._copy.record()

    def close(self) -> None:
        """Wait for the work and free the slots."""
        if self._slots:
            self._compute.synchronize()
            self._copy.synchronize()
        self._flight.clear()
        for slot in self._slots:
            buffers = {id(b): b for b in (*slot.inputs.values(), *slot.outputs.values())}
            for resource in (*slot.stages.values(), *slot.owned, *buffers.values()):
                resource.close()
        self._slots = []
        self._compute.close()
        self._copy.close()
