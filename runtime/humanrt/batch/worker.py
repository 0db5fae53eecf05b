"""A worker of a batch: a process that turns one file after the other into a recording."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

from humanrt.address import redacted
from humanrt.animation import convert
from humanrt.batch.jobs import Job
from humanrt.errors import HumanrtError, printable
from humanrt.live import Output
from humanrt.outputs.base import Image
from humanrt.outputs.record import Recorder
from humanrt.perception.pipeline import Pipeline, Result
from humanrt.sources.opening import open_source
from humanrt.tasks import TASKS

__all__ = ["Outcome", "Work", "run_jobs"]

_EVERY = 0.5  # s, between two signs of life


@dataclass(frozen=True)
class Work:
    """What every worker does.

    Attributes:
        task: one of `TASKS`.
        bundle: name or folder of the bundle; None: the task's.
        backend: where networks run.
        options: fields of the task's options.
        execution: precision, threads and so on.
        max_frames: of each source; None: all.
        arrays: write numpy arrays (``.npz``) instead of a recording.
    """

    task: str
    bundle: str | None
    backend: str
    options: Mapping[str, Any]
    execution: Mapping[str, Any]
    max_frames: int | None = None
    arrays: bool = False

    def open(self) -> Pipeline[Any]:
        """Open the pipeline."""
        task = TASKS[self.task]
        return task.open(self.bundle, self.backend, task.options(**self.options), **self.execution)


@dataclass(frozen=True)
class Outcome:
    """The end of a job: number of frames and identities, seconds, and the error if it failed."""

    frames: int
    identities: int
    seconds: float
    error: str | None


def run_jobs(work: Work, jobs: Connection) -> None:
    """Take jobs from a pipe until it ends: send the number of frames done now and then, and an `Outcome` at the end."""
    while True:
        try:
            job = jobs.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        start = perf_counter()
        alive = _Alive(jobs.send)
        error = None
        try:
            # Opened for each file: identities then begin at 1, and a file's result does not depend on those before.
            with work.open() as pipeline:
                record(work, job, pipeline, alive)
        except KeyboardInterrupt:
            return
        except Exception as problem:  # a file must cost only itself, whatever is wrong with it
            error = str(problem) if isinstance(problem, HumanrtError) else f"{type(problem).__name__}: {problem}"
            error = printable(redacted(error))
        jobs.send(Outcome(alive.frames, len(alive.identities), perf_counter() - start, error))


def record(work: Work, job: Job, pipeline: Pipeline[Any], alive: _Alive) -> None:
    """Turn a source into a recording, which appears when it is complete."""
    from humanrt.live import play

    job.output.parent.mkdir(parents=True, exist_ok=True)
    part = job.output.with_name(f".{job.output.name}.part")
    try:
        with open_source(str(job.source)) as source:
            play(source, pipeline, [Recorder(part), alive], max_frames=work.max_frames)
        if work.arrays:
            convert(part, job.output, "npz")
        else:
            os.replace(part, job.output)  # noqa: PTH105
    finally:
        Path(part).unlink(missing_ok=True)


class _Alive(Output):
    """Counts frames and identities, and tells of them now and then."""

    def __init__(self, tell: Callable[[Any], None]) -> None:
        self.frames = 0
        self.identities: set[Any] = set()
        self._tell, self._told = tell, perf_counter()

    def put(self, result: Result, picture: Image | None) -> bool:
        self.frames += 1
        self.identities.update(result.ids)
        if perf_counter() - self._told > _EVERY:
            self._told = perf_counter()
            self._tell(self.frames)
        return True
