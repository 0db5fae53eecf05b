"""The bench of PoseBERT's people: what it tunes One-Euro on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from people_posebert import LAGS, tuned


def save(path: Path, seen: int, frames: int = 40) -> None:
    """Write a pair whose person stands still; only the first frames are seen."""
    truth = np.tile(np.eye(3, dtype=np.float32), (frames, 22, 1, 1))
    observed = truth.copy()
    observed[seen:] = np.nan
    np.savez(path, t=np.arange(frames) / 30, observed=observed, rotations=truth)


def test_pairs_in_which_nobody_is_seen_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=f"{tmp_path}: 0 pairs, in none of which"):
        tuned(tmp_path)
    for number, seen in enumerate((0, 11)):
        save(tmp_path / f"{number}.npz", seen)
    with pytest.raises(SystemExit, match="2 pairs, in none of which somebody is seen in more than 11 frames; give"):
        tuned(tmp_path)
    save(tmp_path / "2.npz", 12)
    assert tuned(tmp_path).keys() == set(LAGS)
