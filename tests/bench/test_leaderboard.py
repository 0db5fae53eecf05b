"""The page of the leaderboard."""

from __future__ import annotations

from pathlib import Path

from leaderboard import BUNDLES, Board, page

PAGE = Path(__file__).parents[2] / "docs" / "measurements" / "leaderboard.md"


def test_the_page_has_the_command_and_every_board() -> None:
    boards = {name: (Board(f"Title {name}", "Text.", Path(), "films", name), f"| {name} |\n") for name in "ab"}
    text = page(boards, "python bench/leaderboard.py")
    assert text.startswith("# Leaderboard\n\n```\npython bench/leaderboard.py\n```\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## Title a", "## Title b"]
    assert text.endswith("| b |\n")


def test_the_page_that_is_here_was_made_of_all_bundles() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("\n## ") == 3
    for bundle in BUNDLES:
        assert text.count(f"\n| {bundle} | ") == 6  # figures and intervals of each board
