"""Crews: the workers of a batch, wherever they run, and the crew of processes on this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import Any, Protocol

from humanrt.batch.steps import Check, Opened, Outcome, Step, Work
from humanrt.batch.worker import run_steps

__all__ = ["Crew", "Doing", "Limits", "LocalCrew"]

LOOK = 0.25  # s, between looks at workers that say nothing
_START = 30.0  # s, granted to a process to start and import, beside the time for its first step


@dataclass(frozen=True)
class Limits:
    """When a step is given up.

    Attributes:
        stall: s without a frame.
        timeout: s in all; None: no limit.
    """

    stall: float
    timeout: float | None = None


@dataclass
class Doing:
    """A step that a worker is doing; times are of `monotonic`, infinite before it begins."""

    step: Step
    started: float
    heard: float
    frames: int = 0

    def looked(self, frames: int | None = None) -> int:
        """Return how many of so many frames, else of those done so far, were looked at and not only joined."""
        return (self.frames if frames is None else frames) if self.step.looks else 0

    @classmethod
    def now(cls, step: Step, *, starting: bool = False) -> Doing:
        begin = monotonic() + (_START if starting else 0.0)
        return cls(step, begin, begin)

    def overdue(self, limits: Limits) -> str | None:
        """Return why the step must be given up; None while it need not."""
        if monotonic() - self.heard > limits.stall:
            return f"no frame came for {limits.stall:g} s; given up (--stall)"
        if (
            limits.timeout is not None
            and not isinstance(self.step, Check)
            and monotonic() - self.started > limits.timeout
        ):
            return f"not done after {limits.timeout:g} s; given up (--timeout)"
        return None

    def failed(self, why: str) -> Outcome:
        """Return the outcome of a step that was given up, and remove what it left."""
        self.step.discard()
        return Outcome(self.frames, 0, max(monotonic() - self.started, 0.0), f"{self.step.name}: {why}")


class Crew(Protocol):
    """Workers that do steps. One that dies or stalls is replaced, and its step fails."""

    def run(self, queue: deque[Step], progress: Callable[[int], None]) -> Iterator[tuple[Step, Opened | Outcome]]:
        """Do all steps of the queue, and yield what workers tell of each.

        Args:
            queue: steps to do, taken from its left; the caller may add to it while iterating.
            progress: called now and then with the number of frames processed.
        """

    def close(self) -> None:
        """End all workers."""


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    doing: Doing | None = None


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C, also in processes that are started meanwhile: the terminal sends it to all of them, and a worker
    that is still importing would print a traceback. Ours comes afterwards, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker  # of POSIX

    resource_tracker.ensure_running()  # else the first start starts it, which unblocks Ctrl-C
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class LocalCrew:
    """A crew of processes on this machine, which are started when they are needed."""

    def __init__(self, work: Work, count: int, limits: Limits) -> None:
        self._work, self._count, self._limits = work, count, limits
        # Started anew and not forked: threads of ONNX Runtime do not survive a fork.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._frames = 0  # of steps that are done

    def run(self, queue: deque[Step], progress: Callable[[int], None]) -> Iterator[tuple[Step, Opened | Outcome]]:
        """Do all steps of the queue, and yield what workers tell of each; see `Crew`."""
        while queue or any(worker.doing for worker in self._workers):
            self._hand_out(queue)
            wait([worker.pipe for worker in self._workers if worker.doing], timeout=LOOK)
            for worker in self._workers:
                while worker.doing and (message := self._hear(worker, worker.doing)) is not None:
                    step = worker.doing.step
                    if isinstance(message, Outcome):
                        self._frames += worker.doing.looked(message.frames)
                        worker.doing = None
                    yield step, message
            self._workers = [worker for worker in self._workers if worker.process.is_alive() or worker.doing]
            progress(self._frames + sum(worker.doing.looked() for worker in self._workers if worker.doing))

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.kill() if worker.doing else worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _hand_out(self, queue: deque[Step]) -> None:
        while queue:
            worker = next((worker for worker in self._workers if worker.doing is None), None)
            starting = worker is None
            if worker is None:
                if len(self._workers) >= self._count:
                    return
                worker = self._start()
            worker.doing = Doing.now(queue.popleft(), starting=starting)
            with contextlib.suppress(OSError):  # it died: `_hear` tells
                worker.pipe.send(worker.doing.step)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=run_steps, args=(self._work, theirs), daemon=True)
        with _interrupts_blocked():
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _hear(self, worker: _Worker, doing: Doing) -> Opened | Outcome | None:
        """Return what a worker tells of its step; None if that is nothing new."""
        try:
            while worker.pipe.poll():
                message = worker.pipe.recv()
                doing.heard = monotonic()
                doing.started = min(doing.started, doing.heard)
                if not isinstance(message, int):
                    return message  # type: ignore[no-any-return]
                doing.frames = message
        except (EOFError, OSError):
            worker.process.join()
            return doing.failed(f"its process died (exit status {worker.process.exitcode}); is memory short?")
        if (why := doing.overdue(self._limits)) is not None:
            worker.process.kill()
            worker.process.join()
            return doing.failed(why)
        return None
