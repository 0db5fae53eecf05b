"""A bundle: ONNX Runtime computes what PyTorch computes, and the manifest says what a runtime needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import BundleError, HumanrtError
from humanrt_export import cli
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.model import AnnyData
from humanrt_export.conversion import multihmr_anny as export
from humanrt_export.conversion.multihmr_anny import AnnyOptions
from humanrt_export.conversion.parity import OPTIONAL, gate
from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr, NetworkOutput, save_checkpoint
from humanrt_export.networks.rotations import matrices_from_vectors

SLOTS = 3


@pytest.fixture(scope="module")
def bundle(network: AnnyHmr, coarse: AnnyData, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Through the command, from a checkpoint."""
    folder: Path = tmp_path_factory.mktemp("bundle")
    checkpoint = save_checkpoint(folder / "weights.pt", network, {"licence": "Apache-2.0", "data": "none"})
    arguments = [
        "multihmr",
        str(checkpoint),
        "--body",
        "anny",
        "--out",
        str(folder / "out"),
        "--max-people",
        str(SLOTS),
    ]
    assert cli.main([*arguments, "--batch", "2", "--topology", "10pc", "--int8-cpu"]) == 0
    return load_bundle(folder / "out", task="people")


def run(bundle: Bundle, graph: str, **feeds: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    session = onnxruntime.InferenceSession(bundle.graph(graph).source, providers=["CPUExecutionProvider"])
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, feeds), strict=True))


@pytest.mark.parametrize("graph", ["network", "network-cpu"])
@pytest.mark.parametrize("known", [True, False])
def test_onnxruntime_computes_what_pytorch_computes(bundle: Bundle, network: AnnyHmr, graph: str, known: bool) -> None:
    size = network.config.image_size
    image = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(11))
    image[1, 0, 0, 0] = torch.nan  # nobody is seen there, and nothing of it reaches the other image
    K = torch.tensor([[[80.0, 0.0, 30.0], [0.0, 75.0, 38.0], [0.0, 0.0, 1.0]]]).repeat(2, 1, 1) * float(known)
    limit = torch.tensor([0.01])
    with torch.inference_mode():
        wanted: NetworkOutput = network(image, K, limit, SLOTS)
    got = run(bundle, graph, image=image.numpy(), intrinsics=K.numpy(), threshold=limit.numpy())
    assert wanted.valid.sum(dim=1).tolist() == [SLOTS, 0]
    assert list(got) == list(NetworkOutput._fields)
    for name, value in got.items():
        if name in ("cells", "camera"):  # of an unreadable image they mean nothing
            value, wanted = value[:1], wanted._replace(**{name: getattr(wanted, name)[:1]})
        tolerance = 0.02 if name in ("locations", "camera") else 2e-4
        np.testing.assert_allclose(value, getattr(wanted, name), atol=tolerance, rtol=1e-4, err_msg=name)


def test_the_body_graph_poses_its_slots(bundle: Bundle, coarse: AnnyData) -> None:
    generator = torch.Generator().manual_seed(3)
    rotations = matrices_from_vectors(0.5 * torch.randn(2, SLOTS, 74, 3, generator=generator))
    shape, translation = torch.rand(2, SLOTS, 6, generator=generator), torch.randn(2, SLOTS, 3, generator=generator)
    wanted = AnnyBody(coarse)(rotations, shape, translation)
    feeds = {"rotations": rotations.numpy(), "shape": shape.numpy(), "translation": translation.numpy()}
    for graph, slots in (("body", np.s_[:]), ("body-1", np.s_[:1, :1])):
        got = run(bundle, graph, **{key: value[slots] for key, value in feeds.items()})
        np.testing.assert_allclose(got["vertices"], wanted.vertices[slots], atol=1e-5, rtol=0)
        np.testing.assert_allclose(got["joints"], wanted.joints[slots], atol=1e-5, rtol=0)


def test_the_manifest_says_what_a_runtime_needs(bundle: Bundle, coarse: AnnyData) -> None:
    body = bundle.setting("body")
    assert body["joint_names"] == list(coarse.joint_names)
    assert body["bones"][0] == "root"
    assert body["joint_names"][body["head_joint"]] == "head"
    assert body["joint_names"][body["hand_keypoints"]["right"][8]] == "finger2-tip.R"
    assert [phenotype["name"] for phenotype in body["phenotypes"]][:2] == ["gender", "age"]
    assert body["topologies"] == [
        {"name": "10pc", "vertices": 1229, "graph": "body", "graph_one": "body-1", "faces": "faces"}
    ]
    assert bundle.array("faces")["faces"].shape == (len(coarse.faces), 3)
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    assert manifest["licence"] == "Apache-2.0 AND CC0-1.0"
    assert "MakeHuman" in manifest["provenance"]["body"]["attribution"]
    assert all(verdict["passed"] for name, verdict in manifest["parity"].items() if name not in OPTIONAL)
    assert set(manifest["parity"]) >= {"network", "network-cpu", "network-int8-cpu", "body", "body-1"}
    assert {variant["graph"] for variant in bundle.setting("variants")} == {
        name for name in bundle.graphs if name.startswith("network")
    }


