"""Files of MakeHuman's clothes: `.mhclo`, how a garment sits on the base mesh, and `.obj`, its mesh.

The format is described in MakeHuman's documentation ("Asset types: clothes"); no code of it was used. MakeHuman's
axes are x to the person's left, y up, z to the front, in decimetres; here offsets are turned into Anny's: x left, y
backwards, z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import SourceError

__all__ = ["Garment", "read_garment"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Garment:
    """A mesh of V vertices fastened to the base mesh.

    Attributes:
        name: name in the file.
        tags: lower case.
        anchors: [V, 3] vertices of the base mesh; weights: [V, 3] their weights, sum 1.
        offsets: [V, 3] in Anny's axes, times the garment's scale.
        spans: [3, 2] vertices of the base mesh whose distance along an axis of Anny, divided by ``references`` [3], is
            the scale of that axis.
        hidden: [N] vertices of the base mesh under the garment.
        triangles: [F, 3]; uv: [V, 2] texture coordinates, one of those that a vertex has.
    """

    name: str
    tags: tuple[str, ...]
    anchors: Integers
    weights: Array
    offsets: Array
    spans: Integers
    references: Array
    hidden: Integers
    triangles: Integers
    uv: Array


def read_garment(clothes: str, mesh: str, where: str) -> Garment:
    """Read a garment.

    Args:
        clothes: text of the .mhclo; mesh: text of the .obj; where: name of the file, for messages.

    Raises:
        SourceError: a line is not understood, or the two do not belong together.
    """
    try:
        garment = _read(clothes, mesh)
    except (ValueError, IndexError, KeyError) as error:
        raise SourceError(f"{where}: not a garment of MakeHuman ({error})") from error
    if len(garment.uv) != len(garment.anchors):
        raise SourceError(
            f"{where}: {len(garment.anchors)} rows under `verts`, but its .obj has {len(garment.uv)} vertices"
        )
    return garment


def _read(clothes: str, mesh: str) -> Garment:
    name, tags, scales = "", [], {}
    rows: list[list[float]] = []
    hidden: list[int] = []
    part = ""
    for line in clothes.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("verts", "delete_verts"):
            part = words[0]
        elif words[0][0].isalpha():  # keywords may stand between `verts 0` and its rows
            if words[0] == "tag":
                tags.append(" ".join(words[1:]).lower())
            elif words[0] == "name":
                name = " ".join(words[1:])
            elif words[0] in ("x_scale", "y_scale", "z_scale"):
                scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif part == "verts":
            rows.append([float(word) for word in words])
        elif part == "delete_verts":
            hidden += _ranges(words)
    single = [len(row) == 1 for row in rows]
    full = np.array(
        [[row[0], row[0], row[0], 1, 0, 0, 0, 0, 0] if one else row for row, one in zip(rows, single, strict=True)]
    ).reshape(-1, 9)
    weights = full[:, 3:6] / full[:, 3:6].sum(axis=1, keepdims=True)
    axes = [scales.get(axis, (0, 0, 1.0)) for axis in "xzy"]  # of Anny's x, y, z
    triangles, uv = _mesh(mesh)
    return Garment(
        name=name,
        tags=tuple(tags),
        anchors=full[:, :3].astype(np.int64),
        weights=weights,
        offsets=full[:, [6, 8, 7]] * (1, -1, 1),
        spans=np.array([axis[:2] for axis in axes], np.int64),
        references=np.array([axis[2] for axis in axes]),
        hidden=np.unique(np.array(hidden, np.int64)),
        triangles=triangles,
        uv=uv,
    )


def _ranges(words: list[str]) -> list[int]:
    """Return the numbers of ``1 2 5 - 8``."""
    numbers: list[int] = []
    place = 0
    while place < len(words):
        if words[place] == "-":
            numbers += range(numbers[-1] + 1, int(words[place + 1]) + 1)
            place += 1
        else:
            numbers.append(int(words[place]))
        place += 1
    return numbers


def _mesh(text: str) -> tuple[Integers, Array]:
    """Return triangles [F, 3] and texture coordinates [V, 2] of an .obj."""
    count = 0
    textures: list[list[float]] = []
    triangles: list[list[int]] = []
    seams: dict[int, int] = {}
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            count += 1
        elif words[0] == "vt":
            textures.append([float(word) for word in words[1:3]])
        elif words[0] == "f":
            corners = [word.split("/") for word in words[1:]]
            face = [int(corner[0]) - 1 for corner in corners]
            for vertex, corner in zip(face, corners, strict=True):
                if len(corner) > 1 and corner[1]:
                    seams[vertex] = int(corner[1]) - 1
            triangles += [[face[0], face[k], face[k + 1]] for k in range(1, len(face) - 1)]
    if triangles and max(map(max, triangles)) >= count:
        raise ValueError("a face has a vertex that is not there")
    uv = np.zeros((count, 2))
    for vertex, texture in seams.items():
        uv[vertex] = textures[texture]
    return np.array(triangles, np.int64).reshape(-1, 3), uv
