"""Crops and pairs of the data engine in files, for `train pose-crop` and `train crossview`.

    python -m humanrt_export.methods.render crops --count 2000 --style studio --out crops/studio.npz
    python -m humanrt_export.methods.render pairs --count 2000 --kind view --motions ../shared/mocap/cmu --out view.npz

Everything comes from the seed: one command makes the same file on one machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count as counting
from pathlib import Path
from typing import Any

from humanrt.errors import HumanrtError
from humanrt_export.methods.crops import Crops, crops_of
from humanrt_export.methods.pairs import KINDS, PairArrays, pairs_of
from humanrt_export.synthetic.people import STYLES, EngineOptions, PeopleEngine

__all__ = ["main", "render_crops", "render_pairs"]

Say = Callable[[str], object]
_EVERY = 200


def render_crops(engine: PeopleEngine, count: int, size: int, say: Say = lambda line: None) -> Crops:
    """``count`` people of the engine's first pictures, each in a crop of ``size`` px."""
    samples = (engine.sample(index) for index in _counted(count, say))
    return crops_of(samples, size, engine.joint_names, count, engine.options.seed)


def render_pairs(engine: PeopleEngine, kind: str, count: int, size: int, say: Say = lambda line: None) -> PairArrays:
    """``count`` pairs of people of the engine's first worlds, of ``size`` px."""
    found: list[Any] = []
    for index in _counted(count, say):
        found += pairs_of([engine.pair(index, kind)], size, engine.options.seed + index)  # type: ignore[arg-type]
        if len(found) >= count:
            break
    return PairArrays.of(found[:count])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m humanrt_export.methods.render", description=__doc__)
    parser.add_argument("what", choices=("crops", "pairs"))
    parser.add_argument("--count", type=int, required=True, metavar="N")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--kind", choices=KINDS, default="view", help="of pairs (default: view)")
    parser.add_argument("--size", type=int, default=112, metavar="PX", help="of what is written (default: 112)")
    parser.add_argument("--picture", type=int, default=224, metavar="PX", help="that it is cut out of (default: 224)")
    parser.add_argument("--style", choices=sorted(STYLES), default="randomised")
    parser.add_argument("--people", type=int, default=2, metavar="N", help="most in a picture (default: 2)")
    parser.add_argument("--motions", type=Path, metavar="DIR", help="recordings; without: poses of joint limits")
    parser.add_argument("--part", choices=("train", "val", "all"), default="train", help="of the recordings (train)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        options = EngineOptions(
            size=given.picture,
            seed=given.seed,
            most=given.people,
            motions=given.motions,
            part=given.part,
            style=STYLES[given.style],
            letterboxed=0.0,
        )
        with PeopleEngine(options) as engine:
            if given.what == "crops":
                render_crops(engine, given.count, given.size, _tell).save(given.out)
            else:
                render_pairs(engine, given.kind, given.count, given.size, _tell).save(given.out)
    except HumanrtError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_status
    print(f"wrote {given.out}")
    return 0


def _counted(count: int, say: Say) -> Iterator[int]:
    """0, 1, 2, ...; not for ever, if pictures give nothing."""
    if count < 1:
        raise HumanrtError(f"--count is {count}; need 1 or more")
    for index in counting():
        if index and index % _EVERY == 0:
            say(f"{index} pictures")
        if index > 100 + 50 * count:
            raise HumanrtError(f"{index} pictures were too few for {count} people; allow more in each: --people")
        yield index


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line}", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
