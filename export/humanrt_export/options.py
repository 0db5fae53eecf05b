"""Command-line options and run files (TOML) from dataclasses: names, types, defaults and help are written once.

A field is an option: ``report_every: int = 100`` is ``--report-every N``, and ``report_every = 100`` in a run file. Its
help is its line under ``Attributes:`` of the class. A field that is a dataclass contributes its fields, which are in
a table of its name in a run file. An annotation gives anything beyond that (`Option`, `Group`): choices, a flag with
another name.

    @dataclass(frozen=True)
    class Render:
        \"""Pictures.

        Attributes:
            out: folder to write to.
            size: side of a picture, px.
        \"""

        out: Path
        size: int = 224

    add_options(parser, Render, words)         # --out, --size, --config; words: the ones that parser will get
    build(Render, parser.parse_args(words))    # -> Render

Checks of values belong in ``__post_init__``, so that they also apply to calls from Python.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from humanrt.commands.fields import field_texts
from humanrt.errors import HumanrtError, choices

__all__ = ["Group", "Load", "Option", "add_options", "build", "parse", "read_file", "sub_commands"]

Config = TypeVar("Config")

_METAVARS = {int: "N", float: "X", str: "NAME", Path: "PATH"}
_WORDS = {int: "a whole number", float: "a number", str: "a text", Path: "a path, as text", bool: "true or false"}


@dataclass(frozen=True)
class Option:
    """Further properties of a field's option: ``size: Annotated[int, Option(metavar="PX")] = 224``.

    Attributes:
        metavar: placeholder for the value in the help.
        choices: allowed values; evaluated when the options are added.
        flag: flag to use instead of ``--`` and the field's name.
        positional: the option is given without a flag.
        repeated: for a tuple: its flag takes one value and may be given several times.
        hidden: it is not an option, and not in run files.
    """

    metavar: str | tuple[str, ...] | None = None
    choices: Collection[Any] | None = None
    flag: str | None = None
    positional: bool = False
    repeated: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class Group:
    """Further properties of a field that is a dataclass; its default must be an instance.

    Attributes:
        prefix: prefix of the flags: ``loss-`` turns ``joints`` into ``--loss-joints``.
        only: the fields that are options; None: all.
    """

    prefix: str = ""
    only: Sequence[str] | None = None


@dataclass(frozen=True)
class _Entry:
    """One option.

    Attributes:
        path: names of fields, starting with the outermost dataclass.
        flag: the flag with its dashes; for a positional option its name.
        kind: type of one value.
        count: number of values: None: one, an int: exactly so many, ``+``: one or more.
        default: default value; `MISSING` if the option is required.
        help: help text.
        choices, metavar: as `argparse` takes them.
        repeated: each value is given with its own flag.
    """

    path: tuple[str, ...]
    flag: str
    kind: type
    count: int | str | None
    default: Any
    help: str
    choices: Sequence[Any] | None
    metavar: str | tuple[str, ...] | None
    repeated: bool

    @property
    def name(self) -> str:
        """Dotted name of the parsed value, also used in messages about run files."""
        return ".".join(self.path)


def _options(
    cls: type, default: Any = None, path: tuple[str, ...] = (), prefix: str = "", only: Sequence[str] | None = None
) -> Iterator[_Entry]:
    types, texts = get_type_hints(cls, include_extras=True), field_texts(cls)
    for one in fields(cls):
        inner, about = types[one.name], None
        if get_origin(inner) is Annotated:
            inner, about = get_args(inner)
        if only is not None and one.name not in only:
            continue
        value = _default(one) if default is None else getattr(default, one.name)
        here = (*path, one.name)
        if isinstance(inner, type) and is_dataclass(inner):
            within = about or Group()
            yield from _options(inner, value, here, within.prefix, within.only)
            continue
        about = about or Option()
        if about.hidden:
            continue
        kind, count, allowed = _kind(inner)
        allowed = allowed if about.choices is None else sorted(about.choices)
        metavar = about.metavar or (None if allowed or kind is bool else _METAVARS[kind])
        flag = one.name if about.positional else about.flag or f"--{prefix}{one.name}".replace("_", "-")
        yield _Entry(here, flag, kind, count, value, texts.get(one.name, ""), allowed, metavar, about.repeated)


def _default(one: Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


def _kind(annotation: Any) -> tuple[type, int | str | None, Sequence[Any] | None]:
    """Return the type of one value, their number, and the choices of an annotation."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (inner for inner in get_args(annotation) if inner is not NoneType)
    if get_origin(annotation) is Literal:
        return str, None, get_args(annotation)
    if get_origin(annotation) is tuple:
        first, *rest = get_args(annotation)
        return first, "+" if rest == [...] else 1 + len(rest), None
    return annotation, None, None


def add_options(parser: argparse.ArgumentParser, cls: type, words: Sequence[str] = ()) -> None:
    """Add the options of a dataclass, and ``--config FILE``, a run file whose values become their defaults.

    Args:
        words: the words that will be parsed, in which ``--config`` is looked up.

    Raises:
        HumanrtError: the run file cannot be read, or has names or values that the dataclass does not have.
    """
    first = type(parser)(prog=parser.prog, add_help=False)
    for each in (first, parser):
        each.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help="TOML file with any of these settings; the command line overrides it",
        )
    file = first.parse_known_args(words)[0].config
    given = read_file(cls, file) if file else {}
    tables: dict[str, argparse._ArgumentGroup] = {}
    for one in _options(cls):
        table = ".".join(one.path[:-1])
        if table and table not in tables:
            tables[table] = parser.add_argument_group(f"[{table}]")
        add = tables[table].add_argument if table else parser.add_argument
        default = given.get(one.name, one.default)
        text = one.help.replace("%", "%%")
        if one.kind is bool and one.count is None:
            add(one.flag, dest=one.name, action=argparse.BooleanOptionalAction, default=default, help=text)
            continue
        if default not in (MISSING, None, ()):
            shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
            text = f"{text} (default: {shown.replace('%', '%%')})".lstrip()
        about: dict[str, Any] = {"type": one.kind, "nargs": one.count, "choices": one.choices, "metavar": one.metavar}
        if one.count == "+":
            about |= {"action": _Gather, "nargs": None if one.repeated else "+"}
        if not one.flag.startswith("-"):
            if default is not MISSING:
                about |= {"nargs": "?", "default": default}
        elif default is MISSING:
            about |= {"dest": one.name, "required": True}
        else:
            about |= {"dest": one.name, "default": default}
        add(one.flag, help=text, **about)


