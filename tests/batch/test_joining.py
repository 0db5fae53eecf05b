"""Segments are joined by where people and hands are, whatever their identities in each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt.batch.joining import OVERLAP, join
from humanrt.outputs.record import Recorder

FPS = 10.0
K = [[500.0, 0.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]]


def person(id: int, x: float, z: float = 3.0, hands: tuple[int, ...] = ()) -> dict[str, Any]:
    return {"id": id, "head_2d": [320 + 500 * x / z, 200.0], "translation": [x, 0.0, z], "hands": list(hands)}


def hand(id: int, x: float, side: str = "right") -> dict[str, Any]:
    square = np.array([[x - 40, 100.0], [x + 40, 180.0]] * 11)[:21]
    return {"id": id, "side": side, "keypoints_2d": square.tolist()}


def write(path: Path, first: int, last: int, *, people: Any = None, hands: Any = None) -> Path:
    with Recorder(path, {"humanrt": "test"}) as recorder:
        for frame in range(first, last):
            recorder.write(
                {
                    "frame": frame,
                    "t": frame / FPS,
                    "intrinsics": K,
                    "people": people(frame) if people else [],
                    "hands": hands(frame) if hands else [],
                }
            )
    return path


def joined(paths: list[Path], starts: list[int]) -> list[dict[str, Any]]:
    headers: list[Any] = []
    records = list(join(paths, starts, headers.append))
    assert headers == [{"humanrt": "test"}]
    assert [record["frame"] for record in records] == list(range(len(records)))
    return records


def test_people_keep_their_identities_though_the_segments_number_them_otherwise(tmp_path: Path) -> None:
    def before(frame: int) -> list[dict[str, Any]]:
        return [person(1, -1.0 + 0.02 * frame), person(2, 1.0)]

    def after(frame: int) -> list[dict[str, Any]]:
        late = [person(3, 2.5)] if frame >= 45 else []
        return [person(1, 1.0), person(2, -1.0 + 0.02 * frame), *late]

    paths = [write(tmp_path / "a", 0, 40, people=before), write(tmp_path / "b", 20, 60, people=after)]
    records = joined(paths, [0, 40])
    assert len(records) == 60
    for record in records:
        at = {one["id"]: one["translation"][0] for one in record["people"]}
        assert at[1] == pytest.approx(-1.0 + 0.02 * record["frame"], abs=1e-4)
        assert at[2] == 1.0
        assert (3 in at) == (record["frame"] >= 45)


def test_who_came_while_another_left_is_not_the_other(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a", 0, 40, people=lambda frame: [person(1, 0.0)] if frame < 25 else []),
        write(
            tmp_path / "b", 20, 60, people=lambda frame: [person(1, 0.0 if frame < 25 else 3.0)] if frame > 22 else []
        ),
    ]
    assert {one["id"] for record in joined(paths, [0, 40])[:40] for one in record["people"]} == {1}


def test_depth_and_the_gate_tell_people_apart(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a", 0, 40, people=lambda frame: [person(1, 0.0, 3.0)]),
        write(tmp_path / "b", 20, 60, people=lambda frame: [person(1, 0.0, 9.0)]),
    ]
    assert [one["id"] for record in joined(paths, [0, 40])[40:] for one in record["people"]] == [2] * 20


def test_the_identity_that_lasts_goes_before_the_one_that_was_lost(tmp_path: Path) -> None:
    """A person who was lost and numbered anew in the overlap keeps the number that is used at its end."""
    paths = [
        write(tmp_path / "a", 0, 40, people=lambda frame: [person(1 if frame < 30 else 2, 0.0)]),
        write(tmp_path / "b", 20, 60, people=lambda frame: [person(7, 0.0)]),
    ]
    assert {one["id"] for record in joined(paths, [0, 40])[40:] for one in record["people"]} == {2}


def test_hands_by_place_and_side_and_the_hands_of_people(tmp_path: Path) -> None:
    paths = [
        write(
            tmp_path / "a",
            0,
            40,
            hands=lambda frame: [hand(1, 200.0, "left"), hand(2, 260.0)],
            people=lambda frame: [person(1, 0.0, hands=(1, 2))],
        ),
        write(
            tmp_path / "b",
            20,
            60,
            hands=lambda frame: [hand(1, 258.0), hand(2, 203.0, "left")],
            people=lambda frame: [person(1, 0.0, hands=(2, 1))],
        ),
    ]
    for record in joined(paths, [0, 40]):
        assert {one["id"]: one["side"] for one in record["hands"]} == {1: "left", 2: "right"}
        assert record["people"][0]["hands"] == [1, 2]


def test_three_segments_and_one_without_frames(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a", 0, 40, people=lambda frame: [person(1, 0.0)]),
        write(tmp_path / "b", 20, 80, people=lambda frame: [person(1, 2.0), person(2, 0.0)]),
        write(tmp_path / "c", 60, 75, people=lambda frame: [person(1, 0.0)]),
    ]
    records = joined(paths, [0, 40, 80])
    assert len(records) == 80
    assert {one["id"] for record in records[40:] for one in record["people"]} == {1, 2}
    assert OVERLAP == 2.0
