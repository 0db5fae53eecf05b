"""Descriptions of a pose in English: grammars of our own over what is true of it (`facts`), in many wordings.

A text says some of the facts: a few of one region (partial), or what is most telling of the whole body. A fact that
few poses have is more telling, and said more often. None of it is from PoseScript.
"""

from __future__ import annotations

import random as standard
from collections.abc import Mapping, Sequence

from humanrt_export.data.described.facts import Region, region_of

__all__ = ["FACTS", "description", "told"]

_NOUNS = {
    "arm": ("arm", "arm", "arm", "hand"),
    "elbow": ("elbow", "elbow", "arm"),
    "hand": ("hand", "hand", "hand", "arm"),
    "leg": ("leg",),
    "knee": ("knee", "knee", "leg"),
    "foot": ("foot",),
}
_MANY = {"arm": "arms", "elbow": "elbows", "hand": "hands", "leg": "legs", "knee": "knees", "foot": "feet"}

# What a limb is, so that "the left arm is ...", "left arm ..." and "with the left arm ..." go on with it. {p} is
# "the", "her", ...; {o} the other side. A noun before "|" replaces the part's own.
_STATES: Mapping[str, tuple[str, ...]] = {
    "arm.up": (
        "raised", "raised above {p} head", "stretched up", "up in the air", "reaching up", "lifted high",
        "pointing at the sky", "straight up", "raised high overhead", "held up high", "pointing upward", "up",
    ),
    "arm.raised": ("raised", "lifted", "held up", "above the shoulder", "up", "above shoulder height"),
    "hand.overhead": (
        "above {p} head", "overhead", "over {p} head", "higher than {p} head", "raised over the head", "up high",
    ),
    "arm.side": (
        "stretched out to the side", "held out sideways", "out to the side", "extended sideways at shoulder height",
        "spread to the side", "horizontal to the side", "stretched sideways", "level with the shoulder", "spread out",
    ),
    "arm.front": (
        "stretched forward", "reaching forward", "held out in front", "extended to the front", "in front of the body",
        "outstretched in front", "pointing forward", "straight out in front at shoulder height", "reaching ahead",
    ),
    "arm.down": (
        "hanging down", "down", "at {p} side", "hanging at the side", "lowered", "straight down", "relaxed at the side",
        "beside the body", "hanging loosely",
    ),
    "arm.back": (
        "stretched back", "behind the body", "swung back", "pulled back", "extended backwards", "reaching behind",
    ),
    "arm.across": ("across the body", "across {p} chest", "crossing the body", "in front of the chest to the {o}"),
    "elbow.bent": ("bent", "flexed", "bent at the elbow", "angled"),
    "elbow.very_bent": ("strongly bent", "fully bent", "bent a lot", "tightly flexed", "completely folded"),
    "elbow.right_angle": ("bent at a right angle", "bent at 90 degrees", "at a right angle", "bent by 90 degrees"),
    "elbow.straight": ("straight", "stretched", "extended", "fully extended", "outstretched", "not bent"),
    "hand.hip": ("on {p} hip", "on the hip", "resting on {p} hip", "at the waist", "placed on {p} hip", "akimbo"),
    "hand.head": (
        "on {p} head", "touching {p} head", "at {p} head", "at {p} ear", "near the head", "by {p} ear",
        "beside {p} head", "holding {p} head",
    ),
    "hand.face": (
        "in front of {p} face", "at {p} mouth", "touching {p} face", "near the face", "at {p} chin", "before {p} eyes",
        "at {p} face", "covering {p} face",
    ),
    "hand.chest": ("on {p} chest", "at the chest", "in front of {p} chest", "touching {p} chest", "at {p} heart"),
    "hand.belly": ("on {p} belly", "at {p} stomach", "in front of the stomach", "at the belly", "on {p} tummy"),
    "hand.behind": ("behind {p} back", "on {p} back", "at the lower back", "behind the back", "held behind"),
    "hand.thigh": ("on {p} thigh", "on the thigh", "resting on {p} leg", "at {p} thigh", "touching the thigh"),
    "hand.knee": ("on {p} knee", "touching {p} knee", "at the knee", "resting on {p} knee", "on the knee"),
    "hand.floor": (
        "on the floor", "touching the ground", "on the ground", "touching the floor", "reaching the floor",
        "reaching down to the ground", "near the floor",
    ),
    "hand.foot": ("at {p} foot", "touching {p} toes", "reaching for {p} toes", "at the ankle", "near {p} feet"),
    "hand.elbow": ("at {p} {o} elbow", "on {p} {o} arm", "holding {p} {o} elbow", "touching the {o} elbow"),
    "hand.shoulder": ("on {p} {o} shoulder", "at the {o} shoulder", "touching {p} {o} shoulder"),
    "hand.higher": ("higher than the {o} one", "above the {o} one", "higher than {p} {o} hand"),
    "knee.bent": ("bent", "flexed", "bent at the knee"),
    "knee.very_bent": ("strongly bent", "deeply bent", "fully bent", "bent a lot"),
    "knee.slight": ("slightly bent", "a little bent", "bent a bit", "not quite straight"),
    "knee.straight": ("straight", "stretched", "extended", "fully straight", "not bent"),
    "knee.raised": (
        "raised", "lifted", "pulled up", "up in front", "raised to the hip", "lifted high", "raised in front",
    ),
    "knee.floor": ("on the floor", "on the ground", "touching the floor", "resting on the ground"),
    "foot.lifted": ("lifted", "off the ground", "off the floor", "in the air", "raised", "lifted off the ground"),
    "leg.front": (
        "stretched forward", "kicking forward", "extended to the front", "raised in front", "kicked out in front",
        "lifted forward",
    ),
    "leg.back": (
        "stretched back", "extended backwards", "kicked back", "behind the body", "reaching back", "far behind",
    ),
    "foot.behind": ("lifted behind", "kicked up behind", "raised behind the body", "pulled up to the back"),
    "leg.side": (
        "stretched out to the side", "lifted sideways", "extended to the side", "raised to the side", "spread sideways",
    ),
    "leg.raised": ("raised high", "lifted high", "kicked up", "high in the air", "raised"),
    "foot.front": (
        "in front of the {o} one", "ahead of the {o} foot", "forward", "in front", "leg | in front of the {o} leg",
        "before the {o} one",
    ),
}  # fmt: skip

