"""The words that a network is given as such: those that are said often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

__all__ = ["frequent_words"]

_SEEN_TIMES = 4
"""How often a word must be among the texts: what is rarer is a typing error, or learned by its letters."""


def frequent_words(texts: Iterable[Iterable[tuple[str, float]]]) -> tuple[str, ...]:
    """Return the words of texts, as `humanrt.editing.words.split` gives them, the most frequent first; no numbers."""
    counts: Counter[str] = Counter()
    for words in texts:
        counts.update({word for word, _ in words})
    counts.pop("#", None)
    # Equally frequent ones by the alphabet: a run is resumed by another process, whose sets have another order.
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return tuple(word for word, count in ordered if count >= _SEEN_TIMES)
