"""Options of a command from the fields of dataclasses, which alone say their defaults and help.

A field's help is its line under ``Attributes:`` of the class. An option that is not given is None in the parsed
arguments, so that the class's default holds, and an option can be refused where it does nothing.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

__all__ = ["EXECUTION_FLAGS", "Flag", "add_fields", "field_texts", "flag_name", "given"]

_Parser = argparse.ArgumentParser | argparse._ArgumentGroup
_SEE = "see `"  # begins a text that refers to another class


@dataclass(frozen=True)
class Flag:
    """How a field is given on the command line, where that is not ``--`` and its name, and a text.

    Attributes:
        name: of the option, without its dashes; empty: the field's.
        metavar: placeholder of the value in the help.
        type: makes the value of a text.
        choices: the values that are allowed.
        several: whether it takes several values, and may be given several times.
        switch: whether it takes no value.
        positional: whether it is given without a flag.
        required: whether it must be given.
    """

    name: str = ""
    metavar: str | None = None
    type: Callable[[str], Any] | None = None
    choices: Collection[Any] | None = None
    several: bool = False
    switch: bool = False
    positional: bool = False
    required: bool = False


EXECUTION_FLAGS = {
    "precision": Flag(metavar="NAME"),
    "threads": Flag(metavar="N", type=int),
    "unverified": Flag(switch=True),
}
"""Fields of `humanrt.inference.execution.Execution` that every command offers that runs networks."""


def add_fields(parser: _Parser, flags: Mapping[str, Flag], *classes: type) -> None:
    """Add an option for each of the fields.

    Args:
        parser: the parser, or a group of it.
        flags: field -> how it is given.
        classes: dataclasses that have the fields. Help and default are those of the first that says them; several of
            them may say different things of one field.
    """
    defaults = {one.name: one.default for cls in reversed(classes) for one in fields(cls)}
    texts = [field_texts(cls) for cls in classes]
    for field, flag in flags.items():
        lines = [text[field] for text in texts if field in text and not text[field].startswith(_SEE)]
        text = "; ".join(dict.fromkeys(lines))
        default = defaults[field]
        if default not in (None, MISSING, False, (), ""):
            text += f" (default: {' '.join(default) if isinstance(default, tuple) else default})"
        about: dict[str, Any] = {"help": text.replace("%", "%%")}
        if flag.switch:
            about |= {"action": "store_true", "default": None}
        else:
            about |= {"metavar": flag.metavar, "type": flag.type, "choices": flag.choices}
        if flag.required:
            about["required"] = True
        if flag.several:
            about |= {"nargs": "+", "action": "extend"}
        if flag.positional:
            parser.add_argument(field, **about)
        else:
            parser.add_argument(f"--{flag_name(field, flag)}", dest=field, **about)


def flag_name(field: str, flag: Flag) -> str:
    """Return the name of a field's option, without its dashes."""
    return flag.name or field.replace("_", "-")


def given(arguments: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """Return those of the parsed arguments that are fields of a dataclass and were given."""
    names = {one.name for one in fields(cls)}
    return {name: value for name, value in arguments.items() if name in names and value is not None}


def field_texts(cls: type) -> dict[str, str]:
    """Return what the docstrings of a dataclass and its bases say of each field, as a line for a terminal."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, block = inspect.cleandoc(base.__doc__ or "").partition("\nAttributes:\n")
        for entry in re.split(r"\n(?=    \w)", "\n" + block.partition("\n\n")[0])[1:]:
            names, _, text = entry.partition(":")
            texts |= {name.strip(): _plain(text) for name in names.split(",")}
    return texts


def _plain(text: str) -> str:
    """Return a field's description without markup. What None means is the default."""
    text = re.sub(r"(?<!\.)\.$", "", " ".join(text.split()))
    if not text.startswith(_SEE):
        text = re.sub(r",? one of `[A-Z_]+`", "", text)  # a list that the parser shows
        text = re.sub(r"``\"?([^`]*?)\"?``|`([^`]*)`", lambda found: found[1] or found[2], text)
    return re.sub(r"[;.] None: (.*)$", r" (default: \1)", text)
