"""Recordings as tables: a CSV row per identity and frame, and numpy arrays per identity."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.animation.take import about_people
from humanrt.errors import HumanrtError
from humanrt.geometry.bones import SMPLX_BONES
from humanrt.outputs.tracks import HandTrack, PersonTrack, Tracks

__all__ = ["arrays", "table"]

_XYZ = ("x", "y", "z")


def table(tracks: Tracks) -> bytes:
    """Return a CSV table: of the people, or of the hands where there are no people.

    Columns of people: frame, t, id, score, filled, head_2d, translation, rotations by bone (axis-angle, rad), shape,
    expression, joints_3d. Of hands: frame, t, id, side, score, filled, keypoints and joint angles of the robots.
    """
    about = about_people(tracks.header)
    if tracks.people:
        names = _people_columns(about, next(iter(tracks.people.values())))
        rows = (row for track in tracks.people.values() for row in _people_rows(track))
    else:
        robots = {name: one.shape[1] for track in tracks.hands.values() for name, one in track.robots.items()}
        names = _hand_columns(tracks.header, robots)
        rows = (row for track in tracks.hands.values() for row in _hand_rows(track, robots))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in sorted(rows, key=lambda row: (row[0], row[2])):
        if len(row) != len(names):
            raise HumanrtError("people of several bodies cannot be in one table; convert them one by one: --person ID")
        writer.writerow(row)
    return text.getvalue().encode()


def _people_columns(about: Mapping[str, Any], track: PersonTrack) -> list[str]:
    bones = _names(about.get("bones"), track.rotations.shape[1], "bone", SMPLX_BONES)
    units = _names(about.get("expression_units"), track.expression.shape[1], "expression")
    joints = _names(about.get("joints"), track.joints.shape[1], "joint")
    return [
        *("frame", "t", "id", "score", "filled", "head_2d.x", "head_2d.y"),
        *(f"translation.{axis}" for axis in _XYZ),
        *(f"{bone}.r{axis}" for bone in bones for axis in _XYZ),
        *(f"shape.{k}" for k in range(track.shape.shape[1])),
        *units,
        *(f"{joint}.{axis}" for joint in joints for axis in _XYZ),
    ]


def _names(given: object, count: int, usual: str, known: Sequence[str] = ()) -> list[str]:
    """Return the names in the header, or numbered ones if it has none for these."""
    if isinstance(given, list) and len(given) == count:
        return [str(name) for name in given]
    return list(known) if len(known) == count else [f"{usual}-{k}" for k in range(count)]


def _people_rows(track: PersonTrack) -> Iterable[list[Any]]:
    values = (track.head_2d, track.translation, track.rotations, track.shape, track.expression, track.joints)
    columns = [value.reshape(len(track), -1) for value in values]
    for k, numbers in enumerate(np.concatenate(columns, axis=1)):
        yield [track.frames[k], _short(track.t[k]), track.id, _short(track.score[k]), int(track.filled[k])] + [
            _short(value) for value in numbers
        ]


def _hand_columns(header: Mapping[str, Any], robots: Mapping[str, int]) -> list[str]:
    named = header.get("robots")
    joints = named if isinstance(named, Mapping) else {}
    return [
        *("frame", "t", "id", "side", "score", "filled"),
        *(f"keypoint-{k}_2d.{axis}" for k in range(21) for axis in "xy"),
        *(f"keypoint-{k}_3d.{axis}" for k in range(21) for axis in _XYZ),
        *(f"wrist.{part}" for part in ("x", "y", "z", "qx", "qy", "qz", "qw")),
        *(f"{robot}.{joint}" for robot, count in robots.items() for joint in _names(joints.get(robot), count, "joint")),
    ]


def _hand_rows(track: HandTrack, robots: Mapping[str, int]) -> Iterable[list[Any]]:
    angles = [track.robots.get(name, np.full((len(track), count), np.nan)) for name, count in robots.items()]
    wrist = np.full((len(track), 7), np.nan) if track.wrist is None else track.wrist
    values = (track.keypoints_2d, track.keypoints_3d, wrist, *angles)
    rows = np.concatenate([value.reshape(len(track), -1) for value in values], axis=1)
    for k, numbers in enumerate(rows):
        about = [track.frames[k], _short(track.t[k]), track.id, track.side, _short(track.score[k])]
        yield [*about, int(track.filled[k]), *(_short(value) for value in numbers)]


def _short(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"


def arrays(tracks: Tracks) -> bytes:
    """Return a numpy archive: ``header`` (JSON text), ``t`` of all frames, and the arrays of each track.

    Those of person 1 are called ``person_1.rotations`` and so on, as the fields of `PersonTrack`, those of hand 1
    ``hand_1.keypoints_3d``, as the fields of `HandTrack`, with ``hand_1.robot.NAME``.
    """
    content: dict[str, NDArray[Any]] = {"header": np.array(json.dumps(dict(tracks.header))), "t": tracks.t}
    for kind, found in (("person", tracks.people), ("hand", tracks.hands)):
        content[f"{kind}_ids"] = np.array(list(found), np.int64)
        for id, track in found.items():
            for name, value in vars(track).items():
                if isinstance(value, np.ndarray):
                    content[f"{kind}_{id}.{name}"] = value
                elif name == "robots":
                    content |= {f"{kind}_{id}.robot.{robot}": angles for robot, angles in value.items()}
                elif name == "side":
                    content[f"{kind}_{id}.side"] = np.array(value)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)  # type: ignore[arg-type]
    return buffer.getvalue()
