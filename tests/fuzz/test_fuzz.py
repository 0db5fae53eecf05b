"""Whatever a file holds, reading it ends in a result or one short line: no traceback, no hang, no flood of memory.

Each kind of file is damaged many times in a process of its own (`fuzz_worker`), which is watched. To look at one that
failed: ``python tests/fuzz/fuzz_worker.py TARGET SEED COUNT FOLDER INDEX``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("fuzz_worker.py")
TARGETS = ("manifests", "descriptions", "urdfs", "recordings", "checkpoints", "motions")
PEAK_MB = 1000
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is watched by Linux' means")


def fuzz(target: str, count: int, folder: Path, seed: int = 1) -> None:
    if target in ("checkpoints", "motions") and importlib.util.find_spec("torch") is None:
        pytest.skip("needs humanrt[export]")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(WORKER), target, str(seed), str(count), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + 5 * count, env=environment)
    assert done.returncode in (0, 1), f"ended by {done.returncode}: a hang or a crash\n{done.stderr[-3000:]}"
    *wrong, summary = map(json.loads, done.stdout.splitlines())
    assert not wrong, "\n".join(f"{one['index']}: {one['what']}" for one in wrong)
    assert summary["done"] == count
    assert summary["peak_mb"] < PEAK_MB, summary


@pytest.mark.parametrize("target", TARGETS)
def test_a_few_damaged_files(target: str, tmp_path: Path) -> None:
    fuzz(target, 20, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_damaged_files(target: str, tmp_path: Path) -> None:
    fuzz(target, 500, tmp_path)
