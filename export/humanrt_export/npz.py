"""Archives of arrays (.npz), read without running anything of them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_npz"]


def read_npz(file: Path | IO[bytes], wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an archive by name: all, or those of ``wanted`` that are there.

    Raises:
        ValueError: it is no such archive, is damaged, or holds pickles.
        OSError: it cannot be opened.
    """
    try:
        stored = np.load(file, allow_pickle=False)
        if not hasattr(stored, "files"):
            raise ValueError("it holds a single array")
        with stored:
            return {name: stored[name] for name in stored.files if wanted is None or name in wanted}
    except (EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(str(error) or "it is not whole") from error
