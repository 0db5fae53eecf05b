"""Numbers of benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np


def test_peak_memory_is_this_process_own() -> None:
    """A parent's memory does not count, though `getrusage` of a forked process begins with it."""
    held = np.ones(300_000_000, np.uint8)
    command = "from humanrt.stats import peak_memory; print(peak_memory())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, env=environment)
    assert 5e6 < int(done.stdout) < held.nbytes
