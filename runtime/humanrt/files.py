"""Write files atomically and hash them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from humanrt.errors import BundleError, OutputError

__all__ = ["file_sha256", "folder_atomically", "folders_replaced", "opened_atomically", "write_atomically"]


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file. BundleError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}; export the bundle again") from error


@contextmanager
def opened_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file for atomic writing: readers see the old one or, after the block, the new one, even after a power cut.

    Raises:
        OutputError: the file cannot be written; the message says why.
    """
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(part).chmod(mode)
        Path(part).replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        if part is not None:
            Path(part).unlink(missing_ok=True)


@contextmanager
def folder_atomically(path: Path) -> Iterator[Path]:
    """Make a folder atomically: yield a path to make it at, which takes its real name after the block.

    If the block raises, nothing is left. A folder that is there already must be empty, and is replaced. OSError is left
    to the caller, who knows by which option the folder was named.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent, ignore_cleanup_errors=True) as place:
        part = Path(place) / path.name
        yield part
        if path.is_dir():
            path.rmdir()  # Windows replaces no folder, not even an empty one
        part.replace(path)


@contextmanager
def folders_replaced(path: Path) -> Iterator[Path]:
    """Make folders to be put into a folder: yield a path to make them in; after the block each takes its place there.

    A folder of the same name is replaced; others stay. If the block raises, nothing has changed. OSError is left to the
    caller.
    """
    path.mkdir(parents=True, exist_ok=True)
    # In it and not beside it: a volume is mounted as a whole.
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path, ignore_cleanup_errors=True) as place:
        new, old = Path(place) / "new", Path(place) / "old"
        new.mkdir()
        old.mkdir()
        yield new
        for made in sorted(new.iterdir()):
            target = path / made.name
            if target.exists():
                target.replace(old / made.name)
            made.replace(target)


def write_atomically(path: Path, data: bytes) -> None:
    """Write bytes to a file atomically, see `opened_atomically`. OutputError says why it cannot be written."""
    with opened_atomically(path) as stream:
        stream.write(data)
