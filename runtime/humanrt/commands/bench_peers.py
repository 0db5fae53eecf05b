"""Other software for the same task, for the rows of ``humanrt bench ... --all``: what is installed beside humanrt.

Each is measured on the same frames in a process of its own, which `humanrt.commands.bench_all` starts:

    python -m humanrt.commands.bench_peers mediapipe people SOURCE --max-frames 60 --warmup 3 --repeat 3 --out FILE

They give keypoints, where bundles for people give meshes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata, util
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.sources.opening import open_source
from humanrt.stats import Percentiles, peak_memory, write_report

__all__ = ["PEERS", "Peer", "installed", "measure"]

Process = Callable[[NDArray[np.uint8]], object]
"""Process a frame, uint8 RGB [H, W, 3]."""


@dataclass(frozen=True)
class Peer:
    """Software that is compared with.

    Attributes:
        package: its name on PyPI, and of its module.
        opens: opens it for a task, by the task's name; the argument is the maximum number of hands.
    """

    package: str
    opens: Mapping[str, Callable[[int], Process]]


def _mediapipe(solution: str, **options: Any) -> Process:
    found = getattr(getattr(import_module("mediapipe"), "solutions", None), solution, None)
    if found is None:
        raise HumanrtError(
            f"mediapipe {metadata.version('mediapipe')} has no `solutions.{solution}`, and its tasks need files of "
            "models; for this row: pip install mediapipe==0.10.21"
        )
    process: Process = getattr(found, solution.capitalize())(**options).process
    return process


def _rtmlib(solution: str) -> Process:
    try:
        model = getattr(import_module("rtmlib"), solution)(backend="onnxruntime", device="cpu")
    except Exception as error:  # whatever its download or its reader raises
        raise HumanrtError(f"rtmlib, which fetches its networks at first use, does not start: {error}") from error
    return lambda rgb: model(np.ascontiguousarray(rgb[..., ::-1]))


PEERS: Mapping[str, Peer] = {
    peer.package: peer
    for peer in (
        Peer(
            "mediapipe",
            {
                "hands": lambda hands: _mediapipe("hands", max_num_hands=hands),
                "people": lambda _: _mediapipe("holistic"),
            },
        ),
        Peer("rtmlib", {"hands": lambda _: _rtmlib("Hand"), "people": lambda _: _rtmlib("Wholebody")}),
    )
}
"""All peers by the name of their package, as they come: MediaPipe's Hands and Holistic of complexity 1, rtmlib's Hand
and balanced Wholebody."""


def installed(task: str) -> dict[str, str]:
    """Return the versions of the peers that are installed and do a task, by name."""
    fitting = [name for name, peer in PEERS.items() if task in peer.opens and util.find_spec(name) is not None]
    return {name: metadata.version(name) for name in fitting}


def measure(
    name: str, task: str, source: str, *, max_frames: int, warmup: int, repeat: int, max_hands: int = 1
) -> dict[str, Any]:
    """Return what a peer costs on a source, with the keys of a report of ``humanrt bench``.

    Args:
        name, task: a peer, and a task that it does.
        source: file of pictures.
        max_frames, warmup, repeat, max_hands: as for ``humanrt bench``.

    Raises:
        HumanrtError: there is no such peer for the task, it does not start, or the source cannot be read.
    """
    if name not in PEERS or task not in PEERS[name].opens:
        raise HumanrtError(f"`{name}` is not compared in {task}; choose one of: {choices(PEERS)}")
    with open_source(source) as opened:
        frames = [frame.image for _, frame in zip(range(max_frames), opened, strict=False)]
    if not frames:
        raise HumanrtError(f"{source}: holds no frame")
    start = perf_counter()
    process = PEERS[name].opens[task](max_hands)
    ready = perf_counter()
    process(frames[0])
    cold = {"open_ms": (ready - start) * 1e3, "first_frame_ms": (perf_counter() - ready) * 1e3}
    for frame in frames[:warmup]:
        process(frame)
    times = []
    for _ in range(repeat):
        for frame in frames:
            begin = perf_counter()
            process(frame)
            times.append((perf_counter() - begin) * 1e3)
    return {
        "bench": task,
        "frames": len(frames),
        "stages": {"total": Percentiles.of(times).as_dict()},
        "cold": cold,
        "peak_memory_bytes": peak_memory(),
        "replayed_bytes": sum(frame.nbytes for frame in frames),
    }


def main() -> None:
    """Measure one peer, and write the report."""
    parser = argparse.ArgumentParser(prog="humanrt bench", description=__doc__)
    parser.add_argument("name", choices=list(PEERS))
    parser.add_argument("task")
    parser.add_argument("source")
    for option, value in (("max-frames", 60), ("warmup", 3), ("repeat", 3), ("max-hands", 1)):
        parser.add_argument(f"--{option}", type=int, default=value)
    parser.add_argument("--out", type=Path, required=True)
    values = vars(parser.parse_args())
    out = values.pop("out")
    try:
        report = measure(**values)
    except HumanrtError as error:
        parser.exit(2, f"humanrt bench: {' '.join(str(error).split())}\n")
    write_report(out, report)


if __name__ == "__main__":
    main()
