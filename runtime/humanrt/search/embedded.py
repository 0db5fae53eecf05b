"""The embeddings of an index's poses, and their facts: made once, kept beside it, and searched.

Embeddings are unit vectors that lie near a few directions. A row of 32 numbers holds a pose's part along the 31
directions along which poses differ most, and the length of the rest, r; a query is taken apart in the same way, with
the rest R. Products of the two rests lie between -rR and rR, and since the rests have more than a hundred dimensions,
hardly ever beyond a part of it (`_SHARE`): that bounds distances from below, by one product of a row with the query's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.embedding.facts import NAMES, VERSION, facts_of_points
from humanrt.geometry.pose_descriptor import POINTS
from humanrt.search.kept import Kept
from humanrt.search.nearest import CHUNK, Space
from humanrt.search.store import PoseIndex

__all__ = ["ROW_NUMBERS", "EmbeddedSpace", "FactSpace", "kept_embeddings", "kept_facts"]

Floats = NDArray[np.float32]
Say = Callable[[str], object]

ROW_NUMBERS = 32
"""Of what bounds a distance."""
_SHARE = 0.3  # of a million poses and ten texts, one in a thousand products was beyond 0.24, none beyond 0.36
_SLACK = 2e-3  # of squared distances: vectors are rounded to float16
_SAMPLE = 16_384  # poses from which the directions are found
_APART = 2.0  # what a distance grows by for each thing that is said and not true: no two unit vectors are farther apart


def kept_embeddings(index: PoseIndex, name: str, width: int, encode: Callable[[Floats], Floats], say: Say) -> Kept:
    """Return the embeddings of an index's poses: columns `vectors` [N, D] float16 and `coarse` [N, `ROW_NUMBERS`].

    Args:
        index: of descriptors.
        name: of the embedder, with a checksum.
        width: D.
        encode: from descriptors [M, F] to unit vectors [M, D].
        say: see `Kept`.
    """

    def directions() -> Mapping[str, NDArray[Any]]:
        step = max(1, len(index) // _SAMPLE)
        sample = encode(np.ascontiguousarray(index.vectors[::step][:_SAMPLE])).astype(np.float64)
        _, found = np.linalg.eigh(sample.T @ sample)  # rising: the last ones hold the most
        return {"directions": found[:, ::-1][:, : ROW_NUMBERS - 1].astype(np.float32)}

    def make(vectors: Floats, constants: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        embedded = encode(vectors).astype(np.float16)
        rows = np.empty((len(vectors), ROW_NUMBERS), np.float32)
        exact = embedded.astype(np.float32)
        rows[:, :-1] = exact @ constants["directions"]
        rows[:, -1] = np.sqrt(np.maximum((exact**2).sum(1) - (rows[:, :-1] ** 2).sum(1), 0))
        return {"vectors": embedded, "coarse": rows}

    columns = {"vectors": ("<f2", (width,)), "coarse": ("<f4", (ROW_NUMBERS,))}
    return Kept(index, name.replace(":", "-"), columns, directions, make, say)


def kept_facts(index: PoseIndex, say: Say) -> Kept:
    """Return the facts of an index's poses: a column for every eight of `humanrt.embedding.facts.NAMES`, a bit each."""

    def make(vectors: Floats, _: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        points = vectors.reshape(-1, len(POINTS), 3) * np.float32(np.sqrt(len(POINTS)))
        packed = np.packbits(np.stack(list(facts_of_points(points).values()), axis=1), axis=1)
        return {_column(8 * place): packed[:, place] for place in range(packed.shape[1])}

    columns = {_column(first): ("|u1", ()) for first in range(0, len(NAMES), 8)}
    return Kept(index, f"facts-{VERSION}", columns, dict, make, say)


@dataclass(frozen=True)
class EmbeddedSpace:
    """Distances of kept embeddings to a unit vector.

    Attributes:
        kept: see `kept_embeddings`.
        query: [D].
    """

    kept: Kept
    query: Floats

    def lower(self) -> Floats:
        coarse = self.query @ self.kept.constants["directions"]
        rest = float(np.sqrt(max(float(self.query @ self.query - coarse @ coarse), 0.0)))
        found: Floats = self.kept.columns["coarse"] @ np.append(-2 * coarse, np.float32(-2 * _SHARE * rest))
        found += np.float32(1 + self.query @ self.query - _SLACK)
        return np.maximum(found, 0, out=found)

    def measured(self, rows: NDArray[np.int64]) -> Floats:
        found = np.empty(len(rows), np.float32)
        for first in range(0, len(rows), CHUNK):
            vectors = self.kept.columns["vectors"][rows[first : first + CHUNK]].astype(np.float32)
            found[first : first + CHUNK] = np.linalg.norm(vectors - self.query, axis=1)
        return found


@dataclass(frozen=True)
class FactSpace:
    """Another space, in which poses come first of which all is true that is said, then those of which one is not, ...

    Attributes:
        inner: the other space, whose distances are below 2.
        kept: see `kept_facts`.
        said: what is said; of each, facts of which one must be true.
    """

    inner: Space
    kept: Kept
    said: Sequence[Sequence[str]]

    def lower(self) -> Floats:
        found = self.inner.lower()
        lacking = self.lacking(None)
        found += (_APART * lacking) ** 2
        return found

    def measured(self, rows: NDArray[np.int64]) -> Floats:
        return np.asarray(self.inner.measured(rows) + _APART * self.lacking(rows), np.float32)

    def inner_distance(self, distance: float) -> float:
        """Return the distance in the other space of one that was measured here."""
        return distance % _APART

    def lacked(self, row: int) -> list[str]:
        """Return what is said and not true of a pose."""
        at = np.array([row])
        return [" or ".join(names) for names in self.said if not any(self.true_of(name, at)[0] for name in names)]

    def lacking(self, rows: NDArray[np.int64] | None) -> Floats:
        """Return how much of what is said is not true of rows [M], or of all [N]."""
        count = len(self.kept.columns[_column(0)]) if rows is None else len(rows)
        found = np.zeros(count, np.float32)
        for names in self.said:
            true = np.zeros(count, bool)
            for name in names:
                true |= self.true_of(name, rows)
            found += ~true
        return found

    def true_of(self, name: str, rows: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        """Return whether a fact is true of rows [M], or of all [N]."""
        place = NAMES.index(name)
        column = self.kept.columns[_column(place)]
        bits = column if rows is None else column[rows]
        return np.asarray(bits & (128 >> place % 8), bool)


def _column(place: int) -> str:
    return f"facts{place // 8:02d}"