class _Gather(argparse.Action):
    """Collects all values of an option that may be given several times; together they replace the default."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest, None)
        given = values if isinstance(values, list) else [values]
        setattr(namespace, self.dest, [*(before if isinstance(before, list) else ()), *given])


def build(cls: type[Config], arguments: argparse.Namespace, **hidden: Any) -> Config:
    """Create the dataclass from what a parser with `add_options` parsed.

    Args:
        hidden: values of its hidden fields.

    Raises:
        HumanrtError: the dataclass rejects a value.
    """
    tree: dict[str, Any] = {}
    for one in _options(cls):
        value = getattr(arguments, one.name)
        inner = tree
        for name in one.path[:-1]:
            inner = inner.setdefault(name, {})
        inner[one.path[-1]] = tuple(value) if isinstance(value, list) else value
    return cls(**_built(cls, tree), **hidden)


def _built(cls: Any, tree: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {one.name: _default(one) for one in fields(cls)}
    return {
        name: replace(defaults[name], **_built(type(defaults[name]), value)) if isinstance(value, dict) else value
        for name, value in tree.items()
    }


def parse(cls: type[Config], words: Sequence[str] | None = None, *, prog: str | None = None, text: str = "") -> Config:
    """Create the dataclass from a program's whole command line.

    Args:
        words: the command line; None: the program's own.
        prog: the program's name; None: that of its file.
        text: description of the program, for its help.

    Raises:
        HumanrtError: the run file cannot be read, or the dataclass rejects its values.
    """
    given = sys.argv[1:] if words is None else words
    shown = argparse.RawDescriptionHelpFormatter  # keep the line breaks of the text
    parser = argparse.ArgumentParser(prog=prog, description=text, formatter_class=shown)
    add_options(parser, cls, given)
    return build(cls, parser.parse_args(given))


def read_file(cls: type, file: Path) -> dict[str, Any]:
    """Read the values of a run file by dotted field name, with the fields' types. Paths are as on a command line.

    Raises:
        HumanrtError: it cannot be read, or has a name or a value that the dataclass does not accept.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise HumanrtError(f"--config {file}: cannot be read ({error.strerror}); give a TOML file") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise HumanrtError(f"--config {file}: not a TOML file ({error})") from error
    options = {one.name: one for one in _options(cls)}
    groups = {name[: place.start()] for name in options for place in re.finditer(r"\.", name)}
    found: dict[str, Any] = {}
    for name, value in _flat(tables, groups):
        if name not in options:
            raise HumanrtError(f"--config {file}: unknown setting `{name}`; choose one of: {choices(options)}")
        found[name] = _value(file, options[name], value)
    return found


def _flat(table: Mapping[str, Any], groups: Collection[str], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and path + name in groups:
            yield from _flat(value, groups, f"{path}{name}.")
        else:
            yield path + name, value


def _value(file: Path, one: _Entry, value: Any) -> Any:
    """Convert a value of a run file to its option's type."""
    if one.count is None:
        return _single(file, one, value)
    if not isinstance(value, list) or not value or (isinstance(one.count, int) and len(value) != one.count):
        many = "a list of one or more" if one.count == "+" else f"a list of {one.count}"
        raise HumanrtError(f"--config {file}: {one.name} is {value!r}; it must be {many}")
    return tuple(_single(file, one, item) for item in value)


def _single(file: Path, one: _Entry, value: Any) -> Any:
    kinds = {Path: (str,), float: (int, float)}.get(one.kind, (one.kind,))
    if not isinstance(value, kinds) or (isinstance(value, bool) and one.kind is not bool):
        raise HumanrtError(f"--config {file}: {one.name} is {value!r}; it must be {_WORDS[one.kind]}")
    if one.choices and value not in one.choices:
        raise HumanrtError(f"--config {file}: unknown {one.name} `{value}`; choose one of: {choices(one.choices)}")
    return one.kind(value)


Load = Callable[[str, argparse.ArgumentParser, Sequence[str]], None]
"""Called before parsing, with the name of the chosen sub-command, its parser and the words that it will parse."""


def sub_commands(
    parser: argparse.ArgumentParser, texts: Mapping[str, str], dest: str, metavar: str, load: Load
) -> None:
    """Add sub-commands that get their options only when they are chosen.

    Args:
        texts: help text of each sub-command, by name.
        dest: attribute that receives the chosen name.
        metavar: its placeholder in the help.
        load: adds the options.
    """
    action = cast(_SubCommands, parser.add_subparsers(dest=dest, metavar=metavar, required=True, action=_SubCommands))
    action.load = load
    for name, text in texts.items():
        action.add_parser(name, help=text, description=text)


class _SubCommands(argparse._SubParsersAction):  # type: ignore[type-arg]
    load: Load

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        name, *words = values
        if name in self.choices:
            self.load(name, self.choices[name], words)
        super().__call__(parser, namespace, values, option_string)
