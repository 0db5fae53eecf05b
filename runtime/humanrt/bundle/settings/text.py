"""Settings of text: words and the encoder that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as short

from humanrt.bundle import Bundle
from humanrt.bundle.settings.section import MAX_COUNT, MAX_TOKENS, Section, Shapes

__all__ = ["TOKENIZERS", "TextSettings", "WordsSettings"]

TOKENIZERS = ("treebank", "wordpiece")


@dataclass(frozen=True)
class WordsSettings:
    """A bundle's word list: ``settings.words``.

    Attributes:
        kind: how text is cut, one of `TOKENIZERS`: whole words, or pieces of words.
        count: of the words.
        file: the list, one word a line, in the order of their ids.
    """

    kind: str
    count: int
    file: str

    @classmethod
    def of(cls, bundle: Bundle) -> WordsSettings | None:
        """Read and check them; None if the bundle holds no word list. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        if "words" not in settings:
            return None
        words = settings.section("words")
        file = words.text("file")
        if file not in bundle.manifest["files"]:
            raise words.error("file", f"names {short(file)}, which is not among the bundle's files")
        return cls(words.choice("kind", TOKENIZERS), words.integer("count", 1, MAX_COUNT), file)


@dataclass(frozen=True)
class TextSettings:
    """Settings of a text encoder: ``settings.text``.

    Attributes:
        lengths: numbers of tokens for which there is a graph ``text_LENGTH``, increasing.
        words: how many words, or pieces of words, it knows.
        width: numbers of its vectors.
    """

    lengths: tuple[int, ...]
    words: int
    width: int

    @classmethod
    def of(cls, bundle: Bundle) -> TextSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        text = Section.of(bundle).section("text")
        lengths, width = text.integers("lengths", 1, MAX_TOKENS), 0
        if not lengths or list(lengths) != sorted(set(lengths)):
            raise text.error("lengths", f"must be increasing, not {short(list(lengths))}")
        for length in lengths:
            shapes = Shapes(bundle, f"text_{length}")
            shapes.of("tokens", 1, length, dtype="int64")
            shapes.of("present", 1, length, dtype="bool")
            width = shapes.of("vector", 1, width or "numbers")[1]
        return cls(lengths, text.integer("words", 1, MAX_COUNT), width)
