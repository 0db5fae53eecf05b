"""Texts to vectors: graphs for several lengths on one file of weights, each opened when it is first needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import TextSettings
from humanrt.errors import InvalidInputError
from humanrt.inference.bound_graph import BoundGraph
from humanrt.posefix.arguments import token_ids
from humanrt.resource import Owner
from humanrt.text.opening import Tokenizer, open_tokenizer

__all__ = ["TextEncoder"]


class TextEncoder(Owner):
    """The text encoder of a bundle.

    Args:
        bundle: the bundle.
        settings: of its text encoder.
        backend: where the graphs run.

    Attributes:
        tokenizer: of the bundle's word list; None if it holds none.
    """

    def __init__(self, bundle: Bundle, settings: TextSettings, backend: Backend) -> None:
        self._bundle, self._settings, self._backend = bundle, settings, backend
        self._graphs: dict[int, BoundGraph] = {}
        self.tokenizer: Tokenizer | None = open_tokenizer(bundle, settings.words)

    def encode(self, words: str | None, ids: Any = None) -> NDArray[np.float32]:
        """Return the vector [D] of a text, given as words or as token ids with the marks of start and end.

        Raises:
            InvalidInputError: both or neither are given, or the text is too long.
        """
        tokens = self.tokens(words, ids)
        length = next(length for length in self._settings.lengths if length >= len(tokens))
        if length not in self._graphs:
            self._graphs[length] = self.own(BoundGraph(self._backend, self._bundle.graph(f"text_{length}")))
        graph = self._graphs[length]
        graph.arrays["tokens"][0] = 0
        graph.arrays["tokens"][0, : len(tokens)] = tokens
        graph.arrays["present"][0] = np.arange(length) < len(tokens)
        graph.run()
        vector: NDArray[np.float32] = graph.arrays["vector"][0].copy()
        return vector

    def tokens(self, words: str | None, ids: Any = None) -> NDArray[np.int64]:
        """Return the token ids [L] of a text; see `encode`."""
        if (words is None) == (ids is None):
            raise InvalidInputError("give either words or token_ids")
        if words is not None:
            if not isinstance(words, str):
                raise InvalidInputError(f"words must be text, not {type(words).__name__}")
            if self.tokenizer is None:
                raise InvalidInputError(
                    f"bundle {self._bundle.name} holds no word list; export it with --words FILE, or give token_ids"
                )
            ids = self.tokenizer.encode(words)
        name = "token_ids" if words is None else "words"
        return token_ids(ids, self._settings.words, self._settings.lengths[-1], name)
