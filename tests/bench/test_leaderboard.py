"""The page of the leaderboard."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from humanrt.bundle import load_bundle, loaded_bundles
from humanrt.data import PEOPLE_CLIP
from humanrt.evaluation.formats import read_data
from humanrt.evaluation.running import RunOptions
from humanrt.inference.execution import Execution
from leaderboard import BOARDS, ROWS, Board, Row, _is_of_present_bundles, boards, page, scored

PAGE = Path(__file__).parents[2] / "docs" / "measurements" / "leaderboard.md"


def test_the_page_has_the_command_and_every_board() -> None:
    boards = {name: (Board(f"Title {name}", "Text.", Path(), "films", name), f"| {name} |\n") for name in "ab"}
    text = page(boards, "python bench/leaderboard.py")
    assert text.startswith("# Leaderboard\n\n```\npython bench/leaderboard.py\n```\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## Title a", "## Title b"]
    assert text.endswith("| b |\n")


def test_parts_that_are_not_made_again_stay_where_they_are() -> None:
    made = {name: (Board(f"Title {name}", "Text.", Path(), "films", name), f"| {name} |\n") for name in "abc"}
    before = page(made, "command")
    after = page({"b": (made["b"][0], "| new |\n")}, "command", before)
    assert after == before.replace("| b |", "| new |")


def test_every_board_has_the_name_by_which_it_is_chosen() -> None:
    assert tuple(board.name for board in boards(Path("work"), 30)) == BOARDS


def test_a_fit_is_made_again_if_a_bundle_is_another_or_gone(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert not _is_of_present_bundles(report)
    with loaded_bundles() as used:
        load_bundle("landmarks")
    changed: dict[str, str] = dict.fromkeys(used, "0" * 64)
    for bundles, same in ((used, True), (changed, False), (used | {"gone": "0" * 64}, False), (None, False)):
        report.write_text(json.dumps({} if bundles is None else {"bundles": bundles}))
        assert _is_of_present_bundles(report) == same


def test_the_page_that_is_here_has_rows_that_the_command_makes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("\n## ") == 3
    names = {row.name for row in ROWS}
    tables = text.split("\n|  | recall")
    assert len(tables) == 7  # figures and intervals of each board
    for table in tables[1:]:
        rows = [line.split(" | ")[0].removeprefix("| ") for line in table.split("\n\n")[0].splitlines()[2:]]
        assert len(rows) >= 5
        assert set(rows) <= names


def test_rows_have_names_that_say_what_is_different() -> None:
    assert Row("holistic:best").name == "holistic:best"
    assert Row("landmarks", raw=True).name == "landmarks, raw landmarks"
    assert Row("a", smooth="none", precision="bf16x3").name == "a, unsmoothed, bf16x3"
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_raw_landmarks_and_unsmoothed_bundles_are_scored_on_the_same_people(tmp_path: Path) -> None:
    data, how = read_data(PEOPLE_CLIP, "films"), RunOptions(max_frames=4, execution=Execution("cpu", threads=1))
    rows = (Row("landmarks", raw=True), Row("landmarks", smooth="none"), Row("landmarks"))
    raw, unsmoothed, smooth = (scored(row, data, how, tmp_path) for row in rows)
    assert raw.joints.about == "the twelve limb joints"
    assert len({len(run.clips["demo_people"].found) for run in (raw, unsmoothed, smooth)}) == 1
    errors = raw.clips["demo_people"].column("mpjpe")
    assert 0.02 < np.nanmean(errors) < 0.3  # m
    assert np.nanmean(raw.clips["demo_people"].column("depth")) < 0.5
    assert unsmoothed.name == "landmarks, unsmoothed"
    assert not np.allclose(
        unsmoothed.clips["demo_people"].joints, smooth.clips["demo_people"].joints, atol=1e-4, equal_nan=True
    )
    # Once more: scores are read.
    again = scored(rows[0], data, how, tmp_path)
    assert np.array_equal(again.clips["demo_people"].column("mpjpe"), errors, equal_nan=True)


def test_a_row_that_is_left_out_of_single_pictures_is_another_one_there(tmp_path: Path) -> None:
    film = read_data(PEOPLE_CLIP, "films")
    pictures = replace(film, clips=tuple(replace(clip, film=False) for clip in film.clips))
    how = RunOptions(max_frames=2, execution=Execution("cpu", threads=1))
    (left_out,) = (row for row in ROWS if row.same_in_pictures)
    other = next(row for row in ROWS if row.name == left_out.same_in_pictures)
    one, two = (scored(row, pictures, how, tmp_path).clips["demo_people"] for row in (left_out, other))
    assert np.array_equal(one.joints, two.joints, equal_nan=True)
    assert one.found.any()
