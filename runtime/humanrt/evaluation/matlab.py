"""Read MATLAB's .mat files of version 5 to 7 (not 7.3, which is HDF5): numbers, cells and structs.

The format is MathWorks' "MAT-File Format": a header of 128 bytes, then elements of a tag (type, size) and data, which
may be compressed. Written from that description; nothing in a file is executed.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from humanrt.errors import SourceError

__all__ = ["read_mat"]

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
}
_CELL, _STRUCT, _SPARSE = 1, 2, 5
_COMPLEX = 0x0800  # of the flags
_MAX_BYTES = 1 << 30
_MAX_DEPTH = 16


def read_mat(path: Path) -> dict[str, Any]:
    """Return the variables of a file by name.

    Numbers become arrays of at least two dimensions; a cell becomes an array of objects; a struct an array of dicts.

    Raises:
        SourceError: the file is not such a file, or is damaged, or holds what is not read here.
    """
    try:
        data = path.read_bytes()
        if data[:20] == b"MATLAB 7.3 MAT-file " or data[:4] == b"\x89HDF":
            raise ValueError("it is of version 7.3 (HDF5); save it with  save -v7")
        if len(data) < _HEADER or data[126:128] not in (b"IM", b"MI"):
            raise ValueError("it does not begin like one")
        order = "<" if data[126:128] == b"IM" else ">"
        return dict(_variables(data[_HEADER:], order))
    except (OSError, ValueError, IndexError, KeyError, zlib.error) as error:
        raise SourceError(f"{path}: not a .mat file that can be read ({error})") from error


def _variables(data: bytes, order: str) -> list[tuple[str, Any]]:
    found, at = [], 0
    while at < len(data):
        kind, content, at = _element(data, at, order)
        if kind == _COMPRESSED:
            inflate = zlib.decompressobj()
            content = inflate.decompress(content, _MAX_BYTES)
            if inflate.unconsumed_tail:
                raise ValueError("a variable is larger than 1 GiB")
            kind, content, _ = _element(content, 0, order)
        if kind == _MATRIX:
            found.append(_matrix(content, order, 0))
    return found


def _element(data: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Return type and content of the element at an offset, and where the next one begins."""
    if at + 8 > len(data):
        raise ValueError("it is cut off")
    first, second = np.frombuffer(data, order + "u4", 2, at).tolist()
    if first >> 16:  # at most four bytes of data are in the tag itself
        size = first >> 16
        if size > 4:
            raise ValueError("an element has no size")
        return first & 0xFFFF, data[at + 4 : at + 4 + size], at + 8
    end = at + 8 + second
    if end > len(data):
        raise ValueError("it is cut off")
    return first, data[at + 8 : end], end if first == _COMPRESSED else end + -second % 8


def _numbers(kind: int, content: bytes, order: str) -> np.ndarray[Any, np.dtype[Any]]:
    dtype = np.dtype(order + _TYPES[kind])
    return np.frombuffer(content, dtype, len(content) // dtype.itemsize)


def _matrix(data: bytes, order: str, depth: int) -> tuple[str, Any]:
    """Return name and value of an array."""
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if not data:
        return "", np.zeros((0, 0))
    parts, at = [], 0
    for _ in range(3):
        kind, content, at = _element(data, at, order)
        parts.append(_numbers(kind, content, order))
    flags, shape = int(parts[0][0]), tuple(int(size) for size in parts[1])
    name = bytes(parts[2].astype(np.uint8)).decode("latin1")
    count = 1
    for size in shape:
        count *= size
    if count < 0 or count > len(data):
        raise ValueError(f"`{name}` is larger than the file")
    kind = flags & 0xFF
    if kind == _SPARSE or flags & _COMPLEX:
        raise ValueError(f"`{name}` is sparse or complex, which is not read here")
    if kind == _CELL:
        cells = np.empty(count, object)
        for k in range(count):
            _, content, at = _element(data, at, order)
            cells[k] = _matrix(content, order, depth + 1)[1]
        return name, cells.reshape(shape, order="F")
    if kind == _STRUCT:
        tag, content, at = _element(data, at, order)
        length = int(_numbers(tag, content, order)[0])
        _, content, at = _element(data, at, order)
        fields = [content[k : k + length].split(b"\0")[0].decode("latin1") for k in range(0, len(content), length)]
        structs = np.empty(count, object)
        for k in range(count):
            structs[k] = {}
            for field in fields:
                _, content, at = _element(data, at, order)
                structs[k][field] = _matrix(content, order, depth + 1)[1]
        return name, structs.reshape(shape, order="F")
    kind, content, at = _element(data, at, order)
    values = _numbers(kind, content, order)
    if values.size != count:
        raise ValueError(f"`{name}` has {values.size} numbers for {list(shape)}")
    return name, values.reshape(shape, order="F")