# What the person does or is: "somebody is ...", "...".
_WHOLE: Mapping[str, tuple[str, ...]] = {
    "hands.together": (
        "putting {p} hands together", "clasping {p} hands", "clapping", "holding {p} hands together",
        "with {p} hands close together", "folding {p} hands", "with {p} hands touching",
    ),
    "hands.apart": ("with {p} arms spread wide", "with {p} hands far apart", "spreading {p} arms wide"),
    "arms.crossed": (
        "folding {p} arms", "crossing {p} arms", "with {p} arms crossed", "with folded arms",
        "with {p} arms folded in front of the chest",
    ),
    "feet.apart": (
        "standing with {p} feet apart", "in a wide stance", "with {p} legs apart", "with {p} legs spread",
        "with {p} feet wide apart", "straddling",
    ),
    "feet.together": ("standing with {p} feet together", "with {p} feet close together", "with {p} legs together"),
    "feet.stride": (
        "taking a long step", "in a big stride", "striding", "stepping far forward", "with one foot far in front",
        "making a large step", "walking with long steps",
    ),
    "legs.crossed": ("with {p} legs crossed", "crossing {p} legs", "with crossed legs", "crossing one leg over"),
    "trunk.upright": ("upright", "with a straight back", "holding the back straight", "with an upright body"),
    "trunk.forward": (
        "leaning forward", "bending forward", "with the upper body leaning forward", "bent forward a little",
        "hunched forward", "stooping", "tilting the trunk forward",
    ),
    "trunk.bent_over": (
        "bent over", "bending over", "bending down", "bowing deeply", "bent forward at the hips",
        "with the upper body horizontal", "bending far forward", "bent at the waist",
    ),
    "trunk.back": ("leaning back", "bending backwards", "with the upper body leaning back", "arching the back"),
    "trunk.left": ("leaning to the left", "bending to the left", "tilting the body to the left", "bent sideways left"),
    "trunk.right": (
        "leaning to the right", "bending to the right", "tilting the body to the right", "bent sideways right",
    ),
    "trunk.turned_left": (
        "twisting to the left", "turning the upper body to the left", "with the shoulders turned left",
    ),
    "trunk.turned_right": (
        "twisting to the right", "turning the upper body to the right", "with the shoulders turned right",
    ),
    "head.left": ("looking to the left", "turning {p} head to the left", "with {p} head turned left", "looking left"),
    "head.right": (
        "looking to the right", "turning {p} head to the right", "with {p} head turned right", "looking right",
    ),
    "head.down": ("looking down", "with {p} head bowed", "lowering {p} head", "looking at the floor", "head down"),
    "head.up": ("looking up", "with {p} head raised", "lifting {p} chin", "looking at the sky", "head up"),
    "head.tilt_left": ("tilting {p} head to the left", "with {p} head tilted left", "head tilted to the left"),
    "head.tilt_right": ("tilting {p} head to the right", "with {p} head tilted right", "head tilted to the right"),
    "head.ahead": ("looking straight ahead", "facing forward", "looking forward", "looking to the front"),
    "body.standing": ("standing", "standing up", "on {p} feet", "in a standing position"),
    "body.straight": ("standing straight", "standing upright", "standing up straight", "standing tall"),
    "body.squat": (
        "squatting", "crouching", "in a squat", "crouched down", "doing a squat", "squatting down", "in a crouch",
    ),
    "body.deep_squat": ("in a deep squat", "squatting deeply", "crouching low", "squatting very low"),
    "body.sit": (
        "sitting", "sitting down", "seated", "sitting on a chair", "in a sitting position", "seated on a chair",
    ),
    "body.kneel": ("kneeling", "on {p} knees", "kneeling on both knees", "kneeling on the floor", "kneeling down"),
    "body.half_kneel": ("kneeling on one knee", "on one knee", "kneeling down on one knee", "genuflecting", "kneeling"),
    "body.lying_back": ("lying on {p} back", "lying down", "lying face up", "lying on the floor face up", "lying"),
    "body.lying_front": (
        "lying on {p} stomach", "lying face down", "lying down", "in a push-up position", "lying on {p} front", "lying",
    ),
    "body.lunge": ("in a lunge", "lunging", "doing a lunge", "lunging forward", "in a lunge position"),
    "body.one_leg_left": ("standing on the left leg", "balancing on the left foot", "standing on one leg"),
    "body.one_leg_right": ("standing on the right leg", "balancing on the right foot", "standing on one leg"),
    "body.t_pose": ("in a T-pose", "in a T pose", "like a cross", "with both arms out to the sides"),
    "body.fours": ("on all fours", "on hands and knees", "crawling", "on {p} hands and knees"),
}  # fmt: skip

