"""Binary glTF 2.0 files: arrays become accessors, everything else is the document that the caller fills in."""

from __future__ import annotations

import json
import struct
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["GltfFile", "Target"]

Target = Literal["indices", "vertices", None]

_TARGETS = {"indices": 34963, "vertices": 34962}
_COMPONENTS = {"uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": 5126}
_TYPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}


class GltfFile:
    """A glTF document and its binary buffer.

    Attributes:
        document: the JSON document; `bytes` adds what describes the buffer.
    """

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"asset": {"version": "2.0", "generator": "humanrt"}, "scene": 0}
        self._chunks: list[bytes] = []
        self._size = 0
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []

    def add(self, array: NDArray[Any], target: Target = None, *, bounds: bool = False) -> int:
        """Add an array [N, ...] and return the index of its accessor.

        Args:
            array: uint8, uint16, uint32 or float32 scalars, vectors or column-major 4 x 4 matrices.
            target: what the array is used for, where a mesh uses it.
            bounds: also state the least and the largest value, as glTF wants for positions and times.
        """
        accessor = self._accessor(array)
        accessor["bufferView"] = self._view(array, target)
        if bounds:
            accessor |= _bounds(array)
        return self._append(accessor)

    def add_triangles(self, faces: NDArray[np.integer[Any]], vertices: int) -> int:
        """Add the triangles [F, 3] of a mesh with so many vertices, and return the index of their accessor."""
        # 16 bits if they suffice; the largest value of the type is not allowed as an index.
        kind = np.uint16 if vertices < 0xFFFF else np.uint32
        return self.add(faces.astype(kind).ravel(), "indices")

    def add_sparse(self, array: NDArray[np.float32], *, bounds: bool = True) -> int:
        """Add an array [N, 3] of which most rows are 0, without these, and return the index of its accessor."""
        rows = np.flatnonzero(array.any(axis=1))
        accessor = self._accessor(array)
        if len(rows):
            kind = np.uint16 if len(array) <= 0xFFFF else np.uint32
            accessor["sparse"] = {
                "count": len(rows),
                "indices": {"bufferView": self._view(rows.astype(kind), None), "componentType": _component(kind)},
                "values": {"bufferView": self._view(array[rows], None)},
            }
        if bounds:
            accessor |= _bounds(array)
        return self._append(accessor)

    def bytes(self) -> bytes:
        """Return the file."""
        binary = b"".join(self._chunks)
        document = {
            **self.document,
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [{"byteLength": len(binary)}],
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        parts = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts

    def _accessor(self, array: NDArray[Any]) -> dict[str, Any]:
        return {"componentType": _component(array.dtype), "count": len(array), "type": _TYPES[array.shape[1:]]}

    def _append(self, accessor: dict[str, Any]) -> int:
        self._accessors.append(accessor)
        return len(self._accessors) - 1

    def _view(self, array: NDArray[Any], target: Target) -> int:
        chunk = np.ascontiguousarray(array).tobytes()
        view = {"buffer": 0, "byteOffset": self._size, "byteLength": len(chunk)}
        if target:
            view["target"] = _TARGETS[target]
        self._chunks.append(chunk + bytes(-len(chunk) % 4))
        self._size += len(self._chunks[-1])
        self._views.append(view)
        return len(self._views) - 1


def _component(dtype: Any) -> int:
    return _COMPONENTS[np.dtype(dtype).name]


def _bounds(array: NDArray[Any]) -> dict[str, Any]:
    rows = array.reshape(len(array), -1)
    return {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
