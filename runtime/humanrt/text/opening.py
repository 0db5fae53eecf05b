"""The tokenizer of a bundle, from the word list that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from humanrt.bundle import Bundle
from humanrt.bundle.settings import WordsSettings
from humanrt.errors import BundleError, HumanrtError
from humanrt.text.word_list import WordList
from humanrt.text.wordpiece import WordPiece

__all__ = ["Tokenizer", "open_tokenizer"]


class Tokenizer(Protocol):
    """Text to ids and back.

    Attributes:
        words: the words, or pieces of words, by id.
        start, end, unknown, padding: ids of the marks.
    """

    words: tuple[str, ...]
    start: int
    end: int
    unknown: int
    padding: int

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, from the start's to the end's."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without the marks."""
        ...


_TOKENIZERS = {kind.KIND: kind for kind in (WordList, WordPiece)}


def open_tokenizer(bundle: Bundle, count: int | None = None) -> Tokenizer | None:
    """Return a bundle's tokenizer; None if it holds no word list.

    Args:
        bundle: the bundle.
        count: how many words the network knows; None: not checked.

    Raises:
        BundleError: the list cannot be read, or is not what the settings say.
    """
    settings = WordsSettings.of(bundle)
    if settings is None:
        return None
    path = bundle.path / settings.file
    if count not in (None, settings.count):
        raise BundleError(f"{path}: {settings.count} words, but the network knows {count}; export the bundle again")
    try:
        words = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); export the bundle again") from error
    if len(words) != settings.count or len(set(words)) < len(words):
        raise BundleError(f"{path}: not a list of {settings.count} different words; export the bundle again")
    try:
        return _TOKENIZERS[settings.kind](words)
    except HumanrtError as error:
        raise BundleError(f"{path}: {error}") from error
