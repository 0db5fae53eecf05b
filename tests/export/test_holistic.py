"""The bundle `holistic`: its exporter makes what ships, its gates refuse, and the networks agree with LiteRT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from npm_files import package_file

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle
from humanrt.errors import SourceError
from shipped import shipped

pytest.importorskip("onnx", reason="needs humanrt[export]")
pytest.importorskip("tflite", reason="needs humanrt[export]")

from humanrt_export import cli
from humanrt_export.conversion import heavy, holistic, mediapipe_models
from humanrt_export.conversion.bundle_writer import sha256
from humanrt_export.conversion.rewriting import extension, to_bytes

SMALL = [name for name in holistic.SOURCES if name not in (holistic.HEAVY, holistic.SILHOUETTE)]


@pytest.fixture(scope="module")
def bundle() -> Path:
    return shipped("holistic")


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return content


@pytest.fixture(scope="module")
def flatbuffers() -> dict[str, bytes]:
    return holistic.read_package(package_file(holistic.PACKAGE, "HUMANRT_HOLISTIC_PACKAGE"))


def same_tools(manifest: dict[str, Any]) -> bool:
    """Whether graphs are serialised here as they were then."""
    tools = manifest["provenance"]["tools"]
    return all(mediapipe_models.version(tool) == tools[tool] for tool in ("onnx", "numpy", "tflite"))


# ------------------------------------------------------------------------------------------- what ships


def test_manifest_describes_every_file(bundle: Path, manifest: dict[str, Any]) -> None:
    files = {path.name for path in bundle.iterdir()}
    assert files - {"manifest.json"} == set(manifest["files"])
    for name, entry in manifest["files"].items():
        assert entry == {"sha256": sha256(bundle / name), "bytes": (bundle / name).stat().st_size}
    assert sum(path.stat().st_size for path in bundle.iterdir()) < 21e6


def test_the_manifest_says_what_the_exporter_makes(manifest: dict[str, Any]) -> None:
    origin = manifest["provenance"]
    made = mediapipe_models.provenance("holistic", origin["source"], holistic.SOURCES)
    assert {**made, "tools": origin["tools"]} == origin
    assert origin["converted_by"].split()[-1] in cli.COMMANDS
    for name, source in holistic.SOURCES.items():
        graph = manifest["graphs"][name]
        assert {key: value["description"] for key, value in graph["outputs"].items()} == source.outputs
        assert {key: tuple(value["shape"]) for key, value in graph["outputs"].items()} == source.shapes
        assert graph["inputs"]["image"]["description"] == source.image


def test_every_verdict_passed(manifest: dict[str, Any]) -> None:
    assert set(manifest["parity"]) == {*holistic.SOURCES, "body_pose"}
    for name, verdict in manifest["parity"].items():
        assert verdict["passed"], name
        for item in verdict["outputs"].values():
            assert item["max_abs"] <= item["threshold_abs"]
    for name in (holistic.HEAVY, holistic.SILHOUETTE):
        stored = manifest["parity"][name]["stored"]
        assert stored["limits"] == dict(heavy.LIMITS)
        assert all(abs(value) <= stored["limits"][key] for key, value in stored["figures"].items())


def test_anchors_are_those_that_ship(bundle: Path) -> None:
    np.testing.assert_array_equal(holistic.anchors(), load_bundle(bundle).array("anchors")["anchors"])


# ------------------------------------------------------------------------------------------- conversion


@pytest.mark.parametrize("name", SMALL)
def test_networks_are_the_same_bytes_as_shipped(
    name: str, bundle: Path, manifest: dict[str, Any], flatbuffers: dict[str, bytes]
) -> None:
    made = to_bytes(mediapipe_models.build_graph(name, holistic.SOURCES[name], flatbuffers[name]))
    source = load_bundle(bundle).graph(name).source
    assert isinstance(source, bytes)
    if same_tools(manifest):
        assert made == source
    else:
        shapes = [{one.name: list(one.dims) for one in read(data).graph.initializer} for data in (made, source)]
        assert shapes[0] == shapes[1]


def test_the_larger_network_is_the_one_that_ships(
    bundle: Path, manifest: dict[str, Any], flatbuffers: dict[str, bytes]
) -> None:
    whole, base = (
        heavy.stored_graph(heavy.heavy_graph(holistic.HEAVY, holistic.SOURCES[name], flatbuffers[name]))
        for name in (holistic.SILHOUETTE, holistic.HEAVY)
    )
    loaded = load_bundle(bundle)
    for name, made in (
        (holistic.HEAVY, to_bytes(base)),
        (holistic.SILHOUETTE, to_bytes(base) + extension(whole, base)),
    ):
        source = loaded.graph(name).source
        assert isinstance(source, bytes)
        graphs = [read(data).graph for data in (made, source)]
        for field in ("initializer", "node", "output"):
            made_ones, shipped_ones = ({one.name: one for one in getattr(graph, field)} for graph in graphs)
            assert made_ones.keys() == shipped_ones.keys()
            if same_tools(manifest):
                assert made_ones == shipped_ones


def read(data: bytes) -> onnx.ModelProto:
    return onnx.load_model_from_string(data)


@pytest.mark.parametrize("name", SMALL)
def test_parity_with_litert_on_noise(name: str, bundle: Path, flatbuffers: dict[str, bytes]) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is the reference and is not installed")
    source = holistic.SOURCES[name]
    reference = (source.reference or mediapipe_models.litert)(flatbuffers[name])
    with open_backend("cpu", BackendOptions(threads=1)).open(load_bundle(bundle).graph(name)) as graph:
        images = mediapipe_models.noise(graph.tensor("image").shape, 2)
        outputs = mediapipe_models.compare(graph, reference, images, source, source.noise_tolerance)
    for output, item in outputs.items():
        assert item["passed"], (output, item)


# ------------------------------------------------------------------------------------------- gates


def people(shift: float, logit: float, count: int = 12) -> list[dict[str, Any]]:
    """Outputs for crops of people, whose landmarks and scores are off by so much."""
    rng = np.random.default_rng(0)
    outputs = []
    for _ in range(count):
        landmarks = rng.uniform(20, 236, (1, 39, 5)).astype(np.float32)
        landmarks[..., 0] += np.float32(shift)
        score = 1 / (1 + np.exp(-(rng.uniform(1, 4) + logit)))
        metric = rng.normal(size=(1, 39, 3)).astype(np.float32)
        outputs.append({"landmarks": landmarks, "landmarks_3d": metric, "presence": np.array([[score]], np.float32)})
    return outputs


def test_the_gate_of_stored_weights_measures_landmarks_and_score() -> None:
    exact = people(0.0, 0.0)
    good = heavy.judge_stored(people(0.25, 0.1), exact, 0.5)
    assert good["passed"]
    assert good["people"] == 12
    assert good["figures"]["px_median"] == pytest.approx(0.25, rel=1e-3)
    assert good["figures"]["presence_logit_mean"] == pytest.approx(0.1, rel=1e-2)
    assert not heavy.judge_stored(people(2.0, 0.0), exact, 0.5)["passed"]
    # What shipped once: the landmarks in place, every score a third lower.
    biased = heavy.judge_stored(people(0.0, -3.0), exact, 0.5)
    assert not biased["passed"]
    assert biased["figures"]["presence_logit_mean"] == pytest.approx(-3.0, rel=1e-2)
    broken = people(0.0, 0.0)
    broken[3]["landmarks"][0, 0, 0] = np.nan
    assert not heavy.judge_stored(broken, exact, 0.5)["passed"]


def test_too_few_people_are_refused() -> None:
    with pytest.raises(SourceError, match="only 3 people"):
        heavy.judge_stored(people(0, 0, 3), people(0, 0, 3), 0.5)


def test_the_score_keeps_its_weights() -> None:
    """The output that decides whether somebody is there is not rounded."""
    assert {"w695", "w697", "w699"}.isdisjoint(heavy.heavy_levels())
    assert max(heavy.heavy_levels().values()) <= 1023


def test_pictures_without_people_are_refused(bundle: Path, tmp_path: Path) -> None:
    cv2: Any = pytest.importorskip("cv2")
    image = tmp_path / "black.png"
    cv2.imwrite(str(image), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(SourceError, match="crops of a person"):
        holistic.real_inputs(load_bundle(bundle), image)


def test_missing_sources_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"")
    for given, told in (
        (["--frames", tmp_path / "no.jpg"], "--frames SOURCE"),
        (["--frames", image, "--package", tmp_path / "no.tgz"], "cannot be read as an npm package"),
    ):
        assert cli.main(["holistic", "--out", str(tmp_path / "o"), *map(str, given)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert told in captured.err
    assert not (tmp_path / "o").exists()
