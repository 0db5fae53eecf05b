"""What parts of the conversion need beyond the rest: they are imported only when they are used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from humanrt.errors import MissingDependencyError

__all__ = ["needs_export"]


@contextmanager
def needs_export() -> Iterator[None]:
    """Import in this block what needs the extra ``export``: MissingDependencyError if a package of it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("humanrt"):
            raise
        raise MissingDependencyError(
            f"package `{error.name}` is not installed; run: pip install 'humanrt[export]'"
        ) from error
