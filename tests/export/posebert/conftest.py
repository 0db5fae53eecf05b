"""Fixtures of the PoseBERT export tests. Without the extra `export` there is nothing to test here."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnxscript") is None:
    collect_ignore_glob = ["test_*.py"]

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden"


@dataclass(frozen=True)
class GoldenCase:
    """One recorded case of shared/golden, its checkpoint rebuilt as the authors save it."""

    checkpoint: Path
    state: dict[str, Any]
    given: dict[str, NDArray[Any]]
    mask: NDArray[np.bool_]
    output: NDArray[np.float32]


@pytest.fixture(scope="session")
def golden_case(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], GoldenCase]:
    """Rebuilds a case by its name."""
    if not GOLDEN.is_dir():
        pytest.skip(f"{GOLDEN} is not here: it is shared with developers and CI only")

    def build(name: str) -> GoldenCase:
        import torch

        settings = json.loads((GOLDEN / f"{name}.json").read_text())
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            expected = dict(arrays)
        spec = importlib.util.spec_from_file_location("stand_in_weights", GOLDEN / "stand_in_weights.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        state = {}
        for key, shape in settings["keys"].items():
            if "init_" in key:
                value = expected["ckpt_" + key.rpartition(".")[2]]
            else:
                # What comes after the last `.2.`: that renames `decoder.layers.2.0.<rest>` too.
                source = "decoder.layers.0.2." + key.rpartition(".2.")[2] if ".2." in key else key
                value = module.tensor_for(source, shape, settings["seed"])
            state[key] = torch.from_numpy(value)
        checkpoint = tmp_path_factory.mktemp(name) / f"{name}.pt"
        torch.save({"model_state_dict": state}, checkpoint)
        if "rotmat" in expected:
            given = {"rotations": expected["rotmat"]}
        else:
            given = {"root": expected["root"], "keypoints": expected["rel"]}
        return GoldenCase(checkpoint, state, given, expected["mask"], expected["output"])

    return build
