"""Descriptions of a pose in English: grammars of our own over what is true of it (`facts`), in many wordings.

A text says some of the facts: a few of one region (partial), or what is most telling of the whole body. A fact that
few poses have is more telling, and said more often. None of it is from PoseScript.
"""

from __future__ import annotations

import random as standard
from collections.abc import Mapping, Sequence

from humanrt.embedding.facts import Region, region_of
from humanrt.embedding.wordings import ACTS, BOTH, FACTS, MANY, NOUNS, STATES, WHOLE, finite

__all__ = ["description", "told"]

_PEOPLE = ("", "", "", "a person ", "somebody ", "someone ", "the person ", "a man ", "a woman ", "he ", "she ")
_OWN = {"he ": "his", "she ": "her", "a man ": "his", "a woman ": "her"}
_FINITE = 0.3
"""Share of verbs that are said as "kneels" or "kneel", not as "kneeling"."""
_ACTING = 0.3
"""Share of clauses that say what is done with a limb ("raising the left arm"), not how it is."""
_JOINTS = (", ", ", ", " and ", ", and ", ". ", "; ", " while ", ", with ")


def told(true: Sequence[str]) -> list[str]:
    """Return the facts that can be said, without those that another says: of both sides, or more exactly."""
    found = set(true)
    for name, (part, state) in BOTH.items():
        if name in found:
            found -= {f"left_{part}.{state}", f"right_{part}.{state}"}
    for more, less in (
        ("arm.up", ("arm.raised", "hand.overhead", "hand.higher")),
        ("hand.overhead", ("arm.raised",)),
        ("knee.very_bent", ("knee.bent",)),
        ("elbow.very_bent", ("elbow.bent",)),
        ("elbow.right_angle", ("elbow.bent",)),
        ("leg.raised", ("foot.lifted",)),
        ("leg.front", ("foot.lifted",)),
    ):
        part, _, state = more.partition(".")
        for side in ("left_", "right_", ""):
            if (f"{side}{more}" if side else f"{MANY[part]}.{state}") in found:
                for one in less:
                    other, _, its = one.partition(".")
                    found.discard(f"{side}{one}" if side else f"{MANY[other]}.{its}")
                    if not side:
                        found -= {f"left_{one}", f"right_{one}"}
    if "body.straight" in found or "body.standing" in found:
        found -= {"knees.straight"} if "body.straight" in found else set()
    return sorted(one for one in found if one in _SAYABLE)


_SAYABLE = {*FACTS, *BOTH}


def description(
    random: standard.Random,
    true: Sequence[str],
    telling: Mapping[str, float],
    most: int,
    regions: Sequence[Region] = ("arms", "legs", "trunk", "head"),
) -> tuple[str, tuple[str, ...]]:
    """Return a text, and the facts that it says; empty where nothing can be said.

    Args:
        random: source of the wording and of the choice.
        true: the facts of the pose.
        telling: how telling a fact is, the larger the likelier to be said (`told` facts are chosen by it).
        most: facts that are said at most.
        regions: what may be spoken of.
    """
    left = [one for one in told(true) if region_of(one) in regions]
    chosen: list[str] = []
    while left and len(chosen) < most:
        weights = [telling.get(one, 1.0) for one in left]
        one = random.choices(left, weights)[0]
        left.remove(one)
        chosen.append(one)
    if not chosen:
        return "", ()
    person = random.choice(_PEOPLE)
    own = _OWN.get(person, random.choice(("the", "the", "their", "his", "her", "your", "my")))
    alone = {one: _alone(one, true) for one in chosen}
    parts = [_clause(random, one, person if place == 0 else "", own, alone[one]) for place, one in enumerate(chosen)]
    text = parts[0]
    for part in parts[1:]:
        joint = random.choice(_JOINTS)
        if joint == ", with " and (part.startswith(("with ", "on ", "in ")) or " is " in part or " are " in part):
            joint = ", "
        text += joint + part
    if random.random() < 0.25:
        text = text[:1].upper() + text[1:] + random.choice((".", "", "."))
    return text, tuple(chosen)


def _alone(fact: str, true: Sequence[str]) -> bool:
    """Whether a fact of one side is true of that side only."""
    side, _, rest = fact.partition("_")
    return side in ("left", "right") and f"{'right' if side == 'left' else 'left'}_{rest}" not in true


def _clause(random: standard.Random, fact: str, person: str, own: str, alone: bool) -> str:
    if fact in WHOLE:
        words = random.choice(WHOLE[fact]).replace("{p}", own)
        if random.random() < _FINITE and (done := finite(words, bool(person) or random.random() < 0.5)) != words:
            return person + done
        return _does(person, words)
    side, _, rest = fact.partition("_")
    both = fact in BOTH
    part, state = BOTH[fact] if both else rest.split(".")
    other = "" if both else ("right" if side == "left" else "left")
    words = random.choice(STATES[f"{part}.{state}"])
    noun, _, given = words.rpartition(" | ")
    noun = noun or random.choice(NOUNS[part])
    words = given.replace("{p}", own)
    if both:
        words = words.replace(" {o}", " other").replace("at the side", "at the sides").replace(" hip", " hips")
        words = words.replace(" knee", " knees") if part == "hand" else words
        many = MANY[noun]
        named = random.choice((f"both {many}", f"both {many}", many, f"{own} {many}", f"{own} two {many}"))
    else:
        alone = alone and "{o}" not in words
        words = words.replace("{o}", other if random.random() < 0.8 else "other")
        named = random.choice((f"{own} {side} {noun}", f"{own} {side} {noun}", f"{side} {noun}", f"the {side} {noun}"))
        if alone and random.random() < 0.12:
            named = random.choice((f"one {noun}", f"only one {noun}", f"a {noun}"))
        elif alone and random.random() < 0.08:
            named = f"only {named}"
    if (acts := ACTS.get(f"{part}.{state}")) and random.random() < _ACTING:
        act = random.choice(acts).replace("{l}", named).replace("{p}", own)
        if random.random() < _FINITE and (done := finite(act, bool(person) or random.random() < 0.5)) != act:
            return person + done
        return act if act.startswith("a ") else _does(person, act)
    verb = "are" if both else "is"
    form = random.random()
    if form < _FINITE and (done := finite(words, not both)) != words:
        return f"{named} {done}"
    if person:
        return f"{person}has {named} {words}" if form < 0.5 else f"{person}with {named} {words}"
    if form < 0.45:
        return f"{named} {verb} {words}"
    if form < 0.75:
        return f"{named} {words}"
    if form < 0.85 and words.split()[0] in _BEFORE:
        return f"{words.split()[0]} {named.removeprefix(own + ' ').removeprefix('the ')}"
    return f"with {named} {words}"


def _does(person: str, words: str) -> str:
    """Return "somebody is kneeling", or "kneeling" without anybody."""
    if not person:
        return words
    return person + ("" if words.startswith("with ") and person[-2] != "e" else "is ") + words


_BEFORE = {
    "raised",
    "lifted",
    "bent",
    "straight",
    "stretched",
    "outstretched",
    "lowered",
    "extended",
    "crossed",
    "flexed",
}
