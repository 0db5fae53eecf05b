"""The page of the leaderboard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import leaderboard
from humanrt.bundle import load_bundle, loaded_bundles
from humanrt.data import PEOPLE_CLIP
from humanrt.evaluation import running
from humanrt.evaluation.dataset import Clip, Shot
from humanrt.evaluation.formats import read_data
from humanrt.evaluation.running import RunOptions
from humanrt.inference.execution import Execution
from humanrt.people.raw_tracker import RawTracker, Seen
from leaderboard import BOARDS, ROWS, Board, Row, _is_of_present_bundles, boards, command_of, page, scored

PAGE = Path(__file__).parents[2] / "docs" / "measurements" / "leaderboard.md"


def made(*names: str) -> dict[str, tuple[Board, str]]:
    return {name: (Board(f"Title {name}", "Text.", Path(), "films", name), f"| {name} |\n") for name in names}


def commands(*names: str) -> dict[str, str]:
    return {name: f"make {name}" for name in names}


def test_the_page_has_every_board_with_its_command_and_day() -> None:
    text = page(made("a", "b"), commands("a", "b"), "1 May 2026")
    assert text.startswith("# Leaderboard\n\n```\npython bench/leaderboard.py --motions")
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## Title a", "## Title b"]
    assert "## Title b\n\nMade on 1 May 2026 by\n\n```\nmake b\n```\n\nText.\n\n| b |\n" in text
    assert "FP32, BF16x3 and INT16 (BF16x3 needs AMX" in text
    assert "nothing in INT8" in text


def test_parts_that_are_not_made_again_stay_as_they_are_with_their_commands() -> None:
    before = page(made("a", "b", "c"), commands("a", "b", "c"), "1 May 2026")
    new = {"b": (made("b")["b"][0], "| new |\n")}
    after = page(new, {"b": "make b again"}, "2 May 2026", before)
    changed = before.replace("| b |", "| new |").replace(
        "1 May 2026 by\n\n```\nmake b\n", "2 May 2026 by\n\n```\nmake b again\n"
    )
    assert after == changed


def test_a_note_in_a_part_stays_until_the_part_is_made_again() -> None:
    before = page(made("a"), commands("a"), "1 May 2026").replace("## Title a\n", "## Title a\n\nOf earlier weights.\n")
    once = page(made("b"), commands("b"), "2 May 2026", before)
    assert "## Title a\n\nOf earlier weights.\n\nMade on 1 May 2026" in once
    assert "Of earlier weights." not in page(made("a"), commands("a"), "3 May 2026", once)


def test_a_command_makes_its_part_alone() -> None:
    assert command_of("films", 30).endswith("--boards films --frames 30 --page docs/measurements/leaderboard.md")
    assert "--frames" not in command_of("films", None)
    assert "--frames" not in command_of("pictures", 30)


def test_the_page_that_is_here_is_one_that_the_command_writes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page({}, {}, "", text) == text
    for part in text.split("\n## ")[1:]:
        assert ("\nMade on " in part and "\nBundles, by" in part) or "**Not run again**: made on" in part


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


def test_precisions_that_ship_have_rows_or_a_reason_why_not() -> None:
    ships = load_bundle("multihmr-anny").manifest["settings"]["variants"]
    rows = {row.precision for row in ROWS if row.bundle == "multihmr-anny"}
    assert {variant["precision"] for variant in ships} == rows | {"bf16x3"}


def test_raw_landmarks_of_another_kind_of_scores_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, how = read_data(PEOPLE_CLIP, "films"), RunOptions(max_frames=1, execution=Execution("cpu", threads=1))
    looked, looks = leaderboard._looked, list[str]()

    def counted(tracker: RawTracker, clip: Clip, how: RunOptions) -> Iterator[tuple[Shot, list[Seen]]]:
        looks.append(clip.name)
        return looked(tracker, clip, how)

    monkeypatch.setattr(leaderboard, "_looked", counted)
    row = Row("landmarks", raw=True)
    for _ in range(2):
        scored(row, data, how, tmp_path)
    assert len(looks) == 1
    scored(row, replace(data, name="other"), how, tmp_path)
    assert len(looks) == 2
    monkeypatch.setattr(running, "_VERSION", running._VERSION + 1)
    scored(row, data, how, tmp_path)
    assert len(looks) == 3


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


@pytest.mark.slow
def test_a_row_that_is_left_out_of_single_pictures_is_another_one_there(tmp_path: Path) -> None:
    film = read_data(PEOPLE_CLIP, "films")
    pictures = replace(film, clips=tuple(replace(clip, film=False) for clip in film.clips))
    how = RunOptions(max_frames=2, execution=Execution("cpu", threads=1))
    (left_out,) = (row for row in ROWS if row.same_in_pictures)
    other = next(row for row in ROWS if row.name == left_out.same_in_pictures)
    one, two = (scored(row, pictures, how, tmp_path).clips["demo_people"] for row in (left_out, other))
    assert np.array_equal(one.joints, two.joints, equal_nan=True)
    assert one.found.any()
