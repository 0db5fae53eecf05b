"""Arrays that are made of an index's vectors once, and kept beside them: `Kept`.

A folder ``kept-NAME`` of the index: ``head.json`` says how many rows count, each column has a file with a row for each
pose, and constants are `.npy` files, whose checksums are in the head. It grows as the index does, in the same way: rows
are written behind those that count and flushed, and a new ``head.json`` acknowledges them, so whatever ends a process
leaves whole rows. The head names the files of the index by a checksum, too: if another index stands in the folder, or
a constant is damaged, all is made anew. There is one writer at a time; whoever finds it at work, or may not write,
makes what is missing in memory.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import OutputError
from humanrt.files import write_atomically
from humanrt.search.store import KEPT, PoseIndex, locked

__all__ = ["Column", "Kept"]

Floats = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]
Column = tuple[str, tuple[int, ...]]
"""Type of a column's numbers, such as "<f4", and the shape of a row."""

_FORMAT = 2
_HEAD, _LOCK = "head.json", "lock"
_AT_ONCE = 1 << 15  # rows
_TOLD = 1 << 17  # rows that take long enough for a line to be said


class Kept:
    """Columns with a row for each pose of an index, made where they are missing.

    Args:
        index: the index.
        name: of what they are made by; another version has another name.
        columns: by name.
        constants: returns arrays that ``make`` needs; called once, when there is none of this name yet.
        make: from vectors [M, D] and constants to a column's rows [M, ...] by name.
        say: called with a line if making takes a while, or if what was made cannot be kept.

    Attributes:
        constants: as returned, or as read.
        columns: [N, ...] by name.
    """

    def __init__(
        self,
        index: PoseIndex,
        name: str,
        columns: Mapping[str, Column],
        constants: Callable[[], Arrays],
        make: Callable[[Floats, Arrays], Arrays],
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._index, self._shapes, self._make, self._say = index, columns, make, say
        self._folder = index.path / f"{KEPT}{name}"
        head = self._head()
        if head is None or head["rows"] < len(index):
            head = self._extended(head, constants)
        rows = 0 if head is None else min(head["rows"], len(index))
        self.constants = constants() if head is None else self._read_constants(head)
        self.columns: Arrays = {one: self._mapped(one, rows) for one in columns}
        if rows < len(index):  # another process is at work, or the folder may not be written
            parts = [self._made(first) for first in range(rows, len(index), _AT_ONCE)]
            self.columns = {
                one: np.concatenate([old, *(part[one] for part in parts)]) for one, old in self.columns.items()
            }

    def _head(self) -> dict[str, Any] | None:
        """Return what counts; None if there is nothing, or not of these files."""
        try:
            head = json.loads((self._folder / _HEAD).read_text(encoding="utf-8"))
            sound = head["format"] == _FORMAT and head["columns"] == self._types()
            sound = sound and self._index.listing(int(head["listed"])) == head["sha256"]
            sound = sound and all(self._size(one) >= head["rows"] * self._row(one) for one in self._shapes)
            sound = sound and all(
                hashlib.sha256(self._constant(one).read_bytes()).hexdigest() == digest
                for one, digest in head["constants"].items()
            )
            return head if sound else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _extended(self, head: dict[str, Any] | None, constants: Callable[[], Arrays]) -> dict[str, Any] | None:
        """Make what is missing, and return what counts then."""
        try:
            self._folder.mkdir(exist_ok=True)
            with (self._folder / _LOCK).open("ab") as lock:
                if not locked(lock):
                    self._say(f"{self._folder}: another process writes it; what is missing is made again, and not kept")
                    return head
                head = self._head()  # as the writer before left it
                if head is None:
                    for old in self._folder.iterdir():  # of another index; whoever has it mapped keeps it
                        if old.name != _LOCK:
                            old.unlink()
                    head = {"format": _FORMAT, "columns": self._types(), "rows": 0, "constants": {}}
                    for one, array in constants().items():
                        stream = io.BytesIO()
                        np.save(stream, array, allow_pickle=False)
                        write_atomically(self._constant(one), stream.getvalue())
                        head["constants"][one] = hashlib.sha256(stream.getvalue()).hexdigest()
                self.constants = self._read_constants(head)
                if len(self._index) - head["rows"] >= _TOLD:
                    self._say(f"{self._folder}: made once for {len(self._index) - head['rows']} poses, and kept")
                head["listed"], head["sha256"] = self._index.listed, self._index.listing(self._index.listed)
                while head["rows"] < len(self._index):
                    made = self._made(head["rows"])
                    for one, array in made.items():
                        self._write(one, head["rows"], array)
                    head["rows"] = min(head["rows"] + _AT_ONCE, len(self._index))
                    write_atomically(self._folder / _HEAD, json.dumps(head).encode())  # the acknowledgement
                return head
        except (OSError, OutputError) as error:
            reason = getattr(error, "strerror", None) or error
            self._say(f"{self._folder}: cannot be written ({reason}); what is missing is not kept")
            return self._head()  # as far as it was acknowledged

    def _made(self, first: int) -> dict[str, NDArray[Any]]:
        vectors: Floats = np.asarray(self._index.vectors[first : first + _AT_ONCE])
        made = self._make(vectors, self.constants)
        return {one: np.ascontiguousarray(made[one], dtype) for one, (dtype, _) in self._shapes.items()}

    def _write(self, name: str, rows: int, array: NDArray[Any]) -> None:
        file = self._folder / name
        with file.open("r+b" if file.exists() else "x+b") as stream:
            stream.seek(rows * self._row(name))
            stream.truncate()
            stream.write(array.tobytes())
            stream.flush()
            os.fsync(stream.fileno())

    def _mapped(self, name: str, rows: int) -> NDArray[Any]:
        dtype, shape = self._shapes[name]
        if not rows:
            return np.zeros((0, *shape), dtype)
        return np.memmap(self._folder / name, np.dtype(dtype), "r", shape=(rows, *shape))

    def _read_constants(self, head: Mapping[str, Any]) -> Arrays:
        return {one: np.load(self._constant(one), allow_pickle=False) for one in head["constants"]}

    def _constant(self, name: str) -> Path:
        return self._folder / f"{name}.npy"

    def _row(self, name: str) -> int:
        dtype, shape = self._shapes[name]
        return np.dtype(dtype).itemsize * int(np.prod(shape))

    def _size(self, name: str) -> int:
        with suppress(OSError):
            return (self._folder / name).stat().st_size
        return 0

    def _types(self) -> dict[str, list[Any]]:
        return {name: [dtype, list(shape)] for name, (dtype, shape) in self._shapes.items()}
