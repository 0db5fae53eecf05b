"""The changelog says nothing twice: branches are merged by union, which keeps both sides' copies of a line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def twice(text: str) -> list[str]:
    """Return the lines, other than empty ones and headings, that stand more than once."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line, count in Counter(lines).items() if line and not line.startswith("#") and count > 1]


def test_lines_that_stand_twice_are_found() -> None:
    assert twice("## 2\n### Fixed\n\n- one\n- two\n\n## 1\n### Fixed\n- one\n") == ["- one"]


def test_no_line_of_the_changelog_stands_twice() -> None:
    assert twice(CHANGELOG.read_text(encoding="utf-8")) == []
