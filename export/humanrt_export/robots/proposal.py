"""What a robot's tree suggests: palm, fingers and their tips, as the JSON file that `humanrt run --robot` takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.geometry.hand import FINGERS
from humanrt.retarget.urdf_tree import Edge, joints_above, read_urdf

__all__ = ["propose"]

Array = NDArray[np.float64]

_NAMES = {
    "thumb": r"thumb|(^|[_/])th(?![a-z]*m?f)",
    "index": r"index|fore|(^|[_/])(ff|if)",
    "middle": r"middle_?finger|(^|[_/])mf|(^|[_/])middle",
    "ring": r"ring|(^|[_/])rf",
    "pinky": r"pinky|little|(^|[_/])lf",
}
_TIP = r"tip|(^|[_/-])end([_/-]|$)"
_LAST = 0.9  # of the segment before, which a last one is taken to be long where nothing tells


def propose(urdf: Path, ends: Mapping[str, tuple[float, float, float]]) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a hand's JSON file, or of an arm's, and notes on what was assumed.

    Args:
        urdf: the robot's.
        ends: link -> the tip in its frame, m, where the shapes of the link tell.

    Raises:
        HumanrtError: nothing moves, or no fingers can be told.
    """
    _, edges = read_urdf(urdf.read_bytes(), urdf)
    if not edges:
        raise HumanrtError(f"{urdf}: no joint moves; give a robot that does")
    by_child = {edge.child: edge for edge in edges}
    below: dict[str, list[Edge]] = {}
    for edge in edges:
        below.setdefault(edge.parent, []).append(edge)

    def moves(link: str) -> bool:
        return any(edge.kind != "fixed" or moves(edge.child) for edge in below.get(link, ()))

    def chains(link: str) -> list[str]:
        """Return the last links of the moving chains from a link."""
        onwards = [edge for edge in below.get(link, ()) if edge.kind != "fixed" or moves(edge.child)]
        return [end for edge in onwards for end in chains(edge.child)] if onwards else [link]

    lasts = chains(next(edge.parent for edge in edges if edge.parent not in by_child))
    lasts = [last for last in lasts if any(edge.kind != "fixed" for edge in joints_above(last, by_child))]
    if not lasts:
        raise HumanrtError(f"{urdf}: no joint moves; give a robot that does")
    if len(lasts) == 1:
        return {"urdf": urdf.name, "arm": urdf.stem}, ["one chain of joints: an arm"]
    if len(lasts) > len(FINGERS):
        raise HumanrtError(f"{urdf}: {len(lasts)} chains of joints end in {', '.join(lasts[:8])}; give one hand")
    notes: list[str] = []
    tips = {last: _tip(last, below, by_child, ends, notes) for last in lasts}
    named = {last: _named(last, by_child) for last in lasts}
    where = {last: _ends_of(last, by_child) for last in lasts}
    order = _order(lasts, named, where, notes)
    fields: dict[str, Any] = {"urdf": urdf.name, "tips": {finger: tips[last] for finger, last in order.items()}}
    return fields, notes


def _named(last: str, by_child: Mapping[str, Edge]) -> str | None:
    """Return the finger that the names of a chain's links and joints tell, the last first."""
    for edge in reversed(joints_above(last, by_child)):
        for name in (edge.child, edge.name):
            lower = re.sub(r"^(rh|lh|right|left|l|r)_", "", name.lower())
            for finger, pattern in _NAMES.items():
                if re.search(pattern, lower):
                    return finger
    return None


def _order(
    lasts: Sequence[str],
    named: Mapping[str, str | None],
    where: Mapping[str, tuple[Array, Array]],
    notes: list[str],
) -> dict[str, str]:
    """Return finger -> last link, in the order of fingers.

    ``where``: last link -> the places of the chain's first and last joint. Where names do not tell, the thumb is the
    finger that points elsewhere than the others, and those come as they lie from it.
    """
    told = [finger for finger in named.values() if finger is not None]
    if len(told) == len(lasts) and len(set(told)) == len(told):
        return {finger: last for finger in FINGERS for last in lasts if named[last] == finger}
    thumbs = [last for last in lasts if named[last] == "thumb"]
    first = thumbs[0] if len(thumbs) == 1 else _aside(lasts, where)
    rest = _row([last for last in lasts if last != first], where, where[first][1])
    order = dict(zip(FINGERS, [first, *rest], strict=False))
    notes.append("names do not tell which finger is which: " + ", ".join(f"{f} is {last}" for f, last in order.items()))
    return order


def _ends_of(last: str, by_child: Mapping[str, Edge]) -> tuple[Array, Array]:
    """Return where the last five moving joints of a chain begin and end, [3] m each, with every joint at zero."""
    pose, places = np.eye(4), []
    for edge in joints_above(last, by_child):
        step = np.eye(4)
        step[:3, :3], step[:3, 3] = edge.rotation, edge.xyz
        pose = pose @ step
        if edge.kind != "fixed":
            places.append(pose[:3, 3].copy())
    first = places[-5:][0]
    return first, places[-1] if len(places) > 1 else pose[:3, 3]


def _row(lasts: list[str], where: Mapping[str, tuple[Array, Array]], thumb: Array) -> list[str]:
    """Return fingers as they stand in a row, that which is nearest to the thumb's end first."""

    def apart(one: str, other: str) -> float:
        return float(np.linalg.norm(where[one][0] - where[other][0]))

    border = max(lasts, key=lambda last: max(apart(last, other) for other in lasts))
    row = sorted(lasts, key=lambda last: apart(last, border))
    ends = [float(np.linalg.norm(where[last][0] - thumb)) for last in (row[0], row[-1])]
    return row if ends[0] <= ends[1] else row[::-1]


def _aside(lasts: Sequence[str], where: Mapping[str, tuple[Array, Array]]) -> str:
    """Return the finger that points elsewhere than the others."""
    ways = {last: end - begin for last, (begin, end) in where.items()}
    units = {last: way / max(float(np.linalg.norm(way)), 1e-9) for last, way in ways.items()}
    return min(lasts, key=lambda last: sum(float(units[last] @ units[other]) for other in lasts if other != last))


def _tip(
    last: str,
    below: Mapping[str, Sequence[Edge]],
    by_child: Mapping[str, Edge],
    ends: Mapping[str, tuple[float, float, float]],
    notes: list[str],
) -> Any:
    """Return a tip: a link named so, the end of the last link's shapes, or a place beyond the last joint."""
    link = last
    reached = [last]
    while reached:
        link = reached.pop()
        for edge in below.get(link, ()):
            reached.append(edge.child)
            if re.search(_TIP, edge.child.lower()) and float(np.linalg.norm(edge.xyz)) > 5e-3:
                return edge.child
    for candidate in (last, link):
        if candidate in ends:
            return {"link": candidate, "xyz": list(ends[candidate])}
    above = [edge for edge in joints_above(last, by_child) if float(np.linalg.norm(edge.xyz)) > 5e-3]
    xyz = _LAST * above[-1].xyz if above else np.zeros(3)
    notes.append(
        f"{last}: nothing tells where its tip is: {_LAST:g} of the segment before beyond its joint; correct it"
    )
    return {"link": last, "xyz": [round(float(v), 5) for v in xyz]}
