"""Small grammars in one line: ``(a|b) c[ d]`` is a choice and an option, ``{name}`` a slot."""

from __future__ import annotations

import random as standard
import re
from collections.abc import Callable, Mapping
from functools import cache

__all__ = ["Random", "expand"]

Random = standard.Random
Node = str | tuple[str, "tuple[tuple[Node, ...], ...]"]  # text, or a slot, or a choice of sequences
_PART = re.compile(r"[()\[\]|]|\{[^}]*\}|[^()\[\]|{]+")


@cache
def _parsed(text: str) -> tuple[Node, ...]:
    tokens = _PART.findall(text)
    at = 0

    def alternatives(end: str) -> tuple[tuple[Node, ...], ...]:
        nonlocal at
        found: list[tuple[Node, ...]] = []
        row: list[Node] = []
        while at < len(tokens) and tokens[at] != end:
            token = tokens[at]
            at += 1
            if token == "(":
                row.append(("choice", alternatives(")")))
            elif token == "[":
                row.append(("choice", (*alternatives("]"), ())))
            elif token == "|":
                found.append(tuple(row))
                row = []
            else:
                row.append(token)
        at += 1
        return (*found, tuple(row))

    options = alternatives("")
    return options[0] if len(options) == 1 else (("choice", options),)


def expand(text: str, random: Random, slots: Mapping[str, Callable[[], str]] | None = None) -> str:
    """Return one of the texts of a grammar, by chance.

    Args:
        text: the grammar.
        random: where chance comes from.
        slots: name -> what stands there.
    """
    parts: list[str] = []
    _write(_parsed(text), random, slots or {}, parts)
    return "".join(parts)


def _write(nodes: tuple[Node, ...], random: Random, slots: Mapping[str, Callable[[], str]], parts: list[str]) -> None:
    for node in nodes:
        if isinstance(node, str):
            parts.append(slots[node[1:-1]]() if node[0] == "{" else node)
        else:
            options = node[1]
            _write(options[int(random.random() * len(options))], random, slots, parts)
