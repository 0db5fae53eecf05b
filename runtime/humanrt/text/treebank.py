"""Words of English text as the Penn Treebank cuts them: punctuation apart, contractions in two.

The rules are those of the Treebank's public `tokenizer.sed`, as NLTK's `word_tokenize` applies them to every sentence.
Where sentences end NLTK asks a trained model; here a full stop ends one unless it stands behind an initial or one of a
few abbreviations.
"""

# ruff: noqa: RUF001 - the marks that look alike are what this module is about

from __future__ import annotations

import re

__all__ = ["treebank_words"]

_ABBREVIATIONS = frozenset(
    "approx dr e.g etc i.e jr mr mrs ms no p.m a.m prof sr st u.s vs".split()  # noqa: SIM905 - easier to read
)
_OPEN, _CLOSE = "\"'“‘([{", "\"'”’)]}"

_QUOTE_OPENS = re.compile(r"^\"|([ (\[{<])(?:\"|'{2})")
_MARK_OPENS = re.compile(r"([«“‘„]|``|`+)")
_LETTER_QUOTED = re.compile(r"(?i)(')(?!re|ve|ll|m|t|s|d|n)(\w)\b")
_FULL_STOP = re.compile(r"([^.])(\.)([\])}>\"'»”’ ]*)\s*$")
_COMMA = re.compile(r"([:,])([^\d]|$)")  # not in 1,000 or 12:30
_APART = (
    re.compile(r"\.{2,}"),
    re.compile(r"[;@#$%&?!*]"),
)
_APOSTROPHE_ENDS = re.compile(r"([^'])' ")
_BRACKETS_AND_DASHES = re.compile(r"[][(){}<>]|--")
_QUOTE_CLOSES = re.compile(r"([»”’]|'')")
_SHORT_FORM = re.compile(r"(?i)([^' ])('[smd]|') ")
_LONG_FORM = re.compile(r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ")
_RUN_TOGETHER = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(can)(not)\b",
        r"\b(d)('ye)\b",
        r"\b(gim)(me)\b",
        r"\b(gon)(na)\b",
        r"\b(got)(ta)\b",
        r"\b(lem)(me)\b",
        r"\b(more)('n)\b",
        r"\b(wan)(na)(?=\s)",
        r" ('t)(is)\b",
        r" ('t)(was)\b",
    )
)


def treebank_words(text: str) -> list[str]:
    """Return the words and marks of a text, in order.

    >>> treebank_words("don't bend it, twist. then stop.")
    ['do', "n't", 'bend', 'it', ',', 'twist', '.', 'then', 'stop', '.']
    """
    return [word for sentence in _sentences(text) for word in _words(sentence)]


def _sentences(text: str) -> list[str]:
    """Cut a text behind the marks that end sentences; single spaces are between words."""
    found: list[list[str]] = [[]]
    for chunk in text.split():
        found[-1].append(chunk)
        word = chunk.rstrip(_CLOSE)
        if word.endswith((".", "?", "!")) and not word.endswith("..") and not _is_short(word):
            found.append([])
    return [" ".join(sentence) for sentence in found if sentence]


def _is_short(word: str) -> bool:
    """Tell whether the full stop belongs to the word: of an initial, or of an abbreviation."""
    letters = word.lstrip(_OPEN).lower().removesuffix(".")
    return word.endswith(".") and (letters in _ABBREVIATIONS or (len(letters) == 1 and letters.isalpha()))


def _words(sentence: str) -> list[str]:
    text = _MARK_OPENS.sub(r" \1 ", sentence)
    text = _QUOTE_OPENS.sub(r"\1 `` ", text)
    text = _LETTER_QUOTED.sub(r"\1 \2", text)
    text = _FULL_STOP.sub(r"\1 \2 \3 ", text)
    text = _COMMA.sub(r" \1 \2", text)
    for pattern in _APART:
        text = pattern.sub(lambda match: f" {match[0]} ", text)
    text = _APOSTROPHE_ENDS.sub(r"\1 ' ", text)
    text = _BRACKETS_AND_DASHES.sub(lambda match: f" {match[0]} ", text)
    text = f" {text} "
    text = _QUOTE_CLOSES.sub(r" \1 ", text).replace('"', " '' ")
    text = _SHORT_FORM.sub(r"\1 \2 ", text)
    text = _LONG_FORM.sub(r"\1 \2 ", text)
    for pattern in _RUN_TOGETHER:
        text = pattern.sub(r" \1 \2 ", text)
    return text.split()
