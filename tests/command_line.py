"""What tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from humanrt.cli import main


def refused(
    capsys: pytest.CaptureFixture[str],
    *arguments: str | Path,
    command: Callable[[Sequence[str]], int] = main,
) -> str:
    """Run ``command``; it must fail with status 2 and one line on stderr, which is returned."""
    try:
        status = command([str(argument) for argument in arguments])
    except SystemExit as error:
        status = error.code  # type: ignore[assignment]
    captured = capsys.readouterr()
    assert status == 2, captured
    assert captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.err
    return captured.err
