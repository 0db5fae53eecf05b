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
    """Return crops of ``size`` px of ``count`` people in the engine's first pictures."""
    samples = (engine.sample(index) for index in _counted(count, say))
    return crops_of(samples, size, engine.joint_names, count, engine.options.seed)


def render_pairs(engine: PeopleEngine, kind: str, count: int, size: int, say: Say = lambda line: None) -> PairArrays:
    """Return ``count`` pairs of ``size`` px of people in the engine's first worlds."""
    pairs: list[Any] = []
    for index in _counted(count, say):
        pairs += pairs_of([engine.pair(index, kind)], size, engine.options.seed + index)  # type: ignore[arg-type]
        if len(pairs) >= count:
            break
    return PairArrays.of(pairs[:count])


def _counted(count: int, say: Say) -> Iterator[int]:
    """Yield 0, 1, 2, ...; HumanrtError if too many pictures yield nothing."""
    if count < 1:
        raise HumanrtError(f"the number of people is {count}; it must be 1 or more")
    for index in counting():
        if index and index % _EVERY == 0:
            say(f"{index} pictures")
        if index > 100 + 50 * count:
            raise HumanrtError(f"{index} pictures contain fewer than {count} people; put more people in each")
        yield index
