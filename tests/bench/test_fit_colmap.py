"""`bench/fit_colmap.py`: errors of a fit whose camera is known to be off, and what is fitted with which options."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fit_colmap
from humanrt.errors import SourceError
from humanrt.geometry.limbs import LIMBS
from humanrt_export.commands.fit import FitConfig

FRAMES, FOUND = 6, 4
NAMES = np.array([*LIMBS, "root"])


def written(path: Path, joints: np.ndarray, focal: float, **more: Any) -> None:
    """Write what both the truth and a fit have: joints [T, N, 13, 3] m, a camera that goes around."""
    angle = np.linspace(0, 1, FRAMES)
    to_world = np.tile(np.eye(4), (FRAMES, 1, 1))
    to_world[:, :3, 3] = np.stack([np.sin(angle), 0 * angle, -np.cos(angle)], 1)
    K = np.array([[focal, 0, 320], [0, focal, 240], [0, 0, 1]])
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"joints": joints, "joint_names": NAMES, "to_world": to_world[: len(joints)], "intrinsics": K, **more}
    np.savez(path, **arrays)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two people; the first 0.1 m too far and 2 % too large in a fit that ends before the film, the other refused."""
    rng = np.random.default_rng(0)
    true = np.repeat(rng.normal((0, 0, 4.0), 0.3, (1, 2, 13, 3)), FRAMES, axis=0)
    true[:, 1] += (2.0, 0, 0)
    shapes = np.tile(np.array([[0.5] * 6, [0.5, 0.5, 0.5, 0.5, 0.9, 0.5]], np.float32), (FRAMES, 1, 1))
    written(tmp_path / "films" / "still1.npz", true, 500.0, shape=shapes)
    (tmp_path / "films" / "still1.mp4").touch()
    root = true[:FOUND, :1, 12:]
    fitted = (true[:FOUND, :1] - root) * 1.02 + root + (0, 0, 0.1)
    written(tmp_path / "fitted" / "still1.npz", fitted, 450.0, known=np.ones((FOUND, 1), bool))
    return tmp_path


def test_errors_of_a_fit_that_ends_before_its_film(work: Path) -> None:
    errors = fit_colmap.errors_of(work / "films" / "still1.mp4", work / "fitted")
    assert errors["accepted"] == 1
    assert errors["cameras"] == FOUND
    assert errors["focal"] == pytest.approx(0.9)
    assert errors["size"] == pytest.approx(1.02)
    assert errors["in place"] == pytest.approx(100, rel=0.1)
    assert 0 < errors["about the pelvis"] < 20
    assert errors["after a similarity"] == pytest.approx(0, abs=1e-6)
    assert errors["centres"] == pytest.approx(0, abs=1e-6)


def test_the_command_fits_by_colmap_with_the_taller_stature(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[FitConfig] = []

    def fit(config: FitConfig) -> None:
        asked.append(config)
        if len(asked) > 1:
            raise SourceError("no cameras")
        (work / "fitted").rename(config.out)

    monkeypatch.setattr(fit_colmap, "fit", fit)
    monkeypatch.setattr(sys, "argv", ["fit_colmap.py", "--work", str(work), "--films", "1"])
    assert fit_colmap.main() == fit_colmap.main() == 0  # what is there is made again
    film = work / "films" / "still1.mp4"
    assert {(one.views, one.out, one.cameras) for one in asked} == {(film, work / "colmap" / "still1", "colmap")}
    with fit_colmap.PersonFitter(fit_colmap.load_bundle("holistic", task="people")) as fitter:
        statures = [fitter.body.rest(np.array(shape))[1] for shape in ([0.5] * 6, [0.5, 0.5, 0.5, 0.5, 0.9, 0.5])]
    assert asked[0].stature == pytest.approx(max(statures))
    assert statures[0] != statures[1]
    assert json.loads((work / "fit_colmap.json").read_text())["still1"] == {"refused": "no cameras"}


def test_films_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fit_colmap.py", "--work", str(tmp_path)])
    with pytest.raises(SourceError, match=r"still0\.mp4: no such film with its truth; make it with bench/fit_truth"):
        fit_colmap.main()


def test_the_truth_is_nothing_off(tmp_path: Path) -> None:
    true = np.random.default_rng(1).normal((0, 0, 4.0), 0.3, (FRAMES, 2, 13, 3))
    true[:, 1] += (2.0, 0, 0)
    written(tmp_path / "films" / "still0.npz", true, 500.0)
    known = np.ones((FRAMES, 2), bool)
    known[0, 1] = False
    for accepted, count in ((known, 2), (np.zeros_like(known), 0)):
        written(tmp_path / "fitted" / "still0.npz", true[:, ::-1], 500.0, known=accepted)  # people in another order
        errors = fit_colmap.errors_of(tmp_path / "films" / "still0.mp4", tmp_path / "fitted")
        off = [errors.get(name, 0.0) for name in ("in place", "about the pelvis", "after a similarity", "centres")]
        assert off == pytest.approx([0.0] * 4, abs=1e-6)
        assert (errors["accepted"], errors["cameras"], errors["focal"]) == (count, FRAMES, pytest.approx(1.0))
        assert errors.get("size", 1.0) == pytest.approx(1.0)
