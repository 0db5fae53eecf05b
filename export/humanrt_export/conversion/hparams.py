"""Read the settings of a training, ``hparams.yaml``: the part of YAML that such files use.

One mapping: a scalar, a list or a mapping of those for each name, in block or flow style (JSON included). Nothing of
the file is executed; tags of Python objects are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanrt.errors import HumanrtError

__all__ = ["HparamsError", "read_hparams"]

_LARGEST = 1 << 20  # bytes; real files have 2 kB
_DEEPEST = 20

_TAG = re.compile(r"!\S*(\s+|$)")
_KEY = re.compile(
    r"(?P<key>\"[^\"]*\"|'[^']*'|[^\s:#\[\]{},&*!|>'\"%@`-][^:#]*?|-[^\s:][^:#]*?)\s*:(?:\s+(?P<rest>.*))?$"
)
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_WORDS: Mapping[str, Any] = {"": None, "~": None, "null": None, "true": True, "yes": True, "false": False, "no": False}
_FLOW = re.compile(
    r"\s*(?P<mark>[\[\]{},])|\s*(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|[^\[\]{},:]*(?::(?!\s)[^\[\]{},:]*)*)(?P<colon>\s*:(?=\s))?"
)


class HparamsError(HumanrtError):
    """A file of settings cannot be read; the message names its line."""


def read_hparams(path: Path) -> dict[str, Any]:
    """Return the settings by name: None, bool, int, float, str, and lists and mappings of those.

    Raises:
        HparamsError: the file is missing, or is not such a file.
    """
    if not path.is_file():
        what = "is a folder; give the file in it" if path.is_dir() else "no such file; it lies beside `checkpoints/`"
        raise HparamsError(f"{path}: {what} (hparams.yaml, which the training wrote)")
    try:
        data = path.read_bytes()
        text = data.decode() if len(data) <= _LARGEST else ""
    except (OSError, UnicodeDecodeError) as error:
        raise HparamsError(f"{path}: cannot be read as text ({error}); give the training's hparams.yaml") from error
    if len(data) > _LARGEST:
        raise HparamsError(f"{path}: is larger than any hparams.yaml ({len(data) >> 20} MiB); give the training's")
    lines = [_Line(number, line) for number, line in enumerate(text.splitlines(), 1)]
    lines = [line for line in lines if line.text and not line.text.startswith(("---", "...", "%"))]
    while lines and _TAG.fullmatch(lines[0].text):
        lines.pop(0)
    reader = _Reader(path, lines)
    if lines and lines[0].text.startswith("{"):
        values = _json(text)
        if values is None:
            values = reader.flow(" ".join(line.text for line in lines), lines[0])
    else:
        values = reader.block(lines[0].indent, 0) if lines else None
        if reader.here < len(lines):
            raise reader.error(lines[reader.here])
    if not isinstance(values, dict) or not values:
        raise HparamsError(f"{path}: holds no settings by name; give the training's hparams.yaml")
    return values


def _json(text: str) -> Any:
    """Return what JSON text holds; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


class _Line:
    """A line without its comment."""

    def __init__(self, number: int, line: str) -> None:
        self.number = number
        line = line.expandtabs().rstrip()
        self.text = _without_comment(line.strip())
        self.indent = len(line) - len(line.lstrip())


def _without_comment(text: str) -> str:
    quote = ""
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#" and (index == 0 or text[index - 1].isspace()):
            return text[:index].rstrip()
    return text


@dataclass
class _Reader:
    path: Path
    lines: list[_Line]
    here: int = 0

    def error(self, line: _Line) -> HparamsError:
        return HparamsError(
            f"{self.path}: line {line.number} is not understood: {line.text[:80]!r}; give the training's"
        )

    def block(self, indent: int, depth: int) -> Any:
        """Read the mapping or list whose entries begin at ``indent``."""
        first = self.lines[self.here]
        if depth > _DEEPEST:
            raise self.error(first)
        if first.text == "-" or first.text.startswith("- "):
            return list(self._items(indent, depth))
        values: dict[str, Any] = {}
        while self.here < len(self.lines) and (line := self.lines[self.here]).indent == indent:
            match = _KEY.match(line.text)
            if not match:
                raise self.error(line)
            key = match["key"].strip("\"'")
            if key in values:
                raise HparamsError(f"{self.path}: line {line.number} has `{key[:80]}` for the second time; keep one")
            self.here += 1
            values[key] = self._value(match["rest"] or "", line, indent, depth)
        return values

    def _items(self, indent: int, depth: int) -> Iterator[Any]:
        while self.here < len(self.lines) and (line := self.lines[self.here]).indent == indent:
            if line.text != "-" and not line.text.startswith("- "):
                return
            self.here += 1
            yield self._value(line.text[1:].strip(), line, indent + 1, depth)

    def _value(self, rest: str, line: _Line, indent: int, depth: int) -> Any:
        """Read what stands behind a key: on its line, or in the lines below."""
        rest = _TAG.sub("", rest, count=1) if rest.startswith("!") else rest
        if rest.startswith(("[", "{")):
            while not _balanced(rest) and self.here < len(self.lines):
                rest += " " + self.lines[self.here].text
                self.here += 1
            return self.flow(rest, line)
        if rest.startswith(("|", ">", "&", "*")):
            raise self.error(line)
        if not rest and self.here < len(self.lines):
            below = self.lines[self.here]
            # A list may begin at the indentation of its key.
            if below.indent > indent or (below.indent == indent and below.text.startswith("-")):
                return self.block(below.indent, depth + 1)
        return _scalar(rest)

    def flow(self, text: str, line: _Line) -> Any:
        """Read ``[...]`` or ``{...}``."""
        if not _balanced(text):
            raise self.error(line)
        tokens = [(match["mark"], match["text"], bool(match["colon"])) for match in _FLOW.finditer(text) if match[0]]
        tokens = [token for token in tokens if token[0] or token[1] or token[2]]
        value, rest = self._flow(tokens, line, 0)
        if rest:
            raise self.error(line)
        return value

    def _flow(self, tokens: list[tuple[Any, Any, bool]], line: _Line, depth: int) -> tuple[Any, list[Any]]:
        if not tokens or depth > _DEEPEST:
            raise self.error(line)
        mark, text, _ = tokens[0]
        if mark is None:
            return _scalar((text or "").strip()), tokens[1:]
        if mark not in "[{":
            raise self.error(line)
        close, tokens = {"[": "]", "{": "}"}[mark], tokens[1:]
        values: list[Any] = []
        names: list[str] = []
        while tokens and tokens[0][0] != close:
            if mark == "{":
                if tokens[0][0] is not None or not tokens[0][2]:
                    raise self.error(line)
                names.append(str(_scalar(tokens[0][1].strip())))
                tokens = tokens[1:]
            value, tokens = self._flow(tokens, line, depth + 1)
            values.append(value)
            if tokens and tokens[0][0] == ",":
                tokens = tokens[1:]
            elif not tokens or tokens[0][0] != close:
                raise self.error(line)
        if not tokens:
            raise self.error(line)
        return (dict(zip(names, values, strict=True)) if mark == "{" else values), tokens[1:]


def _balanced(text: str) -> bool:
    bare = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'", "", text)
    return bare.count("[") == bare.count("]") and bare.count("{") == bare.count("}")


def _scalar(text: str) -> Any:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1]
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
