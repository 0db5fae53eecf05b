"""The network of a bundle is that from which the bundle was made, as exact as it stores it."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from humanrt.bundle import MANIFEST, load_bundle
from humanrt.errors import HumanrtError
from humanrt_export import cli
from humanrt_export.bodies.anny.model import cached_file
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.conversion import multihmr_anny_recovered
from humanrt_export.conversion.bundle_writer import BundleWriter
from humanrt_export.conversion.multihmr_anny_recovered import (
    _Place,
    _refuse_other_structure,
    is_bundle,
    network_of,
    network_of_bundle,
)
from humanrt_export.networks.camera import Window, default_intrinsics
from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr, NetworkOutput, save_checkpoint

pytestmark = pytest.mark.skipif(
    not cached_file("10pc").is_file(), reason="Anny is not in the cache; building it takes a minute"
)

SHIPPED = Path(__file__).parents[3] / "engines" / "multihmr-anny"


@pytest.fixture(scope="module")
def recovered() -> tuple[AnnyHmr, dict[str, str]]:
    return network_of_bundle(SHIPPED)


@pytest.mark.slow  # traces 900 nodes: half a minute
def test_it_computes_what_the_graph_does(recovered: tuple[AnnyHmr, dict[str, str]]) -> None:
    model, about = recovered
    assert about["licence"] == "Apache-2.0"
    source = load_bundle(SHIPPED).graph("network").source
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    image = torch.randn(1, 3, 448, 448, generator=torch.Generator().manual_seed(0))
    feeds = {"image": image, "intrinsics": default_intrinsics(1, 448), "threshold": torch.full((1,), 1e-4)}
    outputs = dict(zip(NetworkOutput._fields, session.run(None, {k: v.numpy() for k, v in feeds.items()}), strict=True))
    with torch.inference_mode():
        wanted = model(*feeds.values(), 16)
    assert np.unique(outputs["cells"]).size == 16
    first = {int(cell): slot for slot, cell in enumerate(wanted.cells[0])}
    own = [first[int(cell)] for cell in outputs["cells"][0] if int(cell) in first]
    assert len(own) >= 14  # of equal scores, which are noise here, the order may differ
    slots = [slot for slot, cell in enumerate(outputs["cells"][0]) if int(cell) in first]
    for name in ("scores", "locations", "rotations", "shape"):
        true = getattr(wanted, name)[0, own].numpy()
        np.testing.assert_allclose(outputs[name][0, slots], true, atol=2e-3 * np.abs(true).max(), err_msg=name)
    np.testing.assert_allclose(outputs["camera"], wanted.camera.numpy(), rtol=1e-4)


@pytest.mark.slow  # likewise
def test_a_checkpoint_is_read_as_ever(recovered: tuple[AnnyHmr, dict[str, str]], tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "weights.pt", recovered[0], recovered[1])
    assert is_bundle(SHIPPED)
    assert not is_bundle(path)
    again, about = network_of(path)
    assert about == recovered[1]
    for name, value in recovered[0].state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def told(folder: Path, **provenance: Any) -> Path:
    """Return a copy of the shipped bundle whose manifest says something else of where it is from."""
    shutil.copytree(SHIPPED, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["provenance"] |= provenance
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def refused(path: Path) -> str:
    with pytest.raises(HumanrtError) as caught:
        network_of(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def shipped_settings() -> dict[str, Any]:
    manifest = json.loads((SHIPPED / MANIFEST).read_text())
    settings: dict[str, Any] = json.loads(manifest["provenance"]["weights"]["training"])["task"]["settings"]
    return settings


@pytest.mark.parametrize("weights", [None, "long ago", {}, {"training": "long ago"}, {"training": "[]"}])
def test_a_manifest_that_does_not_say_what_the_network_is(tmp_path: Path, weights: object) -> None:
    assert "give the checkpoint that it was made from" in refused(told(tmp_path / "bundle", weights=weights))


@pytest.mark.parametrize("provenance", [None, "long ago"])
def test_a_manifest_without_provenance(tmp_path: Path, provenance: object) -> None:
    folder = told(tmp_path / "bundle")
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "provenance": provenance}))
    assert "does not say what the network is" in refused(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"backbone": AnnyConfig.backbone, "corrections": 0}, "layers of dinov2_vits14 were merged"),
        ({"mlp": 256}, "nothing has the size of head.looks.0.blocks.0.mlp"),  # narrower
        ({"mlp": 1024}, "nothing has the size of head.looks.0.blocks.0.mlp"),
        ({"width": 96}, "nothing has the size of head."),
        ({"width": 256, "heads": 4}, "nothing has the size of head."),
        ({"bones": ["root", "head"]}, "nothing has the size of head.pose.weight"),
    ],
)
def test_settings_of_another_size_are_refused_before_anything_is_traced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(multihmr_anny_recovered, "plain_graph", lambda *_: pytest.fail("traced"))
    training = json.dumps({"task": {"settings": {**shipped_settings(), **changes}}})
    message = refused(told(tmp_path / "bundle", weights={"training": training}))
    assert says in message
    assert "give the checkpoint that it was made from" in message


def test_all_that_is_no_parameter_must_be_alike() -> None:
    """Fewer blocks or heads, another limit of depth: every parameter has its place in the graph all the same."""
    node, other = ("MatMul", "/head", 0), ("Clip", "", 0)
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    traced = {node: {1: weights, 2: np.stack((weights[0], weights[0]))}, other: {1: np.float32([50])}}
    places = {node: {1: _Place("a"), 2: _Place("b", expanded=True)}, other: dict[int, _Place]()}

    def differs(given: dict[Any, Any]) -> str:
        with pytest.raises(CheckpointError, match="are not its graph's own") as caught:
            _refuse_other_structure(SHIPPED, {**traced, **given}, traced, places)
        return str(caught.value)

    _refuse_other_structure(SHIPPED, traced, traced, places)
    own = {**traced, node: {1: 9 - weights, 2: np.ones((2, 3), np.float32)}, other: {1: np.float32([50.1])}}
    _refuse_other_structure(SHIPPED, own, traced, places)  # other parameters; a constant, rounded
    assert "MatMul in /head is another" in differs({node: {**traced[node], 1: np.ones((2, 4), np.float32)}})
    assert "MatMul in /head" in differs({node: {**traced[node], 1: np.ones((1, 3), np.float32)}})
    assert "MatMul in /head" in differs({node: {**traced[node], 2: weights}})  # its parts are not alike
    assert "MatMul in /head" in differs({node: {1: weights}})
    assert "Clip in the network" in differs({other: {1: np.float32([40])}})
    assert "Add in /head/more" in differs({("Add", "/head/more", 0): {}})


@pytest.mark.parametrize("name", ["landmarks", "holistic"])
def test_other_bundles_of_people_are_refused(name: str) -> None:
    message = refused(SHIPPED.parent / name)
    assert f"bundle `{name}` is not a Multi-HMR on Anny; give a folder such as engines/multihmr-anny" in message


def test_bundles_of_other_tasks_are_refused() -> None:
    assert "is for task `hands`, not `people`" in refused(SHIPPED.parent / "hands")


def test_a_name_or_a_file_instead_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {
        "multihmr-anny": "of a bundle give the folder, such as engines/multihmr-anny",
        str(SHIPPED / "network.onnx.z"): f"a file of a bundle; give the folder, {SHIPPED}",
    }
    for path, says in given.items():
        assert says in refused(Path(path))
        assert cli.main(["multihmr", path, "--body", "anny", "--out", str(tmp_path / "out")]) == 2
        assert says in capsys.readouterr().err
    assert "or a bundle's folder such as engines/multihmr-anny" in refused(tmp_path / "none.pt")


@pytest.mark.slow  # four traces
def test_a_window_and_a_batch_and_what_only_the_structure_tells(tmp_path: Path) -> None:
    config = AnnyConfig(
        backbone="movenet14", image_size=112, width=64, depth=2, heads=1, mlp=64, bones=("root", "head")
    )
    torch.manual_seed(3)
    model = AnnyHmr(config).eval()
    for value in model.state_dict().values():  # what is one or zero before training is left out of graphs
        value.copy_(0.1 + 0.01 * torch.randn(value.shape))
    whole = copy.deepcopy(model)
    window = Window.of(config.side, (2, 1), 2)
    model.crop(window)
    width, height = window.size
    feeds = {
        "image": torch.zeros(2, 3, height, width),
        "intrinsics": torch.eye(3).repeat(2, 1, 1),
        "threshold": torch.full((1,), 0.5),
    }
    graph = multihmr_anny_recovered.plain_graph(model, feeds, NetworkOutput._fields, 3)

    def bundle(**changes: object) -> Path:
        settings = {**asdict(config), "bones": list(config.bones), "phenotypes": list(config.phenotypes), **changes}
        weights = {"training": json.dumps({"task": {"settings": settings}})}
        about = {"name": "tiny", "task": "people", "version": "1", "licence": "Apache-2.0"}
        body = {"body": {"model": "Anny"}}
        with BundleWriter(tmp_path / "tiny", **about, provenance={"weights": weights}, settings=body) as writer:
            inputs, outputs = (
                {value.name: "" for value in values} for values in (graph.graph.inputs, graph.graph.outputs)
            )
            writer.add_graph("network", graph, inputs, outputs)
            return writer.commit()

    again, _ = network_of_bundle(bundle())
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, msg=name)
    for changes in ({"heads": 2}, {"max_distance": 20.0}, {"depth": 1}):
        assert "are not its graph's own" in refused(bundle(**changes)), changes
