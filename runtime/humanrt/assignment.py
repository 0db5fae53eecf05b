"""Who is whom: observations of this frame and identities of the last ones, brought together at low total cost."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

__all__ = ["assign"]


def assign(costs: Sequence[Sequence[float]], unmatched: float) -> list[int | None]:
    """Each row's column, every column once, low total cost; None where no finite cost is left.

    Greedy, then pairs of rows exchange columns while that lowers the sum: exact for two rows, and close for more.

    Args:
        costs: one row an observation, one column an identity; infinity where they cannot belong together.
        unmatched: what it costs to leave an observation without an identity.
    """
    rows, columns = len(costs), len(costs[0]) if costs else 0
    pairs = sorted((costs[r][c], r, c) for r in range(rows) for c in range(columns))
    owner: list[int | None] = [None] * rows
    taken: set[int] = set()
    for cost, r, c in pairs:
        if cost < inf and owner[r] is None and c not in taken:
            owner[r] = c
            taken.add(c)

    def at(r: int, c: int | None) -> float:
        return unmatched if c is None else costs[r][c]

    improved = True
    while improved:
        improved = False
        for a in range(rows):
            for b in range(a + 1, rows):
                if at(a, owner[b]) + at(b, owner[a]) < at(a, owner[a]) + at(b, owner[b]) - 1e-9:
                    owner[a], owner[b] = owner[b], owner[a]
                    improved = True
    return owner
