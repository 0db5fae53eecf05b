"""Command lines and run files from dataclasses."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from humanrt.errors import HumanrtError
from humanrt_export.options import Group, Option, add_options, build, read_file, sub_commands

NAMES = {"tall": 1, "small": 2}


@dataclass(frozen=True)
class Inner:
    """Weights.

    Attributes:
        near, far: 50 % of what counts, each.
    """

    near: float = 1.0
    far: float = 2.0
    fixed: str = "never an option"

    def __post_init__(self) -> None:
        if self.near < 0:
            raise HumanrtError(f"--near is {self.near}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class Outer:
    """All.

    Attributes:
        kind: which.
        out: folder to write to, made
            where it is missing.
    """

    kind: Annotated[str, Option(positional=True, choices=NAMES)]
    out: Path
    paths: tuple[Path, ...] = ()
    marks: Annotated[tuple[str, ...], Option(repeated=True)] = ("a", "b")
    span: Annotated[tuple[int, int], Option(metavar=("A", "B"))] = (1, 2)
    count: int | None = None
    part: Literal["train", "val"] = "train"
    first: Annotated[int, Option(flag="--from")] = 0
    quick: bool = False
    half_size: bool = True
    weights: Annotated[Inner, Group(prefix="weight-", only=("near", "far"))] = field(
        default_factory=lambda: Inner(far=9)
    )
    line: Annotated[str, Option(hidden=True)] = ""


def parsed(*words: str) -> Outer:
    parser = argparse.ArgumentParser()
    add_options(parser, Outer, words)
    return build(Outer, parser.parse_args(words), line="as given")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(
        'kind = "tall"\nout = "made"\nspan = [3, 4]\nquick = true\nhalf_size = false\n[weights]\nnear = 3\n'
    )
    return path


def test_fields_are_options_with_their_defaults() -> None:
    assert parsed("tall", "--out", "o") == Outer(kind="tall", out=Path("o"), line="as given")
    words = "--out o --paths a b --span 5 6 --count 7 --part val --from 8 --quick --no-half-size --weight-near 3 small"
    assert parsed(*words.split()) == Outer(
        kind="small",
        out=Path("o"),
        paths=(Path("a"), Path("b")),
        span=(5, 6),
        count=7,
        part="val",
        first=8,
        quick=True,
        half_size=False,
        weights=Inner(near=3.0, far=9),
        line="as given",
    )


def test_values_are_gathered_and_replace_the_default(tmp_path: Path) -> None:
    assert parsed("--marks", "x", "tall", "--marks", "y", "--out", "o").marks == ("x", "y")
    assert parsed("tall", "--paths", "1", "2", "--out", "o", "--paths", "3").paths == (Path("1"), Path("2"), Path("3"))
    file = tmp_path / "run.toml"
    file.write_text('marks = ["c", "d"]\n')
    assert parsed("tall", "--out", "o", "--config", str(file)).marks == ("c", "d")
    assert parsed("tall", "--out", "o", "--config", str(file), "--marks", "e").marks == ("e",)


def test_a_run_file_gives_what_the_command_line_does_not(file: Path) -> None:
    weights = Inner(near=3.0, far=9)
    made = parsed("--config", str(file))
    assert made == Outer(
        kind="tall", out=Path("made"), span=(3, 4), quick=True, half_size=False, weights=weights, line="as given"
    )
    assert isinstance(made.weights.near, float)
    other = parsed("small", "--conf", str(file), "--no-quick", "--half-size", "--span", "7", "8", "--weight-near", "1")
    assert (other.kind, other.quick, other.half_size, other.span) == ("small", False, True, (7, 8))
    assert other.weights == Inner(near=1.0, far=9)
    assert other.out == Path("made")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "speed = 3",
            "unknown setting `speed`; choose one of: count, first, half_size, "
            "kind, marks, out, part, paths, quick, span",
        ),
        ("[weights]\nfixed = 'x'", "unknown setting `weights.fixed`"),
        ("line = 'x'", "unknown setting `line`"),
        ("weights = 3", "unknown setting `weights`"),
        ("[out]\nput = 3", "out is {'put': 3}; it must be a path"),
        ("count = 3.5", "count is 3.5; it must be a whole number"),
        ("count = true", "count is True; it must be a whole number"),
        ("quick = 1", "quick is 1; it must be true or false"),
        ("span = [1, 2, 3]", r"span is \[1, 2, 3\]; it must be a list of 2"),
        ("paths = 'one'", "paths is 'one'; it must be a list of one or more"),
        ("kind = 'wide'", "unknown kind `wide`; choose one of: small, tall"),
        ("part = 'all'", "unknown part `all`; choose one of: train, val"),
        ("[weights]\nnear = -1", "--near is -1"),
        ("weights.near = 'x'", "weights.near is 'x'; it must be a number"),
        ("count 3", "not a TOML file"),
    ],
)
def test_a_wrong_run_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(HumanrtError, match=says) as refused:
        parsed("tall", "--out", "o", "--config", str(path))
    assert "\n" not in str(refused.value)


def test_no_run_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HumanrtError, match=r"none\.toml: cannot be read"):
        read_file(Outer, tmp_path / "none.toml")
    (tmp_path / "image.toml").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(HumanrtError, match="not a TOML file"):
        read_file(Outer, tmp_path / "image.toml")


def test_help_is_the_docstring(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "--out PATH folder to write to, made where it is missing" in text
    assert "--weight-near X 50 % of what counts, each (default: 1.0)" in text
    assert "--weight-far X 50 % of what counts, each (default: 9)" in text
    assert "{small,tall} which" in text
    assert "line" not in text.replace("command line", "")
    with pytest.raises(SystemExit):
        parsed("--config", str(file), "--help")
    assert "(default: 3 4)" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["tall"], ["--out", "o"], ["wide", "--out", "o"], ["tall", "--out", "o", "--speed"]])
def test_what_is_missing_or_unknown_ends_the_program(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*words)
    assert ended.value.code == 2


def test_a_sub_command_gets_its_options_only_when_it_is_chosen() -> None:
    loaded = []

    def load(name: str, parser: argparse.ArgumentParser, words: object) -> None:
        loaded.append((name, words))
        parser.add_argument("--size", type=int)

    parser = argparse.ArgumentParser()
    sub_commands(parser, {"one": "the first", "two": "the second"}, "which", "WHICH", load)
    assert parser.parse_args(["two", "--size", "3"]) == argparse.Namespace(which="two", size=3)
    assert loaded == [("two", ["--size", "3"])]
    with pytest.raises(SystemExit):
        parser.parse_args(["three"])
    assert len(loaded) == 1
