"""Remove paths of the machine that writes a manifest: only file names are written, for privacy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["without_folders"]

# Absolute (POSIX, home, drive, file address) or leading out of the current folder, at the beginning of a word.
_ROOT = r"(?:file://(?=/)|~[\w.-]*(?=[\\/])|\.\.(?=[\\/])|[A-Za-z]:(?=[\\/](?!/))|\\(?=\\))?[\\/](?![\\/\s])"
_QUOTED = re.compile(rf"(?P<quote>['\"])(?={_ROOT})(?P<path>[^'\"\n]*)(?P=quote)")
_BARE = re.compile(rf"(?<![^\s'\"=:,;(\[])(?={_ROOT})[^\s'\",;)\]]+")
_WHOLE = re.compile(rf"{_ROOT}(?!.*\s[-/\\]).*")


def without_folders(value: Any) -> Any:
    """Return JSON content in which every path that names folders of this machine is reduced to its last component.

    Relative paths below the current folder and addresses stay: they mean the same elsewhere.
    """
    if isinstance(value, Mapping):
        return {name: without_folders(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(entry) for entry in value]
    if not isinstance(value, str):
        return value
    if _WHOLE.fullmatch(value):  # a path that may contain spaces
        return _name(value)
    value = _QUOTED.sub(lambda match: f"{match['quote']}{_name(match['path'])}{match['quote']}", value)
    return _BARE.sub(lambda match: _name(match[0]), value)


def _name(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
