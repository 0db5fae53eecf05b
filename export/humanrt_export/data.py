"""``humanrt-export data``: makes training data. ``data people``: pictures of people with exact truth, in shards."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from humanrt.backends.engines import write_atomically
from humanrt.errors import HumanrtError, OutputError
from humanrt_export.anny.model import load_anny
from humanrt_export.synthetic.people import STYLES, EngineOptions, PeopleEngine, PeopleSample, ShardWriter
from humanrt_export.synthetic.people.engine import KINDS
from humanrt_export.synthetic.people.poses import PARTS
from humanrt_export.synthetic.people.sheet import labelled, sheet
from humanrt_export.synthetic.people.style import find_style

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    kinds = parser.add_subparsers(dest="kind", metavar="DATA", required=True)
    people = kinds.add_parser(
        "people",
        help="pictures of people with exact truth",
        description="Pictures of 0 to 10 people, Anny bodies, with exact truth. The same command goes on where it was.",
    )
    add, default = people.add_argument, EngineOptions()
    add("--out", type=Path, metavar="DIR", help="folder of shards; if it exists, what is missing is made")
    add("--sheet", type=Path, metavar="FILE", help="draw samples with their labels into this picture (.png, .jpg)")
    add("--count", type=int, required=True, help="samples (pairs, with --pairs)")
    add("--from", type=int, default=0, dest="first", metavar="I", help="index of the first (default: 0)")
    add("--seed", type=int, default=default.seed, help="with an index, it decides a sample (default: %(default)s)")
    add("--size", type=int, default=default.size, help="side of the pictures in px (default: %(default)s)")
    add("--most", type=int, default=default.most, help="people in a picture, 0 to 10 (default: %(default)s)")
    add("--motions", type=Path, metavar="PATH", help="recordings: file, folder or archive; else joint limits alone")
    add("--part", choices=PARTS, default=default.part, help="of the recordings (default: %(default)s; val: held out)")
    add("--backgrounds", type=Path, metavar="DIR", help="photographs for backgrounds, beside the procedural ones")
    add("--style", default=default.style.name, help=f"looks: {', '.join(sorted(STYLES))} (default: %(default)s)")
    add("--pairs", choices=KINDS, help="the same people twice: two cameras, or two instants; samples 2i and 2i + 1")
    add("--shard", type=int, default=128, help="samples in a file, even (default: %(default)s)")
    add("--quality", type=int, default=95, help="of the images' JPEG; 0: PNG, without loss (default: %(default)s)")
    add("--plain", action="store_true", help="no labels on the sheet")
    add("--columns", type=int, default=8, help="of the sheet (default: %(default)s)")
    add("--threads", type=int, default=1, help="of the CPU (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Make data."""
    _check(arguments)
    # llvmpipe, where there is no GPU, takes as many threads as there are cores if it is not told.
    os.environ.setdefault("LP_NUM_THREADS", str(arguments.threads))
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    options = EngineOptions(
        size=arguments.size,
        seed=arguments.seed,
        most=arguments.most,
        motions=arguments.motions,
        part=arguments.part,
        backgrounds=arguments.backgrounds,
        style=find_style(arguments.style),
    )
    with PeopleEngine(options) as engine:
        if arguments.sheet:
            _draw_sheet(engine, arguments)
        if arguments.out:
            _write(engine, arguments)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if not (arguments.out or arguments.sheet):
        raise HumanrtError("nothing to do: give --out DIR for shards, --sheet FILE for a picture, or both")
    for name, least, most in (("count", 1, 10**7), ("first", 0, 10**9), ("shard", 2, 4096), ("quality", 0, 100)):
        value = getattr(arguments, name)
        if not least <= value <= most:
            raise HumanrtError(f"--{'from' if name == 'first' else name} is {value}; need {least} to {most}")
    if arguments.shard % 2:
        raise HumanrtError(f"--shard is {arguments.shard}; need an even number, so that pairs stay together")
    if arguments.threads < 1 or arguments.columns < 1:
        raise HumanrtError("--threads and --columns must be at least 1")
    if arguments.sheet and arguments.sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise HumanrtError(f"--sheet {arguments.sheet}: need a name that ends in .png or .jpg")


def _make(engine: PeopleEngine, pairs: Any, index: int) -> PeopleSample:
    """Sample ``index``; of pairs, sample 2i and 2i + 1 are the pair i."""
    return engine.pair(index // 2, pairs)[index % 2] if pairs else engine.sample(index)


def _draw_sheet(engine: PeopleEngine, arguments: argparse.Namespace) -> None:
    parents = load_anny("10pc").parents.tolist()
    times = 2 if arguments.pairs else 1
    samples = [
        _make(engine, arguments.pairs, index)
        for index in range(times * arguments.first, times * (arguments.first + arguments.count))
    ]
    pictures = [sample.image if arguments.plain else labelled(sample, parents) for sample in samples]
    path: Path = arguments.sheet
    done, code = cv2.imencode(path.suffix, sheet(pictures, arguments.columns)[..., ::-1])
    if not done:
        raise OutputError(f"{path}: {len(pictures)} pictures of {arguments.size} px are too many for one sheet")
    write_atomically(path, np.asarray(code).tobytes())


def _write(engine: PeopleEngine, arguments: argparse.Namespace) -> None:
    times = 2 if arguments.pairs else 1
    about = engine.options.about() | {"pairs": arguments.pairs, "joint_names": list(engine.joint_names)}
    writer = ShardWriter(arguments.out, about, arguments.shard, arguments.quality)
    start, made, people = time.monotonic(), 0, 0
    total = times * arguments.count
    for number, indices in writer.missing(times * arguments.first, total):
        samples: list[PeopleSample] = []
        for index in indices:
            samples.append(_make(engine, arguments.pairs, index))
            made, people = made + 1, people + len(samples[-1].people)
            _tell(f"{made} images, {made / (time.monotonic() - start):.1f} a second, {people / made:.1f} people each")
        writer.write(number, indices[0], samples)
        if not sys.stderr.isatty():
            print(
                f"{time.strftime('%H:%M:%S')} shard {number}: {made} images, "
                f"{made / (time.monotonic() - start):.1f} a second",
                flush=True,
            )
    _tell("\n" if made else "")
    print(f"{arguments.out}: {total} samples, {made} of them made now")


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(text if text in ("", "\n") else f"\r{text}")
        sys.stderr.flush()
