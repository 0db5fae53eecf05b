"""Recorded cases of ../shared/golden: what the published code computed, and the modules that make its weights."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"


def golden_case(name: str, stand_in: str) -> tuple[dict[str, Any], dict[str, np.ndarray], ModuleType]:
    """Return a recorded case: its JSON, its arrays, and the module that makes its weights and inputs.

    Skips the test where the folder is absent.
    """
    if not GOLDEN.is_dir():
        pytest.skip(f"{GOLDEN} is not here: it is shared with developers and CI only")
    case = json.loads((GOLDEN / f"{name}.json").read_text())
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        recorded = dict(arrays)
    sys.path.insert(0, str(GOLDEN))
    try:
        spec = importlib.util.spec_from_file_location(stand_in, GOLDEN / f"{stand_in}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(GOLDEN))
    return case, recorded, module