FACTS = (*(f"{side}_{state}" for side in ("left", "right") for state in _STATES), *_WHOLE)
"""Facts that can be said, besides those of both sides (`arms.up`)."""

_BOTH = {f"{_MANY[part]}.{state}": (part, state) for part, _, state in (name.partition(".") for name in _STATES)}
_PEOPLE = ("", "", "", "a person ", "somebody ", "someone ", "the person ", "a man ", "a woman ", "he ", "she ")
_OWN = {"he ": "his", "she ": "her", "a man ": "his", "a woman ": "her"}
_JOINTS = (", ", ", ", " and ", ", and ", ". ", "; ", " while ", ", with ")


def told(true: Sequence[str]) -> list[str]:
    """Return the facts that can be said, without those that another says: of both sides, or more exactly."""
    found = set(true)
    for name, (part, state) in _BOTH.items():
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
            if (f"{side}{more}" if side else f"{_MANY[part]}.{state}") in found:
                for one in less:
                    other, _, its = one.partition(".")
                    found.discard(f"{side}{one}" if side else f"{_MANY[other]}.{its}")
                    if not side:
                        found -= {f"left_{one}", f"right_{one}"}
    if "body.straight" in found or "body.standing" in found:
        found -= {"knees.straight"} if "body.straight" in found else set()
    return sorted(one for one in found if one in _SAYABLE)


_SAYABLE = {*FACTS, *_BOTH}


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
    if fact in _WHOLE:
        words = random.choice(_WHOLE[fact]).replace("{p}", own)
        if not person:
            return words
        return person + ("" if words.startswith("with ") and person[-2] != "e" else "is ") + words
    side, _, rest = fact.partition("_")
    both = fact in _BOTH
    part, state = _BOTH[fact] if both else rest.split(".")
    other = "" if both else ("right" if side == "left" else "left")
    words = random.choice(_STATES[f"{part}.{state}"])
    noun, _, given = words.rpartition(" | ")
    noun = noun or random.choice(_NOUNS[part])
    words = given.replace("{p}", own)
    if both:
        words = words.replace(" {o}", " other").replace("at the side", "at the sides").replace(" hip", " hips")
        words = words.replace(" knee", " knees") if part == "hand" else words
        many = _MANY[noun]
        named = random.choice((f"both {many}", f"both {many}", many, f"{own} {many}", f"{own} two {many}"))
    else:
        alone = alone and "{o}" not in words
        words = words.replace("{o}", other if random.random() < 0.8 else "other")
        named = random.choice((f"{own} {side} {noun}", f"{own} {side} {noun}", f"{side} {noun}", f"the {side} {noun}"))
        if alone and random.random() < 0.12:
            named = random.choice((f"one {noun}", f"only one {noun}", f"a {noun}"))
        elif alone and random.random() < 0.08:
            named = f"only {named}"
    verb = "are" if both else "is"
    form = random.random()
    if person:
        return f"{person}has {named} {words}" if form < 0.5 else f"{person}with {named} {words}"
    if form < 0.45:
        return f"{named} {verb} {words}"
    if form < 0.75:
        return f"{named} {words}"
    if form < 0.85 and words.split()[0] in _BEFORE:
        return f"{words.split()[0]} {named.removeprefix(own + ' ').removeprefix('the ')}"
    return f"with {named} {words}"


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
