"""What can be said of facts (`humanrt.embedding.facts`) in English: wordings of our own, none of them PoseScript's.

Training texts are made of them (`humanrt_export.data.described.texts`), and a query that is made of them is understood
exactly (`humanrt.embedding.said`).
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ACTS", "BOTH", "FACTS", "MANY", "NOUNS", "STATES", "WHOLE", "finite"]

NOUNS = {
    "arm": ("arm", "arm", "arm", "hand"),
    "elbow": ("elbow", "elbow", "arm"),
    "hand": ("hand", "hand", "hand", "arm"),
    "leg": ("leg",),
    "knee": ("knee", "knee", "leg"),
    "foot": ("foot",),
}
MANY = {"arm": "arms", "elbow": "elbows", "hand": "hands", "leg": "legs", "knee": "knees", "foot": "feet"}

# What a limb is, so that "the left arm is ...", "left arm ..." and "with the left arm ..." go on with it. {p} is
# "the", "her", ...; {o} the other side. A noun before "|" replaces the part's own.
STATES: Mapping[str, tuple[str, ...]] = {
    "arm.up": (
        "raised", "raised above {p} head", "stretched up", "up in the air", "reaching up", "lifted high",
        "pointing at the sky", "straight up", "raised high overhead", "held up high", "pointing upward", "up",
    ),
    "arm.raised": ("raised", "lifted", "held up", "above the shoulder", "up", "above shoulder height"),
    "hand.overhead": (
        "above {p} head", "overhead", "over {p} head", "higher than {p} head", "raised over the head", "up high",
        "up in the air", "high up", "high in the air",
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
WHOLE: Mapping[str, tuple[str, ...]] = {
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
    "body.half_kneel": (
        "kneeling on one knee", "on one knee", "kneeling down on one knee", "genuflecting", "kneeling",
        "kneeling on the floor", "kneeling down",
    ),
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

# What is done with a limb: {l} is "the left arm", "both hands", ...; {p} as above.
ACTS: Mapping[str, tuple[str, ...]] = {
    "arm.up": ("raising {l}", "lifting {l} up high", "putting {l} up", "reaching up with {l}", "stretching {l} up"),
    "arm.raised": ("raising {l}", "lifting {l}", "holding up {l}"),
    "hand.overhead": ("raising {l} above {p} head", "holding {l} overhead", "lifting {l} over {p} head"),
    "arm.side": ("stretching {l} out to the side", "holding {l} out sideways", "spreading {l}"),
    "arm.front": (
        "stretching {l} forward", "reaching forward with {l}", "holding {l} out in front", "pointing forward with {l}",
    ),
    "arm.down": ("letting {l} hang", "letting {l} hang down", "keeping {l} down", "lowering {l}"),
    "arm.back": ("reaching back with {l}", "swinging {l} back", "stretching {l} back"),
    "arm.across": ("holding {l} across {p} body", "crossing {l} over {p} chest"),
    "elbow.bent": ("bending {l}", "flexing {l}"),
    "elbow.very_bent": ("bending {l} a lot", "folding {l}"),
    "elbow.right_angle": ("bending {l} at a right angle", "bending {l} by 90 degrees"),
    "elbow.straight": ("stretching {l}", "straightening {l}", "extending {l}"),
    "hand.hip": ("putting {l} on {p} hip", "resting {l} on {p} hip", "holding {l} at the waist"),
    "hand.head": ("putting {l} on {p} head", "touching {p} head with {l}", "holding {p} head with {l}"),
    "hand.face": ("touching {p} face with {l}", "covering {p} face with {l}", "putting {l} to {p} mouth"),
    "hand.chest": ("putting {l} on {p} chest", "touching {p} chest with {l}"),
    "hand.belly": ("putting {l} on {p} belly", "holding {p} stomach with {l}"),
    "hand.behind": ("holding {l} behind {p} back", "putting {l} behind {p} back"),
    "hand.thigh": ("resting {l} on {p} thigh", "putting {l} on {p} thigh"),
    "hand.knee": ("resting {l} on {p} knee", "touching {p} knee with {l}", "putting {l} on {p} knee"),
    "hand.floor": (
        "touching the floor with {l}", "reaching for the floor with {l}", "putting {l} on the ground",
        "reaching down to the ground with {l}",
    ),
    "hand.foot": ("touching {p} foot with {l}", "reaching for {p} toes with {l}"),
    "knee.bent": ("bending {l}", "flexing {l}"),
    "knee.very_bent": ("bending {l} a lot", "bending {l} deeply"),
    "knee.slight": ("bending {l} slightly", "bending {l} a little"),
    "knee.straight": ("stretching {l}", "straightening {l}", "keeping {l} straight"),
    "knee.raised": ("pulling up {l}", "pulling {l} up", "raising {l}", "lifting {l}", "lifting {l} to {p} hip"),
    "knee.floor": ("resting {l} on the floor", "putting {l} on the ground"),
    "foot.lifted": ("lifting {l}", "lifting {l} off the ground", "raising {l}"),
    "leg.front": (
        "kicking with {l}", "a kick with {l}", "kicking forward with {l}", "kicking {l} forward",
        "a front kick with {l}",
        "stretching {l} forward", "lifting {l} in front",
    ),
    "leg.back": ("stretching {l} back", "kicking back with {l}", "extending {l} backwards"),
    "foot.behind": ("lifting {l} behind", "kicking up {l} behind"),
    "leg.side": ("lifting {l} to the side", "stretching {l} out to the side", "a side kick with {l}"),
    "leg.raised": ("kicking high with {l}", "a high kick with {l}", "raising {l} high", "kicking with {l}"),
    "foot.front": ("stepping forward with {l}", "a step forward with {l}", "putting {l} forward"),
}  # fmt: skip

FACTS = (*(f"{side}_{state}" for side in ("left", "right") for state in STATES), *WHOLE)
"""Facts that can be said, besides those of both sides (`arms.up`)."""

BOTH = {f"{MANY[part]}.{state}": (part, state) for part, _, state in (name.partition(".") for name in STATES)}

_STEMS = {
    "ly": "lie", "rais": "raise", "mak": "make", "tak": "take", "balanc": "balance", "strid": "stride", "lung": "lunge",
    "clos": "close", "genuflect": "genuflect", "fac": "face", "reach": "reach", "straddl": "straddle",
}  # fmt: skip
"""Of verbs whose forms do not follow the rule."""


def finite(words: str, person: bool) -> str:
    """Return words that begin with "kneeling" so that they begin with "kneels", or "kneel"; others as they are.

    Args:
        words: such as "kneeling on the floor".
        person: the third person; else the plural's and the imperative's form.
    """
    first, space, rest = words.partition(" ")
    if not first.endswith("ing"):
        return words
    stem = first[:-3]
    if stem in _STEMS:
        stem = _STEMS[stem]
    elif len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "sl":
        stem = stem[:-1]
    ending = "" if not person else "es" if stem.endswith(("s", "sh", "ch", "x", "o")) else "s"
    return f"{stem}{ending}{space}{rest}"
