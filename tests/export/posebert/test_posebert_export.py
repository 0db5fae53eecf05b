"""The command: what it refuses, the gate, and bundles of our own trainings."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humanrt import PoseBERT
from humanrt.bundle.settings import PoseBertSettings
from humanrt.errors import BundleError
from humanrt.geometry.skeleton import MEDIAPIPE_BODY
from humanrt.posebert.rays import directions, rays, turn_to
from humanrt_export.cli import main
from humanrt_export.conversion import posebert as export
from humanrt_export.data.poses.kinds import KINDS
from humanrt_export.networks.posebert import StreamingConfig, StreamingPoseBert

FRAMES = 12


def trained(config: StreamingConfig) -> StreamingPoseBert:
    """A network whose answers have something of their input."""
    torch.manual_seed(0)
    model = StreamingPoseBert(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.02 * torch.randn_like(value))
    return model


def small(variant: str) -> StreamingConfig:
    return replace(KINDS[variant].config, width=32, depth=2, heads=1, hidden=32)


def save_run(folder: Path, kind: str, **changes: Any) -> StreamingPoseBert:
    """A folder as `humanrt-export train posebert` leaves it."""
    model = trained(small(kind))
    task = {"network": "posebert", "variant": kind, "settings": asdict(model.config), "frames": FRAMES}
    content = {
        "format": 1,
        "description": {"task": json.loads(json.dumps({**task, **changes})), "options": {"steps": 10}},
        "step": 10,
        "seconds": 1.0,
        "model": model.state_dict(),
        "average": model.state_dict(),
        "optimizer": {},
    }
    folder.mkdir()
    torch.save(content, folder / "last.pt")
    return model


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["posebert", *map(str, words)]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("humanrt-export: ")
    return message


@pytest.mark.parametrize(
    ("variant", "batches"),
    [("hand21", ("1", "3")), ("h36m17", ("3",)), pytest.param("mediapipe33rays", ("1",), marks=pytest.mark.slow)],
)
def test_a_training_becomes_an_open_bundle(tmp_path: Path, variant: str, batches: tuple[str, ...]) -> None:
    network = save_run(tmp_path / "run", variant)
    out = tmp_path / "bundle"
    assert main(["posebert", str(tmp_path / "run"), "--out", str(out), "--batch", *batches]) == 0
    kind = KINDS[variant]
    model = PoseBERT(out)
    assert model.bundle.licence == "Apache-2.0"
    assert (model.frames, model.clock_hz) == (FRAMES, kind.config.rate)
    assert (model.joints, model.parents, model.origin) == (kind.joint_names, kind.parents, kind.config.origin)
    assert model.bundle.setting("kind") == kind.body
    assert model.bundle.setting("input") == kind.input
    assert model.sighted == kind.config.rays
    assert np.shape(model.bundle.setting("rest")) == (len(kind.joint_names), 3)
    assert ("acknowledgement" in model.bundle.manifest["provenance"]) == (kind.body == "body")
    assert model.bundle.graphs == (("posebert",) if len(batches) == 1 else ("posebert_b1", "posebert_b3"))
    assert ("posebert_weights.onnx.z" in model.bundle.manifest["files"]) == (len(batches) > 1)
    weights = sum(value.numel() for value in network.parameters())
    assert sum(file.stat().st_size for file in out.iterdir()) < 2 * weights + 40_000

    random = np.random.default_rng(0)
    keypoints = random.normal(0, 0.1, (5, FRAMES, kind.config.points, 3)).astype(np.float32)
    confidence = random.random(keypoints.shape[:3]).astype(np.float32)
    mask = random.random(keypoints.shape[:2]) > 0.2
    mask[:, 0] = True
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(value.half().float())  # weights are stored so
    for frames in (FRAMES, FRAMES - 5):
        some = (keypoints[:, :frames], mask[:, :frames], confidence[:, :frames])
        result = model.refine(keypoints=some[0], mask=some[1], confidence=some[2], hold_bones=False)
        with torch.inference_mode():
            expected = network(*map(torch.from_numpy, some))
        np.testing.assert_allclose(result.rotations, expected.rotations, atol=2e-5)
        np.testing.assert_allclose(result.keypoints, expected.keypoints, atol=2e-6)


def test_pixels_reach_the_network_and_turn_its_answers(tmp_path: Path) -> None:
    network = save_run(tmp_path / "run", "mediapipe33rays")
    assert main(["posebert", str(tmp_path / "run"), "--out", str(tmp_path / "bundle")]) == 0
    model = PoseBERT(tmp_path / "bundle")
    random = np.random.default_rng(0)
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    keypoints = random.normal(0, (0.2, 0.5, 0.1), (2, FRAMES, 33, 3)).astype(np.float32)
    place = np.array([1.2, 0.2, 3.0])
    seen = (keypoints + place) @ K.T
    mask = np.ones((2, FRAMES), np.bool_)
    mask[:, 4] = False
    given = {"mask": mask, "pixels": seen[..., :2] / seen[..., 2:], "intrinsics": K, "hold_bones": False}
    result = model.refine(keypoints=keypoints, **given)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(value.half().float())
    looks = directions(given["pixels"], K)
    for window in range(2):
        turn = turn_to(looks[window, mask[window]][:, [23, 24]].mean(axis=(0, 1)))
        sight = np.stack(
            [rays(*frame, turn, MEDIAPIPE_BODY) for frame in zip(keypoints[window], looks[window], strict=True)]
        )
        inputs = (keypoints[window], mask[window], np.ones((FRAMES, 33), np.float32))
        with torch.inference_mode():
            expected = network(*(torch.from_numpy(x)[None] for x in inputs), rays=torch.from_numpy(sight)[None])
        np.testing.assert_allclose(result.keypoints[window], expected.keypoints[0].numpy() @ turn, atol=1e-5)
        root = turn.T @ expected.rotations[0, :, 0].numpy()
        np.testing.assert_allclose(result.rotations[window, :, 0], root, atol=1e-4)
        np.testing.assert_allclose(result.rotations[window, :, 1:], expected.rotations[0, :, 1:], atol=1e-4)


def test_our_networks_may_take_rotations_and_are_not_touched(tmp_path: Path) -> None:
    config = StreamingConfig(source="rotations", points=0, joints=5, origin=(), lengths=(), width=32, depth=2, heads=1)
    network = trained(config)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    settings = PoseBertSettings(FRAMES, config.rate, tuple("abcde"), (-1, 0, 1, 2, 3), (), (), "five", "body")
    out = export.export_open(network, tmp_path / "bundle", name="five", version="1", provenance={}, settings=settings)
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (FRAMES, 5, 3, 3))
    result = PoseBERT(out).refine(rotations)
    assert result.keypoints is None
    with torch.inference_mode():
        expected = network(
            torch.from_numpy(rotations.copy())[None], torch.ones(1, FRAMES, dtype=torch.bool), torch.ones(1, FRAMES, 5)
        )
    np.testing.assert_allclose(result.rotations, expected.rotations[0], atol=1e-3)  # weights of 16 bits
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"network": "multihmr"}, "not a training of posebert"),
        ({"variant": "tail"}, "not a training of posebert"),
        ({"settings": {"width": 32}}, "its settings lack some of"),
        ({"frames": None}, "give --window"),
    ],
)
def test_other_trainings_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], says: str
) -> None:
    save_run(tmp_path / "run", "hand21", **changes)
    assert says in refused(capsys, tmp_path / "run", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_of_another_width_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_run(tmp_path / "run", "hand21", settings=asdict(replace(small("hand21"), width=64)))
    assert "misshapen" in refused(capsys, tmp_path / "run" / "last.pt", "--out", tmp_path / "out")


def test_the_command_refuses_in_one_line_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert "no such file" in refused(capsys, tmp_path / "absent.pt", "--out", out)
    (tmp_path / "empty").mkdir()
    assert "contains no training" in refused(capsys, tmp_path / "empty", "--out", out)
    save_run(tmp_path / "run", "hand21")
    for words in (("--window", "0"), ("--window", "1025"), ("--batch", "0")):
        assert f"{words[0]} is {words[1]}" in refused(capsys, tmp_path / "run", "--out", out, *words)
    torch.save({"model_state_dict": {}}, tmp_path / "published.pt")
    assert "missing `mask_token`" in refused(capsys, tmp_path / "published.pt", "--out", out)
    assert "one batch size" in refused(capsys, tmp_path / "published.pt", "--out", out, "--batch", "1", "2")
    assert not out.exists()


def test_a_graph_that_is_not_the_network_stops_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate is real: a network that changes after it was traced fails it."""
    tracing = export.trace

    def traced(module: Any, *args: Any) -> Any:
        graph = tracing(module, *args)
        with torch.no_grad():
            module.network.regressor.out.bias[0] += 1e-3
        return graph

    monkeypatch.setattr(export, "trace", traced)
    settings = export.open_settings(KINDS["hand21"], 8)
    with pytest.raises(BundleError, match=r"parity gate: posebert: `\w+` differs by"):
        export.export_open(
            trained(small("hand21")),
            tmp_path / "x" / "out",
            name="h",
            version="1",
            provenance={},
            settings=settings,
        )
    assert not any((tmp_path / "x").iterdir())
