"""Names under which OpenCV can open files whose own names are not UTF-8.

A file name may hold any bytes except NUL and '/'; old cameras, Windows archives and network shares leave names in
Latin-1. Python represents the bytes that it cannot decode as surrogates. OpenCV accepts UTF-8 only, and crashes on
anything else.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from humanrt.errors import HumanrtError, printable

__all__ = ["name_for_opencv", "printable"]


@contextlib.contextmanager
def name_for_opencv(path: Path, suffix: str | None = None) -> Iterator[str]:
    """Yield a name under which OpenCV and FFmpeg can open a file, valid within the context.

    The name is absolute, so that FFmpeg does not take `12:30.mp4` for an address with protocol `12`. If the file's own
    name is not UTF-8, or lacks the requested suffix, it is that of a link in a temporary folder.

    Raises HumanrtError if such a link is needed and cannot be made.
    """
    absolute = os.path.abspath(path)  # noqa: PTH100 - Path.absolute() keeps `..`, which a link may lead astray
    if suffix in (None, path.suffix) and _is_utf8(absolute):
        yield absolute
        return
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            if not _is_utf8(folder):
                folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))
            link = Path(folder, f"link{path.suffix if suffix is None else suffix}")
            link.symlink_to(absolute)
        except OSError as error:
            raise HumanrtError(
                f"{path}: its name is not UTF-8 and no link to it can be made ({error.strerror}); rename it"
            ) from None
        yield os.fspath(link)


def _is_utf8(name: str) -> bool:
    """Return whether a file name's bytes are valid UTF-8, whatever the locale."""
    try:
        return os.fsencode(name) == name.encode()
    except UnicodeEncodeError:
        return False
