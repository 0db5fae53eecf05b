"""Progress of long work, in one line: on a terminal it is rewritten, elsewhere a new one is printed now and then."""

from __future__ import annotations

import contextlib
import sys
from time import monotonic
from typing import TextIO

from humanrt.outputs.base import Image, Output
from humanrt.perception.pipeline import Result

__all__ = ["Progress", "ProgressOutput"]

_TERMINAL, _FILE = 0.2, 5.0  # s, between two lines


class Progress:
    """Prints how much is done, how fast, and how much time is left.

    Args:
        what: name of what is counted, in the plural: ``frames``, ``files``.
        total: how many there are; None: unknown, and no time left is printed.
        stream: where lines go; None: stderr.

    Attributes:
        before: how many were done before this began; they say nothing of how fast it is.
    """

    def __init__(self, what: str, total: int | None = None, stream: TextIO | None = None) -> None:
        self.what, self.total, self.before = what, total, 0
        self._stream = sys.stderr if stream is None else stream
        self.terminal = False
        with contextlib.suppress(OSError, ValueError):
            self.terminal = self._stream.isatty()
        self._start = self._last = monotonic()
        self._width = 0

    def __call__(self, done: int, note: str = "") -> None:
        """Say that ``done`` of them are done; prints only if the last line is old enough."""
        now = monotonic()
        if now - self._last < (_TERMINAL if self.terminal else _FILE):
            return
        self._last = now
        line = self.line(done, now - self._start, note)
        if self.terminal:
            self._print(f"\r{line:<{self._width}}", end="")
            self._width = len(line)
        else:
            self._print(line)

    def line(self, done: int, seconds: float, note: str = "") -> str:
        """Return the line for ``done`` of them after so many seconds."""
        rate = (done - self.before) / seconds if seconds > 0 else 0.0
        parts = [f"{done}{'' if self.total is None else f' of {self.total}'} {self.what}", f"{rate:.3g} a second"]
        if self.total is not None and rate > 0 and done <= self.total:
            parts.append(f"{_span((self.total - done) / rate)} left")
        return ", ".join([*parts, *([note] if note else [])])

    def end(self) -> None:
        """Leave the line that was rewritten, so that what follows begins on a new one."""
        if self._width:
            self._print("")
            self._width = 0

    def _print(self, text: str, end: str = "\n") -> None:
        with contextlib.suppress(OSError, ValueError):  # a closed stderr is no reason to stop
            print(text, end=end, file=self._stream, flush=True)


def _span(seconds: float) -> str:
    """Return a time span for people: ``42 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


class ProgressOutput(Output):
    """Says on stderr how many frames are done, if it is a terminal: in files and pipes progress is of no use.

    Args:
        frames: how many there are; None: unknown.
    """

    def __init__(self, frames: int | None = None) -> None:
        shown = Progress("frames", frames)
        self._progress = shown if shown.terminal else None
        self._done = 0

    def put(self, result: Result, picture: Image | None) -> bool:
        """Count a result."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done)
        return True

    def close(self) -> None:
        """Leave the line. May be called twice."""
        if self._progress is not None:
            self._progress.end()
