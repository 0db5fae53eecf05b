"""Tracks: the arrays of each identity of a recording."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from humanrt.errors import SourceError
from humanrt.outputs.record import read_recording


def write(path: Path, *records: dict, header: dict | None = None) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in ({"humanrt": "0", **(header or {})}, *records)))
    return path


def person(id: int, **changes: object) -> dict:
    return {
        "id": id,
        "score": 0.5,
        "head_2d": [1, 2],
        "translation": [0, 0, 3],
        "rotations": [[0, 0, 0.1]] * 4,
        "shape": [0.5],
        "expression": [],
        "joints_3d": [[0, 0, 3]] * 2,
        **changes,
    }


def frame(index: int, *people: dict, t: float | None = None) -> dict:
    return {"frame": index, "t": index / 10 if t is None else t, "hands": [], "people": list(people)}


def test_each_identity_has_its_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", frame(3, person(2)), frame(4), frame(6, person(1), person(2, filled=True)))
    tracks = read_recording(path).tracks()
    assert list(tracks.people) == [1, 2]
    assert tracks.people[2].frames.tolist() == [3, 6]
    np.testing.assert_allclose(tracks.people[2].t, [0.3, 0.6])
    assert tracks.people[2].filled.tolist() == [False, True]
    assert tracks.people[1].rotations.shape == (1, 4, 3)
    assert tracks.people[1].expression.shape == (1, 0)
    assert repr(tracks.people[2]) == "<person 2 in 2 frames>"


def test_values_that_were_not_numbers_are_nan(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", frame(0, person(1, translation=[None, 0, 1])))
    assert np.isnan(read_recording(path).tracks().people[1].translation[0, 0])


def test_rate_is_the_headers_or_that_of_the_frames(tmp_path: Path) -> None:
    frames = [frame(k) for k in range(4)]
    assert read_recording(write(tmp_path / "a.jsonl", *frames)).tracks().fps == pytest.approx(10)
    assert read_recording(write(tmp_path / "b.jsonl", *frames, header={"fps": 25})).tracks().fps == 25
    assert read_recording(write(tmp_path / "c.jsonl", frame(0))).tracks().fps is None


def test_a_cut_off_line_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", frame(0, person(1)), frame(1, person(1)))
    path.write_bytes(path.read_bytes()[:-10])
    recording = read_recording(path)
    assert len(recording.tracks().people[1]) == 1
    assert recording.truncated


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (person(1, rotations=[[0, 0, 0]] * 5), "`rotations` of person 1 in frame 1 (line 3) has the sizes [5, 3]"),
        (person(1, shape="tall"), "`shape` of person 1 in frame 1 (line 3) is missing or not numbers"),
        (person(1, joints_3d=[[1, 2]]), "`joints_3d`"),
        ({"id": "x"}, "a value is not as it should be"),
    ],
)
def test_frames_that_do_not_fit_are_named(second: dict, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", frame(0, person(1)), frame(1, second))
    with pytest.raises(SourceError) as error:
        read_recording(path).tracks()
    assert expected in str(error.value)
