"""``humanrt-export data``: makes training data with exact truth.

``data people``: pictures of people, in shards; ``data film``: people who move before a standing camera, one video.

A film is ``NAME.mp4`` with ``NAME.npz`` beside it, of T frames with N people, everybody in all frames: t [T] s, fps,
intrinsics [3, 3] px, size (W, H) px, joint_names [J], clips [N] (which recordings, or gestures), and `PeopleLabels` by
name: rotations [T, N, R, 3, 3], shape [T, N, 6], translation [T, N, 3] m, joints [T, N, J, 3] m, joints_2d
[T, N, J, 2] px, visible [T, N].
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from humanrt.errors import HumanrtError, OutputError
from humanrt.files import write_atomically
from humanrt.outputs.video import open_sink
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.synthetic.people import STYLES, EngineOptions, PeopleEngine, PeopleLabels, PeopleSample, ShardWriter
from humanrt_export.synthetic.people.engine import KINDS, Kind
from humanrt_export.synthetic.people.film import draw_film, shoot_film
from humanrt_export.synthetic.people.poses import PARTS
from humanrt_export.synthetic.people.sheet import labelled, sheet
from humanrt_export.synthetic.people.style import find_style

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    kinds = parser.add_subparsers(dest="kind", metavar="DATA", required=True)
    people = kinds.add_parser(
        "people",
        help="pictures of people",
        description="Pictures of 0 to 10 people, Anny bodies, with exact truth. The same command goes on where it was.",
    )
    default = EngineOptions()
    add = people.add_argument
    add("--out", type=Path, metavar="DIR", help="folder of shards; if it exists, what is missing is made")
    add("--sheet", type=Path, metavar="FILE", help="draw samples with their labels into this picture (.png, .jpg)")
    add("--count", type=int, required=True, help="samples (pairs, with --pairs)")
    add("--from", type=int, default=0, dest="first", metavar="I", help="index of the first (default: 0)")
    add("--size", type=int, default=default.size, help="side of the pictures in px (default: %(default)s)")
    add("--most", type=int, default=default.most, help="people in a picture, 0 to 10 (default: %(default)s)")
    add("--pairs", choices=KINDS, help="the same people twice: two cameras, or two instants; samples 2i and 2i + 1")
    add("--shard", type=int, default=128, help="samples in a file, even (default: %(default)s)")
    add("--quality", type=int, default=95, help="of the images' JPEG; 0: PNG, without loss (default: %(default)s)")
    add("--plain", action="store_true", help="no labels on the sheet")
    add("--columns", type=int, default=8, help="of the sheet (default: %(default)s)")
    _scenes(people, default)
    film = kinds.add_parser(
        "film",
        help="a video of moving people",
        description="People who move (recordings; without any, gestures) before a camera that stands, and the truth.",
    )
    add = film.add_argument
    add("--out", type=Path, required=True, metavar="FILE", help="the video (.mp4); its truth gets the same name, .npz")
    add("--seconds", type=float, default=6.0, help="length (default: %(default)s)")
    add("--fps", type=float, default=30.0, help="frames a second (default: %(default)s)")
    add("--width", type=int, default=640, help="of the picture in px (default: %(default)s)")
    add("--height", type=int, default=480, help="of the picture in px (default: %(default)s)")
    add("--people", type=int, default=3, help="1 to 4 (default: %(default)s)")
    add("--index", type=int, default=0, help="which film of this seed (default: %(default)s)")
    _scenes(film, default)


def _scenes(parser: argparse.ArgumentParser, default: EngineOptions) -> None:
    """Options of all kinds of data."""
    add = parser.add_argument
    add("--seed", type=int, default=default.seed, help="with an index, it decides a sample (default: %(default)s)")
    add("--motions", type=Path, metavar="PATH", help="recordings: file, folder or archive; else joint limits alone")
    add("--part", choices=PARTS, default=default.part, help="of the recordings (default: %(default)s; val: held out)")
    add("--backgrounds", type=Path, metavar="DIR", help="photographs for backgrounds, beside the procedural ones")
    add("--style", default=default.style.name, help=f"looks: {', '.join(sorted(STYLES))} (default: %(default)s)")
    add("--threads", type=int, default=1, help="of the CPU (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Make data."""
    film = arguments.kind == "film"
    (_check_film if film else _check)(arguments)
    # llvmpipe, where there is no GPU, takes as many threads as there are cores if it is not told.
    os.environ.setdefault("LP_NUM_THREADS", str(arguments.threads))
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    style = find_style(arguments.style)
    options = EngineOptions(
        size=arguments.width if film else arguments.size,
        height=arguments.height if film else None,
        seed=arguments.seed,
        most=EngineOptions.most if film else arguments.most,
        motions=arguments.motions,
        part=arguments.part,
        backgrounds=arguments.backgrounds,
        # What a standing camera does not have in every frame alike.
        style=replace(style, blurred=0.0, overlays=0.0) if film else style,
    )
    with PeopleEngine(options) as engine:
        if film:
            _write_film(engine, arguments)
        elif arguments.sheet:
            _draw_sheet(engine, arguments)
        if not film and arguments.out:
            _write(engine, arguments)
    return 0


