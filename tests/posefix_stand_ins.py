"""Checkpoints of PoseFix in the published layout, with random numbers: of any size, and those of the golden cases."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"

Shapes = dict[str, tuple[int, ...]]


def golden(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray], ModuleType]:
    """A recorded case: its JSON, its arrays, and the module that makes its weights. Skips where absent."""
    if not GOLDEN.is_dir():
        pytest.skip(f"{GOLDEN} is not here: it is shared with developers and CI only")
    case = json.loads((GOLDEN / f"{name}.json").read_text())
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        recorded = dict(arrays)
    sys.path.insert(0, str(GOLDEN))
    try:
        spec = importlib.util.spec_from_file_location("stand_in_posefix", GOLDEN / "stand_in_posefix.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(GOLDEN))
    return case, recorded, module


def write(path: Path, state: Mapping[str, np.ndarray], args: Mapping[str, Any]) -> Path:
    """Write a checkpoint as the authors do; returns its file."""
    import torch

    model = {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}
    torch.save({"epoch": 0, "model": model, "args": argparse.Namespace(**args)}, path)
    return path


def golden_checkpoint(folder: Path, case: Mapping[str, Any], module: ModuleType) -> Path:
    """Write a recorded case's checkpoint."""
    return write(folder / "best_model.pth", module.checkpoint(case), case["args"])
