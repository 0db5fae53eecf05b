"""`bench/ground.py` does nothing without saying so."""

from __future__ import annotations

import sys

import pytest

import ground


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --bundle or --true-motion"),
        (["--tune"], "give --bundle or --true-motion"),
        (["--true-motion", "--out", "results"], "--out is for the table of --bundle"),
    ],
)
def test_a_command_line_that_measures_or_writes_nothing_is_refused(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ground.py", "--motions", "mocap", *words])
    with pytest.raises(SystemExit):
        ground.main()
    assert said in capsys.readouterr().err