def _check_film(arguments: argparse.Namespace) -> None:
    if arguments.out.suffix.lower() != ".mp4":
        raise HumanrtError(f"--out {arguments.out}: need a name that ends in .mp4")
    if not (0 < arguments.seconds <= 600 and 1 <= arguments.fps <= 240):
        raise HumanrtError("--seconds must be above 0 and at most 600, --fps from 1 to 240")
    if arguments.width % 2 or arguments.height % 2:
        raise HumanrtError(f"{arguments.width} x {arguments.height} px: videos need even sides")
    if arguments.threads < 1 or arguments.index < 0:
        raise HumanrtError("--threads must be at least 1, --index at least 0")


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


def _made(engine: PeopleEngine, pairs: Kind | None, indices: range) -> Iterator[PeopleSample]:
    """The samples; of pairs, which begin and end with the indices, 2i and 2i + 1 are the pair i."""
    if pairs:
        for index in indices[::2]:
            yield from engine.pair(index // 2, pairs)
    else:
        yield from map(engine.sample, indices)


def _draw_sheet(engine: PeopleEngine, arguments: argparse.Namespace) -> None:
    parents = load_anny("10pc").parents.tolist()
    times = 2 if arguments.pairs else 1
    indices = range(times * arguments.first, times * (arguments.first + arguments.count))
    samples = _made(engine, arguments.pairs, indices)
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
        for sample in _made(engine, arguments.pairs, indices):
            samples.append(sample)
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


def _write_film(engine: PeopleEngine, arguments: argparse.Namespace) -> None:
    film = draw_film(engine, arguments.index, arguments.seconds, arguments.fps, arguments.people)
    start, samples = time.monotonic(), []
    with open_sink(arguments.out, film.fps) as sink:
        for sample in shoot_film(engine, film, arguments.index):
            sink.write(sample.image)
            samples.append(sample)
            _tell(f"{len(samples)} of {len(film.worlds)} frames")
    _tell("\n")
    truth = {
        field.name: np.stack([getattr(sample.people, field.name) for sample in samples])
        for field in fields(PeopleLabels)
    }
    content = io.BytesIO()
    np.savez_compressed(
        content,
        allow_pickle=False,
        t=np.arange(len(samples)) / film.fps,
        fps=film.fps,
        intrinsics=samples[0].intrinsics,
        size=np.array(engine.options.frame),
        joint_names=np.array(engine.joint_names),
        clips=np.array(film.clips),
        **truth,
    )
    write_atomically(arguments.out.with_suffix(".npz"), content.getvalue())
    print(
        f"{arguments.out}: {len(samples)} frames, {len(samples) / (time.monotonic() - start):.1f} a second; moved by:"
    )
    for clip in film.clips:
        print(f"  {clip}")


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(text if text in ("", "\n") else f"\r{text}")
        sys.stderr.flush()
