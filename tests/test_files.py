"""Folders that are made whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from humanrt.files import folder_atomically


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    with folder_atomically(out) as part:
        part.mkdir()
        (part / "a").write_text("1")
        assert not out.exists()
    assert [path.name for path in out.parent.iterdir()] == ["folder"]
    assert (out / "a").read_text() == "1"
    assert out.stat().st_mode == (tmp_path / "new").stat().st_mode  # not for its owner alone, as temporary ones are


def test_nothing_is_left_of_one_that_fails(tmp_path: Path) -> None:
    def half() -> None:
        with folder_atomically(tmp_path / "folder") as part:
            part.mkdir()
            (part / "a").write_text("1")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        half()
    assert not list(tmp_path.iterdir())


def test_only_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "folder"
    out.mkdir()
    with folder_atomically(out) as part:
        part.mkdir()
        (part / "a").write_text("1")
    with pytest.raises(OSError), folder_atomically(out) as part:
        part.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (out / "a").read_text() == "1"
