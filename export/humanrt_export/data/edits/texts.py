"""Sentences that ask for changes, with what they ask for: `sentence`.

What is to be changed is drawn first: from the differences of two captured poses, so that amounts are those that people
move by, or at random. Then it is put into words (`wordings`): one of many grammars a change, several changes in one
sentence, the same verb for two of them, "the other one", amounts in words and numbers, polite forms, third person,
things that are to stay, typing errors. Texts that ask for nothing that a body can do come with no change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from humanrt.editing.changes import CHANNELS, PLACES, Edit
from humanrt_export.data.edits.grammar import Random, expand
from humanrt_export.data.edits.wordings import (
    CHATTER,
    KEEP,
    LIMBS,
    MORE,
    NONSENSE,
    SIMPLE,
    WAYS,
    WHOLE,
)
from humanrt_export.data.edits.wordings import PLACES as PLACE_NAMES

__all__ = ["Change", "Wish", "edit_of", "nonsense", "sentence"]

Way = tuple[float, float, float]
_AXES: dict[str, Way] = {
    "out": (1, 0, 0),
    "in": (-1, 0, 0),
    "up": (0, 1, 0),
    "down": (0, -1, 0),
    "front": (0, 0, 1),
    "back": (0, 0, -1),
}
_UP_FRONT: Way = (0, 1, 1)  # where a leg goes that is raised


@dataclass(frozen=True)
class Change:
    """One channel's change; fields as in `humanrt.editing.changes.Edit`."""

    channel: str
    value: float = 0.0
    absolute: bool = False
    way: Way = (0, 1, 0)
    place: str = PLACES[0]


@dataclass(frozen=True)
class Wish:
    """A change as it is asked for, before there are words.

    Attributes:
        kind: ``arm``, ``thigh``, ``elbow``, ``knee``, ``hand``, ``foot``, ``lean``, ``side_lean``, ``twist``,
            ``head_turn``, ``head_nod``, ``head_tilt``, ``facing``, ``height``, ``stance``; or a key of `POSES`.
        side: left, right, both or empty.
        ways: names of ways (`_AXES`), or the sign as ``+`` or ``-``.
        size: degrees or metres, of a captured difference; None: what the words usually mean.
    """

    kind: str
    side: str = ""
    ways: tuple[str, ...] = ()
    size: float | None = None


