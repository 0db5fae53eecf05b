"""The person detector's convolutions in PyTorch: those of its graph, and a backbone that is trained and exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from humanrt import packed
from humanrt.bundle import load_bundle
from humanrt_export import cli
from humanrt_export.anny.model import cached_file
from humanrt_export.anny.network import AnnyConfig, AnnyHmr, load_checkpoint, save_checkpoint
from humanrt_export.anny.train import load_backbone
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.multihmr.backbone import BACKBONES
from humanrt_export.multihmr.trunk import DetectorStem, DetectorTrunk, trunk_weights

GRAPH = Path(__file__).parents[3] / "engines" / "landmarks" / "person_detector.onnx.z"
MAPS = ("t54", "t91", "t367", "t209", "t335", "t292")  # in the graph, what the trunk gives
SMALL = {"backbone": "mediapipe14", "image_size": 56, "width": 32, "depth": 1, "heads": 1, "mlp": 32}


def test_the_trunk_computes_the_graphs_maps() -> None:
    model = onnx.load_from_string(packed.unpack(GRAPH.read_bytes()))
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in MAPS)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 224, 224)).astype(np.float32)
    wanted = session.run(list(MAPS), {session.get_inputs()[0].name: image})
    trunk = DetectorTrunk().eval()
    trunk.load_state_dict(trunk_weights(GRAPH))
    with torch.inference_mode():
        given = trunk(torch.from_numpy(image))
    for own, true, width in zip(given, wanted, DetectorTrunk.WIDTHS, strict=True):
        assert own.shape[1] == width
        assert np.std(true) > 0.5
        np.testing.assert_allclose(own, true, atol=1e-4)


def test_the_trunk_rests_until_it_is_asked_to_learn() -> None:
    stem = DetectorStem(16)
    image = torch.randn(1, 3, 56, 56)
    stem(image).square().sum().backward()
    assert stem.join.weight.grad is not None
    assert all(p.grad is None for p in stem.trunk.parameters())
    stem.trunk.requires_grad_()
    stem(image).square().sum().backward()
    assert all(p.grad is not None for p in stem.trunk.parameters())


def test_a_checkpoint_needs_no_graph(tmp_path: Path) -> None:
    model = AnnyHmr(AnnyConfig(**SMALL)).eval()  # type: ignore[arg-type]
    load_backbone(model.backbone, "mediapipe14", GRAPH)
    again, _ = load_checkpoint(save_checkpoint(tmp_path / "weights.pt", model, {}))
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    given = again.state_dict()["backbone.patch_embed.proj.trunk.stem.weight"]
    assert torch.equal(given, trunk_weights(GRAPH)["stem.weight"])


def test_another_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has 0 convolutions"):
        trunk_weights(GRAPH.with_name("body.onnx.z"))
    (tmp_path / "none.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="not the graph of"):
        trunk_weights(tmp_path / "none.onnx")
    with pytest.raises(CheckpointError, match="needs a multiple of 28"):
        AnnyConfig(backbone="mediapipe14", image_size=70)


def test_it_is_exported_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not cached_file("10pc").is_file():
        pytest.skip("Anny is not in the cache; building it takes a minute")
    monkeypatch.setitem(BACKBONES, "mediapipe14", (64, 1, 1))
    torch.manual_seed(0)
    model = AnnyHmr(AnnyConfig(**SMALL)).eval()  # type: ignore[arg-type]
    load_backbone(model.backbone, "mediapipe14", GRAPH)
    checkpoint = save_checkpoint(tmp_path / "weights.pt", model, {"licence": "Apache-2.0", "data": "none"})
    command = ["multihmr", str(checkpoint), "--body", "anny", "--out", str(tmp_path / "out"), "--topology", "10pc"]
    assert cli.main([*command, "--max-people", "2"]) == 0
    assert load_bundle(tmp_path / "out", task="people").path.is_dir()
