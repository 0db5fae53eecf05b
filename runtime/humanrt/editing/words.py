"""A text as numbers: words of a list, letters of each word, and the amounts that it names.

A word that is not in the list still has its letters (hashed groups of three and four), so that a typing error or a
form that the training did not have is close to what was meant.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.editing.plain import affirmed, denies, lowered, plain
from humanrt.errors import BundleError

__all__ = [
    "GROUPS",
    "LONGEST",
    "NUMBER",
    "PIECES",
    "TOKEN",
    "UNKNOWN",
    "Encoded",
    "encode",
    "objection",
    "read_word_ids",
    "split",
    "word_ids",
]

PIECES = 2048
"""Buckets of hashed groups of letters; 0 stands for none."""
GROUPS = 14
"""Groups of letters of a word that are looked at."""
LONGEST = 64
"""Words of the longest text."""
UNKNOWN, NUMBER = 1, 2
"""Ids of a word that is not in the list, and of a number; 0 is padding, the list begins at 3."""
_FIRST = 3

TOKEN = re.compile(r"\d+(?:[.,]\d+)?|[^\W\d_]+(?:['\u2019][^\W\d_]+)?|°|[^\w\s]")
"""A number, a word, a degree sign, or a punctuation mark."""
_UNITS = {
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres", "cms"), 0.01),
    **dict.fromkeys(("inch", "inches"), 0.0254),
    **dict.fromkeys(("mm", "millimeters", "millimetres"), 0.001),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("ft",), 0.3048),
    **dict.fromkeys(("degree", "degrees", "deg", "degs", "°"), 0.0),
}
_ANGLES = {**dict.fromkeys(("rad", "rads", "radian", "radians"), 57.29578)}  # other units of angles, degrees
_FEET = ("foot", "feet")
_OWNERS = ("your", "the", "both", "my", "his", "her", "their", "of", "all")
_ONES = dict(
    zip(
        [
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ],
        range(1, 20),
        strict=True,
    )
)
_TENS = dict(
    zip(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], range(20, 100, 10), strict=True)
)
_HUNDRED = {"hundred": 100}
_WORDS = _ONES | _TENS | _HUNDRED
_DEGREES, _METRES = 50.0, 0.25  # of `changes.SCALES`
_LARGEST = 8.0  # the largest amount that can be meant: 400 degrees, 2 m
_MINUS = re.compile(r"(?<![\w.,])[-\u2212\u2013]\d|\b(?:minus|negative) +\d")


_OTHERS = re.compile(
    r"\b(?:rais|lift|lower|drop|bend|straighten|mov|turn|twist|tilt|rotat|open|clos|shut|wiggl|spread|cross|curl|point|wag"
    r"|flap|mak|flip)\w*\s+(?:(?:your|the|his|her|my|their|both|all|a|left|right|index|middle|little)\s+)*"
    r"(nostrils?|eyebrows?|brows?|eyelids?|ears?|lips?|tongue|jaw|teeth|cheeks?|fingers?|thumbs?|toenails?|nails?"
    r"|hair|wings?|tail|paws?)\b"
)
# Fists and palms go where hands go; an edit neither opens nor turns them.
_OF_HANDS = re.compile(
    r"\b(?:open|clos|shut|clench|mak|turn|twist|rotat|flip|curl)\w*\s+"
    r"(?:(?:your|the|his|her|my|their|both|all|of|a|left|right)\s+)*(fists?|palms?)\b"
)
_EXPONENT = re.compile(r"\d[eE][+-]?\d")


@dataclass(frozen=True)
class Encoded:
    """A text as a network takes it.

    Attributes:
        words: int64 [L].
        letters: int64 [L, GROUPS], 0 behind the last group.
        numbers: float32 [L], amounts where ``words`` is `NUMBER`, in the network's units; else 0.
        unknown: share of its words (numbers and punctuation aside) that are not in the list.
    """

    words: NDArray[np.int64]
    letters: NDArray[np.int64]
    numbers: NDArray[np.float32]
    unknown: float


def split(text: str) -> list[tuple[str, float]]:
    """Return the words of a text in lower case, each with its amount: 0 but for numbers.

    An amount is in a network's units: 50 degrees (also where no unit is said) or 0.25 m; its unit is "degrees" or "cm",
    whatever was said. Numbers in words are read where a unit follows ("thirty degrees"). The text is said plainly
    first (`humanrt.editing.plain`).
    """
    tokens = TOKEN.findall(plain(text))
    found: list[tuple[str, float]] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token[0].isdigit():
            value, end = float(token.replace(",", ".")), at + 1
        elif token in _WORDS:
            value, end = _spelled(tokens, at)
            if _unit(tokens, end)[0] is None:
                found.append((token, 0.0))
                at += 1
                continue
        else:
            found.append((token, 0.0))
            at += 1
            continue
        unit, after = _unit(tokens, end)
        if unit is None and tokens[end : end + 1] and tokens[end] in _FEET and tokens[max(at - 1, 0)] not in _OWNERS:
            unit, after = 0.3048, end + 1  # "2 feet", but not "your 2 feet"
        if unit is None:
            found.append(("#", value / _DEGREES))
        elif unit == 0 or unit > 1:
            found += [("#", value * (unit or 1.0) / _DEGREES), ("degrees", 0.0)]
        else:
            found += [("#", value * unit / _METRES), ("cm", 0.0)]
        at = after
    return found


def _unit(tokens: Sequence[str], at: int) -> tuple[float | None, int]:
    """Return the unit that begins at a token, in m; 0 for degrees, of other angles degrees; and where it ends."""
    end = at + (tokens[at : at + 1] == ["-"])  # "20-cm"
    word = tokens[end] if end < len(tokens) else ""
    unit = _UNITS.get(word, _ANGLES.get(word))
    return (None, at) if unit is None else (unit, end + 1)


def objection(text: str) -> str | None:
    """Return why a text cannot be done although its words may be known; None if nothing stands against it.

    What says only what is not to be done has nothing that could be done, a minus would be lost, amounts that no body
    can turn or move by give nonsense, and parts that an edit does not have would move their neighbours.
    """
    if denies(text):
        return "it says what not to do, so say what to do instead"
    said = affirmed(lowered(text))
    if _MINUS.search(said):
        return "amounts have no sign, so say the other direction"
    if other := _OTHERS.search(said) or _OF_HANDS.search(said):
        return f"no edit moves or turns: {other[1]}"
    if _EXPONENT.search(text) or any(not amount <= _LARGEST for _, amount in split(text)):
        return f"amounts are at most {_LARGEST * _DEGREES:.0f} degrees or {_LARGEST * _METRES:.0f} m"
    return None


def _spelled(tokens: Sequence[str], at: int) -> tuple[float, int]:
    value, end = 0.0, at
    while end < len(tokens) and (
        tokens[end] in _WORDS
        or (end > at and tokens[end] in ("-", "and") and end + 1 < len(tokens) and tokens[end + 1] in _WORDS)
    ):
        word = tokens[end]
        value = max(value, 1) * 100 if word == "hundred" else value + _WORDS.get(word, 0)
        end += 1
    return value, end


def encode(text: str | Sequence[tuple[str, float]], ids: Mapping[str, int]) -> Encoded:
    """Return a text as numbers.

    Args:
        text: a text, or what `split` returns.
        ids: word -> its id, from 3 on.
    """
    tokens = (split(text) if isinstance(text, str) else list(text))[:LONGEST]
    words = np.array([NUMBER if word == "#" else ids.get(word, UNKNOWN) for word, _ in tokens], np.int64)
    letters = np.zeros((len(tokens), GROUPS), np.int64)
    for row, (word, _) in enumerate(tokens):
        groups = letter_groups(word)
        letters[row, : len(groups)] = groups
    counted = [index for (word, _), index in zip(tokens, words, strict=True) if word[0].isalpha()]
    unknown = sum(index == UNKNOWN for index in counted) / len(counted) if counted else 1.0
    return Encoded(words, letters, np.array([amount for _, amount in tokens], np.float32), unknown)


def word_ids(words: Sequence[str]) -> dict[str, int]:
    """Return the ids of a list of words."""
    return {word: index for index, word in enumerate(words, start=_FIRST)}


def read_word_ids(path: Path, count: int) -> dict[str, int]:
    """Return the ids of a bundle's list of words.

    Raises:
        BundleError: the file cannot be read, or does not hold ``count`` words.
    """
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); export it again") from error
    if len(words) != count:
        raise BundleError(f"{path}: {len(words)} words, not {count}; export it again")
    return word_ids(words)


@lru_cache(maxsize=8192)
def letter_groups(word: str) -> tuple[int, ...]:
    """Return the buckets of a word's groups of letters, 1..`PIECES` - 1."""
    if not word[0].isalpha():
        return ()
    marked = f"<{word}>"
    groups = [marked[start : start + length] for length in (3, 4) for start in range(len(marked) - length + 1)]
    if len(groups) > GROUPS:  # of long words the beginning and the end
        groups = groups[: GROUPS // 2] + groups[-(GROUPS - GROUPS // 2) :]
    return tuple(1 + zlib.crc32(group.encode()) % (PIECES - 1) for group in groups)
