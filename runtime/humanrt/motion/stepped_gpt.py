"""SteppedGpt: the GPT of our own PoseGPT, one token after the other, for one sequence or for several at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import GraphSpec
from humanrt.inference.bound_graph import BoundGraph
from humanrt.motion.sampling import Sampler, draw_rows
from humanrt.resource import Owner, releasing

__all__ = ["Memory", "SteppedGpt"]

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]


class Memory:
    """What the GPT knows of sequences of equal length: keys and values of their last tokens, in a ring.

    Args:
        cache: keys and values [blocks, 2, rows, heads, window, numbers].
        token: [rows, books] the last tokens.
        place: how many tokens there were.

    Attributes:
        cache, token, place: see above.
    """

    def __init__(self, cache: Floats, token: Tokens, place: int = 0) -> None:
        self.cache, self.token, self.place = cache, token, place

    def take(self, token: Tokens) -> None:
        """Remember that these tokens [rows, books] came next."""
        self.token, self.place = token, self.place + 1

    def repeated(self, rows: int) -> Memory:
        """Return the memory of so many sequences that were all the same as this one's first so far."""
        return Memory(
            np.repeat(self.cache[:, :, :1], rows, axis=2), np.repeat(self.token[:1], rows, axis=0), self.place
        )


class SteppedGpt(Owner):
    """Gives the logits of the next tokens of several sequences, and draws them. Not thread-safe.

    Args:
        backend: what runs the graphs.
        step: graph of a token.
        read: graph of its books.

    Attributes:
        rows: number of sequences.
        books, codes: of a token.
    """

    @releasing
    def __init__(self, backend: Backend, step: GraphSpec, read: GraphSpec) -> None:
        self._step = self.own(BoundGraph(backend, step))
        self._read = self.own(BoundGraph(backend, read))
        self.rows, _, self.books, self.codes = self._read.arrays["logits"].shape
        self._loaded: Memory | None = None

    def memory(self) -> Memory:
        """Return the memory of empty sequences."""
        cache = np.zeros(self._step.arrays["cache"].shape, np.float32)
        return Memory(cache, np.zeros((self.rows, self.books), np.int64))

    def advance(self, memory: Memory, label: Floats) -> None:
        """Compute what `logits` reads of the next tokens, which have this label [L]."""
        arrays = self._step.arrays
        if self._loaded is not memory:
            if self._loaded is not None:
                self._loaded.cache[...] = arrays["cache"]
            arrays["cache"][...] = memory.cache
            self._loaded = memory
        arrays["token"][...], arrays["place"][0], arrays["label"][...] = memory.token, memory.place, label
        self._step.run()
        ring = arrays["cache"].shape[-2]
        arrays["cache"][..., memory.place % ring, :] = arrays["row"][..., 0, :]
        self._read.arrays["hidden"][...] = arrays["hidden"]

    def kept(self, memory: Memory) -> Memory:
        """Return the memory with its cache up to date; it is in the graph's buffer while that sequence goes on."""
        if self._loaded is memory:
            memory.cache[...] = self._step.arrays["cache"]
        return memory

    def logits(self, token: Tokens) -> Floats:
        """Return the logits [rows, books, codes] of the next tokens' books, each given the codes of those before it."""
        self._read.arrays["token"][:, 0] = token
        self._read.run()
        logits: Floats = self._read.arrays["logits"][:, 0]
        return logits

    def feed(self, memory: Memory, tokens: Tokens, label: Floats) -> Floats:
        """Take tokens [N, books] into the memory of one sequence; returns the logits [N, books, codes] of them."""
        logits = np.empty((len(tokens), self.books, self.codes), np.float32)
        for index, token in enumerate(tokens):
            self.advance(memory, label)
            logits[index] = self.logits(token)[0]
            memory.take(token[None])
        return logits

    def draw(self, memory: Memory, label: Floats, samplers: Sequence[Sampler]) -> Tokens:
        """Draw the next token of each sequence, one book after the other; returns them, [rows, books].

        Args:
            memory: of the sequences.
            label: of the tokens.
            samplers: one for each sequence.
        """
        self.advance(memory, label)
        token = np.zeros((self.rows, self.books), np.int64)
        for book in range(self.books):
            token[:, book] = draw_rows(samplers, self.logits(token)[:, book])
        memory.take(token)
        return token
