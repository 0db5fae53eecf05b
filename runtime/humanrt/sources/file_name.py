"""File names as they are: any bytes but NUL and '/', which is more than UTF-8 and more than one line.

Old cameras, Windows archives and network shares leave names in Latin-1. Python holds such a name with surrogates for
the bytes that it cannot decode. OpenCV takes names in UTF-8 only, and dies of anything else.
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
    """Give a name of a file that OpenCV and FFmpeg can open, for as long as the context lasts.

    It is absolute, so that FFmpeg does not take `12:30.mp4` for an address of protocol `12`. Where the name is not
    UTF-8, or a suffix is asked for that the file does not have, it is that of a link in a temporary folder.

    Raises HumanrtError where such a link is needed and cannot be made.
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
    """Return whether the bytes that name a file are the UTF-8 of its name, whatever the locale."""
    try:
        return os.fsencode(name) == name.encode()
    except UnicodeEncodeError:
        return False
