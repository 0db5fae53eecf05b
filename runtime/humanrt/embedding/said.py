"""What words say of a pose, as facts: `said`, for clauses that our own wordings cover wholly; the others stay words.

A clause is understood if one of the wordings (`humanrt.embedding.wordings`) is in it and each of its other words is in
another wording of the same fact. So "the right arm hangs down" is `right_arm.down`, and of "he waves to the right hand
side of the bus" nothing is understood: what is not understood is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from humanrt.embedding.facts import NAMES
from humanrt.embedding.wordings import ACTS, MANY, NOUNS, STATES, WHOLE
from humanrt.embedding.words import words_of

__all__ = ["Said", "said"]

_CLAUSES = re.compile(r"[,.;:!]|\b(?:and|while|but|as)\b")
_WITH = re.compile(r"\bwith\b")
_IDLE = {
    *("a", "an", "the", "is", "are", "be", "being", "has", "have", "having", "in", "on", "at", "of", "to", "it", "its"),
    *("somebody", "someone", "person", "people", "man", "woman", "boy", "girl", "he", "she", "they", "who", "that"),
    *("with", "his", "her", "their", "your", "my", "own", "into", "two", "quite", "very", "kept", "keep", "keeping"),
    *("pose", "picture", "this", "like", "there", "you", "i"),
    *("he's", "she's", "they're", "-"),
}
_SIDES = ("left", "right")
_FORMS = {
    **{"bent": "bend", "held": "hold", "stood": "stand", "sat": "sit", "seated": "sit", "knelt": "kneel"},
    **{"lying": "lie", "lies": "lie", "lay": "lie", "hung": "hang", "ground": "floor", "sideways": "side"},
    **{"sides": "side", "spread": "spread", "upwards": "upward", "forwards": "forward", "backward": "back"},
    **{"backwards": "back", "knee": "knee"},
}
_EXPLICIT = {**_FORMS, **{many: one for one, many in MANY.items()}}


@dataclass(frozen=True)
class Said:
    """What a text says.

    Attributes:
        facts: of each clause that is understood, the facts of which one must be true.
        rest: the clauses that are not understood.
    """

    facts: tuple[tuple[str, ...], ...]
    rest: tuple[str, ...]


def said(text: str) -> Said:
    """Return what a text says of a pose, by clauses."""
    found: list[tuple[str, ...]] = []
    rest: list[str] = []
    for whole in _CLAUSES.split(" ".join(word for word, _ in words_of(text))):
        # "kicking with the left leg" is one clause, "sitting with bent elbows" are two.
        for clause in [whole] if _facts(whole.split()) else _WITH.split(whole):
            words = clause.split()
            names = _facts(words)
            if names and names not in found:
                found.append(names)
            elif not names and not _IDLE.issuperset(words):
                rest.append(clause.strip())
    return Said(tuple(found), tuple(rest))


def _facts(words: list[str]) -> tuple[str, ...]:
    """Return the facts of which a clause says one; () if it is not understood."""
    return _whole(words) or _of_limb(words)


def _whole(words: list[str]) -> tuple[str, ...]:
    """Return the facts of the whole body that a clause says."""
    given = _stems(words)
    return _best((name, _reach(given, wordings)) for name, wordings in _wholes().items())


def _of_limb(words: list[str]) -> tuple[str, ...]:
    """Return the facts that a clause says of one limb, or of both."""
    places = (place for place, word in enumerate(words) if _stem(word) in _parts())
    return next((names for place in places if (names := _of_noun(words, place))), ())


def _of_noun(words: list[str], place: int) -> tuple[str, ...]:
    """Return the facts that a clause says of the limb that it names at ``place``."""
    noun, before = _stem(words[place]), words[:place]
    side = next((word for word in reversed(before) if word in _SIDES), None)
    both = side is None and ("both" in before or words[place] != noun)
    if side is not None:
        before = [word for number, word in enumerate(before) if number != len(before) - 1 - before[::-1].index(side)]
    gone = {"both", "one", "only", "single"}
    given = _stems([*(word for word in before if word not in gone), *words[place + 1 :]]) - {"both"}
    names = _best(
        (state, _reach(given, [*wordings, *(_sided(wordings, side))]))
        for state, wordings in _states().items()
        if state.partition(".")[0] in _parts()[noun]
    )
    if both:
        pairs = (f"{MANY[part]}.{state}" for part, _, state in (name.partition(".") for name in names))
        return tuple(name for name in pairs if name in NAMES)
    return tuple(f"{one}_{name}" for name in names for one in ((side,) if side else _SIDES))


def _sided(wordings: list[frozenset[str]], side: str | None) -> Iterator[frozenset[str]]:
    """Yield wordings that name the other side ("at the right elbow", of the left hand)."""
    if side is not None:
        other = _SIDES[1 - _SIDES.index(side)]
        yield from (frozenset(other if stem == _OTHER else stem for stem in one) for one in wordings if _OTHER in one)


def _reach(given: frozenset[str], wordings: Iterable[frozenset[str]]) -> int:
    """Return how many words of a clause a wording holds that is in it; 0 unless all words are of the wordings."""
    wordings = list(wordings)
    if not given or not given <= frozenset().union(*wordings):
        return 0
    return max((len(one) for one in wordings if one <= given), default=0)


def _best(reached: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """Return the names that reach farthest."""
    found = list(reached)
    most = max((reach for _, reach in found), default=0)
    return tuple(name for name, reach in found if reach == most) if most else ()


_OTHER = "other"


@cache
def _wholes() -> dict[str, list[frozenset[str]]]:
    return {name: _bags(wordings) for name, wordings in WHOLE.items()}


@cache
def _states() -> dict[str, list[frozenset[str]]]:
    found = {}
    for name, wordings in STATES.items():
        acts = [words.replace("{l}", "") for words in ACTS.get(name, ())]
        found[name] = _bags([*(words.rpartition(" | ")[2] for words in wordings), *acts])
    return found


@cache
def _parts() -> dict[str, frozenset[str]]:
    """Return the parts, such as `arm`, that a noun may mean."""
    nouns = {noun for nouns in NOUNS.values() for noun in nouns}
    return {noun: frozenset(part for part, names in NOUNS.items() if noun in names) for noun in nouns}


def _bags(wordings: Iterable[str]) -> list[frozenset[str]]:
    plain = (words.replace("{p}", "the").replace("{o}", _OTHER) for words in wordings)
    return [bag for words in plain if (bag := _stems(word for word, _ in words_of(words)))]


def _stems(words: Iterable[str]) -> frozenset[str]:
    return frozenset(_stem(word) for word in words if word not in _IDLE)


def _stem(word: str) -> str:
    """Return what "raising", "raised", "raises" and "raise" have in common."""
    if word in _EXPLICIT:
        return _EXPLICIT[word]
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) > 2 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
        word = word[:-1]
    return word
