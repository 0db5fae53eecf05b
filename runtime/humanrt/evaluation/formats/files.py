"""What readers share: pictures, versions of files, errors that say which file is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle.unpickle import load_pickle
from humanrt.errors import HumanrtError, SourceError
from humanrt.geometry.camera import project
from humanrt.sources.opening import Frame, open_source

__all__ = ["in_picture", "load_pickled", "of_format", "picture", "size_of", "version_of"]


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


def in_picture(limbs: NDArray[np.float64], K: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return who [N] is in a picture: all limb joints [N, 12, 3] before the camera, half of them within the picture."""
    ahead = np.asarray((limbs[..., 2] > 0.05).all(1))
    flat = project(np.where(ahead[:, None, None], limbs, 1.0), K)
    inside = ((flat >= 0) & (flat < size)).all(-1).mean(-1)
    return np.asarray(ahead & (inside >= 0.5))


def size_of(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Return (width, height) px."""
    return image.shape[1], image.shape[0]


def load_pickled(path: Path) -> Mapping[str, Any]:
    """Unpickle data, never code, to a dict. SourceError if it is none."""
    with path.open("rb") as stream:
        loaded = load_pickle(stream, path)
    if not isinstance(loaded, Mapping):
        raise SourceError(f"{path}: holds no dict of arrays")
    return loaded
