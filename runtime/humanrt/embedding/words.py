"""A description as words, for `humanrt.editing.words.encode`: as they stand, since nothing is asked for or denied."""

from __future__ import annotations

import unicodedata

from humanrt.editing.words import TOKEN

__all__ = ["words_of"]


def words_of(text: str) -> list[tuple[str, float]]:
    """Return the words of a text in lower case; a number is ``#``, whatever it is. The second of each pair is 0."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    return [("#" if token[0].isdigit() else token, 0.0) for token in TOKEN.findall(plain)]
