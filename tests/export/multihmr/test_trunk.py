"""The landmark network's convolutions in PyTorch: those of its graph, and a backbone that is trained and exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from humanrt.bundle import load_bundle, packed
from humanrt_export import cli
from humanrt_export.bodies.anny.model import cached_file
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.data.people.dataset import PeopleImages
from humanrt_export.networks.backbone import BACKBONES, DinoV2
from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr, load_checkpoint, save_checkpoint
from humanrt_export.networks.trunk import PoseStem, PoseTrunk, trunk_weights
from humanrt_export.training.methods.manipulations import Manipulations
from humanrt_export.training.methods.meta_dr import Randomised
from humanrt_export.training.tasks.multihmr import PeopleTask, load_backbone
from humanrt_export.training.tasks.multihmr_losses import Weights

GRAPH = Path(__file__).parents[3] / "engines" / "landmarks" / "body_landmarks.onnx.z"
MAPS = ("t216", "t226", "t251", "t269", "t300", "t335")  # in the graph, what the trunk gives
RESTING = tuple(f"blocks.{place}." for place in range(5))
SMALL = {"backbone": "mediapipe14", "image_size": 56, "width": 32, "depth": 1, "heads": 1, "mlp": 32}


def test_the_trunk_computes_the_graphs_maps() -> None:
    model = onnx.load_from_string(packed.unpack(GRAPH.read_bytes()))
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in MAPS)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).uniform(0, 1, (1, 3, 256, 256)).astype(np.float32)
    wanted = session.run(list(MAPS), {session.get_inputs()[0].name: image})
    trunk = PoseTrunk().eval()
    trunk.load_state_dict(trunk_weights(GRAPH))
    with torch.inference_mode():
        maps, whole = trunk(torch.from_numpy(image))
    for own, true, width in zip((*maps, whole), wanted, (*PoseTrunk.WIDTHS, 288), strict=True):
        assert own.shape[1] == width
        assert np.std(true) > 0.05
        np.testing.assert_allclose(own, true, atol=1e-4 * np.abs(true).max())


def test_the_trunk_rests_until_it_is_asked_to_learn() -> None:
    stem = PoseStem(16)
    image = torch.randn(1, 3, 56, 56)
    stem(image).square().sum().backward()
    assert stem.join.weight.grad is not None
    assert all(p.grad is None for p in stem.trunk.parameters())
    stem.trunk.learn()
    stem(image).square().sum().backward()
    learned = {name for name, p in stem.trunk.named_parameters() if p.grad is not None}
    resting = {name for name in dict(stem.trunk.named_parameters()) if name.startswith(("stem", *RESTING))}
    assert learned == dict(stem.trunk.named_parameters()).keys() - resting


def test_where_it_learns_its_filters_are_not_rounded() -> None:
    torch.manual_seed(0)
    stem = PoseStem(16)
    stem.trunk.load_state_dict(trunk_weights(GRAPH))
    image = torch.randn(2, 3, 112, 112)
    dtypes: dict[str, torch.dtype] = {}
    filters = {name: m for name, m in stem.trunk.named_modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1}
    for name, conv in filters.items():
        conv.register_forward_hook(lambda _module, _given, out, name=name: dtypes.__setitem__(name, out.dtype))
    with torch.no_grad():
        exact = stem(image)
    for learns in (False, True):
        if learns:
            stem.trunk.learn()
        with torch.autocast("cpu", torch.bfloat16):
            rounded = stem(image).float()
        # What is rounded is said by types: how far rounding carries depends on the processor's kernels.
        floats = {name for name, dtype in dtypes.items() if dtype == torch.float32}
        assert dtypes.keys() == filters.keys()
        assert floats == ({name for name in filters if not name.startswith(RESTING)} if learns else set())
        assert 0 < (rounded - exact).square().mean() < 0.3**2 * exact.square().mean()


def test_a_checkpoint_needs_no_graph(tmp_path: Path) -> None:
    model = AnnyHmr(AnnyConfig(**SMALL)).eval()  # type: ignore[arg-type]
    load_backbone(model.backbone, "mediapipe14", GRAPH)
    again, _ = load_checkpoint(save_checkpoint(tmp_path / "weights.pt", model, {}))
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    given = again.state_dict()["backbone.patch_embed.proj.trunk.stem.weight"]
    assert torch.equal(given, trunk_weights(GRAPH)["stem.weight"])


def test_a_whole_backbone_is_taken_as_it_is(tmp_path: Path) -> None:
    before = DinoV2("mediapipe14", 56)
    load_backbone(before, "mediapipe14", GRAPH)
    with torch.no_grad():
        before.patch_embed["proj"].join.weight.add_(1)
    torch.save({"state": before.state_dict()}, tmp_path / "backbone.pt")
    after = DinoV2("mediapipe14", 56)
    load_backbone(after, "mediapipe14", tmp_path / "backbone.pt")
    for name, value in after.state_dict().items():
        assert torch.equal(value, before.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="from which only mediapipe14 can start; the backbone is vitn14"):
        load_backbone(DinoV2("vitn14", 56), "vitn14", GRAPH)


def test_another_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has 0 convolutions"):
        trunk_weights(GRAPH.with_name("body.onnx.z"))
    (tmp_path / "none.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="not the graph of"):
        trunk_weights(tmp_path / "none.onnx")
    with pytest.raises(CheckpointError, match="needs a multiple of 28"):
        AnnyConfig(backbone="mediapipe14", image_size=70)


@pytest.mark.slow  # 24 s; other exports of Anny's networks are tested each time
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


def test_a_trunk_learns_slower_whatever_is_around_its_task() -> None:
    if not cached_file("10pc").is_file():
        pytest.skip("Anny is not in the cache; building it takes a minute")
    config = AnnyConfig(**SMALL)  # type: ignore[arg-type]
    nothing = PeopleImages([], config.image_size)
    resting, learning = (PeopleTask(config, Weights(), nothing, nothing, trunk_rate=rate) for rate in (0.0, 0.1))
    inside = "backbone.patch_embed.proj.trunk.blocks.9.expand.weight"
    asked = [dict(task.model.named_parameters())[inside].requires_grad for task in (resting, learning)]
    assert asked == [False, True]
    assert "trunk_rate" not in resting.config()
    for task in (learning, Randomised(learning, Manipulations())):
        assert task.rate(inside) == 0.1
        assert task.rate("head.pose.weight") == 1.0
