"""A text of several changes, one by one: `clauses`.

A small network hears one change better than four: of "squat a bit, arms forward and look ahead" it lost one. A text is
divided only where each part says by itself what is to be done with what; where one refers to another ("bend it too",
"your left and your right arm by 20 degrees"), the network hears it whole.
"""

from __future__ import annotations

import re

__all__ = ["MOST", "clauses"]

MOST = 8
"""Clauses of a text; one of more is read whole."""

_VERBS = (
    r"(?:rais|lift|elevat|lower|drop|put|plac|bring|reach|stretch|straighten|extend|swing|kick|step|widen|narrow|spread"
    r"|cross|fold|turn|twist|rotat|tilt|bow|push|pull|slid|point|bend|lean|look|sit|squat|stand|hold|mov|go|get|tak|flex"
    r"|fac|tuck|touch|rest|hang)(?:e|es|s|ing|ting)?"
)
_NOUNS = (
    r"(?:(?:upper\s+|lower\s+|fore)?arms?|elbows?|hands?|palms?|fists?|wrists?|legs?|thighs?|knees?|foot|feet|heels?|toes?"
    r"|head|chin|neck|gaze|trunk|torso|body|back|waist|hips?|shoulders?|chest|stance|bottom)"
)
_ALONE = r"(?:step|bow|lean|look|sit|squat|stand|go|get|turn|twist|fac|rotat)(?:e|es|s|ing|ting)?"
"""Verbs that need no part of the body."""
_PART = rf"(?:(?:please|both|all|of|your|the|his|her|my|their|left|right)\s+)*{_NOUNS}\b"
_CUT = re.compile(
    r"\s*(?:[.;!?]+|,|(?<=\s)(?:and|but|then|while))\s*(?:(?:and|but|then|also|now|next|finally|please|while)\s+)*"
    rf"(?=(?:you\s+)?{_VERBS}\b|{_PART})"
)
_REFERS = re.compile(
    r"\b(?:it|them|they|this|that|these|those|there|same|other|opposite|too|also|as\s+well|so|until|if|when|like|each"
    r"|again|back\s+to|respectively|except|only|both\s+of\s+them)\b"
)
_VERB = re.compile(rf"^(?:you\s+)?({_VERBS})\b")
_AMOUNT = re.compile(r"\d|\ba\s+(?:lot|little|bit)\b|\b(?:slightly|much|on|behind|over)\b")


def clauses(text: str) -> list[str]:
    """Return the changes that a plain text (`humanrt.editing.plain`) asks for, each by itself; else the text alone."""
    parts = [part.strip(" ,.;:!?") for part in _CUT.split(text)]
    parts = [part for part in parts if part]
    if not 1 < len(parts) <= MOST or _REFERS.search(text):
        return [text]
    said: list[str] = []
    verb: str | None = None
    for part in parts:
        found = _VERB.match(part)
        if found is None and verb is not None:
            # "Bend your left elbow by 20 and your right elbow by 70 degrees", but not "your left and right elbow".
            if not (_AMOUNT.search(said[-1]) and _AMOUNT.search(part)):
                return [text]
            part = f"{verb} {part}"
        elif found is not None:
            verb = found[1]
        if not (re.search(rf"\b{_NOUNS}\b", part) or re.match(rf"(?:you\s+)?{_ALONE}\b", part)):
            return [text]
        said.append(part)
    return said
