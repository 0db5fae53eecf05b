"""Options of commands come from dataclasses: nothing is forgotten, and what is said of a field is in the help."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from command_line import refused
from humanrt.cli import main
from humanrt.commands import coach, run
from humanrt.commands.bench import BenchOptions
from humanrt.commands.coach import CoachOptions
from humanrt.commands.demo import DemoOptions
from humanrt.commands.fields import Flag, add_fields, field_texts, given
from humanrt.commands.run import RunOptions
from humanrt.data import CLIP
from humanrt.errors import HumanrtError
from humanrt.outputs.mesh_files import FORMATS
from humanrt.retarget.gentle import GentleOptions
from humanrt.tasks import TASKS, HandOptions, PeopleOptions


@dataclass(frozen=True)
class Base:
    """Things.

    Attributes:
        size: width of a `Thing` in px; 100 % is ``"full"``.
        kind, colour: how it
            looks.
    """

    size: int = 7
    kind: str | None = None
    colour: str = "red"


@dataclass(frozen=True)
class Other(Base):
    """More.

    Attributes:
        size: see `Base`.
        kind: another one, one of `KINDS`. None: the first.
        names: of it.
        quick: hurry.
    """

    names: tuple[str, ...] = ()
    quick: bool = False


FLAGS = {
    "size": Flag(type=int, metavar="PX"),
    "kind": Flag(choices=("a", "b")),
    "names": Flag("name", metavar="N", several=True),
    "quick": Flag(switch=True),
}


def parser(*classes: type, flags: Mapping[str, Flag] = FLAGS) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_fields(made, flags, *classes)
    return made


def test_texts_are_those_of_the_class_and_its_bases() -> None:
    assert field_texts(Base) == {
        "size": "width of a Thing in px; 100 % is full",
        "kind": "how it looks",
        "colour": "how it looks",
    }
    assert field_texts(Other)["kind"] == "another one (default: the first)"
    assert field_texts(Other)["size"] == "see `Base`"
    assert field_texts(Other)["colour"] == "how it looks"


def test_what_is_not_given_is_left_to_the_class() -> None:
    assert given(vars(parser(Other).parse_args([])), Other) == {}
    words = ["--size", "3", "--name", "x", "y", "--name", "z", "--quick"]
    values = given(vars(parser(Other).parse_args(words)), Other)
    assert values == {"size": 3, "names": ["x", "y", "z"], "quick": True}
    assert Other(**values).colour == "red"


def test_a_required_option_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser(Base, flags={"kind": Flag(required=True)}).parse_args([])
    assert "required: --kind" in capsys.readouterr().err


def test_every_field_of_the_coach_is_an_option() -> None:
    assert {one.name for one in fields(CoachOptions)} - {"files"} == set(coach._FLAGS)


def test_help_is_of_the_first_class_that_says_it_with_its_default() -> None:
    text = " ".join(parser(Other, Base).format_help().split())
    assert "--size PX width of a Thing in px; 100 % is full (default: 7)" in text
    assert "--kind {a,b} another one (default: the first); how it looks" in text
    assert "--quick hurry" in text


def test_every_field_of_the_tasks_is_an_option_of_run() -> None:
    flags = run._SHARED | run._HANDS | run._PEOPLE
    wanted = {one.name for task in TASKS.values() for one in fields(task.options)}
    # Meshes: --parameters-only. The PoseBERT of landmarks: from Python only.
    assert wanted - {"meshes", "poses"} == set(flags)
    own = {one.name for one in fields(RunOptions)}
    assert own == {*run._GENERAL, *run._MESHES, "files", "gentle"}
    assert {one.name for one in fields(GentleOptions)} == set(run._ROBOTS)


@pytest.mark.parametrize("cls", [HandOptions, PeopleOptions, RunOptions, BenchOptions, DemoOptions])
def test_every_field_is_described(cls: type) -> None:
    assert {one.name for one in fields(cls)} <= field_texts(cls).keys()


@pytest.mark.parametrize("command", ["run", "bench", "demo"])
def test_help_has_no_markup(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert "`" not in said
    assert "None" not in said
    assert "see " not in said


def test_formats_of_meshes_are_those_of_the_help() -> None:
    for name in FORMATS:
        assert name in field_texts(RunOptions)["mesh_format"]


@pytest.mark.parametrize(
    ("task", "words", "option", "owner"),
    [
        ("people", ["--max-hands", "2"], "--max-hands", "hands"),
        ("people", ["--mirrored"], "--mirrored", "hands"),
        ("hands", ["--threshold", "0.5"], "--threshold", "people"),
        ("hands", ["--overlap"], "--overlap", "people"),
        ("hands", ["--meshes", "d"], "--meshes", "people"),
        ("hands", ["--panels", "top", "--video", "x.mp4"], "--panels", "people"),
        ("hands", ["--parameters-only"], "--parameters-only", "people"),
    ],
)
def test_an_option_of_another_task_is_refused_even_with_its_default(
    capsys: pytest.CaptureFixture[str], task: str, words: list[str], option: str, owner: str
) -> None:
    said = refused(capsys, "run", CLIP, "--headless", "--task", task, *words)
    assert f"{option} is for --task {owner}, not {task}" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"task": "feet"}, "unknown task `feet`"),
        ({"mesh_format": "obj"}, "--mesh-format needs --meshes DIR"),
        ({"panels": ("top",), "headless": True}, "add --video"),
        ({"parameters_only": True, "mesh_folder": Path("x")}, "--parameters-only makes no meshes"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(HumanrtError, match=says):
        RunOptions(source="0", **options)  # type: ignore[arg-type]
