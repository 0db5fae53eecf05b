"""Files in pieces come back whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from humanrt.errors import HumanrtError
from humanrt_export.pieces import join, split


def test_a_file_comes_back(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(2500)
    (tmp_path / "weights.pt").write_bytes(content)
    listed = split(tmp_path / "weights.pt", tmp_path / "pieces", 1000)
    assert [path.stat().st_size for path in sorted((tmp_path / "pieces").glob("*.pt.[0-9]*"))] == [1000, 1000, 500]
    assert join(listed, tmp_path / "back").read_bytes() == content


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b"x" * 1000), "is damaged"),
        (lambda path: path.with_name("weights.pt.json").write_text("{}"), "not the list"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, harm: object, says: str) -> None:
    (tmp_path / "weights.pt").write_bytes(bytes(2500))
    listed = split(tmp_path / "weights.pt", tmp_path / "pieces", 1000)
    harm(tmp_path / "pieces" / "weights.pt.01")  # type: ignore[operator]
    with pytest.raises(HumanrtError, match=says):
        join(listed, tmp_path / "back")
    assert not list((tmp_path / "back").glob("*")) if (tmp_path / "back").exists() else True
