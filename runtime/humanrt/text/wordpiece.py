"""WordPiece: text to ids of pieces of words, as BERT's uncased models and DistilBERT read it.

Devlin et al., BERT, 2019. The list of pieces is the user's (`vocab.txt`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import ClassVar

from humanrt.errors import HumanrtError

__all__ = ["WordPiece"]

_LONGEST_WORD = 100  # letters; longer ones are unknown, as to BERT
_CONTINUES = "##"
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Cut text into the longest pieces that a list has.

    Args:
        pieces: by id; those that continue a word begin with ``##``. ``[CLS]``, ``[SEP]``, ``[UNK]`` and ``[PAD]`` must
            be among them.

    Attributes:
        words: the pieces.
        start, end, unknown, padding: ids of those four.

    Raises:
        HumanrtError: one of the four is missing.
    """

    KIND: ClassVar[str] = "wordpiece"

    def __init__(self, pieces: Sequence[str]) -> None:
        self.words = tuple(pieces)
        self._ids = {piece: index for index, piece in enumerate(self.words)}
        missing = [name for name in ("[CLS]", "[SEP]", "[UNK]", "[PAD]") if name not in self._ids]
        if missing:
            raise HumanrtError(f"the list of pieces has no {missing[0]}; give the vocab.txt of an uncased BERT")
        self.start, self.end = self._ids["[CLS]"], self._ids["[SEP]"]
        self.unknown, self.padding = self._ids["[UNK]"], self._ids["[PAD]"]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, between those of ``[CLS]`` and ``[SEP]``."""
        ids = [piece for word in _words(text) for piece in self._pieces(word)]
        return [self.start, *ids, self.end]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids: pieces joined to words, words by spaces, without the marks of start, end, padding."""
        left_out = (self.start, self.end, self.padding)
        words: list[str] = []
        for index in ids:
            if index in left_out:
                continue
            piece = self.words[index]
            if piece.startswith(_CONTINUES) and words:
                words[-1] += piece.removeprefix(_CONTINUES)
            else:
                words.append(piece)
        return " ".join(words)

    def _pieces(self, word: str) -> list[int]:
        if len(word) > _LONGEST_WORD:
            return [self.unknown]
        found, start = [], 0
        while start < len(word):
            prefix = _CONTINUES if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in self._ids)
            end = next(ends, None)
            if end is None:
                return [self.unknown]
            found.append(self._ids[prefix + word[start:end]])
            start = end
        return found


def _words(text: str) -> list[str]:
    """Return words in lower case without accents, and marks each on its own."""
    spaced = "".join(_spaced(letter) for letter in text)
    plain = "".join(
        letter for letter in unicodedata.normalize("NFD", spaced) if unicodedata.category(letter) != "Mn"
    ).lower()
    return "".join(f" {letter} " if _is_mark(letter) else letter for letter in plain).split()


def _spaced(letter: str) -> str:
    """Return what a letter is cleaned to: nothing for controls, a space for any space, ideographs apart."""
    if letter in "\t\n\r":
        return " "
    category = unicodedata.category(letter)
    if letter == "\ufffd" or category.startswith("C"):
        return ""
    if category == "Zs":
        return " "
    code = ord(letter)
    return f" {letter} " if any(low <= code <= high for low, high in _IDEOGRAPHS) else letter


def _is_mark(letter: str) -> bool:
    """Tell whether a letter is punctuation. In ASCII whatever is no letter, digit or space, `$` and `^` too."""
    if letter.isascii():
        return letter.isprintable() and not letter.isalnum() and letter != " "
    return unicodedata.category(letter).startswith("P")
