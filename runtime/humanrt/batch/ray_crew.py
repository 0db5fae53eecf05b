"""A crew of Ray: the workers of a batch are tasks of a cluster, or of this machine."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from time import monotonic
from typing import Any

from humanrt.batch.crew import LOOK, Doing, Limits
from humanrt.batch.steps import Opened, Outcome, Step, Work, run_step
from humanrt.errors import HumanrtError

__all__ = ["RayCrew"]

_GPU_BACKENDS = ("cuda", "tensorrt")


class RayCrew:
    """A crew of Ray's tasks.

    All machines of a cluster need humanrt, and the sources, the bundle and the output folder under the same names.

    Args:
        work: what every worker does; each takes as many processors as it has threads, and a GPU if it is named.
        count: number of steps at once; None: as many as the cluster has processors for.
        limits: when a step is given up.
        address: of a cluster, ``auto`` for the one of this machine; None starts one on this machine.

    Raises:
        HumanrtError: Ray is not installed, or there is no cluster at that address.
    """

    def __init__(self, work: Work, count: int | None, limits: Limits, address: str | None = None) -> None:
        try:
            import ray
        except ImportError:
            raise HumanrtError("--engine ray needs Ray: pip install 'humanrt[ray]', or leave it out") from None
        self._ray, self._work, self._limits = ray, work, limits
        self._owns = not ray.is_initialized()
        if self._owns:
            try:
                ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="error")
            except (ConnectionError, ValueError, RuntimeError) as error:
                line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise HumanrtError(f"--address: no Ray cluster at {address!r} ({line}); start it: ray start") from None
        threads = max(int(work.execution.get("threads") or 1), 1)
        self._count = count or max(int(ray.cluster_resources().get("CPU", 1)) // threads, 1)
        # A file that ends its process would end the next one, too: no second try.
        self._task: Any = ray.remote(
            num_cpus=threads,
            num_gpus=1 if work.backend in _GPU_BACKENDS else 0,
            max_retries=0,
            num_returns="streaming",
        )(run_step)
        self._frames = 0
        self._busy: dict[Any, Doing] = {}

    def run(self, queue: deque[Step], progress: Callable[[int], None]) -> Iterator[tuple[Step, Opened | Outcome]]:
        """Do all steps of the queue, and yield what workers tell of each; see `Crew`."""
        while queue or self._busy:
            while queue and len(self._busy) < self._count:
                step = queue.popleft()
                # Its time begins when it does: a full cluster lets tasks wait.
                self._busy[self._task.remote(self._work, step)] = Doing(step, inf, inf)
            ready, _ = self._ray.wait(list(self._busy), timeout=LOOK, fetch_local=False)
            for task in ready:
                doing = self._busy[task]
                message = self._hear(task, doing)
                if isinstance(message, int):
                    doing.frames = message
                    continue
                yield self._ended(task, message) if isinstance(message, Outcome) else (doing.step, message)
            for task, doing in list(self._busy.items()):
                if (why := doing.overdue(self._limits)) is not None:
                    self._ray.cancel(task, force=True)
                    yield self._ended(task, doing.failed(why))
            progress(self._frames + sum(doing.looked() for doing in self._busy.values()))

    def close(self) -> None:
        """End all tasks, and the cluster if it was started here."""
        for task in self._busy:
            with contextlib.suppress(Exception):
                self._ray.cancel(task, force=True)
        if self._owns:
            self._ray.shutdown()

    def _ended(self, task: Any, outcome: Outcome) -> tuple[Step, Outcome]:
        doing = self._busy.pop(task)
        self._frames += doing.looked(outcome.frames)
        return doing.step, outcome

    def _hear(self, task: Any, doing: Doing) -> int | Opened | Outcome:
        """Return what a task tells next."""
        doing.heard = monotonic()
        doing.started = min(doing.started, doing.heard)
        try:
            return self._ray.get(next(task))  # type: ignore[no-any-return]
        except (self._ray.exceptions.RayError, StopIteration) as error:
            return doing.failed(f"its process died ({type(error).__name__}); is memory short?")
