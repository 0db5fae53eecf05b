"""`humanrt demo --task people`: its clip, its truth, and what it says where the open weights are missing."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from humanrt.cli import main
from humanrt.commands import demo
from humanrt.data import PEOPLE_CLIP, PEOPLE_TRUTH
from humanrt.errors import SourceError
from humanrt.outputs.video import open_sink
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.people.truth import PeopleTruth, measure
from humanrt.sources.opening import Frame, open_source

FEW = 4


@pytest.fixture(scope="module")
def truth() -> PeopleTruth:
    return PeopleTruth.load(PEOPLE_TRUTH)


def told(truth: PeopleTruth, frame: int, move: float = 0.0) -> PeopleResult:
    """What somebody would say who knows everything, or sees all people ``move`` m farther to the right."""
    bodies = truth.bodies(frame)
    joints = (bodies.joints + np.array([move, 0, 0])).astype(np.float32)
    n = len(joints)
    nothing = np.zeros((n, 0), np.float32)
    people = People(
        scores=np.ones(n, np.float32),
        locations=bodies.heads.astype(np.float32),
        translations=joints[:, 0],
        rotations=np.zeros((n, 0, 3, 3), np.float32),
        shape=nothing,
        expression=nothing,
        intrinsics=np.eye(3),
        joints=joints,
    )
    image = np.zeros((4, 4, 3), np.uint8)
    return PeopleResult(Frame(image, 0.0, frame), people, tuple(range(n)), (), {})


def test_the_truth_fits_its_clip_and_itself(truth: PeopleTruth) -> None:
    with open_source(PEOPLE_CLIP, realtime=False) as source:
        frames = list(source)
    assert len(frames) == len(truth)
    assert frames[0].image.shape[1::-1] == truth.size
    assert all(truth.bodies(frame).wanted.any() for frame in range(0, len(truth), 20))  # type: ignore[union-attr]
    summary = measure((told(truth, frame) for frame in range(3)), truth).summary()
    assert (summary["precision"], summary["recall"]) == (1, 1)
    assert summary["mpjpe"] == pytest.approx(0, abs=1e-3)
    moved = measure((told(truth, frame, 0.1) for frame in range(3)), truth).summary()
    assert moved["mpjpe"] == pytest.approx(0, abs=1e-3)
    assert moved["position"] == pytest.approx(100, abs=0.1)


def test_half_a_millimetre_is_lost_in_a_file(truth: PeopleTruth, tmp_path: Path) -> None:
    truth.save(tmp_path / "again.npz")
    again = PeopleTruth.load(tmp_path / "again.npz")
    np.testing.assert_allclose(again.joints, truth.joints, atol=1e-3)
    assert again.joint_names == truth.joint_names
    np.savez(tmp_path / "other.npz", t=np.zeros(3))
    with pytest.raises(SourceError, match="not a ground-truth file of a film"):
        PeopleTruth.load(tmp_path / "other.npz")


def test_it_runs_with_what_ships_and_measures_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "few.mp4"
    with open_source(PEOPLE_CLIP, realtime=False) as source, open_sink(clip, source.fps) as sink:
        for frame in islice(source, FEW):
            sink.write(frame.image, frame.t)
    shutil.copy(PEOPLE_TRUTH, clip.with_suffix(".npz"))
    monkeypatch.setattr(demo, "PEOPLE_CLIP", clip)
    assert (
        main(["demo", "--task", "people", "--bundle", "landmarks", "--headless", "--out", str(tmp_path / "out")]) == 0
    )
    said = capsys.readouterr().out
    assert "people found" in said
    assert (tmp_path / "out" / "demo.mp4").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--task", "people"], "bundle `holistic` is not part of this installation"),
        (["--bundle", "landmarks"], "--bundle is for --task people"),
        (["--task", "people", "--bundle", "hands"], "people"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path,
    words: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(demo, "shipped_bundles", lambda: ("hands", "landmarks"))
    assert main(["demo", "--headless", "--out", str(tmp_path), *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
