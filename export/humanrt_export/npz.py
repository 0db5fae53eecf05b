"""Archives of arrays (.npz), read without running anything of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from humanrt.bundle.arrays import read_arrays

__all__ = ["read_npz"]


def read_npz(
    file: Path | IO[bytes], wanted: Collection[str] | None = None, max_bytes: int = 1 << 32
) -> dict[str, NDArray[Any]]:
    """The arrays of an archive by name: all, or those of ``wanted`` that are there.

    Raises:
        ValueError: it is no such archive, is damaged, holds pickles, or arrays of more than ``max_bytes``.
        OSError: it cannot be opened.
    """
    return read_arrays(file, max_bytes, wanted=wanted)
