"""Errors that a user can mend.

Every one carries a single line: what is wrong, where, and what to do. The command line prints that line
on stderr and exits with status 2; a traceback is kept for our own mistakes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable

from humanrt.address import redacted

__all__ = [
    "BackendError",
    "BundleError",
    "ClosedError",
    "HumanrtError",
    "InvalidInputError",
    "MissingDependencyError",
    "OutputError",
    "SourceError",
    "choices",
    "printable",
]


class HumanrtError(Exception):
    """A mistake in what was asked or given; the message is one line and says how to mend it.

    Whatever the message quotes, it stays one printable line of bounded length, and addresses in it carry no secrets.
    """

    exit_status = 2

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(_brief(printable(redacted(text))) if isinstance(text, str) else text for text in arguments))


class InvalidInputError(HumanrtError, ValueError):
    """An argument or option that cannot be: NaN, infinite, or out of range. Nothing changed."""


class SourceError(HumanrtError):
    """A camera, video, image or folder cannot be read."""


class OutputError(HumanrtError):
    """A recording, video or picture cannot be written."""


class BundleError(HumanrtError):
    """A model bundle is missing, damaged, or of another version."""


class ClosedError(HumanrtError, ValueError):
    """Something was used after it was closed."""


class BackendError(HumanrtError):
    """The backend that was asked for cannot run here. Never replaced silently by another."""


class MissingDependencyError(HumanrtError):
    """An optional package is not installed; the message names the extra that brings it."""


_LONG_WORD = re.compile(r"\S{401,}")
_LONGEST = 1000


def _brief(text: str) -> str:
    """Cut the middle out of words longer than any name or path, and of what is still longer than anybody reads."""
    text = _LONG_WORD.sub(lambda word: f"{word[0][:80]}...{word[0][-40:]}", text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 300]} ... {text[-280:]}"


def choices(names: Iterable[str]) -> str:
    """The valid names, for the end of an error message: ``"a, b, c"``, sorted."""
    return ", ".join(sorted(names))


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text such as a file name on one line, in valid Unicode.

    Bytes that are not UTF-8, which Python holds as surrogates, and control characters become escapes like ``\xe9``.
    """
    with contextlib.suppress(UnicodeEncodeError):  # half a pair, as Windows allows in names
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
