"""Assignment: pair this frame's observations with the last frames' identities at the lowest total cost."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

__all__ = ["assign", "gated"]


def assign(costs: Sequence[Sequence[float]], unmatched: float | Sequence[float]) -> list[int | None]:
    """Return each row's column, or None where the row is left unmatched, at the lowest total cost, exactly.

    Shortest augmenting paths (Jonker and Volgenant, 1987), where leaving a row unmatched is one more way for a path to
    end: O(rows^2 columns) at worst.

    Args:
        costs: one row per observation, one column per identity; infinity where they cannot belong together.
        unmatched: cost of leaving a row unmatched: one for all, or one per row. With infinity, as many rows as possible
            are matched.
    """
    rows, columns = len(costs), len(costs[0]) if costs else 0
    alone = [float(u) for u in unmatched] if isinstance(unmatched, Sequence) else [float(unmatched)] * rows
    column_of: list[int | None] = [None] * rows
    row_of: list[int | None] = [None] * columns
    row_price, column_price = [0.0] * rows, [0.0] * columns
    for start in range(rows):
        distance, reached_from = [inf] * columns, [start] * columns
        pending = set(range(columns))
        path: list[tuple[int, float, int | None]] = []  # rows that were reached, how far away, through which column
        row, here, column = start, 0.0, None
        shortest, last_row, last_column = inf, start, None  # how the path ends
        while True:
            path.append((row, here, column))
            if (end := here + alone[row] - row_price[row]) < shortest:
                shortest, last_row = end, row
            own, offset = costs[row], here - row_price[row]
            for c in pending:
                if (there := offset + own[c] - column_price[c]) < distance[c]:
                    distance[c], reached_from[c] = there, row
            column = min(pending, key=distance.__getitem__, default=None)
            if column is None or distance[column] == inf or distance[column] > shortest:
                break
            pending.remove(column)
            here, owner = distance[column], row_of[column]
            if owner is None:
                shortest, last_row, last_column = here, reached_from[column], column
                break
            row = owner
        if shortest == inf:
            continue
        for row, reached, through in path:
            row_price[row] += shortest - reached
            if through is not None:
                column_price[through] -= shortest - reached
        # Along the path, from its end: every row takes the column that the next one gives up.
        row, column = last_row, last_column
        while True:
            given_up, column_of[row] = column_of[row], column
            if column is not None:
                row_of[column] = row
            if row == start or given_up is None:
                break
            row, column = reached_from[given_up], given_up
    return column_of


def gated(costs: Sequence[Sequence[float]], unmatched: float) -> list[float]:
    """Return the cost of leaving each row unmatched at which no admissible pair of free members stays unmatched.

    Trackers mark pairs outside the gate with infinity: a finite cost, however large, is better than losing the
    identity.

    Args:
        costs, unmatched: see `assign`.
    """
    return [max((unmatched, *(cost for cost in row if cost < inf))) for row in costs]
