"""Progress lines."""

from __future__ import annotations

import io
import sys
from contextlib import closing

import pytest

from humanrt.outputs import progress
from humanrt.outputs.progress import Progress, ProgressOutput


def test_line() -> None:
    assert Progress("frames").line(30, 2.0) == "30 frames, 15 a second"
    assert Progress("files", 100).line(
        50, 100.0, "2 failed"
    ) == "50 of 100 files, 0.5 a second, 100 s left, 2 failed".replace("100 s", "2 min")
    assert Progress("files", 3).line(0, 1.0) == "0 of 3 files, 0 a second"
    assert Progress("frames", 10**6).line(100, 1.0).endswith("2 h 47 min left")
    resumed = Progress("files", 100)
    resumed.before = 40
    assert resumed.line(40, 1.0) == "40 of 100 files, 0 a second"
    assert resumed.line(50, 100.0) == "50 of 100 files, 0.1 a second, 8 min left"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_lines_are_rewritten_on_terminals_only(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    stream = Terminal() if terminal else io.StringIO()
    shown = Progress("frames", 1000, stream)
    for done in range(1, 100):
        now[0] += 0.125
        shown(done)
    shown.end()
    text = stream.getvalue()
    assert text.count("\r") == (49 if terminal else 0)
    assert text.count("\n") == (1 if terminal else 2)
    assert text.endswith("\n")


def test_a_closed_stream_stops_nothing() -> None:
    stream = io.StringIO()
    shown = Progress("frames", 3, stream)
    stream.close()
    shown(1)
    shown.end()


def test_the_live_loop_says_how_far_it_is_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        stream = Terminal() if terminal else io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        now = [0.0]
        monkeypatch.setattr(progress, "monotonic", lambda now=now: now[0])
        with closing(ProgressOutput(100)) as output:
            for _ in range(10):
                now[0] += 0.25
                assert output.put(None, None)  # type: ignore[arg-type]
        shown = stream.getvalue()
        assert ("10 of 100 frames, 4 a second, 22 s left" in shown) == terminal
        assert bool(shown) == terminal
