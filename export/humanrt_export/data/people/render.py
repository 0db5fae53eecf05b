"""Crops and pairs straight from the data engine, without the shards that `humanrt-export data people` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count as counting
from typing import Any

from humanrt.errors import HumanrtError
from humanrt_export.data.people.crops import Crops, crops_of
from humanrt_export.data.people.pairs import PairArrays, pairs_of
from humanrt_export.synthetic.people import PeopleEngine

__all__ = ["render_crops", "render_pairs"]

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


def _counted(count: int, say: Say) -> Iterator[int]:
    """0, 1, 2, ...; not for ever, if pictures give nothing."""
    if count < 1:
        raise HumanrtError(f"the number of people is {count}; it must be 1 or more")
    for index in counting():
        if index and index % _EVERY == 0:
            say(f"{index} pictures")
        if index > 100 + 50 * count:
            raise HumanrtError(f"{index} pictures contain fewer than {count} people; put more people in each")
        yield index
