"""The list of outputs: one class and one entry give an option of ``humanrt run``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from command_line import refused
from humanrt.cli import main
from humanrt.commands import run
from humanrt.data import CLIP
from humanrt.outputs.base import Image, Output
from humanrt.outputs.listed import OUTPUTS, OutputOption
from humanrt.perception.pipeline import Result


class Times(Output):
    """Writes the time of every frame, and whether a picture came with it."""

    def __init__(self, path: Path) -> None:
        self._path, self._lines = path, ""

    def start(self, header: Mapping[str, Any]) -> None:
        self._lines = f"{header['task']}\n"

    def put(self, result: Result, picture: Image | None) -> bool:
        self._lines += f"{result.frame.t:.3f} {picture is not None}\n"
        return True

    def close(self) -> None:
        self._path.write_text(self._lines, encoding="utf-8")


@pytest.mark.parametrize("draws", [False, True])
def test_an_output_is_a_class_and_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], draws: bool
) -> None:
    times = OutputOption("times", "FILE.txt", "write the frames' times", Times, draws=draws)
    monkeypatch.setattr(run, "OUTPUTS", (*OUTPUTS, times))
    path = tmp_path / "a.txt"
    assert main(["run", str(CLIP), "--headless", "--max-frames", "2", "--times", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == f"hands\n0.000 {draws}\n0.033 {draws}\n"
    capsys.readouterr()
    said = refused(capsys, "run", CLIP, "--headless", "--times", CLIP)
    assert said.startswith("humanrt run: --times ")
    assert "which it would replace" in said


def test_each_option_is_named_once_and_explained() -> None:
    names = [option.name for option in OUTPUTS]
    assert names == ["record", "video"]
    assert all(option.help and option.metavar for option in OUTPUTS)
