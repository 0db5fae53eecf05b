"""Dataclasses of arrays with corresponding rows, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.files import opened_atomically
from humanrt_export.npz import read_npz

__all__ = ["Rows"]


class Rows:
    """Base class of dataclasses whose fields are arrays [N, ...]."""

    def __len__(self) -> int:
        return len(next(iter(self._arrays().values())))

    def take(self, indices: NDArray[Any] | slice) -> Self:
        """Select rows."""
        return type(self)(**{name: array[indices] for name, array in self._arrays().items()})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Concatenate the rows of the parts, in order."""
        arrays = [part._arrays() for part in parts]
        return cls(**{name: np.concatenate([part[name] for part in arrays]) for name in arrays[0]})

    def save(self, path: Path) -> Path:
        """Write a `.npz`, atomically."""
        with opened_atomically(path) as stream:
            np.savez(stream, allow_pickle=False, **self._arrays())
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            HumanrtError: the file is something else.
        """
        wanted = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        try:
            arrays = read_npz(path, wanted)
        except (OSError, ValueError) as error:
            raise HumanrtError(f"{path}: cannot be read ({error}); delete the file and make it again") from error
        if missing := [name for name in wanted if name not in arrays]:
            raise HumanrtError(f"{path}: `{missing[0]}` is missing; delete the file and make it again")
        if len({len(array) for array in arrays.values()}) != 1:
            raise HumanrtError(f"{path}: its arrays do not match; delete the file and make it again")
        return cls(**arrays)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