@pytest.mark.slow  # 16 s, a second export
def test_a_small_bundle_is_a_quarter_and_as_near_to_pytorch(
    network: AnnyHmr, bundle: Bundle, coarse: AnnyData, tmp_path: Path
) -> None:
    """Its graphs compute what the rounded network computes (that is the parity gate), which is nearly the network."""
    about = {"data": "none", "commit": "abc"}
    options = AnnyOptions(name="little", max_people=SLOTS, small=True, more_about=about)
    folder = export.export_anny(network, tmp_path / "out", options, topologies=("10pc",))
    little = load_bundle(folder, task="people")
    assert little.name == "little"
    assert json.loads((folder / "manifest.json").read_text())["provenance"]["weights"]["commit"] == "abc"
    for group, part in (("network", 0.32), ("body", 0.75)):
        sizes = [sum(file.stat().st_size for file in one.glob(f"{group}*")) for one in (folder, bundle.path)]
        assert sizes[0] < part * sizes[1]
    size = network.config.image_size
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(11))
    K, limit = torch.zeros(1, 3, 3), torch.tensor([0.01])
    with torch.inference_mode():
        wanted: NetworkOutput = network(image, K, limit, SLOTS)
    got = run(little, "network", image=image.numpy(), intrinsics=K.numpy(), threshold=limit.numpy())
    np.testing.assert_allclose(np.sort(got["scores"]), np.sort(wanted.scores), atol=0.02)
    np.testing.assert_allclose(got["camera"], wanted.camera, rtol=0.02)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"options": AnnyOptions(max_people=50)}, "max_people is 50; a network of 98 x 98 px has 1 to 49 slots"),
        ({"options": AnnyOptions(batch=0)}, "batch is 0"),
        ({"topologies": ("fine",)}, "choose one of: 10pc, full"),
    ],
)
def test_what_cannot_be_is_refused(network: AnnyHmr, tmp_path: Path, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(HumanrtError, match=message):
        export.export_anny(network, tmp_path / "out", **asked)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("topologies", [("full", "10pc")])
def test_a_whole_sized_bundle(coarse: AnnyData, tmp_path: Path, topologies: tuple[str, ...]) -> None:
    """ViT-S, 448 px, untrained, both topologies: two minutes."""
    torch.manual_seed(0)
    model = AnnyHmr(AnnyConfig())
    folder = export.export_anny(model, tmp_path / "out", topologies=topologies)
    parity = json.loads((folder / "manifest.json").read_text())["parity"]
    assert set(parity) >= {"network", "network-cpu", "body", "body-1", "body-10pc", "body-1-10pc"}
    assert all(verdict["passed"] for verdict in parity.values())


# --- the parity gate ---


@pytest.fixture(scope="module")
def probe(network: AnnyHmr) -> export._Probe:
    with torch.inference_mode():
        return export._probe(network, 1, SLOTS)


def judged(network: AnnyHmr, coarse: AnnyData, probe: export._Probe, name: str, **broken: float) -> dict[str, Any]:
    """The verdict on a graph that computes what the network does; what is added to each output in its first person."""

    def graph(feeds: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        with torch.inference_mode():
            found = network(*(torch.from_numpy(value) for value in feeds.values()), SLOTS)
        outputs = {key: value.numpy().copy() for key, value in found._asdict().items()}
        for key, value in broken.items():
            outputs[key][0, 0] += value
        return outputs

    return export._network_verdict(name, graph, {"10pc": AnnyBody(coarse)}, probe)


@pytest.mark.parametrize("name", ["network", "network-cpu-int16"])
@pytest.mark.parametrize("output", ["rotations", "translation", "shape"])
def test_a_graph_that_returns_nan_fails(
    network: AnnyHmr, coarse: AnnyData, probe: export._Probe, name: str, output: str
) -> None:
    assert judged(network, coarse, probe, name)["passed"]
    verdict = judged(network, coarse, probe, name, **{output: np.nan})
    assert not verdict["passed"]
    assert verdict["same_people"]
    assert "not finite" in verdict["reason"]
    assert verdict["mean_vertex_distance_m"] is None  # JSON has no NaN
    if name == "network":
        with pytest.raises(BundleError, match="parity gate: network: its meshes are not finite"):
            gate({name: verdict})


def test_a_camera_that_is_nan_fails(network: AnnyHmr, coarse: AnnyData, probe: export._Probe) -> None:
    verdict = judged(network, coarse, probe, "network", camera=np.nan)
    with pytest.raises(BundleError, match="parity gate: network: `camera` differs by nan"):
        gate({"network": verdict})


def test_the_distance_is_the_mean_over_people(network: AnnyHmr, coarse: AnnyData, probe: export._Probe) -> None:
    """One of them is 3 m off along each axis, in every probe."""
    verdict = judged(network, coarse, probe, "network-cpu-int16", translation=3.0)
    people, probes = verdict["people"], len(probe.feeds)
    assert people > probes
    assert verdict["mean_vertex_distance_m"] == pytest.approx(3 * 3**0.5 * probes / people, rel=1e-3)
    assert not verdict["passed"]


@pytest.mark.parametrize("name", ["network", "network-cpu-int16"])
def test_a_probe_of_nobody_fails(network: AnnyHmr, coarse: AnnyData, probe: export._Probe, name: str) -> None:
    feeds = tuple({**one, "threshold": torch.full((1,), 1.5)} for one in probe.feeds)
    with torch.inference_mode():
        nobody = replace(probe, feeds=feeds, expected=tuple(network(*one.values(), SLOTS) for one in feeds))
    verdict = judged(network, coarse, nobody, name)
    assert not verdict["passed"]
    assert "nobody" in verdict["reason"]
