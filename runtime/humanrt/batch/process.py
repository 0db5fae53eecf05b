"""Process many files in parallel: hand out what is left to do, and log what became of each file."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from humanrt.batch.crew import Crew, Limits, LocalCrew
from humanrt.batch.jobs import Job, Log, Report, find_sources, plan
from humanrt.batch.ray_crew import RayCrew
from humanrt.batch.steps import Check, Joint, Opened, Outcome, Segment, Step, Work
from humanrt.bundle import load_bundle
from humanrt.bundle.manifest import MANIFEST
from humanrt.checks import check_count, check_range
from humanrt.errors import HumanrtError
from humanrt.files import file_sha256
from humanrt.tasks import TASKS, task_named

__all__ = ["ENGINES", "BatchOptions", "process"]

ENGINES = ("local", "ray")
"""Where workers run: processes on this machine, or tasks of a Ray cluster."""


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
        segment: split videos into segments of so many seconds, which workers process at the same time. None: no file is
            split.
        stall: give a file up that has given no frame for so many seconds.
        timeout: give a file, or a segment, up that is not done after so many seconds. None: no limit.
        retry_failed: also process files again that failed before.
        engine: where workers run, one of `ENGINES`: on this machine, or on a Ray cluster.
        address: of the Ray cluster, or auto. None: Ray is started on this machine.
        options: fields of the task's options.
    """

    task: str = "people"
    bundle: str | None = None
    backend: str = "auto"
    workers: int | None = None
    threads: int | None = None
    format: str = "jsonl"
    max_frames: int | None = None
    segment: float | None = None
    stall: float = 120.0
    timeout: float | None = None
    retry_failed: bool = False
    engine: str = ENGINES[0]
    address: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        task_named(self.task)
        if self.format not in ("jsonl", "npz"):
            raise HumanrtError(f"--format: no `{self.format}`; choose one of: jsonl, npz")
        for name in ("workers", "threads", "max_frames"):
            if getattr(self, name) is not None:
                check_count(getattr(self, name), f"--{name.replace('_', '-')}", 10**9 if name == "max_frames" else 1000)
        for name in ("segment", "stall", "timeout"):
            if getattr(self, name) is not None:
                check_range(getattr(self, name), f"--{name}", 0.0, 1e6, above=True)
        if self.engine not in ENGINES:
            raise HumanrtError(f"--engine: no `{self.engine}`; choose one of: {', '.join(ENGINES)}")
        if self.address is not None and self.engine != "ray":
            raise HumanrtError("--address is that of a Ray cluster; add --engine ray, or leave it out")

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
            self.segment,
        )

    def crew(self, most: int) -> Crew:
        """Start the workers; ``most``: the number of steps that can be done at once. HumanrtError if Ray is missing."""
        limits = Limits(self.stall, self.timeout)
        if self.engine == "ray":
            return RayCrew(self.work(), self.workers, limits, self.address)
        return LocalCrew(self.work(), min(self.processes(), most), limits)

    def processes(self) -> int:
        """Return the number of processes."""
        return self.workers or max(1, _cores() // 2)

    def hash(self) -> str:
        """Return what tells results of other options or of another bundle apart. BundleError if there is no bundle."""
        bundle = load_bundle(self.bundle or TASKS[self.task].bundle, task=self.task)
        about: dict[str, Any] = {
            "task": self.task,
            "format": self.format,
            "max_frames": self.max_frames,
            "options": {name: str(value) for name, value in self.options.items()},
            "bundle": file_sha256(bundle.path / MANIFEST),
        }
        if self.segment is not None:
            about["segment"] = self.segment
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def process(
    patterns: Sequence[str | Path],
    out: str | Path,
    options: BatchOptions | None = None,
    *,
    progress: Callable[[int, int, int], None] | None = None,
    earlier: Callable[[int, int], None] | None = None,
) -> Iterator[Report]:
    """Process files, and yield a report when each is done or has failed; the same call goes on where it was cut off.

    Files that were processed already, with the same options and bundle, and are unchanged, get no report.

    Args:
        patterns: see `find_sources`.
        out: folder of the recordings, and of ``batch.jsonl``, which has a line for each file.
        options: see `BatchOptions`.
        earlier: called once with the number of files that an earlier call had done with, and how many of these failed.
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
    if earlier is not None:
        earlier(done, sum(map(log.failed, set(jobs).difference(waiting))))

    def tell(frames: int) -> None:
        if progress is not None:
            progress(done, len(jobs), frames)

    tell(0)
    if not waiting:
        return
    crew = options.crew(len(waiting) if options.segment is None else options.processes())
    try:
        for _, message in crew.run(deque([Check()]), lambda frames: None):
            if isinstance(message, Outcome) and message.error is not None:
                raise HumanrtError(message.error)
        for job, outcome in _Files(waiting, key).run(crew, tell):
            done += 1
            report = _report(job, outcome, key)
            log.add(report)
            yield report
    finally:
        crew.close()


@dataclass
class _File:
    """A file that is worked on: its steps that are not done yet, and what became of the others."""

    steps: set[Step]
    starts: tuple[int, ...] = (0,)
    outcome: Outcome = field(default_factory=lambda: Outcome(0, 0, 0.0))


class _Files:
    """The steps of each file: the first segment tells how many there are, and all together are joined."""

    def __init__(self, jobs: Sequence[Job], key: str) -> None:
        first = [Segment(job, _version(job, key)) for job in jobs]
        self._queue: deque[Step] = deque(first)
        self._files = {segment.job.output: _File({segment}) for segment in first}

    def run(self, crew: Crew, progress: Callable[[int], None]) -> Iterator[tuple[Job, Outcome]]:
        """Yield each file with its outcome, in the order in which they end."""
        for step, message in crew.run(self._queue, progress):
            assert isinstance(step, Segment | Joint)
            file = self._files[step.job.output]
            if isinstance(message, Opened):
                assert isinstance(step, Segment)
                file.starts = message.starts
                self._add(file, [replace(step, index=index) for index in range(1, len(file.starts))])
                continue
            file.steps.discard(step)
            file.outcome = _both(file.outcome, message, last=isinstance(step, Joint))
            if message.error is not None:
                for waiting in [one for one in self._queue if one in file.steps]:
                    self._queue.remove(waiting)
                    file.steps.discard(waiting)
            if file.steps:
                continue
            if isinstance(step, Segment) and len(file.starts) > 1:
                segments = tuple(replace(step, index=index) for index in range(len(file.starts)))
                if file.outcome.error is None:
                    self._add(file, [Joint(step.job, segments, file.starts)])
                    continue
                for segment in segments:
                    segment.path.unlink(missing_ok=True)
            yield step.job, file.outcome

    def _add(self, file: _File, steps: Sequence[Step]) -> None:
        """Do these before files that were not begun."""
        file.steps.update(steps)
        self._queue.extendleft(reversed(steps))


def _both(before: Outcome, after: Outcome, *, last: bool) -> Outcome:
    """Return the outcome of several steps of a file. The last one counts its frames and identities as they are."""
    return Outcome(
        after.frames if last else before.frames + after.frames,
        after.identities if last else max(before.identities, after.identities),
        before.seconds + after.seconds,
        before.error or after.error,
    )


def _version(job: Job, key: str) -> str:
    """Return what tells segments apart that were made of another file, or with other options."""
    try:
        stat = job.source.stat()
        about = (key, stat.st_size, stat.st_mtime_ns)
    except OSError:
        about = (key, 0, 0)
    return hashlib.sha256(repr(about).encode()).hexdigest()[:12]


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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
