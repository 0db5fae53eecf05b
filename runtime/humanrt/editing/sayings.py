"""Sayings in other words: postures that one word says, and wordings that the network misreads.

The network knows changes of limbs ("bend both knees to 90 degrees") and what its texts said often; "kneel" is three
changes at once, and "crouch" alone it takes for the contrary. Here they are said as it knows them. A saying counts only
where it begins a clause or is one: "don't sit so low" and "sit a bit lower" stay as they are.
"""

from __future__ import annotations

import re

__all__ = ["reworded"]

_OWN = r"(?:the|your|his|her|my|their)"
_BEGIN = (
    r"(?:(?<=^)|(?<=[,.;:!?] )|(?<=\band )|(?<=\bthen )|(?<=\bplease )|(?<=\bnow )|(?<=\bjust )|(?<=\byou )|(?<=\bto )"
    r"|(?<=\bshould )|(?<=\bmust )|(?<=\bhe )|(?<=\bshe ))"
)
_END = r"(?=\s*(?:,?\s*(?:please|now|again|for me)\b\s*)?(?:[,.;:!?]|\b(?:and|then|while|but|with)\b|$))"
_SIDE = rf"(?:{_OWN}\s+)?(left|right|one|other)"
_FLOOR = r"(?:\s+on\s+(?:the\s+)?(?:floor|ground|mat))?"
_SKY = r"(?:the\s+)?(?:sky|ceiling|stars?|roof|sun|heavens?)"
_BOTH_SIDES = rf"(?:left\s+(?:and|\+|&)\s+(?:{_OWN}\s+)?right|right\s+(?:and|\+|&)\s+(?:{_OWN}\s+)?left)"
_WHOSE = (
    rf"(?:both|all)(?:\s+of)?(?:\s+{_OWN})?(?:\s+two)?|(?:{_OWN}\s+)?(?:{_BOTH_SIDES}|left|right|two|both)|{_OWN}"
    "|an?|one"
)
_ARMS = rf"((?:{_WHOSE})\s+(?:arm|hand)s?)"
_BARE_ARMS = rf"((?:(?:{_WHOSE})\s+)?arms?)"
_HAND = r"(?:hand|palm|fist)"


def _limbs(said: str | None, noun: str) -> str:
    """Return "both arms" of "arms", "left and right arm" or None; "your left arm"; of "your arm" the right one."""
    sides = re.findall(r"left|right", said or "left right")
    if len(sides) == 1:
        return f"your {sides[0]} {noun}"
    if sides or re.search(r"s$|\b(?:both|all|two)\b", said or ""):
        return f"both {noun}s"
    return f"your right {noun}"


_DOWN = "both thighs straight down"


def _knelt(found: re.Match[str]) -> str:
    """Say kneeling, on one knee or on both. Hanging thighs come a little to the front, so shins lie at 100 degrees."""
    if "side" not in found.groupdict():
        return f"{_DOWN}. bend both knees to 100 degrees. point both feet"
    knee = "left" if found["side"] == "left" else "right"
    return f"{_one_forward(knee)}. bend your {knee} knee to 100 degrees. point your {knee} toes"


def _one_forward(behind: str) -> str:
    front = "left" if behind == "right" else "right"
    return f"{_DOWN}. {front} thigh straight forward. bend both knees to 90 degrees"


def _lunged(found: re.Match[str]) -> str:
    return _one_forward("right" if found["side"] == "left" else "left")


def _balanced(found: re.Match[str]) -> str:
    lifted = "right" if found["side"] == "left" else "left"
    return f"lift your {lifted} foot off the ground"


_SQUAT = {None: "squat", "es": "squats", "ing": "squatting", "ed": "squatted"}
_BASE = {
    "turn": "turn",
    "twist": "twist",
    "rotat": "rotate",
    "tilt": "tilt",
    "lean": "lean",
    "bend": "bend",
    "bent": "bend",
}

