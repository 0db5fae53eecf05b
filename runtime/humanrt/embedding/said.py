"""What words say of a pose, as facts: `said`, for clauses that our own wordings cover wholly; the others stay words.

A clause is understood if each of its words is in a wording (`humanrt.embedding.wordings`) that is wholly in it,
all of one fact. So "the right arm hangs straight down" is `right_arm.down` ("hanging down", "straight down"), and of
"he waves to the right hand side of the bus" nothing is understood: what is not understood is never guessed. A limb that
has no predicate of its own shares that of the limb beside it ("the left arm and the right arm are raised"); unless both
are understood, neither is.
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

_SPANS = re.compile(r"([,.;:!]|\b(?:while|but|as)\b)")
_AND = re.compile(r"\band\b")
_WITH = re.compile(r"\bwith\b")
_IDLE = {
    *("a", "an", "the", "is", "are", "be", "being", "has", "have", "having", "in", "on", "at", "of", "to", "it", "its"),
    *("somebody", "someone", "person", "people", "man", "woman", "boy", "girl", "he", "she", "they", "who", "that"),
    *("with", "his", "her", "their", "your", "my", "own", "into", "two", "quite", "very", "kept", "keep", "keeping"),
    *("pose", "picture", "this", "like", "there", "you", "i"),
    *("he's", "she's", "they're", "-"),
}
_TELLING = {"on", "like"}  # "on the knees" is more than knees, "like a cross" more than crossing
_SIDES = ("left", "right")
_COUNTS = {"both", "one", "only", "single"}
_FORMS = {
    **{"bent": "bend", "held": "hold", "stood": "stand", "sat": "sit", "seated": "sit", "knelt": "kneel"},
    **{"lying": "lie", "lies": "lie", "lay": "lie", "hung": "hang", "ground": "floor", "sideways": "side"},
    **{"sides": "side", "spread": "spread", "upwards": "upward", "forwards": "forward", "backward": "back"},
    **{"backwards": "back"},
}
_MODIFIERS = {
    **dict.fromkeys(("body.lying_back", "body.lying_front", "body.fours"), ("on the floor",)),
    **dict.fromkeys(("body.kneel", "body.half_kneel"), ("down", "on the floor")),
}
"""What may be said besides a wording of the whole body, and changes nothing of what is true."""
_FORMS_AND_MANY = {**_FORMS, **{many: one for one, many in MANY.items()}}
_EXPLICIT = {**{one: one for one in _FORMS_AND_MANY.values()}, **_FORMS_AND_MANY}  # "sideways" is "side", as "side" is


@dataclass(frozen=True)
class Said:
    """What a text says.

    Attributes:
        facts: of each clause that is understood, the facts of which one must be true.
        rest: the clauses that are not understood.
    """

    facts: tuple[tuple[str, ...], ...]
    rest: tuple[str, ...]


@dataclass(frozen=True)
class _Clause:
    """Words of a clause, and what joins it to the one before: "and", "with", ",", or another mark or word."""

    words: tuple[str, ...]
    joined: str

    @property
    def bare(self) -> bool:
        """Whether it names a limb, or a side, and says nothing of it."""
        sides, nouns = _named(self.words)
        others = [word for word in self.words if word not in _IDLE | _COUNTS]
        return len(others) == len(sides) + len(nouns) and len(sides) <= 1 and len(nouns) <= 1 and bool(others)


def said(text: str) -> Said:
    """Return what a text says of a pose, by clauses."""
    found: list[tuple[str, ...]] = []
    rest: list[str] = []
    for group in _groups(list(_clauses(" ".join(word for word, _ in words_of(text))))):
        understood = [_facts(words) for words in _completed(group)]
        if all(understood):
            found += [names for names in understood if names not in found]
        elif not _IDLE.issuperset(word for clause in group for word in clause.words):
            parts = (f"{clause.joined if place else ''} {' '.join(clause.words)}" for place, clause in enumerate(group))
            rest.append(" ".join(parts).strip())
    return Said(tuple(dict.fromkeys(found)), tuple(rest))


def _clauses(text: str) -> Iterator[_Clause]:
    """Yield the clauses of a text; "on hands and knees" is one, "kneeling and looking up" are two."""
    joined = ""
    for place, span in enumerate(_SPANS.split(text)):
        if place % 2:
            joined = span
            continue
        for whole in [span] if _whole(span.split()) else _AND.split(span):
            # "kicking with the left leg" is one clause, "sitting with bent elbows" are two.
            for clause in [whole] if _facts(whole.split()) else _WITH.split(whole):
                if clause.strip():
                    yield _Clause(tuple(clause.split()), joined)
                joined = "with"
            joined = "and"


def _groups(clauses: list[_Clause]) -> list[list[_Clause]]:
    """Return clauses, with each limb that lacks a predicate beside the clause whose predicate it shares."""
    groups: list[list[_Clause]] = []
    for place, clause in enumerate(clauses):
        after = groups and groups[-1][-1].bare and clause.joined in ("and", ",")
        last = place + 1 == len(clauses) or clauses[place + 1].joined not in ("and", ",")
        if after or (groups and clause.bare and clause.joined == "and" and last):
            groups[-1].append(clause)
        else:
            groups.append([clause])
    return groups


def _completed(group: list[_Clause]) -> list[list[str]]:
    """Return the words of clauses, with the predicate of the one that has one in all of them."""
    telling = next((clause for clause in group if not clause.bare), None)
    if telling is None or len(group) == 1:
        return [list(clause.words) for clause in group]
    words = list(telling.words)
    place = next((place for place, word in enumerate(words) if _stem(word) in _parts()), None)
    if place is None:
        return [list(clause.words) for clause in group]
    (sides, _), noun = _named(words[:place]), words[place]
    before = [word for word in words[:place] if word not in (*_SIDES, "both")]
    counts = [word for word in words[:place] if word == "both"]
    found = []
    for clause in group:
        own_sides, own_nouns = _named(clause.words)
        if clause is telling:
            own_sides, own_nouns = sides[-1:], [noun]
            if not sides and not counts and noun == _stem(noun):  # "the left arm and leg"
                own_sides = next((named for one in group if one.bare and (named := _named(one.words)[0])), [])
            own_counts = counts
        else:
            own_counts = [word for word in clause.words if word == "both"]
        found.append([*before, *own_counts, *own_sides, *(own_nouns or [noun]), *words[place + 1 :]])
    return found


def _named(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the sides and the nouns of limbs among words."""
    words = list(words)
    return [word for word in words if word in _SIDES], [word for word in words if _stem(word) in _parts()]


