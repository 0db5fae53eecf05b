"""Soak test of the hand pipeline: do memory and latency stay flat over many frames of a real clip?

::

    python bench/soak_hands.py ../shared/media/hand.mp4 --frames 100000 --json soak.json

The clip is opened and decoded anew every round; its frames go through the pipeline (tracker, smoother, retargeting)
with its own time stamps, which go on rising from round to round. Between rounds the clock jumps by `--pause` seconds,
so that identities end and begin, as they do in front of a camera: state that outlives its identity would show as memory
that grows. Latency is the pipeline's, without decoding.

One row a block of frames: resident memory at its end, Python objects alive then, and latency of a frame, as wall time
and as processor time of the calling thread. Other work on the machine disturbs wall time; with `--threads 1`, all work
is the calling thread's, and its processor time is close to what a quiet machine would show.

Exit status 1 where the second half of the blocks needs more memory or time than the first, beyond `--tolerance`.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter, thread_time
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from humanrt.data import CLIP
from humanrt.errors import HumanrtError, SourceError
from humanrt.hands.pipeline import HandPipeline
from humanrt.hands.smoothers import SMOOTHERS, open_smoother
from humanrt.hands.tracker import HandTracker
from humanrt.sources.opening import Frame, open_source
from humanrt.stats import machine, write_report
from humanrt_export.entry import run_module
from humanrt_export.options import Option, parse


@dataclass(frozen=True, kw_only=True)
class SoakOptions:
    """Options of the soak test.

    Attributes:
        source: a video file.
        frames: in all.
        block: frames a row.
        pause: s between rounds.
        robot: hands to move.
        smooth: of hands.
        threads: CPU threads of a network.
        tolerance: growth still called flat.
        json: write the figures.
    """

    source: Annotated[str, Option(positional=True, metavar="SOURCE")] = str(CLIP)
    frames: int = 100_000
    block: int = 10_000
    pause: float = 2.0
    robot: tuple[str, ...] = ("allegro_right",)
    smooth: Annotated[str, Option(choices=SMOOTHERS)] = SMOOTHERS[0]
    threads: int = 1
    tolerance: float = 0.1
    json: Path | None = None

    def __post_init__(self) -> None:
        if self.frames < 1 or self.block < 1:
            raise HumanrtError("--frames and --block must be at least 1")


def main() -> int:
    options = parse(SoakOptions, text=__doc__)
    tracker = HandTracker(threads=options.threads)
    with HandPipeline(tracker, options.robot, open_smoother(options.smooth, tracker)) as pipeline:
        blocks = soak(pipeline, options)
    report = {
        "source": Path(options.source).name,
        "frames": options.frames,
        "robots": options.robot,
        "smooth": options.smooth,
        "threads": options.threads,
        "machine": machine(),
        "blocks": [block.row() for block in blocks],
        **growth(blocks),
    }
    if options.json:
        write_report(options.json, report)
    memory, time = report["memory_growth"], report["p99_growth"]
    print(f"\nfrom the first half to the second: memory {memory:+.1%}, p99 of the processor's time {time:+.1%}")
    return int(max(memory, time) > options.tolerance)


@dataclass(frozen=True)
class Block:
    """Figures of some frames in a row; times in ms."""

    end: int
    resident_mb: float
    objects: int
    identities: int
    wall: tuple[float, float, float]
    cpu: tuple[float, float, float]

    def row(self) -> dict[str, Any]:
        """The figures by name, for JSON."""
        names = ("p50", "p99", "max")
        return {
            "frames": self.end,
            "resident_mb": self.resident_mb,
            "objects": self.objects,
            "identities": self.identities,
            "wall_ms": dict(zip(names, self.wall, strict=True)),
            "cpu_ms": dict(zip(names, self.cpu, strict=True)),
        }


def played(source: str, pause: float) -> Iterator[Frame]:
    """The clip's frames, round after round without end; stamps go on rising. SourceError: a camera, or empty."""
    index, start = 0, 0.0
    while True:
        t = None
        with open_source(source, realtime=False) as opened:
            if opened.live:
                raise SourceError(f"{source}: a soak needs a file; record one first")
            for frame in opened:
                t = start + frame.t
                yield replace(frame, index=index, t=t)
                index += 1
        if t is None:
            raise SourceError(f"{source}: holds no frame")
        start = t + pause


def soak(pipeline: HandPipeline, options: SoakOptions) -> list[Block]:
    """Run the frames and print a row a block."""
    print("| frames | resident MB | objects | identities | p50 ms | p99 ms | max ms | CPU p50 | CPU p99 |")
    print("| ---: |" + " ---: |" * 8)
    wall, cpu = np.empty(options.block), np.empty(options.block)
    blocks: list[Block] = []
    identities = used = 0
    for frame in islice(played(options.source, options.pause), options.frames):
        begin, busy = perf_counter(), thread_time()
        result = pipeline(frame)
        cpu[used], wall[used] = (thread_time() - busy) * 1e3, (perf_counter() - begin) * 1e3
        identities = max(identities, *result.ids, 0)
        used += 1
        if used == options.block or frame.index + 1 == options.frames:
            block = measured(frame.index + 1, identities, wall[:used], cpu[:used])
            milliseconds = " | ".join(f"{value:.2f}" for value in (*block.wall, *block.cpu[:2]))
            print(
                f"| {block.end} | {block.resident_mb:.1f} | {block.objects} | {identities} | {milliseconds} |",
                flush=True,
            )
            blocks.append(block)
            used = 0
    return blocks


def measured(end: int, identities: int, wall: NDArray[np.float64], cpu: NDArray[np.float64]) -> Block:
    """The row of a block that ends here."""
    gc.collect()
    times = [(*np.percentile(values, (50, 99)).tolist(), float(values.max())) for values in (wall, cpu)]
    return Block(end, resident(), len(gc.get_objects()), identities, *times)


def growth(blocks: list[Block]) -> dict[str, float]:
    """Relative growth of memory and of the p99 of processor time, from the first half of the blocks to the second.

    The first block counts for neither: caches and allocators fill up in it.
    """
    rest = blocks[1:] if len(blocks) > 2 else blocks
    first, second = rest[: max(1, len(rest) // 2)], rest[len(rest) // 2 :]
    memory = [float(np.mean([b.resident_mb for b in half])) for half in (first, second)]
    late = [float(np.median([b.cpu[1] for b in half])) for half in (first, second)]
    return {"memory_growth": memory[1] / memory[0] - 1, "p99_growth": late[1] / late[0] - 1}


def resident() -> float:
    """Memory that this process holds now, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    run_module(main)
