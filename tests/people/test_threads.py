"""The live loop computes on its own threads: BLAS's would wait in a busy loop, on cores that the networks need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from humanrt.kernels.products import combine, weighted_gram
from shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "runtime" / "humanrt" / "data"

# Follows a clip with networks of one thread, and prints the processor time of all other threads but the first, s.
_SCRIPT = """
import json, os, sys
from itertools import islice
import cv2
cv2.setNumThreads(1)
from humanrt.sources.opening import open_source
from humanrt.tasks import TASKS

def times():
    found = {}
    for thread in os.listdir("/proc/self/task"):
        fields = open(f"/proc/self/task/{thread}/stat").read().rpartition(")")[2].split()
        found[int(thread)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found

task, bundle, clip = sys.argv[1:]
with open_source(clip) as source:
    frames = list(islice(source, 25))  # now: decoding has threads of its own
with TASKS[task].open(bundle, "cpu", TASKS[task].options(), threads=1) as pipeline:
    for frame in frames:
        if frame.index == 5:
            before = times()
        pipeline(frame)
    after = times()
others = [seconds - before.get(thread, 0.0) for thread, seconds in after.items() if thread != os.getpid()]
print(json.dumps([after[os.getpid()] - before[os.getpid()], sum(others)]))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux' /proc")
@pytest.mark.parametrize(
    ("task", "bundle", "clip"),
    [
        ("people", "holistic", "demo_people.mp4"),
        ("people", "multihmr-anny", "demo_people.mp4"),
        ("hands", "hands", "demo_hand.mp4"),
    ],
)
def test_no_other_thread_works_when_networks_have_one(task: str, bundle: str, clip: str) -> None:
    shipped(bundle)
    command = [sys.executable, "-c", _SCRIPT, task, bundle, str(CLIPS / clip)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    own, others = json.loads(done.stdout)
    assert own > 0.1
    assert others <= 0.05 * own


def test_products_are_those_of_blas() -> None:
    rng = np.random.default_rng(3)
    design, weight, target = rng.normal(size=(58, 956)), rng.random(956), rng.normal(size=956)
    hessian, gradient = weighted_gram(design, weight, target)
    np.testing.assert_allclose(hessian, (design * weight) @ design.T, rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(gradient, (design * weight) @ target, rtol=1e-12, atol=1e-10)
    terms = rng.normal(size=(52, 478, 3))
    np.testing.assert_allclose(combine(weight[:52], terms), np.tensordot(weight[:52], terms, 1), rtol=1e-12, atol=1e-12)
