"""Arrays of an ``.npz`` that anybody may have made: nothing unpickled, no memory taken that the file does not fill."""

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
"""Bytes of all arrays of a file together, unless `read_arrays` is given another limit."""


def read_arrays(
    file: Path | IO[bytes], max_bytes: int = MAX_BYTES, *, wanted: Collection[str] | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz``, by their names in it: all, or those of ``wanted`` that are there.

    What each array's header promises is compared with what the archive holds of it before memory is taken.

    Raises:
        OSError, ValueError: the file cannot be read, is no archive of arrays, is damaged, holds objects (which only
            a pickle can restore), or is larger than ``max_bytes``.
    """
    found: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            names = {m.filename.removesuffix(".npy"): m for m in archive.infolist() if m.filename.endswith(".npy")}
            members = [member for name, member in names.items() if wanted is None or name in wanted]
            if sum(member.file_size for member in members) > max_bytes:
                raise ValueError(f"its arrays are larger than {max_bytes >> 20} MiB")
            for member in members:
                with archive.open(member) as stream:
                    found[member.filename.removesuffix(".npy")] = _array(stream, member)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ValueError(str(error) or "it is cut short") from error  # RuntimeError: it is encrypted
    return found


def _array(stream: IO[bytes], member: zipfile.ZipInfo) -> NDArray[Any]:
    """ValueError where the member is no array, or not as long as its header says."""
    readers: Mapping[tuple[int, int], Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(stream)
    if version not in readers:
        raise ValueError(f"`{member.filename[:100]}` is of a format that is not known")
    try:
        shape, fortran, dtype = readers[version](stream)
    except Exception as error:  # numpy tokenizes and evaluates a text, which raises nearly anything
        raise ValueError(f"`{member.filename[:100]}` has no header") from error
    count = 1
    for size in shape:
        count *= size
    if dtype.hasobject or count * dtype.itemsize > member.file_size or count < 0 or len(shape) > 32:
        raise ValueError(f"`{member.filename[:100]}` holds {'objects' if dtype.hasobject else 'less than it says'}")
    data = stream.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"`{member.filename[:100]}` is cut short")
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if fortran else "C")