# What words without a number mean: a little, nothing said, a lot. Degrees, or metres.
_SIZES: dict[str, tuple[float, float, float]] = {
    "arm": (15, 40, 80),
    "thigh": (12, 35, 70),
    "elbow": (15, 40, 80),
    "knee": (15, 40, 80),
    "ankle": (10, 25, 40),
    "lean": (10, 25, 55),
    "side_lean": (8, 18, 35),
    "twist": (12, 28, 48),
    "head_turn": (12, 35, 60),
    "head_nod": (10, 25, 42),
    "head_tilt": (8, 20, 34),
    "facing": (20, 50, 110),
    "height": (0.07, 0.20, 0.40),
    "stance": (0.10, 0.25, 0.50),
    "hand": (0.10, 0.25, 0.50),
    "foot": (0.08, 0.22, 0.42),
}
_METRES = ("height", "stance", "hand", "foot")
_LITTLE = (
    "a little|a bit|a little bit|slightly|a touch|a tad|somewhat|just a little|just a bit|a few degrees|a small amount"
    "|a hair|ever so slightly|gently|just slightly|a little more|a bit more|slightly more|a wee bit|a small bit"
    "|a smidge|but not too much|but only a little|only a little|but not too far|not too much"
    "|a couple of degrees|by a little"
)
_LITTLE_BEFORE = (
    "a little|a bit|a little bit|slightly|a touch|a tad|somewhat|just a bit|just a little|a few degrees|a few "
    "centimeters|a hair|ever so slightly"
)
_LOT = (
    "a lot|a lot more|much more|a great deal|considerably|significantly|quite a lot|a whole lot|by a lot|a good deal"
    "|strongly|really far|very far|much further|way more|as far as you can|by a large amount|quite far|really"
    "|quite a bit|a lot|a lot|a lot|deeply|substantially|a fair bit|massively|as much as you can|a lot further"
)
_LOT_BEFORE = (
    "much|much|a lot|a lot|way|far|considerably|significantly|a good deal|a great deal|a whole lot|really much|lots"
)
_NONE = ("", "", "", "", "", "", " more", " further", " some more", " even more", " again")
_ABOUT = ("", "", "", "", "about ", "around ", "roughly ", "approximately ")
_TENS = ("", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ONES = ("", " one", " two", " three", " four", " five", " six", " seven", " eight", " nine")


class _Speaker:
    """Who speaks of one text: how the person is addressed, and how amounts are said."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.person = random.choices(("your", "the", "", "his", "her", "my", "their"), (60, 22, 8, 3, 3, 2, 2))[0]
        # In a text without articles there still are some.
        self.owner = self.person or random.choice(("your", "the"))
        self.you = {"his": "he", "her": "she", "my": "i", "their": "they"}.get(self.person, "you")
        self.bare = random.random() < 0.1
        self.numeric = 0.8 if random.random() < 0.2 else 0.2  # share of amounts in numbers

    def limb(self, word: str, side: str, *, other: bool = False, right: bool = False) -> str:
        """Return a limb with its side; ``other``: the other one was named before."""
        random = self.random
        name = expand(LIMBS[word], random)
        many = {"foot": "feet"}.get(name, f"{name}s")
        own = f"{self.person} " if self.person else ""
        if other and random.random() < 0.6:
            return random.choice(("the other one", "the other", f"the other {name}", f"{own}other {name}"))
        if side == "both":
            plain = self.owner
            return random.choice(
                (
                    f"both {many}",
                    f"both {many}",
                    f"{plain} {many}",
                    f"{plain} {many}",
                    f"both {plain if plain != 'the' else 'of the'} {many}",
                    f"both of {plain} {many}",
                    many,
                    f"{plain} left and right {name}",
                    f"{plain} two {many}",
                )
            )
        if right and random.random() < 0.5:
            return f"{plain_article(random)} {name}"
        shapes = [f"{own}{side} {name}"] * 8
        shapes += [f"{self.owner} {name} on the {side}", f"{self.owner} {name} on {self.owner} {side} side"]
        shapes += [f"the {side} {name}"] * 2
        shapes += [f"{side} {name}"] * (4 if self.bare else 1)
        return random.choice(shapes)

    def number(self, kind: str, size: float | None) -> tuple[str, float]:
        """Return an amount in a number, such as "20 degrees", and its size in degrees or metres."""
        random = self.random
        if kind in _METRES:
            middle = _SIZES[kind][1]
            metres = size if size is not None else random.uniform(0.3, 2.2) * middle
            choice = random.random()
            if choice < 0.8:
                n = max(2, round(100 * metres / 5) * 5 if random.random() < 0.8 else round(100 * metres))
                unit = random.choice((" cm", "cm", " centimeters", " centimetres", " cm", " cm"))
                return f"{self._spelled(n) if unit[0] == ' ' else n}{unit}", n / 100
            if choice < 0.95:
                n = max(1, round(metres / 0.0254))
                return f"{n} {'inch' if n == 1 else 'inches'}", n * 0.0254
            n = max(1, round(metres * 10))
            return f"{n / 10} {random.choice(('m', 'meters'))}", n / 10
        degrees = size if size is not None else random.uniform(0.25, 2.4) * _SIZES[kind][1]
        n = max(3, round(degrees / 5) * 5 if random.random() < 0.8 else round(degrees))
        unit = random.choice((" degrees", " degrees", " degrees", " degrees", "°", " deg", " degree"))
        return f"{self._spelled(n) if unit[0] == ' ' else n}{unit}", float(n)

    def _spelled(self, n: int) -> str:
        if 20 <= n < 100 and self.random.random() < 0.12:
            return _TENS[n // 10] + (self.random.choice((" ", "-")) + _ONES[n % 10][1:] if n % 10 else "")
        return str(n)


def plain_article(random: Random) -> str:
    """Return what stands before a limb whose side is not said: the right one is meant."""
    return random.choice(("your", "your", "the", "one", "a", "an"))


class _Amount:
    """How much, of one clause: drawn when it is first said. ``size`` is what was drawn at the end."""

    def __init__(self, speaker: _Speaker, kind: str, size: float | None, *, number: bool = True) -> None:
        self.speaker, self.kind = speaker, kind
        random = speaker.random
        little, middle, lot = _SIZES[kind]
        self.form: Literal["little", "none", "lot", "number"]
        if number and random.random() < speaker.numeric:
            self.form = "number"
        elif size is None:
            self.form = random.choices(("little", "none", "lot"), (27, 48, 25))[0]
        else:
            low, high = (little + middle) / 2, (middle + lot) / 2
            self.form = "little" if size < low else "lot" if size > high and random.random() < 0.75 else "none"
        self.size = {"little": little, "none": middle, "lot": lot}.get(self.form, middle) if size is None else size
        self.text = ""
        if self.form == "number":
            self.text, self.size = speaker.number(kind, size)
        self.used = False
        self.given = size is not None

    def after(self) -> str:
        """Return it behind a verb."""
        random = self.speaker.random
        self.used = True
        if self.form == "number":
            return f"{random.choice((' by ', ' by ', ' by ', ' '))}{random.choice(_ABOUT)}{self.text}"
        if self.form == "none":
            return random.choice(_NONE)
        return " " + random.choice((_LITTLE if self.form == "little" else _LOT).split("|"))

    def before(self) -> str:
        """Return it before a comparative."""
        random = self.speaker.random
        self.used = True
        if self.form == "number":
            return f"{random.choice(_ABOUT)}{self.text} "
        if self.form == "none":
            return random.choice(("", "", "", "", "even ", "some "))
        return random.choice((_LITTLE_BEFORE if self.form == "little" else _LOT_BEFORE).split("|")) + " "

    def too(self) -> str:
        """Return "too", and how much."""
        random = self.speaker.random
        self.used = True
        if self.form == "number":
            return f"{self.text} too "
        if self.form == "little":
            return random.choice(("a bit too ", "slightly too ", "a little too ", "a tad too "))
        return random.choice(("way too ", "much too ", "far too ")) if self.form == "lot" else "too "

    def settled(self) -> float:
        """Return the size that the words say; if none could say it, what is usual."""
        if self.used or self.given:
            return self.size
        return _SIZES[self.kind][1]


Said = tuple[str, list[Change], bool]
"""A clause, what it asks for, and whether it is an imperative."""


def _say(speaker: _Speaker, key: str, amount: _Amount | None, **slots: str) -> tuple[str, bool]:
    """Return a clause of `SIMPLE`, and whether it is an imperative."""
    random = speaker.random
    grammar = random.choice(SIMPLE[key])
    imperative = not grammar.startswith("!")
    owner = speaker.owner
    you = speaker.you
    many = slots.get("many") == "yes"
    values: dict[str, Callable[[], str]] = {name: (lambda value=value: value) for name, value in slots.items()}  # type: ignore[misc]
    values |= {
        "be": lambda: "are" if many else "is",
        "is": lambda: "is",
        "are2": lambda: "are",
        "you": lambda: you,
        "are": lambda: {"you": "are", "i": "am", "they": "are"}.get(you, "is"),
        "your": lambda: owner,
        "yourself": lambda: {"he": "him", "she": "her", "i": "me", "they": "them"}.get(
            you, random.choice(("you", "you", "yourself"))
        ),
        "its": lambda: "their" if many else "its",
        "head": lambda: random.choice((f"{owner} head", f"{owner} head", f"{owner} head", f"{owner} face", "head")),
        "chin": lambda: random.choice((f"{owner} chin", f"{owner} chin", "chin")),
        "trunk": lambda: f"{owner} {random.choice(('trunk', 'upper body', 'torso', 'back', 'body', 'trunk'))}",
        "turning": lambda: (
            f"{owner} {random.choice(('shoulders', 'upper body', 'torso', 'trunk', 'chest', 'shoulders', 'waist'))}"
        ),
        "whole": lambda: random.choice(
            (
                f"{owner} whole body",
                "yourself",
                f"{owner} entire body",
                f"{owner} body",
                "all of you",
                "your whole body",
            )
        ),
        "feet": lambda: random.choice(
            (f"{owner} feet", "both feet", "the feet", f"{owner} legs", "feet", f"{owner} feet", f"{owner} ankles")
        ),
        "a": lambda: amount.after() if amount else "",
        "a2": lambda: amount.after() if amount else "",
        "q": lambda: amount.before() if amount else "",
        "q2": lambda: (
            "" if amount is None or amount.used or amount.form == "number" else random.choice(("", amount.before()))
        ),
        "too": lambda: amount.too() if amount else "too ",
    }
    return expand(grammar[0 if imperative else 1 :], random, values), imperative


# ------------------------------------------------------------------------------------------------ clauses


def _sides(side: str) -> tuple[str, ...]:
    return ("left", "right") if side == "both" else (side,)


def _unit(ways: Sequence[str]) -> Way:
    total = np.sum([_AXES[way] for way in ways], axis=0)
    return (float(total[0]), float(total[1]), float(total[2]))


def _ways_text(speaker: _Speaker, ways: Sequence[str], side: str) -> str:
    """Return ways in words; outward and inward sometimes as left and right."""
    random = speaker.random
    parts = []
    owner = {"he": "him", "she": "her", "i": "me", "they": "them"}.get(speaker.you, "you")
    for way in ways:
        if way in ("out", "in") and side in ("left", "right") and random.random() < 0.3:
            to = side if way == "out" else ("right" if side == "left" else "left")
            parts.append(expand(WAYS["to"], random, {"to": lambda to=to: to, "your": lambda: speaker.owner}))  # type: ignore[misc]
            continue
        slots = {
            "yourself": lambda: owner,
            "your": lambda: speaker.owner,
            "its": lambda: "the" if side == "both" else "its",
        }
        parts.append(expand(WAYS[way], random, slots))
    random.shuffle(parts)
    return random.choice((" and ", " and ", " and ", " ", ", ")).join(parts)


def _limb(speaker: _Speaker, wish: Wish, other: bool) -> Said:
    """Return a clause about the direction of an arm or a thigh."""
    random = speaker.random
    amount = _Amount(speaker, wish.kind, wish.size)
    unsaid = wish.side == "right" and random.random() < 0.12
    word = "elbow" if wish.kind == "arm" and random.random() < 0.12 else wish.kind
    noun = speaker.limb(word, wish.side, other=other, right=unsaid)
    many = "yes" if wish.side == "both" else "no"
    ways = wish.ways
    way = _UP_FRONT if wish.kind == "thigh" and ways == ("up",) else _unit(ways)
    second: list[Change] = []
    if len(ways) == 1 and random.random() < 0.06:
        kind = "thigh" if wish.kind == "arm" else "arm"
        more, second = _second(speaker, kind, amount, _UP_FRONT if kind == "thigh" and ways == ("up",) else _unit(ways))
        noun, many = f"{noun} and {more}", "yes"
    if ways[0] in ("up", "down") and len(ways) > 1 and random.random() < 0.6:
        more = _ways_text(speaker, ways[1:], wish.side)
        text, imperative = _say(speaker, f"arm.{ways[0]}.way", amount, N=noun, many=many, side_ways=more)
    elif ways in (("up",), ("down",)) and random.random() < 0.85:
        key = "thigh.up" if wish.kind == "thigh" and ways == ("up",) else f"arm.{ways[0]}"
        text, imperative = _say(speaker, key, amount, N=noun, many=many)
    else:
        words = _ways_text(speaker, ways, wish.side)
        text, imperative = _say(speaker, "arm.move", amount, N=noun, many=many, ways=words)
    size = amount.settled()
    changes = [Change(f"{side}_{wish.kind}", size, False, way) for side in _sides(wish.side)]
    more, others = _other_amount(speaker, wish, word, amount, changes)
    return text + more, [*changes, *_sized(second, amount, size), *others], imperative


def _second(speaker: _Speaker, kind: str, amount: _Amount, way: Way = (0, 1, 0)) -> tuple[str, list[Change]]:
    """Return another limb that the same verb is about, and its change; the size is not known yet."""
    side = speaker.random.choices(("left", "right", "both"), (40, 40, 20))[0]
    changes = [Change(f"{one}_{kind}", 1.0, False, way) for one in _sides(side)]
    return speaker.limb(kind, side), changes


def _sized(changes: Sequence[Change], amount: _Amount, size: float) -> list[Change]:
    """Return the changes of what shares an amount: a number is the same, of words what they mean for it."""
    found = []
    for change in changes:
        kind = change.channel.split("_", 1)[1]
        if amount.form != "number" or not amount.used:
            form = amount.form if amount.used else "none"
            size = _SIZES[kind][("little", "none", "lot").index(form) if form != "number" else 1]
        found.append(replace(change, value=size * change.value))
    return found


def _other_amount(
    speaker: _Speaker, wish: Wish, word: str, amount: _Amount, changes: Sequence[Change]
) -> tuple[str, list[Change]]:
    """Return, for some, the same of the other side by another amount: "... and the right one by 60 degrees"."""
    random = speaker.random
    if amount.form != "number" or not amount.used or wish.side not in _BOTH or random.random() > 0.2:
        return "", []
    text, size = speaker.number(wish.kind, None)
    side = "right" if wish.side == "left" else "left"
    own = speaker.owner
    noun = random.choice(
        (f"{own} {side} one", f"the {side} one", f"{own} {side} {word}", "the other", "the other one", f"the {side}")
    )
    joint = random.choice((" and ", " and ", ", ", " but ", " and also "))
    more = f"{joint}{noun}{random.choice((' by ', ' by ', ' '))}{text}"
    return more, [replace(one, channel=f"{side}_{wish.kind}", value=size * np.sign(one.value)) for one in changes]


def _bend(speaker: _Speaker, wish: Wish, other: bool) -> Said:
    random = speaker.random
    more = wish.ways == ("+",)
    amount = _Amount(speaker, wish.kind, wish.size)
    word = wish.kind
    if random.random() < 0.3:
        word = {"elbow": "arm", "knee": "leg"}[wish.kind]
    noun = speaker.limb(word, wish.side, other=other, right=wish.side == "right" and random.random() < 0.12)
    many = "yes" if wish.side == "both" else "no"
    if not more and (amount.form == "none" or random.random() < 0.15):
        text, imperative = _say(speaker, "straight", None, N=noun, many=many)
        return text, [Change(f"{side}_{wish.kind}", 0.0, True) for side in _sides(wish.side)], imperative
    second: list[Change] = []
    if random.random() < 0.08:
        another, second = _second(speaker, "knee" if wish.kind == "elbow" else "elbow", amount)
        noun, many = f"{noun} and {another}", "yes"
    text, imperative = _say(speaker, "bend" if more else "straighten", amount, N=noun, many=many)
    size = amount.settled() if more else -amount.settled()
    changes = [Change(f"{side}_{wish.kind}", size) for side in _sides(wish.side)]
    more_text, others = _other_amount(speaker, wish, word, amount, changes)
    second = [replace(one, value=one.value if more else -one.value) for one in _sized(second, amount, abs(size))]
    return text + more_text, [*changes, *second, *others], imperative


def _moved(speaker: _Speaker, wish: Wish, other: bool) -> Said:
    """Return a clause about the place of a hand or a foot."""
    random = speaker.random
    amount = _Amount(speaker, wish.kind, wish.size)
    noun = speaker.limb(wish.kind, wish.side, other=other, right=wish.side == "right" and random.random() < 0.1)
    many = "yes" if wish.side == "both" else "no"
    words = _ways_text(speaker, wish.ways, wish.side)
    key = "arm.move"
    if wish.kind == "foot" and random.random() < 0.6:
        key = "step"
    elif wish.ways in (("up",), ("down",)) and wish.kind == "hand" and random.random() < 0.8:
        key = f"arm.{wish.ways[0]}"
    elif wish.ways == ("up",) and wish.kind == "foot":
        key = "foot up"
    other_leg = {"left": "right", "right": "left"}.get(wish.side, "")
    if key == "foot up" and not other_leg:
        key = "arm.up"
    text, imperative = _say(speaker, key, amount, N=noun, many=many, ways=words, other=other_leg)
    size = amount.settled()
    return (
        text,
        [Change(f"{side}_{wish.kind}", size, False, _unit(wish.ways)) for side in _sides(wish.side)],
        imperative,
    )


def _turn(speaker: _Speaker, wish: Wish, other: bool) -> Said:
    """Return a clause about an angle of trunk or head, the height or the stance."""
    amount = _Amount(speaker, wish.kind, wish.size)
    positive = wish.ways == ("+",)
    names = {
        "lean": ("lean.back", "lean.front"),
        "head_nod": ("head_nod.down", "head_nod.up"),
        "height": ("height.down", "height.up"),
        "stance": ("stance.in", "stance.out"),
    }
    key = names.get(wish.kind, (wish.kind, wish.kind))[positive]
    to, away = ("left", "right") if positive else ("right", "left")
    slots = {"to": to, "from": away}
    text, imperative = _say(speaker, key, amount, **slots)
    size = amount.settled()
    return text, [Change(wish.kind, size if positive else -size)], imperative


def _whole(key: str, *changes: Change) -> Callable[[_Speaker, Wish, bool], Said]:
    def say(speaker: _Speaker, wish: Wish, other: bool) -> Said:
        return expand(speaker.random.choice(WHOLE[key]), speaker.random), list(changes), True

    return say


def _fixed(
    key: str, word: str, *changes: tuple[str, float, bool, Way], amount: str = ""
) -> Callable[[_Speaker, Wish, bool], Said]:
    """Return what says a change to a limb, or to parts without sides, from `SIMPLE`.

    Args:
        key: of `SIMPLE`.
        word: of `LIMBS`, or empty.
        changes: channel without its side, value, absolute, way; a value of NaN is the amount.
        amount: kind of the amount; empty: none is said.
    """

    def say(speaker: _Speaker, wish: Wish, other: bool) -> Said:
        random = speaker.random
        how = _Amount(speaker, amount, wish.size) if amount else None
        side = wish.side
        noun = speaker.limb(word, side, other=other) if word else ""
        other_leg = {"left": "right", "right": "left"}.get(side, "")
        sided = {"left": "left", "right": "right", "both": random.choice(("", "both"))}.get(side, "")
        many = "yes" if side == "both" else "no"
        text, imperative = _say(
            speaker, key, how, N=noun, many=many, other=other_leg, sided=sided, to="left", **{"from": "right"}
        )
        found = []
        for channel, value, absolute, way in changes:
            if value != value:  # NaN
                assert how is not None
                value = how.settled()
            elif value == -np.inf:
                assert how is not None
                value = -how.settled()
            sides = [f"{one}_" for one in _sides(side)] if word else [""]
            found += [Change(f"{one}{channel}", value, absolute, way) for one in sides]
        return " ".join(text.split()), found, imperative

    return say


def _bent_to(speaker: _Speaker, wish: Wish, other: bool) -> Said:
    random = speaker.random
    joint = random.choice(("elbow", "knee"))
    noun = speaker.limb(joint, wish.side, other=other)
    degrees = float(
        random.choice((30, 45, 60, 75, 80, 100, 110, 120)) if random.random() < 0.8 else random.randint(20, 130)
    )
    number = f"{degrees:.0f}{random.choice((' degrees', '°', ' degrees', ' deg'))}"
    text, imperative = _say(speaker, "bent to", None, N=noun, num=number)
    return text, [Change(f"{side}_{joint}", degrees, True) for side in _sides(wish.side)], imperative


def _part_turn(speaker: _Speaker, wish: Wish, other: bool) -> Said:
    """Return a clause about a quarter, a half or a full turn."""
    random = speaker.random
    to, sign = random.choice((("left", 1.0), ("right", -1.0)))
    name, size = random.choice(
        (("quarter", 90.0), ("quarter", 90.0), ("half", 180.0), ("half", 180.0), ("full", 360.0))
    )
    part = name if random.random() < 0.7 else f"{size:.0f} degree"
    key = "facing.part" if size < 180 or random.random() < 0.4 else "facing.around"
    text, imperative = _say(speaker, key, None, to=to, part=part, num=f"{size:.0f} degrees")
    return text, [Change("facing", size if key == "facing.around" else sign * size)], imperative


def _placed(speaker: _Speaker, wish: Wish, other: bool) -> Said:
    random = speaker.random
    place = random.choice(tuple(PLACE_NAMES))
    noun = speaker.limb("hand", wish.side, other=other, right=wish.side == "right" and random.random() < 0.15)
    there = expand(PLACE_NAMES[place], random, {"your": lambda: speaker.owner})
    if (
        wish.side in ("left", "right")
        and place in ("hip", "shoulder", "ear", "thigh", "knee")
        and random.random() < 0.4
    ):
        named = wish.side
        if place == "shoulder" and random.random() < 0.5:
            place, named = "other_shoulder", "right" if wish.side == "left" else "left"
        there = f"{speaker.owner} {named} {place.removeprefix('other_')}"
    alone = (wish.side == "both" and random.random() < 0.15) or (wish.side == "right" and random.random() < 0.08)
    text, imperative = _say(speaker, "touch" if alone else "place", None, N=noun, there=there)
    changes = [Change(f"{side}_hand", 0.0, True, place=place) for side in _sides(wish.side)]
    if place == "toes":
        changes.append(Change("lean", 80.0, True))
    return text, changes, imperative


_NAN, _MINUS = float("nan"), float("-inf")
_NOWHERE: Way = (0, 1, 0)
_BOTH = ("left", "right")


def _pair(part: str, value: float, way: Way = _NOWHERE, place: str = PLACES[0]) -> tuple[Change, ...]:
    return tuple(Change(f"{side}_{part}", value, True, way, place) for side in _BOTH)


_CLAUSES: dict[str, Callable[[_Speaker, Wish, bool], Said]] = {
    **dict.fromkeys(("arm", "thigh"), _limb),
    **dict.fromkeys(("elbow", "knee"), _bend),
    **dict.fromkeys(("hand", "foot"), _moved),
    **dict.fromkeys(("lean", "side_lean", "twist", "head_turn", "head_nod", "head_tilt", "facing"), _turn),
    **dict.fromkeys(("height", "stance"), _turn),
}
"""Kinds of wishes that have sides, ways and sizes."""

_SIDED: dict[str, tuple[float, Callable[[_Speaker, Wish, bool], Said]]] = {
    "overhead": (2, _fixed("overhead", "arm", ("arm", 8, True, (0, 1, 0)), ("elbow", 8, True, _NOWHERE))),
    "hands overhead": (
        2,
        _fixed("hands overhead", "hand", ("arm", 15, True, (0.1, 1, 0.1)), ("elbow", 20, True, _NOWHERE)),
    ),
    "level": (1.5, _fixed("level", "arm", ("arm", 90, True, (0, 1, 0)))),
    "sideways": (1.5, _fixed("sideways", "arm", ("arm", 5, True, (1, 0, 0)), ("elbow", 8, True, _NOWHERE))),
    "ahead": (1.5, _fixed("ahead", "arm", ("arm", 5, True, (0, 0, 1)), ("elbow", 8, True, _NOWHERE))),
    "hang": (1.5, _fixed("hang", "arm", ("arm", 8, True, (0.1, -1, 0)), ("elbow", 12, True, _NOWHERE))),
    "right angle elbow": (1.5, _fixed("right angle", "elbow", ("elbow", 90, True, _NOWHERE))),
    "right angle knee": (1.2, _fixed("right angle", "knee", ("knee", 90, True, _NOWHERE))),
    "elbow fully": (0.6, _fixed("bent fully", "elbow", ("elbow", 135, True, _NOWHERE))),
    "knee fully": (0.6, _fixed("bent fully", "knee", ("knee", 130, True, _NOWHERE))),
    "bent to": (1.2, _bent_to),
    "place": (5, _placed),
    "knee up": (
        1.5,
        _fixed("knee up", "knee", ("thigh", _NAN, False, _UP_FRONT), ("knee", _NAN, False, _NOWHERE), amount="thigh"),
    ),
    "point": (0.7, _fixed("point", "ankle", ("ankle", _NAN, False, _NOWHERE), amount="ankle")),
    "flex foot": (0.7, _fixed("flex foot", "ankle", ("ankle", _MINUS, False, _NOWHERE), amount="ankle")),
}
_ONE_SIDED: dict[str, tuple[float, Callable[[_Speaker, Wish, bool], Said]]] = {
    "kick": (0.8, _fixed("kick", "leg", ("thigh", 10, True, (0, 0, 1)), ("knee", 8, True, _NOWHERE))),
    "foot up": (1.5, _fixed("foot up", "foot", ("foot", _NAN, False, (0, 1, 0)), amount="foot")),
    "lunge": (0.8, _fixed("lunge", "leg", ("foot", 0.6, False, (0, 0, 1)))),
}
_UNSIDED: dict[str, tuple[float, Callable[[_Speaker, Wish, bool], Said]]] = {
    "upright": (1.5, _fixed("upright", "", ("lean", 0, True, _NOWHERE), ("side_lean", 0, True, _NOWHERE))),
    "untwisted": (0.5, _fixed("untwisted", "", ("twist", 0, True, _NOWHERE))),
    "head straight": (
        1.5,
        _fixed(
            "head straight",
            "",
            ("head_turn", 0, True, _NOWHERE),
            ("head_nod", 0, True, _NOWHERE),
            ("head_tilt", 0, True, _NOWHERE),
        ),
    ),
    "part turn": (1.5, _part_turn),
    "around": (1.5, _fixed("around", "", ("facing", 180, False, _NOWHERE))),
    "squat": (1.0, _fixed("squat", "", ("height", 0.42, True, _NOWHERE))),
    "stand": (1.0, _fixed("stand", "", ("height", 0.90, True, _NOWHERE))),
    "chair": (0.8, _fixed("chair", "", ("height", 0.50, True, _NOWHERE))),
    "feet together": (0.8, _fixed("feet together", "", ("stance", 0.14, True, _NOWHERE))),
    "feet shoulder width": (0.8, _fixed("feet shoulder width", "", ("stance", 0.38, True, _NOWHERE))),
    "t-pose": (0.8, _whole("t-pose", *_pair("arm", 3, (1, 0, 0)), *_pair("elbow", 3))),
    "mirror": (1.2, _whole("mirror", Change("mirror"))),
    "together": (0.8, _whole("together", *_pair("hand", 0, place="together"))),
    "crossed": (0.8, _whole("crossed", *_pair("hand", 0, place="other_shoulder"))),
    "akimbo": (1.2, _whole("akimbo", *_pair("hand", 0, place="hip"))),
    "behind": (0.8, _whole("behind", *_pair("hand", 0, place="behind_head"))),
    "at back": (0.8, _whole("at back", *_pair("hand", 0, place="back"))),
    "touch toes": (0.8, _whole("touch toes", *_pair("hand", 0, place="toes"), Change("lean", 80, True))),
    "tiptoes": (0.5, _whole("tiptoes", *(Change(f"{side}_ankle", 35) for side in _BOTH))),
    "salute": (0.3, _whole("salute", Change("right_hand", 0, True, place="ear"))),
    "attention": (
        0.8,
        _whole(
            "attention",
            *_pair("arm", 8, (0.1, -1, 0)),
            *_pair("elbow", 10),
            Change("lean", 0, True),
            Change("side_lean", 0, True),
            Change("height", 0.9, True),
            Change("head_turn", 0, True),
            Change("head_nod", 0, True),
        ),
    ),
}
_POSES = {**_SIDED, **_ONE_SIDED, **_UNSIDED}
_POSE_NAMES, _POSE_WEIGHTS = tuple(_POSES), [weight for weight, _ in _POSES.values()]
_KINDS = {
    "arm": 5,
    "thigh": 2.5,
    "elbow": 3,
    "knee": 3,
    "hand": 2.5,
    "foot": 2,
    "lean": 2.5,
    "side_lean": 2,
    "twist": 2,
    "head_turn": 2.5,
    "head_nod": 2.5,
    "head_tilt": 2,
    "facing": 1.5,
    "height": 3,
    "stance": 2,
}
_KIND_NAMES, _KIND_WEIGHTS = tuple(_KINDS), list(_KINDS.values())
_LIMB_KINDS = ("arm", "thigh", "elbow", "knee", "hand", "foot")


def _random_wish(random: Random) -> Wish:
    if random.random() < 0.38:
        name = random.choices(_POSE_NAMES, _POSE_WEIGHTS)[0]
        side = ""
        if name in _SIDED:
            side = random.choices(("left", "right", "both"), (30, 30, 40))[0]
        elif name in _ONE_SIDED:
            side = random.choice(_BOTH)
        return Wish(name, side)
    kind = random.choices(_KIND_NAMES, _KIND_WEIGHTS)[0]
    if kind not in _LIMB_KINDS:
        return Wish(kind, "", (random.choice("+-"),))
    side = random.choices(("left", "right", "both"), (35, 35, 30))[0]
    if kind in ("elbow", "knee"):
        return Wish(kind, side, (random.choice("++-"),))
    ways = [random.choices(("up", "down", "front", "back", "out", "in"), (30, 22, 14, 11, 13, 10))[0]]
    if random.random() < 0.22:
        axis = next(index for index, value in enumerate(_AXES[ways[0]]) if value)
        ways.append(random.choice([name for name, value in _AXES.items() if not value[axis]]))
    return Wish(kind, side, tuple(ways))


# ------------------------------------------------------------------------------------------------ sentences

_POLITE = [
    "{x}",
    "{x}",
    "{x}",
    "{x}",
    "{x}",
    "{x}",
    "{x}",
    "{x}",
    "please {x}",
    "{x} please",
    "{x}, please",
    "can you {x}",
    "could you {x}",
    "could you please {x}",
    "would you {x}",
    "you should {x}",
    "you need to {x}",
    "you have to {x}",
    "you must {x}",
    "try to {x}",
    "try and {x}",
    "i want you to {x}",
    "i'd like you to {x}",
    "make sure to {x}",
    "make sure you {x}",
    "remember to {x}",
    "now {x}",
    "let's {x}",
    "go ahead and {x}",
    "it would be better to {x}",
    "just {x}",
    "simply {x}",
    "kindly {x}",
    "you could {x}",
    "you can {x}",
    "you want to {x}",
    "don't forget to {x}",
    "he should {x}",
    "she should {x}",
    "the person should {x}",
    "the man needs to {x}",
    "have him {x}",
    "make her {x}",
    "make the character {x}",
    "{x} if you can",
    "{x} if possible",
    "{x} now",
    "{x} again",
    "{x} for me",
    "{x} a moment",
    "{x}, then hold it",
    "{x} for better balance",
    "{x} so that it looks better",
    "i think you should {x}",
    "start by {ing}",
    "try {ing}",
    "begin by {ing}",
    "you should be {ing}",
    "how about {ing}",
]


def _gerund(text: str) -> str:
    verb, _, rest = text.partition(" ")
    if not verb.isalpha() or verb in ("don", "do", "not"):
        return text
    doubled = {
        "sit",
        "get",
        "put",
        "let",
        "step",
        "tip",
        "set",
        "dip",
        "drop",
        "squat",
        "spin",
        "swing",
        "grab",
        "stop",
    }
    if verb in doubled and verb not in ("swing",):
        verb += verb[-1]
    elif verb.endswith("e") and not verb.endswith(("ee", "oe")):
        verb = verb[:-1]
    return f"{verb}ing {rest}".strip()


def sentence(random: Random, wishes: Sequence[Wish] = ()) -> tuple[str, list[Change]]:
    """Return a text and what it asks for.

    Args:
        random: where chance comes from.
        wishes: what may be asked for; of these some are taken. None: wishes are drawn too.
    """
    speaker = _Speaker(random)
    most = random.choices((1, 2, 3, 4), (48, 30, 14, 8))[0]
    clauses: list[tuple[str, bool]] = []
    changes: list[Change] = []
    taken: set[str] = set()
    last: Wish | None = None
    for number in range(most):
        paired = last is not None and last.side in _BOTH and last.kind in _CLAUSES
        if wishes and random.random() < (0.7 if paired else 0.85):
            wish = random.choice(wishes)
        elif last is not None and paired and random.random() < 0.4:
            side = "right" if last.side == "left" else "left"
            wish = replace(_random_wish(random), side=side) if random.random() < 0.3 else _other(random, last, side)
        else:
            wish = _random_wish(random)
        if wish.kind in _CLAUSES and wish.kind not in _LIMB_KINDS and wish.side:
            wish = replace(wish, side="")
        if (wish.kind in _LIMB_KINDS or wish.kind in _SIDED or wish.kind in _ONE_SIDED) and not wish.side:
            wish = replace(wish, side="left")
        if wish.kind in _UNSIDED:
            wish = replace(wish, side="")
        if wish.kind in _ONE_SIDED and wish.side == "both":
            wish = replace(wish, side="left")
        other = last is not None and last.kind == wish.kind and {last.side, wish.side} == {"left", "right"}
        say = _CLAUSES[wish.kind] if wish.kind in _CLAUSES else _POSES[wish.kind][1]
        text, found, imperative = say(speaker, wish, other)
        if wish.side in _BOTH and wish.kind in (*_LIMB_KINDS, *_SIDED) and random.random() < 0.04:
            text += _contrast(speaker, wish)
        touched = {part for change in found for part in _touched(change.channel)}
        if touched & taken or ("mirror" in touched and number):
            continue
        taken |= touched
        if last is not None and last.side in _BOTH and wish.side == last.side and random.random() < 0.3:
            text = _pronoun(text, wish, last) or text
        clauses.append((text, imperative))
        changes += found
        last = wish
        if "mirror" in touched:
            break
    return _joined(random, clauses), changes


def _contrast(speaker: _Speaker, wish: Wish) -> str:
    """Return what says that the other side is not meant."""
    random = speaker.random
    side = "right" if wish.side == "left" else "left"
    word = wish.kind if wish.kind in ("arm", "elbow", "hand", "knee", "foot") else "one"
    return random.choice((", not ", " and not ", ", but not ", " instead of ", " not ")) + random.choice(
        (f"the {side} one", f"the {side}", f"your {side} {word}", f"the {side} {word}", f"{speaker.owner} {side} one")
    )


def _touched(channel: str) -> tuple[str, ...]:
    """Return the channels that a change of one leaves no meaning for."""
    side, _, part = channel.partition("_")
    if side in _BOTH and part == "hand":
        return (channel, f"{side}_arm", f"{side}_elbow")
    if side in _BOTH and part == "foot":
        return (channel, f"{side}_thigh", f"{side}_knee", "height", "stance")
    if side in _BOTH and part in ("arm", "elbow"):
        return (channel, f"{side}_arm+" if part == "arm" else channel)
    if channel in ("height", "stance"):
        return (channel, "left_thigh", "right_thigh", "left_knee", "right_knee", "left_foot", "right_foot")
    return (channel,)


def _other(random: Random, last: Wish, side: str) -> Wish:
    opposite = {
        "up": "down",
        "down": "up",
        "front": "back",
        "back": "front",
        "out": "in",
        "in": "out",
        "+": "-",
        "-": "+",
    }
    return replace(
        last,
        side=side,
        size=None,
        ways=tuple(opposite[way] for way in last.ways) if random.random() < 0.8 else last.ways,
    )


def _pronoun(text: str, wish: Wish, last: Wish) -> str | None:
    """Return the text with "it" for the limb that was spoken of before, where that is clear."""
    pairs = {("arm", "elbow"), ("thigh", "knee")}
    if (last.kind, wish.kind) not in pairs:
        return None
    for name in ("upper arm", "arm", "elbow", "leg", "thigh", "knee"):
        for own in ("your ", "the ", "his ", "her ", "my ", "their ", ""):
            phrase = f"{own}{wish.side} {name}"
            if phrase in text:
                return text.replace(phrase, "it", 1)
    return None


def _joined(random: Random, clauses: Sequence[tuple[str, bool]]) -> str:
    parts = []
    for place, (text, imperative) in enumerate(clauses):
        if (
            imperative
            and not text.startswith(("don", "do not", "stop", "no "))
            and random.random() < (0.5 if place == 0 else 0.12)
        ):
            form = random.choice(_POLITE)
            text = form.replace("{x}", text).replace("{ing}", _gerund(text))
        parts.append(text)
    text = parts[0]
    for part in parts[1:]:
        text += random.choice(MORE) + part
    if random.random() < 0.08:
        keep = expand(random.choice(KEEP), random, {"side": lambda: random.choice(_BOTH)})
        text = (
            f"{text}{random.choice((' and ', '. ', ', ', ' but '))}{keep}"
            if random.random() < 0.8
            else f"{keep} and {text}"
        )
    if random.random() < 0.08:
        text = f"{expand(random.choice(CHATTER), random)} {text}".strip()
    return _written(random, text)


def _written(random: Random, text: str) -> str:
    """Return a text as somebody types it."""
    text = " ".join(text.split())
    if random.random() < 0.5:
        text += random.choice((".", ".", ".", "!", " ."))
    if random.random() < 0.18:
        letters = list(text)
        for _ in range(random.choice((1, 1, 2, 3))):
            at = random.randrange(len(letters))
            if not letters[at].isalpha() or at == 0:
                continue
            kind = random.random()
            if kind < 0.4:
                letters[at] = ""
            elif kind < 0.7:
                letters[at] *= 2
            elif at + 1 < len(letters):
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
        text = " ".join("".join(letters).split())
    return text


_PLACEHOLDERS = tuple("abcdefghijklmnopqrstuvwxyz")


def nonsense(random: Random, words: Sequence[str]) -> str:
    """Return a text that asks for no change of a pose.

    Args:
        random: where chance comes from.
        words: of sentences that do, of which some are thrown together.
    """
    choice = random.random()
    if choice < 0.60:
        return _written(random, expand(random.choice(NONSENSE), random))
    if choice < 0.75:  # letters
        count = random.randint(1, 5)
        made = ["".join(random.choices(_PLACEHOLDERS, k=random.randint(1, 9))) for _ in range(count)]
        return _written(random, " ".join(made))
    if choice < 0.85:  # single words that say nothing alone
        return _written(
            random,
            random.choice(
                (
                    "left",
                    "right",
                    "arm",
                    "your",
                    "the",
                    "both",
                    "a bit",
                    "more",
                    "and",
                    "degrees",
                    "90",
                    "left arm",
                    "your knee",
                    "head",
                    "the other",
                    "slightly",
                    "again",
                    "it",
                    "a little",
                    "to the",
                    "body",
                    "hand",
                    "feet",
                    "legs",
                    "elbows",
                    "3",
                    "20 cm",
                    "shoulder",
                    "back",
                )
            ),
        )
    if choice < 0.93:  # parts of bodies in sentences that ask for nothing
        grammar = random.choice(_ABOUT_BODIES)
        return _written(random, expand(grammar, random))
    return _written(random, " ".join(random.choices(words, k=random.randint(3, 8))))


_ABOUT_BODIES = (
    "my (left |right |)(arm|leg|knee|back|head|hand|foot|shoulder|neck) (hurts|is sore|itches|is broken|is cold|is fine"
    "|aches)",
    "(he|she|i|the doctor|my friend) (broke|hurt|likes|lost|washed|examined|painted|sees|has) (his|her|my|a|the) "
    "(left |right |)(arm|leg|hand|foot|head|knee|nose)",
    "(what|how|why|where) (is|about|does) (your|the|my) (arm|leg|knee|head|hand|back)( doing| called| so big|)",
    "(smile|frown|blink|close your (eyes|mouth)|open your (eyes|mouth)|wink|breathe (in|out)|laugh|speak|whistle|sing)",
    "(make|clench) a fist|(wiggle|spread|snap) your fingers|shrug[ your shoulders]"
    "|(jump|run|walk|swim|dance|fly)[ away]",
    "(nice|beautiful|ugly|big|long|short) (arms|legs|feet|hands|head|knees)",
    "(the|a) (arm|hand|leg|head|foot|back) of the (chair|clock|table|bed|company|mountain|book)",
    "(raise|lift|lower|turn|open|drop) (the price|the flag|the volume|the window|the radio|the page|your salary|taxes"
    "|the question|prices|the curtain|the anchor|the music|the lights|the child|your voice)[ off| on| down| up]",
)


def edit_of(changes: Sequence[Change]) -> Edit:
    """Return changes as the edit that they are."""
    edit = Edit.empty()
    for change in changes:
        index = CHANNELS.index(change.channel)
        way = np.array(change.way, np.float64)
        edit.said[index], edit.absolute[index], edit.value[index] = True, change.absolute, change.value
        edit.way[index] = way / np.linalg.norm(way)
        edit.place[index] = PLACES.index(change.place)
    return edit
