"""Steps of a batch: what a worker does at once. A file, a segment of a long video, or the joining of its segments."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Protocol

from humanrt.address import redacted
from humanrt.animation import convert
from humanrt.batch.jobs import Job
from humanrt.batch.joining import OVERLAP, join
from humanrt.errors import HumanrtError, printable
from humanrt.live import results
from humanrt.outputs.record import Recorder, json_line
from humanrt.people.pipeline import PeoplePipeline
from humanrt.perception.pipeline import Pipeline
from humanrt.sources.opening import FALLBACK_FPS, Source, open_source
from humanrt.tasks import TASKS

__all__ = ["Check", "Joint", "Message", "Opened", "Outcome", "Segment", "Step", "Work", "run_step"]

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
        segment: s, length of the segments of long videos; None: none is split.
    """

    task: str
    bundle: str | None
    backend: str
    options: Mapping[str, Any]
    execution: Mapping[str, Any]
    max_frames: int | None = None
    arrays: bool = False
    segment: float | None = None

    def open(self) -> Pipeline[Any]:
        """Open the pipeline."""
        task = TASKS[self.task]
        pipeline = task.open(self.bundle, self.backend, task.options(**self.options), **self.execution)
        if isinstance(pipeline, PeoplePipeline):
            pipeline.overlap = pipeline.overlaps  # nobody waits for a single frame
        return pipeline

    def starts(self, source: Source) -> tuple[int, ...]:
        """Return the first frame of each segment of a source; one only where it is short, or of unknown length."""
        if self.segment is None or source.frame_count is None:
            return (0,)
        frames = min(source.frame_count, self.max_frames or source.frame_count)
        length = max(round(self.segment * (source.fps or FALLBACK_FPS)), 1)
        # A last segment that is hardly longer than what it overlaps belongs to the one before.
        return (0, *range(length, frames - _overlap(source), length))


def _overlap(source: Source) -> int:
    return round(OVERLAP * (source.fps or FALLBACK_FPS))


@dataclass(frozen=True)
class Opened:
    """A source was opened: the first frame of each of its segments."""

    starts: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """The end of a step: number of frames and identities, seconds, and the error if it failed.

    Frames of a segment are its own, without those of the overlap with the one before.
    """

    frames: int
    identities: int
    seconds: float
    error: str | None = None


Message = int | Opened | Outcome
"""What a worker tells: the number of frames done so far, what it opened, or how the step ended."""


@dataclass
class Tally:
    """What a step has done so far."""

    frames: int = 0
    identities: set[Hashable] = field(default_factory=set)


class Step(Protocol):
    """What a worker does at once; sent to its process.

    Attributes:
        looks: whether it looks at frames; else those that it tells are counted already.
    """

    looks: ClassVar[bool]

    @property
    def name(self) -> str:
        """Its source, for messages."""

    def run(self, work: Work, tally: Tally) -> Iterator[Message]:
        """Do it, and yield now and then, so that the step counts as alive."""

    def discard(self) -> None:
        """Remove what a step that was killed has left."""


@dataclass(frozen=True)
class Check:
    """Open the pipeline once, so that a wrong option is told once, and not by every file."""

    name = "the pipeline"
    looks: ClassVar[bool] = False

    def run(self, work: Work, tally: Tally) -> Iterator[Message]:
        work.open().close()
        return iter(())

    def discard(self) -> None:
        return


@dataclass(frozen=True)
class Segment:
    """Turn a file, or a segment of it, into a recording, which appears when it is complete.

    Attributes:
        job: the file.
        key: what tells segments of other options, or of another file, apart.
        index: number of the segment; 0 also stands for a whole file.
    """

    job: Job
    key: str
    index: int = 0
    looks: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return str(self.job.source)

    @property
    def path(self) -> Path:
        """Where the segment is kept until all are joined."""
        return self.job.output.with_name(f".{self.job.output.name}.{self.key}.{self.index}")

    def run(self, work: Work, tally: Tally) -> Iterator[Message]:
        self.job.output.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            source = stack.enter_context(open_source(self.name))
            starts = work.starts(source)
            whole = len(starts) == 1
            if self.index == 0:
                yield Opened(starts)
            if not whole and self.path.exists():
                return
            # Opened for each file: identities then begin at 1, and a file's result does not depend on those before.
            pipeline = stack.enter_context(work.open())
            stack.callback(self.discard)
            recorder = stack.enter_context(Recorder(_part(self.path)))
            first = max(0, starts[self.index] - _overlap(source)) if self.index else 0
            last = work.max_frames if self.index + 1 == len(starts) else starts[self.index + 1]
            source.skip(first)
            header = pipeline.header(source)
            recorder.start(header)
            told = perf_counter()
            count = None if last is None else max(last - first, 0)
            for number, result in enumerate(islice(results(source, pipeline), count), first):
                recorder.put(result, None)
                tally.frames += number >= starts[self.index]  # the overlap is the segment's before
                tally.identities.update(result.ids)
                if perf_counter() - told > _EVERY:
                    told = perf_counter()
                    yield tally.frames
            if recorder.frames == 0:  # the file is shorter than it says
                _part(self.path).write_bytes(json_line(header))
            recorder.close()
            if whole:
                _deliver(_part(self.path), self.job.output, work.arrays)
            else:
                _part(self.path).replace(self.path)

    def discard(self) -> None:
        _part(self.path).unlink(missing_ok=True)


@dataclass(frozen=True)
class Joint:
    """Join the segments of a video to its recording.

    Attributes:
        job: the file.
        segments: its segments, in order.
        starts: the first frame that is taken from each.
    """

    job: Job
    segments: tuple[Segment, ...]
    starts: tuple[int, ...]
    looks: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return str(self.job.source)

    def run(self, work: Work, tally: Tally) -> Iterator[Message]:
        part = _part(self.job.output)
        try:
            with Recorder(part) as recorder:
                for record in join([segment.path for segment in self.segments], self.starts, recorder.start):
                    recorder.write(record)
                    tally.frames += 1
                    kinds = ("people", "hands")
                    tally.identities.update((kind, one["id"]) for kind in kinds for one in record[kind])
                    if tally.frames % 100 == 0:
                        yield tally.frames
            _deliver(part, self.job.output, work.arrays)
        finally:
            self.discard()
        for segment in self.segments:
            segment.path.unlink(missing_ok=True)

    def discard(self) -> None:
        _part(self.job.output).unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name.lstrip('.')}.part")


def _deliver(part: Path, output: Path, arrays: bool) -> None:
    if arrays:
        convert(part, output, "npz")
        part.unlink()
    else:
        os.replace(part, output)  # noqa: PTH105


def run_step(work: Work, step: Step) -> Iterator[Message]:
    """Do a step. Yield signs of life now and then, and an `Outcome` at the end, whatever happens."""
    start, tally, error = perf_counter(), Tally(), None
    try:
        yield 0
        yield from step.run(work, tally)
    except KeyboardInterrupt:
        raise
    except Exception as problem:  # a file must cost only itself, whatever is wrong with it
        error = str(problem) if isinstance(problem, HumanrtError) else f"{type(problem).__name__}: {problem}"
        error = printable(redacted(error))
    yield Outcome(tally.frames, len(tally.identities), perf_counter() - start, error)
