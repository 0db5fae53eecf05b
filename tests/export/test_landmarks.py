"""The bundle `landmarks`: what ships agrees with LiteRT and its manifest, and bad input is refused in one line."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt.bundle import load_bundle
from humanrt.errors import SourceError
from shipped import shipped

pytest.importorskip("onnx", reason="needs humanrt[export]")
pytest.importorskip("tflite", reason="needs humanrt[export]")

from humanrt_export import cli
from humanrt_export.conversion import landmarks, mediapipe_models

ROOT = Path(__file__).resolve().parents[2]
GRAPHS = ("person_detector", "body_landmarks")


@pytest.fixture(scope="module")
def bundle() -> Path:
    return shipped("landmarks")


@pytest.fixture(scope="module")
def flatbuffers(wheel: Path) -> dict[str, bytes]:
    return mediapipe_models.read_wheel(wheel, landmarks.SOURCES)


def test_what_only_dropped_outputs_need_is_gone(flatbuffers: dict[str, bytes]) -> None:
    source = landmarks.SOURCES["body_landmarks"]
    whole = mediapipe_models.convert(flatbuffers["body_landmarks"])
    built = mediapipe_models.build_graph("body_landmarks", source, flatbuffers["body_landmarks"])
    before, after = (Counter(node.op_type for node in model.graph) for model in (whole, built))
    assert [value.name for value in built.graph.outputs] == list(source.outputs)
    assert len(whole.graph.outputs) == 5
    assert after["Resize"] < before["Resize"]


def test_anchors() -> None:
    anchors = landmarks.anchors()
    assert anchors.shape == (2254, 2)
    assert len(np.unique(anchors[: 28 * 28 * 2], axis=0)) == 28 * 28
    np.testing.assert_allclose(anchors[-1], [6.5 / 7, 6.5 / 7])
    np.testing.assert_allclose(anchors.mean(axis=0), 0.5, atol=1e-6)


# ------------------------------------------------------------------------------------------- bad input


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.main([str(item) for item in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def test_missing_sources(tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "landmarks", "--out", tmp_path / "o", "--frames", tmp_path / "no.jpg")
    assert "no.jpg" in line
    assert "--frames SOURCE" in line
    image = tmp_path / "black.png"
    __import__("cv2").imwrite(str(image), np.zeros((64, 64, 3), np.uint8))
    given = ("landmarks", "--out", tmp_path / "o", "--frames", image, "--mediapipe-wheel")
    assert "does not exist" in fails(capsys, *given, tmp_path / "no.whl")
    assert not (tmp_path / "o").exists()


def test_wrong_wheel(tmp_path: Path) -> None:
    bad = tmp_path / "bad.whl"
    with zipfile.ZipFile(bad, "w") as archive:
        for source in landmarks.SOURCES.values():
            archive.writestr(source.path, b"TFL3 something else")
        archive.writestr(mediapipe_models.LICENCE_FILE, "x")
    with pytest.raises(SourceError, match="sha256"):
        mediapipe_models.read_wheel(bad, landmarks.SOURCES)


def test_pictures_without_people_are_refused(bundle: Path, tmp_path: Path) -> None:
    cv2: Any = pytest.importorskip("cv2")
    image = tmp_path / "black.png"
    cv2.imwrite(str(image), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(SourceError, match="crops of a person"):
        landmarks._real_inputs(load_bundle(bundle), image)
