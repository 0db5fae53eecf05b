"""What readers share: pictures, versions of files, errors that say which file is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, SourceError
from humanrt.sources.opening import Frame, open_source

__all__ = ["of_format", "picture", "version_of"]


def version_of(*files: Path) -> str:
    """Return what changes when one of the files does: their sizes and times. SourceError if one is not there."""
    try:
        stats = [file.stat() for file in files]
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}; the data set is not complete") from None
    return " ".join(f"{one.st_size}:{one.st_mtime_ns}" for one in stats)


def picture(path: Path, t: float, index: int, *, cut: bool = True) -> Frame:
    """Read a picture as a frame; ``cut``: it is unrelated to those before it. SourceError if it cannot be read."""
    with open_source(path) as source:
        image: NDArray[np.uint8] = next(iter(source)).image
    return Frame(image, t, index, cut=cut)


@contextmanager
def of_format(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a damaged file raises in the block into one SourceError that names it."""
    try:
        yield
    except HumanrtError:
        raise
    except Exception as error:  # parsers of untrusted files raise nearly anything
        reason: Any = f"no {error}" if isinstance(error, KeyError) else error or type(error).__name__
        raise SourceError(f"{path}: not {what} ({reason}); see docs/use/evaluate.md for the layout") from error
