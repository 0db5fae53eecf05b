"""Overlapped frames: while one is computed, the next is uploaded and the previous one is downloaded.

There are two slots, each with its own buffers, pinned arrays and bindings. One stream copies and one computes, and
events synchronise them; the order in which work is submitted to the copy stream makes them overlap:

    copy     up 0 | up 1      | down 0 | up 2      | down 1 | ...
    compute         run 0              | run 1              | run 2

The download of a frame is submitted only after the upload of the next, which would otherwise wait behind it for the
network. So a result arrives one frame later. `humanrt run --overlap` works this way; a robot that needs the newest
frame first calls `submit` and `result` in turn: then nothing overlaps, but nothing waits either.
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
    """Resources of one frame in flight.

    Attributes:
        inputs, outputs: buffers that are filled from and copied to the host, by name.
        stages: the steps in between, by name, in this order; each may be many networks and kernels (`Backend.record`).
        owned: other resources closed with the slot (bindings, buffers between the stages), before the buffers.
    """

    inputs: Mapping[str, Buffer]
    outputs: Mapping[str, Buffer]
    stages: Mapping[str, Binding]
    owned: Sequence[Resource] = ()


@dataclass(frozen=True)
class Finished:
    """A finished frame.

    Attributes:
        outputs: outputs by name, in the slot's pinned memory: valid until the next frame is submitted.
        ms: device time of ``upload`` (including the copy on the host), of each stage and of ``download``; and
            ``wait``, the rest of the time from `submit` to `result`: other frames, or the caller. They add up to it.
    """

    outputs: dict[str, Array]
    ms: dict[str, float]


@dataclass
class _Flight:
    """A frame in flight: its slot, when it was submitted and how long the host copied (s), and its stream events."""

    slot: int
    submitted: float
    copied: float
    upload: tuple[Event, Event]
    stages: list[Event]
    download: tuple[Event, Event] | None = None


class Pipelined(Resource):
    """Runs frames through slots. A context manager: leaving it waits for the work and frees the slots.

    Args:
        backend: the backend whose device does the work.
        make_slot: creates a slot with its own buffers and bindings; called ``slots`` times.
        slots: max number of frames in flight.
    """

    def __init__(self, backend: Backend, make_slot: Callable[[], Slot], slots: int = 2) -> None:
        if slots < 1:
            raise ValueError(f"slots must be at least 1, not {slots}")
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
        """Max number of frames in flight."""
        return len(self._slots)

    @property
    def in_flight(self) -> int:
        """Number of frames that were submitted and whose results were not taken yet."""
        return len(self._flight)

    def submit(self, feeds: Mapping[str, Array]) -> None:
        """Submit a frame to the device; the arrays are copied and may be changed at once.

        Raises:
            ValueError: all slots are in use (take a `result` first), or a feed does not fit the graph.
        """
        submitted = perf_counter()
        if len(self._flight) == len(self._slots):
            raise ValueError(f"{len(self._slots)} frames are in flight already; take a result first")
        index = self._next
        slot, host = self._slots[index], self._host[index]
        if set(feeds) != set(slot.inputs):
            raise ValueError(f"a frame has inputs {list(slot.inputs)}, not {list(feeds)}")
        for name, buffer in slot.inputs.items():  # check all before any is submitted to the device
            check_feed(buffer.spec, feeds[name])
        self._next = (index + 1) % len(self._slots)
        for name in slot.inputs:
            np.copyto(host[name], feeds[name])
        copied = perf_counter() - submitted
        begin = self._copy.record()
        for name, buffer in slot.inputs.items():
            buffer.upload_async(host[name], self._copy)
        uploaded = self._copy.record()
        self._download()  # of the previous frames, behind this upload
        self._compute.wait(uploaded)
        points = [self._compute.record()]
        for stage in slot.stages.values():
            stage.run_async(self._compute)
            points.append(self._compute.record())
        self._flight.append(_Flight(index, submitted, copied, (begin, uploaded), points))

    def result(self) -> Finished:
        """Return the outputs and times of the oldest frame. ValueError if none is in flight."""
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
        """Submit all pending downloads to the copy stream."""
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
