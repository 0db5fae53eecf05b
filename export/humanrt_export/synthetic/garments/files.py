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
from humanrt_export.bodies.anny.base_mesh import VERTICES

__all__ = ["Garment", "read_garment"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Garment:
    """A mesh of V vertices fastened to the base mesh.

    Attributes:
        name: name in the file; in a `Wardrobe` that of the file, which is nobody else's.
        tags: lower case.
        anchors: [V, 3] vertices of the base mesh; weights: [V, 3] their weights, sum 1.
        offsets: [V, 3] in Anny's axes, times the garment's scale.
        spans: [3, 2] vertices of the base mesh whose distance along an axis of Anny, divided by ``references`` [3], is
            the scale of that axis.
        hidden: [N] vertices of the base mesh under the garment.
        triangles: [F, 3].
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


def read_garment(clothes: str, mesh: str, where: str, vertices: int = VERTICES) -> Garment:
    """Read a garment.

    Args:
        clothes: text of the .mhclo; mesh: text of the .obj; where: name of the file, for messages.
        vertices: of the base mesh.

    Raises:
        SourceError: a line is not understood, a number is none that it can be, or the two do not belong together.
    """
    try:
        return _read(clothes, mesh, vertices)
    except (ValueError, IndexError) as error:
        raise SourceError(f"{where}: not a garment of MakeHuman ({error})") from error


def _read(clothes: str, mesh: str, vertices: int) -> Garment:
    name, tags = "", []
    scales: dict[str, tuple[int, int, float]] = {}
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
                scales[words[0][0]] = _scale(words, vertices)
        elif part == "verts":
            rows.append(_row(words, vertices))
        elif part == "delete_verts":
            hidden += _ranges(words, vertices)
    full = np.array(rows).reshape(-1, 9)
    offsets = full[:, [6, 8, 7]] * (1, -1, 1)
    missing = [f"{axis}_scale" for axis in "xyz" if axis not in scales]
    if missing and offsets.any():
        raise ValueError(f"it has offsets but no {', '.join(missing)}")
    axes = [scales.get(axis, (0, 0, 1.0)) for axis in "xzy"]  # of Anny's x, y, z
    count, triangles = _mesh(mesh)
    if count != len(rows):
        raise ValueError(f"{len(rows)} rows under `verts`, but its .obj has {count} vertices")
    return Garment(
        name=name,
        tags=tuple(tags),
        anchors=full[:, :3].astype(np.int64),
        weights=full[:, 3:6] / full[:, 3:6].sum(axis=1, keepdims=True),
        offsets=offsets,
        spans=np.array([axis[:2] for axis in axes], np.int64),
        references=np.array([axis[2] for axis in axes]),
        hidden=np.unique(np.array(hidden, np.int64)),
        triangles=triangles,
    )


def _vertex(word: str, vertices: int) -> int:
    """Return the number of a vertex of the base mesh."""
    number = int(word)
    if not 0 <= number < vertices:
        raise ValueError(f"{number} is no vertex of the base mesh, which has 0 to {vertices - 1}")
    return number


def _row(words: list[str], vertices: int) -> list[float]:
    """Return three vertices, their weights and the offset, of a row of nine numbers or of one, a vertex."""
    if len(words) not in (1, 9):
        raise ValueError(f"a row under `verts` has {len(words)} numbers instead of 1 or 9: {' '.join(words)}")
    if len(words) == 1:
        return [*[float(_vertex(words[0], vertices))] * 3, 1, 0, 0, 0, 0, 0]
    values = [float(word) for word in words[3:]]
    if not np.isfinite(values).all() or abs(sum(values[:3])) < 1e-6:
        raise ValueError(f"weights and offset must be finite, the sum of the weights not 0: {' '.join(words)}")
    return [*(float(_vertex(word, vertices)) for word in words[:3]), *values]


def _scale(words: list[str], vertices: int) -> tuple[int, int, float]:
    """Return two vertices, and their distance where the garment was made."""
    if len(words) != 4:
        raise ValueError(f"{words[0]} needs two vertices and a distance")
    one, two, distance = _vertex(words[1], vertices), _vertex(words[2], vertices), float(words[3])
    if one == two or not 0 < distance < np.inf:
        raise ValueError(f"{' '.join(words)}: it needs two different vertices and a distance above 0")
    return one, two, distance


def _ranges(words: list[str], vertices: int) -> list[int]:
    """Return the numbers of ``1 2 5 - 8``."""
    numbers: list[int] = []
    place = 0
    while place < len(words):
        if words[place] == "-":
            if not numbers or place + 1 == len(words):
                raise ValueError(f"a range under `delete_verts` lacks an end: {' '.join(words)}")
            numbers += range(numbers[-1] + 1, _vertex(words[place + 1], vertices) + 1)
            place += 1
        else:
            numbers.append(_vertex(words[place], vertices))
        place += 1
    return numbers


def _mesh(text: str) -> tuple[int, Integers]:
    """Return the number of vertices and the triangles [F, 3] of an .obj."""
    count = 0
    triangles: list[list[int]] = []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            count += 1
        elif words[0] == "f":
            corners = [int(word.split("/")[0]) for word in words[1:]]
            # They count from 1; negative ones back from the last vertex before the face.
            face = [corner - 1 if corner > 0 else count + corner for corner in corners]
            if len(face) < 3 or 0 in corners or min(face) < 0:
                raise ValueError(f"a face of the .obj has less than three vertices, or one that is not there: {line}")
            triangles += [[face[0], face[k], face[k + 1]] for k in range(1, len(face) - 1)]
    if not triangles:
        raise ValueError("its .obj has no faces")
    if max(map(max, triangles)) >= count:
        raise ValueError(f"a face of the .obj has a vertex that is not there; there are {count}")
    return count, np.array(triangles, np.int64)
