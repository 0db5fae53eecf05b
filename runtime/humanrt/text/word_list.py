"""A list of whole words: text to their ids and back, as the text networks of PoseFix and PoseScript use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from humanrt.errors import HumanrtError
from humanrt.text.treebank import treebank_words

__all__ = ["WordList", "sentence"]

_SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")


class WordList:
    """Words by their ids; what is not in the list is ``<unk>``.

    Args:
        words: by id. ``<pad>``, ``<start>``, ``<end>`` and ``<unk>`` must be among them.

    Attributes:
        words: as given.
        start, end, unknown, padding: ids of those four.

    Raises:
        HumanrtError: one of the four is missing.
    """

    KIND: ClassVar[str] = "treebank"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        missing = [name for name in _SPECIAL if name not in self._ids]
        if missing:
            raise HumanrtError(f"the word list has no {missing[0]}; give the list that belongs to the checkpoint")
        self.padding, self.start, self.end, self.unknown = (self._ids[name] for name in _SPECIAL)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's words in lower case, between those of ``<start>`` and ``<end>``."""
        ids = [self._ids.get(word, self.unknown) for word in treebank_words(text.lower())]
        return [self.start, *ids, self.end]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids up to ``<end>``, as `sentence` joins it."""
        words = []
        for index in ids:
            if index == self.end:
                break
            if index not in (self.start, self.padding):
                words.append(self.words[index])
        return sentence(words)


def sentence(words: Sequence[str]) -> str:
    """Join words by spaces, commas and full stops to the word before them, with a capital behind each full stop."""
    parts = " ".join(words).replace(" ,", ",").replace(" .", ".").split(". ")
    return ". ".join(part[:1].upper() + part[1:] for part in parts)
