"""Read untrusted ``.npz`` files: nothing is unpickled, and no more memory is allocated than the file fills."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

__all__ = ["MAX_BYTES", "read_arrays"]

MAX_BYTES = 1 << 29
"""Total size of a file's arrays in bytes, unless `read_arrays` is given another limit."""


def read_arrays(
    file: Path | IO[bytes], max_bytes: int = MAX_BYTES, *, wanted: Collection[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` by name: all of them, or those of ``wanted`` that it has.

    Each array's announced size is checked against the archive before memory is allocated.

    Raises:
        OSError, ValueError: the file cannot be read, is not an archive of arrays, is damaged, holds pickled objects,
            or is larger than ``max_bytes``.
    """
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            names = {m.filename.removesuffix(".npy"): m for m in archive.infolist() if m.filename.endswith(".npy")}
            members = [member for name, member in names.items() if wanted is None or name in wanted]
            if sum(member.file_size for member in members) > max_bytes:
                raise ValueError(f"its arrays are larger than {max_bytes >> 20} MiB")
            for member in members:
                with archive.open(member) as stream:
                    arrays[member.filename.removesuffix(".npy")] = _array(stream, member)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ValueError(str(error) or "it is truncated") from error  # RuntimeError: it is encrypted
    return arrays


def _array(stream: IO[bytes], member: zipfile.ZipInfo) -> NDArray[Any]:
    """Read one array. ValueError if it is not an array, or shorter than its header says."""
    readers: Mapping[tuple[int, int], Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(stream)
    if version not in readers:
        raise ValueError(f"`{member.filename[:100]}` has an unknown format")
    try:
        shape, fortran, dtype = readers[version](stream)
    except Exception as error:  # numpy tokenizes and evaluates a text, which raises nearly anything
        raise ValueError(f"`{member.filename[:100]}` has no header") from error
    count = 1
    for size in shape:
        count *= size
    if dtype.hasobject or count * dtype.itemsize > member.file_size or count < 0 or len(shape) > 32:
        raise ValueError(
            f"`{member.filename[:100]}` holds {'objects' if dtype.hasobject else 'less data than its header says'}"
        )
    data = stream.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"`{member.filename[:100]}` is truncated")
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if fortran else "C")
