"""Errors that a user can mend.

Every one carries a single line: what is wrong, where, and what to do. The command line prints that line
on stderr and exits with status 2; a traceback is kept for our own mistakes.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "BackendError",
    "BundleError",
    "HumanrtError",
    "MissingDependencyError",
    "OutputError",
    "SourceError",
    "choices",
]


class HumanrtError(Exception):
    """A mistake in what was asked or given; the message is one line and says how to mend it."""

    exit_status = 2


class SourceError(HumanrtError):
    """A camera, video, image or folder cannot be read."""


class OutputError(HumanrtError):
    """A recording, video or picture cannot be written."""


class BundleError(HumanrtError):
    """A model bundle is missing, damaged, or of another version."""


class BackendError(HumanrtError):
    """The backend that was asked for cannot run here. Never replaced silently by another."""


class MissingDependencyError(HumanrtError):
    """An optional package is not installed; the message names the extra that brings it."""


def choices(names: Iterable[str]) -> str:
    """The valid names, for the end of an error message: ``"a, b, c"``, sorted."""
    return ", ".join(sorted(names))
