"""The network of a bundle is that from which the bundle was made, as exact as it stores it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from humanrt.bundle import MANIFEST, load_bundle
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.conversion.multihmr_anny_recovered import is_bundle, network_of, network_of_bundle
from humanrt_export.networks.camera import default_intrinsics
from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr, NetworkOutput, save_checkpoint

SHIPPED = Path(__file__).parents[3] / "engines" / "multihmr-anny"


@pytest.fixture(scope="module")
def recovered() -> tuple[AnnyHmr, dict[str, str]]:
    return network_of_bundle(SHIPPED)


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


def test_a_checkpoint_is_read_as_ever(recovered: tuple[AnnyHmr, dict[str, str]], tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "weights.pt", recovered[0], recovered[1])
    assert is_bundle(SHIPPED)
    assert not is_bundle(path)
    again, about = network_of(path)
    assert about == recovered[1]
    for name, value in recovered[0].state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_what_cannot_be_recovered_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(SHIPPED, folder)
    manifest = json.loads((folder / MANIFEST).read_text())

    def refused(training: str | None) -> str:
        weights = {} if training is None else {"training": training}
        changed = {**manifest, "provenance": {**manifest["provenance"], "weights": weights}}
        (folder / MANIFEST).write_text(json.dumps(changed))
        with pytest.raises(CheckpointError) as caught:
            network_of_bundle(folder)
        return str(caught.value)

    assert "give the checkpoint that it was made from" in refused(None)
    assert "give the checkpoint that it was made from" in refused("long ago")
    settings = json.loads(manifest["provenance"]["weights"]["training"])["task"]["settings"]
    other = {**settings, "backbone": AnnyConfig.backbone}
    assert "layers of dinov2_vits14 were merged" in refused(json.dumps({"task": {"settings": other}}))
    wider = {**settings, "width": 256, "heads": 4}
    assert "the settings are not its own" in refused(json.dumps({"task": {"settings": wider}}))
