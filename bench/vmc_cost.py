"""What sending people by VMC costs: python bench/vmc_cost.py [--people 4] [--frames 300]."""

from __future__ import annotations

import argparse
import socket
import time
from types import SimpleNamespace

import numpy as np

from humanrt.bundle import load_bundle
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.outputs.senders import open_sender
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.people.rig import open_rig

parser = argparse.ArgumentParser()
parser.add_argument("--people", type=int, default=4)
parser.add_argument("--frames", type=int, default=300)
options = parser.parse_args()
rng = np.random.default_rng(0)
n = options.people
with open_rig(load_bundle("holistic")) as rig, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind(("127.0.0.1", 0))
    port = receiver.getsockname()[1]
    header = {"bones": list(rig.bones), "rest": rig.rest(), "expression_units": list(rig.expression_units)}
    senders = [open_sender(f"vmc://127.0.0.1:{port}?person={k + 1}") for k in range(n)]
    for sender in senders:
        sender.start(header)
    spent = []
    for k in range(options.frames):
        people = People(
            scores=np.ones(n, np.float32),
            locations=np.zeros((n, 2), np.float32),
            translations=rng.normal(0, 1, (n, 3)).astype(np.float32),
            rotations=matrices_from_vectors(rng.normal(0, 0.3, (n, len(rig.bones), 3))).astype(np.float32),
            shape=np.tile(rig.default_shape, (n, 1)).astype(np.float32),
            expression=rng.uniform(0, 1, (n, len(rig.expression_units))).astype(np.float32),
            intrinsics=np.eye(3),
        )
        result = PeopleResult(SimpleNamespace(t=k / 60), people, tuple(range(1, n + 1)), (), {})  # type: ignore[arg-type]
        start = time.thread_time()
        for sender in senders:
            sender.put(result, None)
        spent.append(1000 * (time.thread_time() - start))
    for sender in senders:
        sender.close()
print(f"{n} people: {np.median(spent):.2f} ms of processor time a frame (p95 {np.percentile(spent, 95):.2f})")
