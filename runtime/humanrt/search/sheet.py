"""A contact sheet of poses that were found: the query, then each event, as pictures and as figures.

The picture is the video's, where that is there; figures are seen from the front and the side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.errors import OutputError
from humanrt.files import write_atomically
from humanrt.search.descriptor import NAME, POINTS
from humanrt.search.nearest import Event
from humanrt.search.pictures import Picture
from humanrt.search.store import PoseIndex

__all__ = ["check_sheet", "write_sheet"]

_CELL, _PICTURE, _LABEL, _COLUMNS = 200, 226, 44, 4  # px
_METRES = 2.3  # shown in a cell's height
_BACK, _INK = (250, 250, 250), (40, 40, 40)
_LEFT, _RIGHT, _MIDDLE = (200, 110, 20), (30, 120, 220), (90, 90, 90)  # B, G, R
_CHAINS = (
    ("shoulder", "elbow", "wrist", "hand"),
    ("hip", "knee", "ankle", "foot"),
)
_TYPES = (".jpg", ".jpeg", ".png", ".webp")


def check_sheet(path: Path) -> None:
    """Raise OutputError if a file's name is none of a picture."""
    if path.suffix.lower() not in _TYPES:
        raise OutputError(f"{path}: a sheet is a picture; end its name in one of: {', '.join(_TYPES)}")


def write_sheet(
    path: Path,
    index: PoseIndex,
    query: NDArray[np.float32] | None,
    events: Sequence[Event],
    pictures: Mapping[int, Picture] = MappingProxyType({}),
    title: str = "query",
) -> None:
    """Write the sheet, a picture. The body's left is blue, its right orange; a ring marks the person in a picture.

    Args:
        path: the file.
        index: where the events were found.
        query: [D], the descriptor that was looked for; None: something else, and distances are no metres.
        events: what was found.
        pictures: of the events, by their index; without any, the sheet has figures only, if the index holds joints.
            Where some lack, it says so.
        title: what was looked for.

    Raises:
        OutputError: the file's name is none of a picture, or it cannot be written.
    """
    check_sheet(path)
    drawn = index.descriptor == NAME
    filmed = bool(pictures) or not drawn
    cells = [_cell(_shown(None, "") if filmed else None, query if drawn else None, title[:60], "")]
    for place, event in enumerate(events):
        label = f"{Path(event.file).stem[:24]}  id {event.person}"
        found = f"{event.t:.2f} s   " + (
            f"{100 * event.distance:.1f} cm" if drawn and query is not None else f"{event.distance:.3f}"
        )
        shown = _shown(pictures.get(place), "its video is not here") if filmed else None
        cells.append(_cell(shown, index.vectors[event.row] if drawn else None, label, found))
    lacking = max(len(cell) for cell in cells) - len(cells[0])  # words have no figures
    cells[0] = np.pad(cells[0], ((lacking, 0), (0, 0), (0, 0)), constant_values=_BACK[0])
    columns = min(_COLUMNS, len(cells))
    while len(cells) % columns:
        cells.append(np.full_like(cells[0], 255))
    rows = [np.hstack(cells[first : first + columns]) for first in range(0, len(cells), columns)]
    written, data = cv2.imencode(path.suffix, np.vstack(rows))
    if not written:
        raise OutputError(f"{path}: the picture could not be encoded; try another type")
    write_atomically(path, data.tobytes())


def _cell(
    shown: NDArray[np.uint8] | None, vector: NDArray[np.float32] | None, first: str, second: str
) -> NDArray[np.uint8]:
    """Return a cell, BGR: the picture and the figures of a pose, where there are some, above two lines of words."""
    parts = [] if shown is None else [shown]
    if vector is not None:
        points = vector.reshape(-1, 3) * np.float32(np.sqrt(len(POINTS)))
        figures = np.full((_CELL, 2 * _CELL, 3), _BACK, np.uint8)
        # Somebody who faces the viewer has their left at the viewer's right.
        for column, across in ((0, points[:, 0]), (1, points[:, 2])):
            _draw(figures, np.stack([across, points[:, 1]], 1), column * _CELL)
        parts.append(figures)
    words = np.full((_LABEL, 2 * _CELL, 3), _BACK, np.uint8)
    for line, text in enumerate((first, second)):
        cv2.putText(words, text, (6, 16 + 18 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return np.vstack([*parts, words])


def _shown(picture: Picture | None, lacking: str) -> NDArray[np.uint8]:
    """Return the picture's part of a cell, BGR; ``lacking`` is written where there is none."""
    part = np.full((_PICTURE, 2 * _CELL, 3), _BACK, np.uint8)
    if picture is None:
        cv2.putText(part, lacking, (6, _PICTURE // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
        return part
    height, width = picture.image.shape[:2]
    scale = min(2 * _CELL / width, _PICTURE / height)
    size = (max(round(scale * width), 1), max(round(scale * height), 1))
    small = cv2.cvtColor(cv2.resize(picture.image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    if picture.head is not None:
        at = (round(scale * picture.head[0]), round(scale * picture.head[1]))
        cv2.circle(small, at, 14, (255, 255, 255), 4, cv2.LINE_AA)
        cv2.circle(small, at, 14, _RIGHT, 2, cv2.LINE_AA)
    left, top = (2 * _CELL - size[0]) // 2, (_PICTURE - size[1]) // 2
    part[top : top + size[1], left : left + size[0]] = small
    return part


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
