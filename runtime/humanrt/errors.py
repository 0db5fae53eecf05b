"""Errors that a user can fix.

Each has a one-line message: what is wrong, where, and what to do. The command line prints that line on stderr and
exits with status 2; only bugs of humanrt show a traceback.
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
    """A user's mistake in a request or an input; the message is one line and says how to fix it.

    Whatever the message quotes, it stays one printable line of bounded length, without secrets in addresses.
    """

    exit_status = 2

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(_brief(printable(redacted(text))) if isinstance(text, str) else text for text in arguments))


class InvalidInputError(HumanrtError, ValueError):
    """An argument or option is invalid: NaN, infinite, or out of range. No state has changed."""


class SourceError(HumanrtError):
    """A camera, video, image or folder cannot be read."""


class OutputError(HumanrtError):
    """A recording, video or picture cannot be written."""


class BundleError(HumanrtError):
    """A model bundle is missing, damaged, or of another version."""


class ClosedError(HumanrtError, ValueError):
    """Something was used after it was closed."""


class BackendError(HumanrtError):
    """The requested backend cannot run here. It is never silently replaced by another."""


class MissingDependencyError(HumanrtError):
    """An optional package is not installed; the message names the extra that installs it."""


_LONG_WORD = re.compile(r"\S{401,}")
_MAX_LENGTH = 1000


def _brief(text: str) -> str:
    """Cut the middle out of words longer than any name or path, and of text that is still too long to read."""
    text = _LONG_WORD.sub(lambda word: f"{word[0][:80]}...{word[0][-40:]}", text)
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 300]} ... {text[-280:]}"


def choices(names: Iterable[str]) -> str:
    """Return the valid names, sorted, for the end of an error message: ``"a, b, c"``."""
    return ", ".join(sorted(names))


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text such as a file name on one line, in valid Unicode.

    Bytes that are not UTF-8, which Python holds as surrogates, and control characters become escapes like ``\xe9``.
    """
    with contextlib.suppress(UnicodeEncodeError):  # unpaired surrogates, which Windows allows in names
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