def _facts(words: list[str]) -> tuple[str, ...]:
    """Return the facts of which a clause says one; () if it is not understood."""
    return _whole(words) or _of_limb(words)


def _whole(words: list[str]) -> tuple[str, ...]:
    """Return the facts of the whole body that a clause says."""
    given = _stems(words, _TELLING) - {"both"}
    return _best((name, _reach(given, wordings, _modifiers(name))) for name, wordings in _wholes().items())


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
    given = _stems([*(word for word in before if word not in _COUNTS), *words[place + 1 :]]) - {"both"}
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


def _reach(given: frozenset[str], wordings: Iterable[frozenset[str]], modifiers: Iterable[frozenset[str]] = ()) -> int:
    """Return how many words of a clause the longest wording in it holds; 0 unless wordings in it hold all words."""
    inside = [one for one in wordings if one <= given]
    if not inside or given != frozenset().union(*inside, *(one for one in modifiers if one <= given)):
        return 0
    return max(len(one) for one in inside)


def _best(reached: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """Return the names that reach farthest."""
    found = list(reached)
    most = max((reach for _, reach in found), default=0)
    return tuple(name for name, reach in found if reach == most) if most else ()


_OTHER = "other"


@cache
def _wholes() -> dict[str, list[frozenset[str]]]:
    found = {}
    for name, wordings in WHOLE.items():
        bags = [bag - {"both"} for bag in _bags(wordings, _TELLING)]
        found[name] = [bag for bag in bags if len(bag) > 1 or not bag <= _parts().keys()]
    return found


@cache
def _modifiers(name: str) -> list[frozenset[str]]:
    return _bags(_MODIFIERS.get(name, ()), _TELLING)


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


def _bags(wordings: Iterable[str], telling: Iterable[str] = ()) -> list[frozenset[str]]:
    plain = (words.replace("{p}", "the").replace("{o}", _OTHER) for words in wordings)
    return [bag for words in plain if (bag := _stems((word for word, _ in words_of(words)), telling))]


def _stems(words: Iterable[str], telling: Iterable[str] = ()) -> frozenset[str]:
    idle = _IDLE.difference(telling)
    return frozenset(_stem(word) for word in words if word not in idle)


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
