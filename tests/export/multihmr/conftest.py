"""Fixtures of the Multi-HMR tests. Without the extra `export` there is nothing to test here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnxscript") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from multihmr_stand_ins import smplx_arrays


@pytest.fixture(scope="session")
def smplx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as users have it: smplx/SMPLX_NEUTRAL.npz."""
    folder: Path = tmp_path_factory.mktemp("bodies")
    (folder / "smplx").mkdir()
    np.savez(folder / "smplx" / "SMPLX_NEUTRAL.npz", **smplx_arrays())
    return folder