_RULES = (
    (re.compile(rf"\b(?:just|only|simply)\s+(?=(?:{_OWN}|left|right|both)\b)"), ""),
    # Postures.
    (re.compile(r"\bcrouch(ing|ed|es)?\b"), lambda found: _SQUAT[found[1]]),
    (re.compile(rf"{_BEGIN}squatting{_END}"), "squat"),
    (re.compile(r"\bsquat\s+(?:(?:down|really|very|quite|so|nice\s+and)\s+)*(?:low|deep)\b"), "squat a lot"),
    (
        re.compile(
            rf"{_BEGIN}(?:kneel|get|go|come|drop|sink)(?:\s+down)?\s+on(?:to)?\s+(?:(?:{_OWN}|a)\s+)?"
            rf"(?:(?P<side>left|right|one)\s+)?knee\b{_FLOOR}"
        ),
        _knelt,
    ),
    (
        re.compile(
            rf"{_BEGIN}(?:kneel(?:\s+down)?(?:\s+on\s+(?:both\s+)?(?:of\s+)?(?:{_OWN}\s+)?knees)?"
            rf"|(?:(?:get|go|come|drop|sink)\s+)?(?:down\s+)?(?:on|onto|to)\s+(?:both\s+(?:of\s+)?)?(?:{_OWN}\s+)?knees)"
            rf"{_FLOOR}{_END}"
        ),
        _knelt,
    ),
    (re.compile(rf"{_BEGIN}sit{_END}"), "sit down"),
    (re.compile(rf"{_BEGIN}stand{_END}"), "stand up"),
    (
        re.compile(
            rf"{_BEGIN}stand(?:\s+up)?\s+(?:nice\s+and\s+)?(?:straight|tall|upright|erect|at\s+full\s+height){_END}"
        ),
        "straighten your back. straighten both knees",
    ),
    (re.compile(rf"{_BEGIN}stretch(?:\s+(?:out|up|yourself))*{_END}"), "stretch both arms straight up"),
    (
        re.compile(
            rf"{_BEGIN}(?:reach|stretch)(?:\s+up)?(?:\s+high)?\s+(?:for|to|towards?)\s+{_SKY}"
            rf"(?:\s+with\s+{_ARMS}\b)?"
        ),
        lambda found: f"stretch {_limbs(found[1], 'arm')} straight up",
    ),
    (
        re.compile(
            rf"{_BEGIN}(?:(?:step|go|get|drop)\s+(?:forward\s+)?into\s+a|do\s+a|make\s+a)?\s*(?:deep\s+)?lunge(?:\s+forwards?)?"
            rf"(?:\s+(?:with|on|onto)\s+(?:{_OWN}|an?|one)\s+"
            rf"(?:(?P<side>left|right)(?:\s+(?:leg|foot))?|(?:leg|foot)))?{_END}"
        ),
        _lunged,
    ),
    (
        re.compile(
            rf"{_BEGIN}(?:stand|balance)\s+on\s+(?:only\s+|just\s+)?(?:(?:{_OWN}|a)\s+)?(?:(?P<side>one|left|right)\s+)?(?:leg|foot)\b"
            r"(?!.*\b(?:lift|rais))"
        ),
        _balanced,
    ),
    (re.compile(rf"{_BEGIN}(?:surrender|stick\s+'?em\s+up){_END}"), "hands up"),
    (re.compile(rf"^(?:at\s+)?attention{_END}"), "stand to attention"),
    (re.compile(rf"{_BEGIN}(?:pray|namaste){_END}"), "put both hands together"),
    # One for each side is both.
    (
        re.compile(
            rf"\b(?:(?:one|a)\s+{_HAND}\s+on\s+(?:each|either)|each\s+{_HAND}\s+on\s+(?:a|the|one))(?:\s+of\s+{_OWN})?"
            r"\s+(hip|knee|shoulder|thigh)s?\b"
        ),
        lambda found: f"both hands on your {found[1]}s",
    ),
    # Where arms point to is a place, not a change, if nobody says to move them there.
    (
        re.compile(
            rf"{_BEGIN}(?<!left and )(?<!right and ){_BARE_ARMS}\s+(?:straight\s+)?(?:out\s+)?"
            rf"(?:forwards?|ahead|in\s+front(?:\s+of\s+you)?"
            rf"|to\s+the\s+front){_END}"
        ),
        lambda found: f"stretch {_limbs(found[1], 'arm')} straight out in front",
    ),
    (
        re.compile(
            rf"\b(?:rais|lift|bring|hold|put|tak)\w*\s+{_ARMS}(?:\s+up)?(?:\s+out)?\s+"
            r"(?P<way>sideways|to\s+(?:the|your)\s+sides?|forwards?|in\s+front(?:\s+of\s+you)?|to\s+the\s+front)?\s*"
            r"(?:up\s+)?(?:to|at)\s+(?:the\s+)?(?:shoulder|chest)(?:'s)?[- ](?:level|height)"
        ),
        lambda found: (
            f"stretch {_limbs(found[1], 'arm')} straight out "
            + (
                "in front"
                if re.match(r"for|in|to\s+the\s+front", found["way"] or "")
                else "to the sides"
                if _limbs(found[1], "arm").startswith("both")
                else "to the side"
            )
        ),
    ),
    # Without a verb the network takes one limb for two: it is the right one where no side is said.
    (
        re.compile(
            r"(?:(?<=^)|(?<=[,.;:!?] )|(?<=\bplease )|(?<=\bthen ))(?:an?\s+|one\s+)?"
            r"(arm|hand|palm|elbow|leg|knee|thigh|foot)\s+"
            r"(?=(?:on|onto|to|at|behind|above|over|against|straight|up|down|out|back|forwards?|sideways|higher|lower)\b)"
        ),
        r"your right \1 ",
    ),
    # What is too far to one side is to go to the other.
    (
        re.compile(
            rf"{_BEGIN}{_OWN}\s+(?P<part>shoulders?|upper\s+body|torso|trunk|chest|head|body|hips)\s*(?:is|are|'s)\s+"
            r"(?P<verb>turn|twist|rotat|tilt|lean|bend|bent)(?:ed|ing)?\s+(?:over\s+)?(?:a\s+(?:bit|little)\s+)?too\s+(?:far|much)\s+"
            r"(?:over\s+)?(?:to|towards)\s+(?:the|your)\s+(?P<side>left|right)\b"
        ),
        lambda found: (
            f"{_BASE[found['verb']]} your {found['part']} to the {'right' if found['side'] == 'left' else 'left'}"
        ),
    ),
    (
        re.compile(
            rf"\blet\s+{_OWN}\s+head\s+(?:fall|drop|sink|hang)(?:\s+(?:over\s+)?to\s+the\s+side)?,?\s+(?:to|towards|onto)\s+"
            r"(?:the|your)\s+(left|right)(?:\s+(?:side|shoulder))?\b"
        ),
        r"tilt your head to the \1",
    ),
    # Amounts.
    (re.compile(r"\bby\s+(?=a\s+(?:lot|little|bit)\b)"), ""),
)


def reworded(text: str) -> str:
    """Return a text, in lower case, with its sayings in words that the network knows."""
    for pattern, words in _RULES:
        text = pattern.sub(words, text)
    return " ".join(text.split())
