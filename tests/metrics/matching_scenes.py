"""Random pictures of a few people and what a detector might see of them, for the matchers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["scenes"]


def scenes(count: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield predicted [P, J, 2] and true [T, J, 2] joints in px, and who is wanted [T].

    Two to four people of 12 joints stand within 640 px and may overlap; each is seen with an error, one in eight is
    missed, one in eight seen a second time, some distance away.
    """
    generator = np.random.default_rng(seed)
    for _ in range(count):
        people = generator.integers(2, 5)
        middles = generator.uniform((40, 100), (600, 300), (people, 1, 2))
        sizes = generator.uniform(20, 90, (people, 1, 1))
        truth = middles + sizes * generator.uniform(-1, 1, (people, 12, 2))
        seen = truth + generator.normal(0, 0.4, (people, 1, 2)) * sizes + generator.normal(0, 6, truth.shape)
        twice = seen + generator.normal(0, 1, (people, 1, 2)) * sizes
        predicted = np.concatenate([seen[generator.random(people) > 1 / 8], twice[generator.random(people) < 1 / 8]])
        yield generator.permutation(predicted), truth, generator.random(people) > 0.1
