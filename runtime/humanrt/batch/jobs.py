"""Jobs: the files of a batch, what each becomes, and which are done already."""

from __future__ import annotations

import glob
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from humanrt.address import is_address
from humanrt.errors import OutputError, SourceError
from humanrt.sources.opening import IMAGE_SUFFIXES, VIDEO_SUFFIXES

__all__ = ["LOG", "Job", "Log", "Report", "find_sources", "plan"]

LOG = "batch.jsonl"
"""Name of the file in the output folder that has a line for each source."""


@dataclass(frozen=True)
class Job:
    """A source, and the recording that it becomes.

    Attributes:
        source: the file.
        output: the recording.
    """

    source: Path
    output: Path


@dataclass(frozen=True)
class Report:
    """What became of a source; a line of the log.

    Attributes:
        file: the source.
        state: ``done`` or ``failed``.
        output: the recording; None if it failed.
        frames: number of frames processed.
        identities: number of different people or hands.
        seconds: time that it took.
        error: why it failed, in one line; None if it did not.
        size, modified: bytes and time of change (s since 1970) of the source, by which a later run knows it again.
        options: hash of the bundle and the options that it was processed with.
    """

    file: str
    state: Literal["done", "failed"]
    output: str | None
    frames: int
    identities: int
    seconds: float
    error: str | None
    size: int
    modified: float
    options: str


def find_sources(patterns: Iterable[str | Path]) -> list[Path]:
    """Return the files that patterns name, each once, in natural order of the patterns.

    A pattern is a file, a folder (its videos and pictures, at any depth), a glob such as ``videos/**/*.mp4``, or
    ``@list.txt``, a text file with a pattern a line.

    Raises:
        SourceError: a pattern names nothing, or is an address: streams do not end.
    """
    found: dict[Path, None] = {}
    for pattern in map(str, patterns):
        if pattern.startswith("@"):
            found |= dict.fromkeys(find_sources(_lines(Path(pattern[1:]))))
            continue
        if is_address(pattern):
            raise SourceError(f"{pattern}: batch takes files; follow a stream with `humanrt run`")
        paths = _named(pattern)
        if not paths:
            raise SourceError(f"{pattern}: there is no such file, and no file that matches; check the pattern")
        found |= dict.fromkeys(paths)
    return list(found)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise SourceError(f"@{path}: the list cannot be read ({why}); check the name") from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _named(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        suffixes = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
        files = (file for file in path.rglob("*") if file.suffix.lower() in suffixes)
        return sorted(file for file in files if file.is_file() and not file.name.startswith("."))
    if path.exists():
        return [path]
    return sorted(Path(name) for name in glob.glob(pattern, recursive=True) if Path(name).is_file())  # noqa: PTH207


def plan(sources: Sequence[Path], out: Path) -> list[Job]:
    """Return a job for each source: recordings are named after the files, in the same folders below ``out``.

    Files that differ in their suffix only keep it: ``clip.mp4.jsonl``.
    """
    if not sources:
        return []
    whole = [Path(os.path.abspath(source)) for source in sources]  # noqa: PTH100 - links keep their name
    top = Path(os.path.commonpath([source.parent for source in whole]))
    names = [source.relative_to(top) for source in whole]
    count = Counter(name.with_suffix("") for name in names)
    outputs = [
        out / (name.with_suffix(".jsonl") if count[name.with_suffix("")] == 1 else name.with_name(f"{name.name}.jsonl"))
        for name in names
    ]
    return [Job(source, output) for source, output in zip(sources, outputs, strict=True)]


class Log:
    """The reports of a batch and of those before it in the same folder.

    Args:
        folder: the output folder.

    Raises:
        OutputError: the folder or its log cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG
        self._known: dict[str, Mapping[str, Any]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        except OSError as error:
            raise OutputError(f"{folder}: cannot be used ({error.strerror}); choose another --out") from None
        for line in lines:
            try:
                entry = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                entry = None
            if isinstance(entry, dict) and isinstance(entry.get("file"), str):  # a line cut off by a kill is left out
                self._known[entry["file"]] = entry
        self._torn = bool(lines) and not lines[-1].endswith(b"\n")

    def finished(self, job: Job, options: str, *, retry_failed: bool = False) -> bool:
        """Whether a source need not be processed: it was, is unchanged, and so are the options and the output."""
        entry = self._known.get(str(job.source))
        if entry is None or entry.get("options") != options:
            return False
        try:
            stat = job.source.stat()
        except OSError:
            return False
        if (entry.get("size"), entry.get("modified")) != (stat.st_size, stat.st_mtime):
            return False
        return job.output.is_file() if entry.get("state") == "done" else not retry_failed

    def failed(self, job: Job) -> bool:
        """Whether a source failed when it was processed last."""
        return self._known.get(str(job.source), {}).get("state") == "failed"

    def add(self, report: Report) -> None:
        """Append a report. OutputError if it cannot be written."""
        line = json.dumps(asdict(report), allow_nan=False).encode() + b"\n"
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(file, b"\n" + line if self._torn else line)
                self._torn = False
            finally:
                os.close(file)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror}); free some space") from None
