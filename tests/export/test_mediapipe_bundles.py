"""The bundles of MediaPipe's models: what ships agrees with LiteRT, with its manifest and with its exporter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle
from shipped import shipped

pytest.importorskip("onnx", reason="needs humanrt[export]")
pytest.importorskip("tflite", reason="needs humanrt[export]")

from humanrt_export.conversion import hands, landmarks, mediapipe_models
from humanrt_export.conversion.bundle_writer import sha256
from humanrt_export.conversion.rewriting import to_bytes


@dataclass(frozen=True)
class Case:
    """A bundle: its name, exporter, what it is for, its licence, graphs that are not MediaPipe's, and MB at most."""

    bundle: str
    exporter: ModuleType
    task: str
    licence: str
    own: tuple[str, ...]
    most_mb: float

    @property
    def sources(self) -> Mapping[str, mediapipe_models.Source]:
        return self.exporter.SOURCES  # type: ignore[no-any-return]

    @property
    def folder(self) -> Path:
        return shipped(self.bundle)


CASES = (
    Case("hands", hands, "hands", "Apache-2.0", (), 7),
    Case("landmarks", landmarks, "people", "Apache-2.0 AND CC0-1.0", ("body",), 10),
)
case = pytest.mark.parametrize("case", CASES, ids=lambda item: item.bundle)
graph = pytest.mark.parametrize(
    ("case", "name"), [pytest.param(item, name, id=name) for item in CASES for name in item.sources]
)


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


@case
def test_manifest_describes_every_file(case: Case) -> None:
    folder, manifest = case.folder, manifest_of(case.folder)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files - {"manifest.json"} == set(manifest["files"])
    for name, entry in manifest["files"].items():
        assert entry == {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
    assert manifest["licence"] == case.licence
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert "CC0" not in case.licence or "CC0" in (folder / "NOTICE.txt").read_text()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1e6 * case.most_mb


@case
def test_every_graph_carries_a_passed_verdict(case: Case) -> None:
    manifest = manifest_of(case.folder)
    assert set(manifest["parity"]) == set(manifest["graphs"]) == {*case.sources, *case.own}
    assert all(verdict["passed"] for verdict in manifest["parity"].values())
    for name in case.sources:
        verdict = manifest["parity"][name]
        assert verdict["frames"] >= 20
        found = {output.removesuffix(", on noise") for output in verdict["outputs"]}
        assert found == set(manifest["graphs"][name]["outputs"])
        for item in verdict["outputs"].values():
            assert item["max_abs"] <= item["threshold_abs"]


@case
def test_graphs_are_what_the_manifest_says(case: Case) -> None:
    loaded = load_bundle(case.folder, task=case.task)
    backend = open_backend("cpu", BackendOptions(threads=1))
    for name in loaded.graphs:
        backend.open(loaded.graph(name)).close()  # refuses other names, shapes or dtypes


@graph
def test_parity_with_litert_on_noise(case: Case, name: str, wheel: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is the reference and is not installed")
    source = case.sources[name]
    reference = mediapipe_models.litert(mediapipe_models.read_wheel(wheel, {name: source})[name])
    with open_backend("cpu", BackendOptions(threads=2)).open(load_bundle(case.folder).graph(name)) as opened:
        images = mediapipe_models.noise(opened.tensor("image").shape, 4)
        outputs = mediapipe_models.compare(opened, reference, images, source, source.noise_tolerance)
    for output, item in outputs.items():
        assert item["passed"], (output, item)


@graph
def test_graphs_are_the_same_bytes_twice_and_as_shipped(case: Case, name: str, wheel: Path) -> None:
    data = mediapipe_models.read_wheel(wheel, {name: case.sources[name]})[name]
    first, second = (to_bytes(mediapipe_models.build_graph(name, case.sources[name], data)) for _ in range(2))
    assert first == second
    # Another version of onnx may serialise otherwise; with the recorded one, the shipped file comes back.
    recorded = manifest_of(case.folder)["provenance"]["tools"]
    if all(mediapipe_models.version(tool) == recorded[tool] for tool in ("onnx", "numpy", "tflite")):
        assert first == load_bundle(case.folder).graph(name).source
