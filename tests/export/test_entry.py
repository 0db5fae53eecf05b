"""Modules that are run by `python -m` tell a user's mistake in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from humanrt.errors import SourceError
from humanrt_export.entry import run_module


def fails(error: Exception) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize("error", [SourceError("clip.mp4: no such file"), FileNotFoundError("clip.mp4: no such file")])
def test_a_mistake_is_one_line_and_status_2(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_module(fails(error))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(": clip.mp4: no such file")


def test_our_own_mistakes_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_module(fails(ZeroDivisionError()))


def test_the_line_begins_with_the_modules_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "humanrt_export.pieces", "join", str(tmp_path / "none.json"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("humanrt_export.pieces: ")
