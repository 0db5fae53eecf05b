"""Bundles of Multi-HMR, each exported once a run: the golden cases, and a small one of noise.

For the tests of the exporter and those of the runtime.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from once import made_once

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"
CASES = ("multihmr_224_s_batch2", "multihmr_448_s")


@dataclass(frozen=True)
class Golden:
    """A recorded case (`multihmr_stand_ins.GoldenCase`) and the bundle of its checkpoint."""

    case: Any
    bundle: Path


@pytest.fixture(scope="session")
def golden_bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the body model that the cases were recorded with."""
    if not GOLDEN.is_dir():
        pytest.skip(f"{GOLDEN} is not here: it is shared with developers and CI only")
    folder: Path = tmp_path_factory.mktemp("golden-bodies")
    load_module(GOLDEN / "stand_in_smplx.py").write(folder)
    return folder


@pytest.fixture(scope="session")
def make_golden(golden_bodies: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Golden]:
    """A case by its name: checkpoint file in the official format -> exporter -> bundle. Each is made once."""
    made: dict[str, Golden] = {}

    def make(name: str) -> Golden:
        from humanrt_export.conversion.multihmr_smplx import export_multihmr

        if name not in made:
            case = case_of(name, golden_bodies, tmp_path_factory.mktemp(name))

            def export(folder: Path) -> Path:
                return export_multihmr(case.checkpoint, case.bodies, folder / name, batch=case.settings["batch"])

            made[name] = Golden(case, made_once(tmp_path_factory, name, export))
        return made[name]

    return make


@pytest.fixture(scope="session", params=CASES)
def golden(request: pytest.FixtureRequest) -> Golden:
    """Each case."""
    for package in ("torch", "onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: needs what exports")
    make: Callable[[str], Golden] = request.getfixturevalue("make_golden")
    return make(request.param)


@dataclass(frozen=True)
class SmallMultiHmr:
    """A Multi-HMR of noise on a stand-in for SMPL-X: ViT-B, 112 px, 11 betas, 5 slots, two images at a time.

    Of the twelve blocks of its backbone there are two: each takes seconds to export.
    """

    model: Any
    bundle: Path


@pytest.fixture(scope="session")
def small_multihmr(tmp_path_factory: pytest.TempPathFactory) -> SmallMultiHmr:
    for package in ("torch", "onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: needs what exports")
    import torch
    from multihmr_stand_ins import official_args, official_state, smplx_arrays

    from humanrt_export.conversion.multihmr_checkpoint import load_checkpoint
    from humanrt_export.conversion.multihmr_smplx import export_multihmr
    from humanrt_export.networks.backbone import BACKBONES
    from humanrt_export.networks.multihmr import ModelConfig

    def export(folder: Path) -> Path:
        config = ModelConfig("dinov2_vitb14", 112, 11)
        torch.save({"args": official_args(config), "model_state_dict": official_state(config)}, folder / "noise.pt")
        (folder / "smplx").mkdir()
        np.savez(folder / "smplx" / "SMPLX_NEUTRAL.npz", **smplx_arrays())
        return export_multihmr(folder / "noise.pt", folder, folder / "bundle", max_people=5, batch=2)

    with pytest.MonkeyPatch.context() as patch:
        width, _, heads = BACKBONES["dinov2_vitb14"]
        patch.setitem(BACKBONES, "dinov2_vitb14", (width, 2, heads))
        bundle = made_once(tmp_path_factory, "multihmr-small", export)
        return SmallMultiHmr(load_checkpoint(bundle.parent / "noise.pt"), bundle)


def case_of(name: str, bodies: Path, folder: Path) -> Any:
    import torch
    from multihmr_stand_ins import GoldenCase, official_args

    from humanrt_export.networks.multihmr import ModelConfig

    settings = json.loads((GOLDEN / f"{name}.json").read_text())
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        expected = dict(arrays)
    tensor_for = load_module(GOLDEN / "stand_in_weights.py").tensor_for
    state = {
        key: torch.from_numpy(
            expected["ckpt_" + key.rpartition(".")[2]] if "init_" in key else tensor_for(key, shape, settings["seed"])
        )
        for key, shape in settings["keys"].items()
    }
    config = ModelConfig(settings["backbone"], settings["img_size"], settings["num_betas"])
    checkpoint = folder / f"{name}.pt"
    torch.save({"args": official_args(config), "model_state_dict": state}, checkpoint)
    shape = (settings["batch"], 3, settings["img_size"], settings["img_size"])
    noise = np.random.RandomState(settings["image_seed"]).standard_normal(shape).astype(np.float32)
    image = torch.nn.functional.avg_pool2d(torch.from_numpy(noise), 9, stride=1, padding=4) * 4
    return GoldenCase(settings, expected, checkpoint, bodies, image.numpy())


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
