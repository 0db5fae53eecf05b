"""Fixtures of the Multi-HMR tests. Without the extra `export` there is nothing to test here."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnxscript") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    import torch
    from multihmr_stand_ins import GoldenCase, official_args, smplx_arrays

    from humanrt_export.multihmr.model import ModelConfig

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden"


@pytest.fixture(scope="session")
def smplx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as users have it: smplx/SMPLX_NEUTRAL.npz."""
    folder: Path = tmp_path_factory.mktemp("bodies")
    (folder / "smplx").mkdir()
    np.savez(folder / "smplx" / "SMPLX_NEUTRAL.npz", **smplx_arrays())
    return folder


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden_bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not GOLDEN.is_dir():
        pytest.skip(f"{GOLDEN} is not here: it is shared with developers and CI only")
    folder: Path = tmp_path_factory.mktemp("golden-bodies")
    _module(GOLDEN / "stand_in_smplx.py").write(folder)
    return folder


@pytest.fixture(scope="session")
def golden_case(golden_bodies: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], GoldenCase]:
    """Rebuilds a case by its name."""

    def build(name: str) -> GoldenCase:
        settings = json.loads((GOLDEN / f"{name}.json").read_text())
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            expected = dict(arrays)
        tensor_for = _module(GOLDEN / "stand_in_weights.py").tensor_for
        state = {
            key: torch.from_numpy(
                expected["ckpt_" + key.rpartition(".")[2]]
                if "init_" in key
                else tensor_for(key, shape, settings["seed"])
            )
            for key, shape in settings["keys"].items()
        }
        config = ModelConfig(settings["backbone"], settings["img_size"], settings["num_betas"])
        checkpoint = tmp_path_factory.mktemp(name) / f"{name}.pt"
        torch.save({"args": official_args(config), "model_state_dict": state}, checkpoint)
        shape = (settings["batch"], 3, settings["img_size"], settings["img_size"])
        noise = np.random.RandomState(settings["image_seed"]).standard_normal(shape).astype(np.float32)
        image = torch.nn.functional.avg_pool2d(torch.from_numpy(noise), 9, stride=1, padding=4) * 4
        return GoldenCase(settings, expected, checkpoint, golden_bodies, image.numpy())

    return build
