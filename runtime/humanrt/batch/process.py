"""Process many files in parallel: hand out jobs, watch the workers, and log what became of each file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import Any

from humanrt.batch.jobs import Job, Log, Report, find_sources, plan
from humanrt.batch.worker import Outcome, Work, run_jobs
from humanrt.bundle import load_bundle
from humanrt.bundle.manifest import MANIFEST
from humanrt.checks import check_count, check_range
from humanrt.errors import HumanrtError
from humanrt.files import file_sha256
from humanrt.tasks import TASKS, task_named

__all__ = ["BatchOptions", "process"]

_LOOK = 0.25  # s, between looks at workers that say nothing


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How files are processed.

    Attributes:
        task: hands or people.
        bundle: name or folder of a model bundle. None: the task's.
        backend: auto, cpu, cuda or tensorrt.
        workers: number of processes. None: one per two processor cores.
        threads: threads of each process. None: the cores divided by the workers.
        format: jsonl (recordings) or npz (numpy arrays, about a quarter of the size).
        max_frames: process only the first N frames of each file.
        stall: give a file up that has given no frame for so many seconds.
        retry_failed: also process files again that failed before.
        options: fields of the task's options.
    """

    task: str = "people"
    bundle: str | None = None
    backend: str = "auto"
    workers: int | None = None
    threads: int | None = None
    format: str = "jsonl"
    max_frames: int | None = None
    stall: float = 120.0
    retry_failed: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        task_named(self.task)
        if self.format not in ("jsonl", "npz"):
            raise HumanrtError(f"--format: no `{self.format}`; choose one of: jsonl, npz")
        for name in ("workers", "threads", "max_frames"):
            if getattr(self, name) is not None:
                check_count(getattr(self, name), f"--{name.replace('_', '-')}", 10**9 if name == "max_frames" else 1000)
        check_range(self.stall, "--stall", 0.0, 1e6, above=True)

    def work(self) -> Work:
        """Return what workers do."""
        threads = self.threads or max(1, _cores() // self.processes())
        return Work(
            self.task,
            self.bundle,
            self.backend,
            self.options,
            {"threads": threads},
            self.max_frames,
            self.format == "npz",
        )

    def processes(self) -> int:
        """Return the number of processes."""
        return self.workers or max(1, _cores() // 2)

    def hash(self) -> str:
        """Return what tells results of other options or of another bundle apart. BundleError if there is no bundle."""
        bundle = load_bundle(self.bundle or TASKS[self.task].bundle, task=self.task)
        about = {
            "task": self.task,
            "format": self.format,
            "max_frames": self.max_frames,
            "options": {name: str(value) for name, value in self.options.items()},
            "bundle": file_sha256(bundle.path / MANIFEST),
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def process(
    patterns: Sequence[str | Path],
    out: str | Path,
    options: BatchOptions | None = None,
    *,
    progress: Callable[[int, int, int], None] | None = None,
) -> Iterator[Report]:
    """Process files, and yield a report when each is done or has failed; the same call goes on where it was cut off.

    Files that were processed already, with the same options and bundle, and are unchanged, get no report.

    Args:
        patterns: see `find_sources`.
        out: folder of the recordings, and of ``batch.jsonl``, which has a line for each file.
        options: see `BatchOptions`.
        progress: called now and then with the number of files done, of all files, and of frames processed so far.

    Raises:
        SourceError, OutputError, BundleError: nothing can be processed; the message says why.
    """
    options = options or BatchOptions()
    out = Path(out)
    jobs = plan(find_sources(patterns), out)
    if options.format == "npz":
        jobs = [Job(job.source, job.output.with_suffix(".npz")) for job in jobs]
    key = options.hash()
    log = Log(out)
    waiting = [job for job in jobs if not log.finished(job, key, retry_failed=options.retry_failed)]
    done = len(jobs) - len(waiting)
    if waiting:
        options.work().open().close()  # a wrong option is told once, and not by every file
    crew = _Crew(options.work(), min(options.processes(), len(waiting)), options.stall)

    def tell(frames: int) -> None:
        if progress is not None:
            progress(done, len(jobs), frames)

    tell(0)
    try:
        for job, outcome in crew.run(waiting, tell):
            done += 1
            report = _report(job, outcome, key)
            log.add(report)
            yield report
    finally:
        crew.close()


def _report(job: Job, outcome: Outcome, key: str) -> Report:
    try:
        stat = job.source.stat()
        size, modified = stat.st_size, stat.st_mtime
    except OSError:
        size, modified = 0, 0.0
    failed = outcome.error is not None
    return Report(
        file=str(job.source),
        state="failed" if failed else "done",
        output=None if failed else str(job.output),
        frames=outcome.frames,
        identities=outcome.identities,
        seconds=round(outcome.seconds, 3),
        error=outcome.error,
        size=size,
        modified=modified,
        options=key,
    )


@dataclass
class _Worker:
    """A process and what it is doing."""

    process: Any
    pipe: Connection
    job: Job | None = None
    started: float = 0.0
    heard: float = 0.0
    frames: int = 0


class _Crew:
    """The workers. One that dies or stalls is replaced, and its file fails."""

    def __init__(self, work: Work, count: int, stall: float) -> None:
        self._work, self._stall = work, stall
        # Started anew and not forked: threads of ONNX Runtime do not survive a fork.
        self._context = multiprocessing.get_context("spawn")
        self._workers = [self._start() for _ in range(count)]
        self._frames = 0  # of files that are done

    def run(self, jobs: Sequence[Job], progress: Callable[[int], None]) -> Iterator[tuple[Job, Outcome]]:
        """Yield each job with its outcome, in the order in which they end."""
        queue = list(reversed(jobs))
        for worker in self._workers:
            self._give(worker, queue)
        while any(worker.job for worker in self._workers):
            wait([worker.pipe for worker in self._workers if worker.job], timeout=_LOOK)
            for index, worker in enumerate(self._workers):
                if worker.job is None:
                    continue
                outcome = self._hear(worker)
                if outcome is None:
                    continue
                job, self._frames = worker.job, self._frames + outcome.frames
                worker.job = None
                if not worker.process.is_alive():
                    worker = self._workers[index] = self._start()
                self._give(worker, queue)
                yield job, outcome
            progress(self._frames + sum(worker.frames for worker in self._workers if worker.job))

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.kill() if worker.job else worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=run_jobs, args=(self._work, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _give(self, worker: _Worker, queue: list[Job]) -> None:
        if queue:
            worker.job, worker.frames = queue.pop(), 0
            worker.started = worker.heard = monotonic()
            with contextlib.suppress(OSError):  # it died: `_hear` tells
                worker.pipe.send(worker.job)

    def _hear(self, worker: _Worker) -> Outcome | None:
        """Return the outcome of a worker's job; None while it is at work."""
        now = monotonic()
        try:
            while worker.pipe.poll():
                message = worker.pipe.recv()
                worker.heard = now
                if isinstance(message, Outcome):
                    return message
                worker.frames = message
        except (EOFError, OSError):
            worker.process.join()
            return self._failed(worker, f"its process died (exit status {worker.process.exitcode}); is memory short?")
        if now - worker.heard > self._stall:
            worker.process.kill()
            worker.process.join()
            return self._failed(worker, f"no frame came for {self._stall:g} s; given up (--stall)")
        return None

    def _failed(self, worker: _Worker, why: str) -> Outcome:
        assert worker.job is not None
        worker.job.output.with_name(f".{worker.job.output.name}.part").unlink(missing_ok=True)
        return Outcome(worker.frames, 0, monotonic() - worker.started, f"{worker.job.source}: {why}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
