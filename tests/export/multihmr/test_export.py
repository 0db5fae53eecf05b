"""The export as a command: what it refuses, and that it then leaves nothing behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from multihmr_stand_ins import official_args, official_state

from humanrt.errors import BundleError, HumanrtError
from humanrt_export.bodies.smplx import SmplxBody, find_smplx, load_smplx
from humanrt_export.commands import multihmr as command
from humanrt_export.conversion import multihmr_smplx as export
from humanrt_export.conversion.multihmr_checkpoint import CheckpointError, load_checkpoint
from humanrt_export.conversion.multihmr_graphs import probe_image
from humanrt_export.networks.multihmr import ModelConfig
from humanrt_export.options import parse


def test_the_command_refuses_in_one_line_and_writes_nothing(smplx_folder: Path, tmp_path: Path) -> None:
    checkpoint, out = tmp_path / "noise.pt", tmp_path / "out"
    options = ("--body-models", str(smplx_folder), "--out", str(out))
    with pytest.raises(CheckpointError, match="no such file"):
        run(str(checkpoint), *options)
    config = ModelConfig("dinov2_vits14", 42)
    torch.save({"args": official_args(config), "model_state_dict": official_state(config)}, checkpoint)
    with pytest.raises(BundleError, match="1 to 9 slots"):
        run(str(checkpoint), *options, "--max-people", "10")
    with pytest.raises(BundleError, match="batch"):
        run(str(checkpoint), *options, "--max-people", "3", "--batch", "0")
    with pytest.raises(HumanrtError, match="SMPLX_NEUTRAL"):
        run(str(checkpoint), "--body-models", str(tmp_path), "--out", str(out))
    with pytest.raises(HumanrtError, match="--body-models is missing"):
        run(str(checkpoint), "--out", str(out))
    assert not out.exists()


def run(*words: str) -> int:
    return command.run(parse(command.CONFIG, words))


@pytest.mark.slow
def test_a_graph_that_is_not_the_network_stops_the_export(
    smplx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate is real: with no tolerance at all, rounding alone fails it."""
    checkpoint, out = tmp_path / "noise.pt", tmp_path / "bundles" / "out"
    config = ModelConfig("dinov2_vits14", 42)
    torch.save({"args": official_args(config), "model_state_dict": official_state(config)}, checkpoint)
    monkeypatch.setitem(export.TOLERANCES, "rotations", (1e-12, "matrix entry"))
    with pytest.raises(BundleError, match=r"parity gate: network: `rotations` differs"):
        export.export_multihmr(checkpoint, smplx_folder, out, max_people=4)
    assert not out.exists()
    assert not any(out.parent.iterdir())


@pytest.mark.parametrize("name", ["network", "network-cpu-int16"])
def test_a_graph_that_returns_nan_fails_and_so_does_a_probe_of_nobody(
    smplx_folder: Path, tmp_path: Path, name: str
) -> None:
    slots, config = 4, ModelConfig("dinov2_vits14", 42)
    torch.save({"args": official_args(config), "model_state_dict": official_state(config)}, tmp_path / "noise.pt")
    model = load_checkpoint(tmp_path / "noise.pt")
    body = SmplxBody(load_smplx(find_smplx(smplx_folder), config.num_betas)).eval()
    with torch.inference_mode():
        seen = probe_image(model.backbone, model.detection, config, export.window_of(config, None), 1, slots)
        probe = export._probe(model, body, seen, slots)
        above = export._probe(model, body, replace(seen, threshold=torch.full((1,), 1.5)), slots)

    def judged(probe: export._Probe, **broken: float) -> dict[str, Any]:
        def graph(feeds: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
            with torch.inference_mode():
                found = model(*(torch.from_numpy(value) for value in feeds.values()), slots)
            outputs = {key: value.numpy().copy() for key, value in found._asdict().items()}
            for key, value in broken.items():
                outputs[key][0, 0] += value
            return outputs

        if name == "network":
            return export._verdict(name, graph, body, probe)
        return export._optional_verdict(name, graph, body, [probe])

    assert judged(probe)["passed"]
    for output in ("rotations", "translation", "expression"):
        verdict = judged(probe, **{output: np.nan})
        assert not verdict["passed"], output
        assert "not finite" in verdict["reason"]
    nobody = judged(above)
    assert not nobody["passed"]
    assert "nobody" in nobody["reason"]
