"""How many updates a second the page in the browser gets, and what they cost: python bench/viewer_rate.py [--people 3].

A plain websocket client stands for the browser: it counts the batches of messages that arrive, each an update of all
people, for some seconds while the stage shows people in motion as fast as `--rate` asks for. Processor time is of the
whole server process, its serialisation and sending included.
"""

from __future__ import annotations

import argparse
import threading
import time

import numpy as np
import viser
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from humanrt.bundle import load_bundle
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import world_rotations
from humanrt.people.rig import open_rig
from humanrt.stats import machine
from humanrt.viewing.stage import Body, Stage

parser = argparse.ArgumentParser()
parser.add_argument("--people", type=int, default=3)
parser.add_argument("--seconds", type=float, default=5.0)
parser.add_argument("--rate", type=float, default=60.0, help="updates a second that are asked for")
options = parser.parse_args()
rng = np.random.default_rng(0)
PROTOCOL = [Subprotocol(f"viser-v{viser.__version__}")]
received: list[tuple[float, int]] = []


def listen(url: str, ready: threading.Event, stop: threading.Event) -> None:
    """Take what the server sends, as a browser does."""
    with connect(url.replace("http", "ws"), subprotocols=PROTOCOL, max_size=None, compression=None) as socket:
        ready.set()
        while not stop.is_set():
            try:
                received.append((time.perf_counter(), len(socket.recv(timeout=0.2))))
            except TimeoutError:
                continue


with open_rig(load_bundle("holistic")) as rig, Stage(0, rig) as stage:
    rest = rig.rest()

    def bodies(t: float) -> dict[int, Body]:
        """People who wave all their bones."""
        people = {}
        for k in range(options.people):
            vectors = np.sin(3 * t + np.arange(len(rig.bones))[:, None] + k) * 0.1 * np.ones(3)
            turns = world_rotations(matrices_from_vectors(vectors), rig.parents)
            people[k + 1] = Body(
                rig.tree.positions(rest, turns, np.array([k - 1.0, 0.0, 4.0])), turns, rig.default_shape
            )
        return people

    stage.show_people(bodies(0.0))
    ready, stop = threading.Event(), threading.Event()
    client = threading.Thread(target=listen, args=(stage.url, ready, stop))
    client.start()
    ready.wait(10)
    time.sleep(2.0)  # the meshes
    received.clear()
    start, spent = time.perf_counter(), time.process_time()
    shown = 0
    while (now := time.perf_counter() - start) < options.seconds:
        stage.show_people(bodies(now))
        shown += 1
        time.sleep(max(0.0, shown / options.rate - (time.perf_counter() - start)))
    seconds, cost = time.perf_counter() - start, time.process_time() - spent
    time.sleep(0.3)
    stop.set()
    client.join()
size = np.mean([size for _, size in received]) / 1000
print(
    f"{options.people} people: {shown / seconds:.1f} updates a second shown, {len(received) / seconds:.1f} batches a"
    f" second arrived ({size:.1f} kB each); {1000 * cost / shown:.1f} ms of processor time an update, client included;"
    f" {machine()['cpu']}"
)
