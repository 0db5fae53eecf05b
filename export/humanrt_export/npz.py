"""Reading of array archives (.npz) without running any code from them."""

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
    """Return the arrays of an archive by name: all, or the existing ones of ``wanted``.

    Raises:
        ValueError: it is not such an archive, is damaged, or contains pickles or arrays of more than ``max_bytes``.
        OSError: it cannot be opened.
    """
    return read_arrays(file, max_bytes, wanted=wanted)
