"""Every command in README and docs is one that its parser takes: its options exist, and their values are allowed."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed: the commands that train ask for it")
pytest.importorskip("onnx", reason="needs humanrt[export]")

from humanrt import cli as runtime
from humanrt_export import cli as export

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
OPTIONS_PAGE = ROOT / "docs" / "train" / "options.md"
COMMAND = re.compile(r"(humanrt|humanrt-export|python3? bench/\w+\.py|python3? -m humanrt[\w.]*) ")


def commands(text: str) -> list[str]:
    """The commands of a page: lines of its code blocks, and what stands between backticks and has options."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    lines = [line.strip() for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    inline = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines += [" ".join(code.split()) for code in inline if " --" in code]
    return [line for line in lines if COMMAND.match(line)]


def words(command: str) -> list[str]:
    """A command's words; of what is optional or a choice between `a|b` the first; `$NAME` and `...` are left out."""
    found = shlex.split(command.replace("[", "").replace("]", ""), comments=True)
    return [word.partition("|")[0] for word in found if word != "..." and not re.fullmatch(r"\$\w+", word)]


def cases() -> list[Any]:
    found = [(page, command) for page in PAGES for command in dict.fromkeys(commands(page.read_text(encoding="utf-8")))]
    return [pytest.param(command, id=f"{page.stem}-{index}") for index, (page, command) in enumerate(found)]


def check_mentioned(said: str) -> None:
    """A text may speak of a command by its options alone; anything else that a parser refuses is a mistake."""
    assert "arguments are required" in said, said


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    return {}


def shown_help(script: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What `python bench/NAME.py --help` or `python -m NAME --help` prints."""
    monkeypatch.setattr(sys, "argv", [*script[-1:], "--help"])
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    run: Callable[[], object] = partial(runpy.run_path, str(ROOT / script[0]), run_name="__main__")
    if script[0] == "-m":  # as python -m does: types of its classes are looked up in sys.modules["__main__"]
        monkeypatch.delitem(sys.modules, script[1], raising=False)
        run = partial(runpy.run_module, script[1], run_name="__main__", alter_sys=True)
    with pytest.raises(SystemExit) as ended:
        run()
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("command", cases())
def test_a_documented_command_is_taken(
    command: str,
    helps: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    program, *arguments = words(command)
    if "--config" in arguments:  # the run file that the page shows
        (shown,) = re.findall(r"```toml\n(.*?)```", OPTIONS_PAGE.read_text(encoding="utf-8"), re.DOTALL)
        (tmp_path / "run.toml").write_text(shown, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
    if program == "humanrt":
        try:
            runtime._parse(arguments)
        except SystemExit:
            check_mentioned(capsys.readouterr().err)
    elif program == "humanrt-export":
        load = export._load
        monkeypatch.setattr(
            export, "_load", lambda command: SimpleNamespace(**{**vars(load(command)), "run": lambda options: 0})
        )
        try:
            assert export.main(arguments) == 0
        except SystemExit:
            check_mentioned(capsys.readouterr().err)
    else:
        script = arguments[:2] if arguments[0] == "-m" else arguments[:1]
        if script[-1] not in helps:
            helps[script[-1]] = shown_help(script, capsys, monkeypatch)
        options = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        missing = {option for option in options if not re.search(rf"{option}(?![\w-])", helps[script[-1]])}
        assert not missing, f"{script[-1]} has no {missing}"


def test_pages_have_commands() -> None:
    assert len(cases()) > 60
    assert commands("```\nhumanrt run 0 --no-such\n```") == ["humanrt run 0 --no-such"]
    with pytest.raises(SystemExit):
        runtime._parse(words("humanrt run 0 --no-such"))


SCRIPTS = sorted(path.name for path in (ROOT / "bench").glob("*.py") if '"__main__"' in path.read_text())
"""What is run; the other modules are what several of them share."""


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_bench_has_help(script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert "usage: " in shown_help([f"bench/{script}"], capsys, monkeypatch)
