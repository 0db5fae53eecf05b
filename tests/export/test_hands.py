"""The bundle `hands`: what ships agrees with LiteRT and with its manifest, and bad input is refused in one line."""

from __future__ import annotations

import filecmp
import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle, packed
from humanrt.errors import BundleError, SourceError
from humanrt_export import cli
from humanrt_export.conversion import hands, mediapipe_models
from humanrt_export.conversion.bundle_writer import BundleWriter

GRAPHS = ("palm_detector", "landmarks_full", "landmarks_lite")


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command, expect status 2 and one line on stderr; the line."""
    try:
        status = cli.main([str(item) for item in arguments])
    except SystemExit as stop:  # argparse
        status = int(stop.code or 0)
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


# ------------------------------------------------------------------------------------------- the shipped bundle


def test_anchors() -> None:
    anchors = hands.anchors()
    assert anchors.shape == (2016, 2)
    assert anchors.dtype == np.float32
    fine, coarse = anchors[: 24 * 24 * 2], anchors[24 * 24 * 2 :]
    np.testing.assert_allclose(fine[:3], [[0.5 / 24, 0.5 / 24], [0.5 / 24, 0.5 / 24], [1.5 / 24, 0.5 / 24]], rtol=1e-6)
    assert len(coarse) == 12 * 12 * 6
    np.testing.assert_allclose(coarse[6], [1.5 / 12, 0.5 / 12], rtol=1e-6)
    np.testing.assert_allclose(anchors.mean(axis=0), 0.5, atol=1e-6)
    assert len(np.unique(fine, axis=0)) == 24 * 24


# ------------------------------------------------------------------------------------------- making it


@pytest.mark.slow
def test_two_exports_are_the_same_bytes(wheel: Path, video: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    first = hands.export_hands(tmp_path / "a", wheel, video)
    second = hands.export_hands(tmp_path / "b", wheel, video)
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    assert filecmp.cmpfiles(first, second, names, shallow=False)[0] == names


def test_failed_gate_writes_nothing(
    wheel: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> dict[str, Any]:
        item = {"passed": False, "max_abs": 3.0, "unit": "px", "threshold_abs": 0.02}
        return {"palm_detector": {"outputs": {"boxes": item}}}

    monkeypatch.setattr(hands, "parity", broken)
    monkeypatch.setattr(packed, "pack", lambda data: data)  # takes seconds
    line = fails(capsys, "hands", "--out", tmp_path / "o", "--mediapipe-wheel", wheel, "--frames", video)
    assert "palm_detector.boxes differs from LiteRT by 3.0 px" in line
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_graph_does_not_pass(bundle: Path, models: dict[str, bytes]) -> None:
    """The gate can fail: another landmark model is not taken for this one."""
    pytest.importorskip("ai_edge_litert")
    with open_backend("cpu", BackendOptions(threads=1)).open(load_bundle(bundle).graph("landmarks_full")) as graph:
        images = mediapipe_models.noise(graph.tensor("image").shape, 2)
        source = hands.SOURCES["landmarks_full"]
        outputs = mediapipe_models.compare(graph, mediapipe_models.litert(models["landmarks_lite"]), images, source)
    assert not all(item["passed"] for item in outputs.values())


# ------------------------------------------------------------------------------------------- bad input


def test_missing_wheel(tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "hands", "--out", tmp_path / "o", "--mediapipe-wheel", tmp_path / "no.whl", "--frames", video)
    assert "no.whl does not exist" in line
    assert list(tmp_path.iterdir()) == []


def test_wrong_wheels(tmp_path: Path) -> None:
    bad = tmp_path / "bad.whl"
    bad.write_bytes(b"PK not a zip")
    with pytest.raises(SourceError, match="cannot be read as a wheel"):
        mediapipe_models.read_wheel(bad, hands.SOURCES)
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(SourceError, match="is not the wheel of mediapipe"):
        mediapipe_models.read_wheel(bad, hands.SOURCES)
    with zipfile.ZipFile(bad, "w") as archive:
        for source in hands.SOURCES.values():
            archive.writestr(source.path, b"TFL3 something else")
        archive.writestr(mediapipe_models.LICENCE_FILE, "x")
    with pytest.raises(SourceError, match="sha256"):
        mediapipe_models.read_wheel(bad, hands.SOURCES)


def test_missing_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "hands", "--out", tmp_path / "o", "--frames", tmp_path / "no.mp4")
    assert "no.mp4" in line
    assert "--frames SOURCE" in line


def test_video_without_a_hand(bundle: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "empty.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (320, 240))
    for _ in range(30):
        writer.write(np.zeros((240, 320, 3), np.uint8))
    writer.release()
    with pytest.raises(SourceError, match="only 0 crops of a hand"):
        hands._real_inputs(load_bundle(bundle), path)


def test_usage_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out" in fails(capsys, "hands")
    assert "invalid choice" in fails(capsys, "nonsense")
    assert "COMMAND" in fails(capsys)


def test_help_of_the_program_imports_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "COMMANDS", {"x": cli.Command("no_such_package.module", "test", extra="train")})
    assert "pip install 'humanrt[train]'" in fails(capsys, "x")


def test_download_without_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mediapipe_models, "MEDIAPIPE", "mediapipe==0.0.0.invalid-version")
    with pytest.raises(SourceError, match="--mediapipe-wheel FILE"):
        mediapipe_models.download_wheel(tmp_path / "downloads")


# ------------------------------------------------------------------------------------------- the writer


def writer(out: Path) -> BundleWriter:
    return BundleWriter(
        out, name="demo", task="hands", version="1", licence="Apache-2.0", provenance={}, settings={"a": 1}
    )


def test_writer_is_atomic_and_replaces(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "demo"
    with writer(out) as first:
        first.add_file("one.txt", b"1")
        assert not out.exists()
        first.commit()
    with writer(out) as second:
        second.add_file("two.txt", b"2")
        second.add_arrays("table", {"rows": np.arange(3)}, {"rows": "counts"})
        second.commit()
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "table.npz", "two.txt"]
    assert [path.name for path in out.parent.iterdir()] == ["demo"]
    loaded = load_bundle(out)
    assert loaded.array("table")["rows"].tolist() == [0, 1, 2]
    (out / "two.txt").write_bytes(b"3")
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(out)


def test_writer_leaves_nothing_without_commit(tmp_path: Path) -> None:
    with writer(tmp_path / "demo") as unfinished:
        unfinished.add_file("one.txt", b"1")
    assert list(tmp_path.iterdir()) == []


def test_writer_refuses_other_folders(tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious.txt").write_text("x")
    line = fails(capsys, "hands", "--out", tmp_path, "--mediapipe-wheel", wheel, "--frames", wheel)
    assert "holds something other than a bundle" in line
    file = tmp_path / "precious.txt"
    assert "is a file" in fails(capsys, "hands", "--out", file, "--mediapipe-wheel", wheel, "--frames", wheel)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    line = fails(capsys, "hands", "--out", locked / "o", "--mediapipe-wheel", wheel, "--frames", wheel)
    assert "cannot be written" in line


def test_out_below_a_file(tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not writable for anyone, root included."""
    (tmp_path / "file").write_text("x")
    target = tmp_path / "file" / "o"
    line = fails(capsys, "hands", "--out", target, "--mediapipe-wheel", wheel, "--frames", wheel)
    assert "cannot be written" in line
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize(
    ("name", "left"),
    [("hands", "nothing was written"), ("data", "what is finished stays"), ("train", "checkpoint stays")],
)
def test_an_interrupted_command_says_what_it_left(
    name: str, left: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_load", lambda command: SimpleNamespace(configure=lambda parser: None, run=interrupted))
    assert cli.main([name]) == 130
    assert left in capsys.readouterr().err
