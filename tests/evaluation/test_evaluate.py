"""``humanrt evaluate`` on the shipped bundles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from cases import clip_of, people_at, shot_of

from humanrt.bundle import load_bundle, manifest, shipped_bundles
from humanrt.bundle.arrays import read_arrays
from humanrt.cli import main
from humanrt.data import PEOPLE_CLIP as CLIP
from humanrt.evaluation import running
from humanrt.evaluation.dataset import DataSet
from humanrt.evaluation.running import Candidate, RunOptions, file_name, score_bundles
from humanrt.files import file_sha256
from humanrt.inference.execution import Execution
from humanrt.people.landmark_pipeline import LandmarkPipeline
from humanrt.people.pipeline import PeopleResult
from humanrt.sources.opening import Frame

DATA = ("--data", str(CLIP), "--format", "films", "--threads", "1")


def test_two_bundles_on_a_film(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["evaluate", "landmarks", "holistic:fast", *DATA, "--max-frames", "3", "--out", str(out), "--worst", "2"]
    assert main([*command, "--json", str(tmp_path / "s.json")]) == 0
    table = capsys.readouterr().out
    assert "| landmarks |" in table
    assert "| holistic:fast |" in table
    report = json.loads((tmp_path / "s.json").read_text())
    assert report == json.loads((out / "report.json").read_text())
    assert (out / "report.md").read_text() == table.removesuffix("\n")
    assert report["frames"] == 3
    assert report["people"] >= 3
    assert 0.3 < report["recall"] <= 1
    assert 20 < report["pa_mpjpe"] < report["mpjpe"] < 300  # mm
    assert report["pve"] is None  # the shipped film has no vertices
    assert {pair["bundles"][1] for pair in report["paired"]} == {"holistic:fast"}
    assert len(list((out / "worst" / "landmarks").glob("*.jpg"))) == 2
    assert {path.name for path in (out / "plots").iterdir()} == {
        "pck.png",
        "distance.png",
        "visibility.png",
        "joints.png",
    }
    # Once more: scores are read, not made.
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    assert len(kept) == 2
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")} == kept
    again = json.loads((out / "report.json").read_text())
    assert again["bundles"] == report["bundles"]
    # Other options are other scores.
    command.remove("holistic:fast")
    assert main([*command, "--matcher", "published"]) == 0
    assert [path.parent.name for path, before in kept.items() if path.stat().st_mtime_ns != before] == ["landmarks"]
    assert json.loads((out / "report.json").read_text())["matcher"] == "published"


def test_scores_of_older_versions_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataSet("cases", (clip_of([shot_of(people_at((0, 0, 3)))]),), "pelvis", True, "")
    given = [Candidate.of("landmarks")], data, RunOptions(), tmp_path
    scored: list[int] = []
    # Version 1 neither kept people in photographs who are not confirmed, nor computed in float32.
    for version in (1, None, None):
        with monkeypatch.context() as patch:
            if version is not None:
                patch.setattr(running, "_VERSION", version)
            score_bundles(*given, progress=lambda bundle, clip, frames: scored.append(frames))
        (kept,) = tmp_path.rglob("*.npz")
        scored.append(-int(json.loads(str(read_arrays(kept)["about"]))["version"]))
    assert scored == [1, -1, 1, -3, -3]


def test_scores_are_made_anew_if_a_bundle_has_changed_that_the_scored_one_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataSet("cases", (clip_of([shot_of(people_at((0, 0, 3)))]),), "pelvis", True, "")
    scored: list[str] = []

    def score() -> Mapping[str, str]:
        given = [Candidate.of("landmarks"), Candidate.of("holistic:fast")], data, RunOptions(), tmp_path / "scores"
        landmarks, holistic = score_bundles(*given, progress=lambda bundle, clip, frames: scored.append(bundle))
        assert "hands" not in landmarks.bundles
        return holistic.bundles

    engines = tmp_path / "engines"
    engines.mkdir()
    for name in shipped_bundles():
        (engines / name).symlink_to(load_bundle(name).path)
    (engines / "hands").unlink()
    shutil.copytree(load_bundle("hands").path, engines / "hands")
    monkeypatch.setattr(manifest, "_shipped_folder", lambda: engines)
    assert {"holistic", "landmarks", "multipose", "hands"} < set(before := score())
    assert scored == ["landmarks", "holistic:fast"]
    listing = engines / "hands" / "manifest.json"
    listing.write_text(listing.read_text() + "\n")  # of a bundle that only `holistic` loads
    after = score()
    assert scored == ["landmarks", "holistic:fast", "holistic:fast"]
    assert {name for name in after if after[name] != before[name]} == {"hands"}


def test_a_folder_that_is_named_as_a_companion_does_not_hide_it(tmp_path: Path) -> None:
    data = DataSet("cases", (clip_of([shot_of(people_at((0, 0, 3)))]),), "pelvis", True, "")
    folder = tmp_path / "landmarks"  # the name of a bundle that `holistic` loads
    shutil.copytree(load_bundle("holistic").path, folder)
    listing = folder / "manifest.json"
    listing.write_text(listing.read_text() + "\n")
    (run,) = score_bundles([Candidate.of(f"{folder}:fast")], data, RunOptions())
    assert run.bundles["landmarks"] == file_sha256(load_bundle("landmarks").path / "manifest.json")
    assert file_sha256(listing) in run.bundles.values()


def test_two_versions_of_a_bundle_are_both_seen_to_be_loaded(tmp_path: Path) -> None:
    shipped, folder = load_bundle("hands").path, tmp_path / "hands"
    shutil.copytree(shipped, folder)
    (folder / "manifest.json").write_text((shipped / "manifest.json").read_text() + "\n")
    with manifest.loaded_bundles() as used:
        for _ in range(2):
            load_bundle(folder)
            load_bundle("hands")
    assert used == {
        name: file_sha256(one / "manifest.json") for name, one in [("hands", folder), ("hands (2)", shipped)]
    }


@pytest.mark.parametrize("film", [True, False])
def test_frames_of_films_are_no_photographs(film: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = []
    run = LandmarkPipeline.__call__

    def seen(pipeline: LandmarkPipeline, frame: Frame) -> PeopleResult:
        cuts.append(frame.cut)
        return run(pipeline, frame)

    monkeypatch.setattr(LandmarkPipeline, "__call__", seen)
    shots = [shot_of(people_at((0, 0, 3)), number) for number in range(2)]
    shots[0] = replace(shots[0], frame=replace(shots[0].frame, cut=True))
    data = DataSet("cases", (clip_of(shots, film=film),), "pelvis", True, "")
    score_bundles([Candidate.of("landmarks")], data, RunOptions())
    assert cuts == [not film] * 2


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("holistic:fast", "holistic_fast"),
        ("test/downtown_00", "test/downtown_00"),
        ("/etc/passwd", "etc/passwd"),
        ("../../a", "a"),
        ("..", "_"),
        ("", "_"),
    ],
)
def test_names_stay_below_the_folder(name: str, path: str) -> None:
    assert file_name(name) == path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", *DATA], "nothing"),
        (["hands", *DATA], "for task `hands`, not `people`"),
        (["landmarks", "landmarks", *DATA], "bundle `landmarks` is given twice, or two bundles have this name"),
        (["landmarks", *DATA, "--min-overlap", "2"], "give an IoU from 0 up to 1"),
        (["landmarks", *DATA, "--max-frames", "0"], "give 0 or more, and 1 or more"),
        (["landmarks", *DATA, "--smooth", "nonsense"], "--smooth nonsense"),
        (["landmarks", "--data", "/nowhere", "--format", "films"], "/nowhere: not there"),
        (["landmarks", "--data", "/nowhere", "--format", "coco"], "invalid choice: 'coco'"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said


def test_the_guide_counts_the_bundles_that_scores_depend_on() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "use" / "evaluate.md").read_text(encoding="utf-8")
    with running._Tested(
        Candidate.of("holistic:balanced"), RunOptions(execution=Execution("cpu", threads=1))
    ) as tested:
        number = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")[len(tested.bundles)]
    assert f"(of `holistic:balanced` {number})" in guide
