"""A contact sheet of poses that were found: the query, then each event, as figures seen from the front and the side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.errors import OutputError
from humanrt.files import write_atomically
from humanrt.search.descriptor import POINTS
from humanrt.search.nearest import Event
from humanrt.search.store import PoseIndex

__all__ = ["write_sheet"]

_CELL, _LABEL, _COLUMNS = 200, 44, 4  # px
_METRES = 2.3  # shown in a cell's height
_BACK, _INK = (250, 250, 250), (40, 40, 40)
_LEFT, _RIGHT, _MIDDLE = (200, 110, 20), (30, 120, 220), (90, 90, 90)  # B, G, R
_CHAINS = (
    ("shoulder", "elbow", "wrist", "hand"),
    ("hip", "knee", "ankle", "foot"),
)
_TYPES = (".jpg", ".jpeg", ".png", ".webp")


def write_sheet(path: Path, index: PoseIndex, query: NDArray[np.float32], events: Sequence[Event]) -> None:
    """Write the sheet, a picture. The body's left is blue, its right orange.

    Args:
        path: the file.
        index: where the events were found.
        query: [D], the descriptor that was looked for.
        events: what was found.

    Raises:
        OutputError: the file's name is none of a picture, or it cannot be written.
    """
    if path.suffix.lower() not in _TYPES:
        raise OutputError(f"{path}: a sheet is a picture; end its name in one of: {', '.join(_TYPES)}")
    cells = [_cell(query, "query", "")]
    for event in events:
        label = f"{Path(event.file).stem[:24]}  id {event.person}"
        cells.append(_cell(index.vectors[event.row], label, f"{event.t:.2f} s   {100 * event.distance:.1f} cm"))
    columns = min(_COLUMNS, len(cells))
    while len(cells) % columns:
        cells.append(np.full_like(cells[0], 255))
    rows = [np.hstack(cells[first : first + columns]) for first in range(0, len(cells), columns)]
    written, data = cv2.imencode(path.suffix, np.vstack(rows))
    if not written:
        raise OutputError(f"{path}: the picture could not be encoded; try another type")
    write_atomically(path, data.tobytes())


def _cell(vector: NDArray[np.float32], first: str, second: str) -> NDArray[np.uint8]:
    points = vector.reshape(-1, 3) * np.float32(np.sqrt(len(POINTS)))
    cell = np.full((_CELL + _LABEL, 2 * _CELL, 3), _BACK, np.uint8)
    # Somebody who faces the viewer has their left at the viewer's right.
    for column, across in ((0, points[:, 0]), (1, points[:, 2])):
        _draw(cell, np.stack([across, points[:, 1]], 1), column * _CELL)
    for line, text in enumerate((first, second)):
        cv2.putText(cell, text, (6, _CELL + 16 + 18 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return cell


def _draw(cell: NDArray[np.uint8], places: NDArray[np.float32], left: int) -> None:
    scale = _CELL / _METRES
    at = {
        name: (round(left + _CELL / 2 + scale * float(x)), round(_CELL / 2 - scale * float(y)))
        for name, (x, y) in zip(POINTS, places, strict=True)
    }
    pelvis = (left + _CELL // 2, _CELL // 2)
    lines = [(pelvis, at["neck"], _MIDDLE), (at["neck"], at["head"], _MIDDLE), (at["head"], at["face"], _MIDDLE)]
    for side, colour in (("left", _LEFT), ("right", _RIGHT)):
        for chain, start in zip(_CHAINS, (at["neck"], pelvis), strict=True):
            stops = [start, *(at[f"{side}_{name}"] for name in chain)]
            lines += [(a, b, colour) for a, b in pairwise(stops)]
    for a, b, colour in lines:
        cv2.line(cell, a, b, colour, 2, cv2.LINE_AA)
    cv2.circle(cell, at["head"], 7, _MIDDLE, 2, cv2.LINE_AA)
