"""`bench/fit_truth.py`: what the networks saw is kept, and looked at again when a bundle has changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fit_truth
from fit_truth import cameras, looked
from humanrt.bundle import Bundle
from humanrt.bundle.arrays import read_arrays
from humanrt_export.multiview.scene import Scene, Sightings
from humanrt_export.multiview.silhouettes import Outline


def test_what_was_seen_is_kept_with_the_bundles_that_saw_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = []
    outline = Outline(np.arange(6, dtype=np.float32).reshape(3, 2), np.ones((3, 2), np.float32))
    rows = np.arange(2, dtype=np.int32)

    def observed(scene: Scene, bundle: Bundle) -> Sightings:
        times.append(bundle.name)
        box = np.zeros((2, 4), np.float32)
        marks = np.full((2, 33, 2), len(times), np.float32)
        return Sightings(rows, rows, rows, marks, np.ones((2, 33), np.float32), box, (None, outline))

    monkeypatch.setattr(fit_truth, "observe", observed)
    scene, kept = Scene(tuple(cameras([0.0, 1.4])), None, 2, 30.0), tmp_path / "a.seen.npz"
    first = looked(scene, kept)
    again = looked(scene, kept)
    assert times == ["holistic"]
    assert np.array_equal(again.pixels, first.pixels)
    assert again.outlines[0] is None
    assert again.outlines[1] is not None
    assert np.array_equal(again.outlines[1].points, outline.points)
    # Of other bundles, or of an age when they were not named.
    arrays = read_arrays(kept)
    old = {name: value for name, value in arrays.items() if name != "bundles"}
    for changed in (old, old | {"bundles": np.array(json.dumps({"holistic": "0" * 64}))}):
        count = len(times)
        np.savez(kept, **changed)
        assert (looked(scene, kept).pixels == count + 1).all()
        assert (looked(scene, kept).pixels == count + 1).all()
        assert len(times) == count + 1
    # If it is cut off while it is written, what was there stays.
    before = kept.read_bytes()
    np.savez(kept.with_name("b.npz"), **old)
    (kept.with_name("b.npz")).replace(kept)

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", cut)
    with pytest.raises(KeyboardInterrupt):
        looked(scene, kept)
    assert kept.read_bytes() != before
    assert np.array_equal(read_arrays(kept)["pixels"], old["pixels"])
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
