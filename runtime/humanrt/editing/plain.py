"""A text said plainly: what a small network would have to guess is settled by rules before it reads.

- **Denials** are left out: "raise your left arm, not the right one", "don't lift your heels", "without bending it".
- **What is to stay** is left out beside what is to change: "raise your right arm, but leave the left one down".
- **Sayings** such as "kneel" are told in other words (`humanrt.editing.sayings`).
- **The other one** is named: "raise your left arm and lower the other one" is "... and lower the right arm"; "... and
  the same with the right" says the clause again, of the other side.
- **Amounts** become numbers: a right angle, a quarter turn, half a metre, 1/2, pi/2, 20 to 30 cm. A share ("by 50
  percent") has no unit that a body has: up to 30 percent is "a little", from 70 on "a lot".
"""

from __future__ import annotations

import re
import unicodedata

from humanrt.editing.sayings import reworded

__all__ = ["affirmed", "denies", "lowered", "plain"]

_LIMBS = r"(?:upper arm|arm|elbow|hand|wrist|palm|fist|leg|thigh|knee|foot|heel|ankle|shoulder|hip|side)"
_OWN = r"(?:the|your|his|her|my|their)"
_VERBS = (
    r"(?:rais|lift|elevat|lower|drop|put|plac|bring|reach|stretch|straighten|extend|swing|kick|step|widen|spread|cross"
    r"|fold|turn|twist|rotat|tilt|bow|push|pull|slid|point|mirror|swap|bend|lean|look|sit|squat|stand|keep|hold|leav|let"
    r"|mov|mak|go|get|tak|relax|open|clos|flex|fac|tuck|touch|crouch|pleas|hav|shift|chang|rest|set|hang)\w*"
)
_END = rf"(?=\s*(?:[,.;:!?]|\b(?:but|while|then|instead|rather)\b|\band\s+(?:{_VERBS})\b|$))"
_EXCESS = r"(?:so|too|that|as|much|more|anymore|any\s+further|quite)"
# "Don't bend" is "straighten", "don't slouch" and "don't look down" say what to do, "don't lean so far back" too: these
# the network knows. Of any other denial it would hear what is denied, and do just that.
_DENIED = re.compile(
    r"(?:\b(?:and|but)\s+)?(?<!why )(?<!n't )(?<!not )\b(?:don'?t|do\s+not|never|stop|avoid|no\s+need\s+to)\s+"
    r"(?:ever\s+|you\s+)?(?:"
    r"rais|lift|elevat|lower|drop|put|plac|bring|reach|stretch|straighten|extend|swing|kick|step|widen|spread|cross|fold"
    r"|turn|twist|rotat|tilt|bow|push|pull|slid|point|mirror|swap|mov(?:e|ing)\b|chang(?:e|ing)\b|touch(?:ing)?\b"
    r"|lean(?:ing)?\s+(?:over\s+)?(?:for|back|to|left|right|side)|look(?:ing)?\s+(?:back|to|left|right|over))"
    rf"(?![^,.;!?]*\b{_EXCESS}\b)[^,.;!?]*?{_END}"
)
_CONTRAST = re.compile(
    r"(?:,?\s*\b(?:and|but)\s+)?(?<!do )\b(?:not|rather\s+than|instead\s+of|as\s+opposed\s+to)\s+"
    rf"(?=(?:(?:with|by|to|on|at|in|towards?|over)\s+)?(?:{_OWN}|left|right|both|you|(?:rais|lift|lower|bend|mov)ing)\b)"
    rf"[^,.;!?]*?(?:,?\s*\bbut\b|{_END})"
)
_WITHOUT = re.compile(rf",?\s*(?:\b(?:and|but)\s+)?\bwithout\s+(?:ever\s+)?\w+ing\b[^,.;!?]*?{_END}")
_SIDED = re.compile(rf"\b(left|right)\s+({_LIMBS})\b")
_OTHER = re.compile(
    rf"\b({_OWN})\s+other\b(?:\s+(one|{_LIMBS})\b)?(?!\s+(?:\w+\s+)?(?:way|direction|round|people|person))"
)
_PLACED = re.compile(
    rf"\b(?:on|to|towards?|at|over|above|behind|below|under|near|against|touch(?:ing)?|reach(?:ing)?(?:\s+for)?|grab"
    rf"|hold(?:ing)?)\s+(?:{_OWN}\s+)?$"
)
_ONE = re.compile(rf"\b({_OWN})\s+(left|right)\s+one\b|\b({_OWN})\s+(left|right)(?=\s*(?:[,.;!?]|by\b|a\b|$))")
_SAME = re.compile(
    rf"[,.;]?\s*(?:(?:and|then|now)\s+)*(?:do\s+)?(?:the\s+)?same(?:\s+thing)?\s+(?:with|on|for|to|again\s+with)\s+"
    rf"{_OWN}\s+(?:other|left|right)(?:\s+(?:one|{_LIMBS}))?(?=\s*[,.;!?]|\s*$)"
)
_PARTS = (
    rf"(?:(?:{_OWN}\s+|both\s+)*(?:left\s+|right\s+)?(?:{_LIMBS}s?|feet|head|trunk|body|back)"
    rf"|{_OWN}\s+(?:left|right)(?:\s+one)?)"
)
_STAYS = re.compile(
    r"(?:(?:^|[,.;!?]|\b(?:and|but|while|though)\b)\s*)+(?:please\s+|just\s+)*(?:"
    rf"leav(?:e|ing)\s+{_PARTS}\s+(?:alone|down|up|there|still|hanging|straight|bent|low|high|as|where|in\s+place)\b"
    rf"|let\s+{_PARTS}\s+(?:stay\b|be(?:\s+(?:as|where)\s+(?:they|it)\b|{_END}))"
    rf"|keep(?:ing)?\s+{_PARTS}\s+(?:down|still|there|as|where|in\s+place)\b)[^,.;!?]*?{_END}"
)
# The unit of another verb is none of this one's: "bend your knee by 5, step back by 20 cm".
_UNITLESS = re.compile(
    rf"\bby\s+(\d+(?:[.,]\d+)?)(?=\s*(?:,|\band\b))(?=(?:(?!\b{_VERBS}\b)[^.;!?])*?\bby\s+\d+(?:[.,]\d+)?\s*"
    r"(degrees?|\u00b0|cm|centimet\w+)(?![a-z]))"
)
_NUMBER = r"(\d+(?:[.,]\d+)?)"
_SHARE = re.compile(
    rf"(?:\bby\s+)?(?:\b(?:about|around|roughly)\s+)?{_NUMBER}\s*(?:%|per\s?cent\b)(?:\s+(?:of\s+the\s+way))?"
)
_RANGE = re.compile(rf"{_NUMBER}\s*(?:-|\u2013|\bto\b|\bor\b)\s*{_NUMBER}(?=\s*-?\s*[a-z\u00b0])")
_FROM = re.compile(rf"\bfrom\s+{_NUMBER}\s*(?:degrees?|\u00b0|cm|m)?\s*to\s+(?={_NUMBER})")
_FRACTION = re.compile(r"(?:(?<![\d.,])(\d{1,3})\s+)?\b(\d{1,3})/([1-9]\d{0,2})\b")
_PI = re.compile(rf"(?:{_NUMBER}\s*\*?\s*)?(?:(?<![a-z])pi\b|\u03c0)(?:\s*/\s*(\d+))?(?:\s*(?:rad|radians?)\b)?")
_HALF = re.compile(r"\bhalf\s+an?\s+(met(?:er|re)|radian|inch|foot|right angle)\b|\ban?\s+half\s+(met(?:er|re))\b")
_TURNS = re.compile(
    r"\b(?:an?\s+)?(?:(three[- ]quarters?|1/4|quarter|1/2|half|full)(?:\s+of)?(?:\s+an?)?|one\s+(full|whole))"
    r"[- ]+turn\b"
)
_DEGREES_OF_TURN = {"quarter": 90, "1/4": 90, "half": 180, "1/2": 180, "full": 360, "whole": 360}
_RIGHT_ANGLE = re.compile(r"\b(?:an?\s+)?right[- ](angles?)\b(?!\s+from)|\b(?:an?\s+)?right[- ]angled\b")
_LITTLE, _LOT = 30.0, 70.0  # percent
_MOST = 2000  # characters that are read


def lowered(text: str) -> str:
    """Return a text in lower case, with one kind of apostrophe and single blanks."""
    apart = re.sub(r"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e])", " ", text[:_MOST])  # one and a half is no 11/2
    kept = unicodedata.normalize("NFKC", apart).lower().replace("\u2019", "'").replace("\u2044", "/")
    return " ".join(kept.split())


def plain(text: str) -> str:
    """Return a text that asks for the same, plainly."""
    said = lowered(text)
    return _numbered(reworded(_changed(_named(affirmed(said)))))


def denies(text: str) -> bool:
    """Return whether a text says what is not to be done, and nothing else."""
    said = lowered(text)
    kept = affirmed(said)
    return kept != said and not re.search(r"[^\W\d_]{3}", re.sub(r"\b(?:and|but|please|then|you|just)\b", "", kept))


def affirmed(text: str) -> str:
    """Leave denials out; what is said of "the left one" after them keeps its name."""
    if (
        "n't" not in text
        and "not" not in text
        and not re.search(r"\b(?:dont|never|stop|avoid|rather|instead|without|opposed|no)\b", text)
    ):
        return text
    kept = text
    for pattern in (_DENIED, _WITHOUT, _CONTRAST):
        for found in reversed(list(pattern.finditer(kept))):
            before, dropped, after = kept[: found.start()], found[0], kept[found.end() :]
            if not re.search(rf"\b{_LIMBS}s?\b", before):
                after = _with_noun(after, dropped)
            elif pattern is _CONTRAST and not re.search(rf"\b{_LIMBS}s?\b", before[-40:]):
                before = _with_noun(before, dropped)
            kept = f"{before.rstrip()} {after.lstrip()}"
    return re.sub(
        r"^[\s,.;:!?]*(?:(?:and|but|instead|rather)\b(?!\s+(?:of|than)\b)[\s,]*)*", "", " ".join(kept.split())
    )


def _with_noun(text: str, other: str) -> str:
    """Name "the left one" by the limb that another part of the text names."""
    named = _SIDED.search(other)
    limb = named[2] if named else (found[0] if (found := re.search(rf"\b{_LIMBS}\b", other)) else None)
    if limb is None:
        return text
    if named:
        opposite = "right" if named[1] == "left" else "left"
        text = re.sub(rf"\b({_OWN})\s+other(?:\s+one|\s+{_LIMBS})?\b", rf"\1 {opposite} {limb}", text, count=1)
    return re.sub(rf"\b({_OWN})\s+(left|right)(?:\s+one\b|(?=\s*(?:[,.;!?]|$)))", rf"\1 \2 {limb}", text, count=1)


def _named(text: str) -> str:
    """Name "the other one", and say "the same with the other" in full."""
    if same := _SAME.search(text):
        before = text[: same.start()]
        clause = re.split(r"[.;]\s*", before)[-1]
        sides = set(re.findall(r"\b(left|right)\b", clause))
        asked = re.search(r"\b(left|right)\b", same[0])
        if len(sides) == 1 and (asked is None or asked[0] not in sides):
            turned = clause.replace(*(("left", "right") if "left" in sides else ("right", "left")))
            text = f"{before}. {turned}{text[same.end() :]}"
    if "other" in text:
        text = _replaced_other(text)
    return _ONE.sub(lambda found: _named_one(text, found), text) if re.search(r"\b(?:left|right)\b", text) else text


def _replaced_other(text: str) -> str:
    parts, at = [], 0
    for found in _OTHER.finditer(text):
        if earlier := list(_SIDED.finditer(text[: found.start()])):
            side, limb = _spoken_of(text, earlier, found[2]).groups()
            opposite = "right" if side == "left" else "left"
            noun = found[2] if found[2] not in (None, "one") else limb
            if found[2] == "side":
                continue
            parts += [text[at : found.start()], f"{found[1]} {opposite} {noun}"]
            at = found.end()
    return "".join(parts) + text[at:]


def _spoken_of(text: str, earlier: list[re.Match[str]], noun: str | None) -> re.Match[str]:
    """Return the limb whose other one is meant: the last of that name, else the last that is no place for another."""
    alike = [one for one in earlier if one[2] == noun]
    free = [one for one in earlier if not _PLACED.search(text[: one.start()])]
    return (alike or free or earlier)[-1]


def _named_one(text: str, found: re.Match[str]) -> str:
    """Return "the left one" or "the left" by the name of the limb that was spoken of just before."""
    own, side = found[1] or found[3], found[2] or found[4]
    earlier = list(_SIDED.finditer(text[: found.start()]))
    said_to = re.search(r"\b(?:to|towards?|on|over|at)\s+$", text[: found.start()])
    if not earlier or earlier[-1][1] == side or (said_to and found[1] is None):
        return found[0]
    return f"{own} {side} {earlier[-1][2]}"


def _changed(text: str) -> str:
    """Leave out what is to stay, where something else is to change."""
    if not re.search(r"\b(?:leav|keep|let\b)", text):
        return text
    kept = _STAYS.sub(" ", text)
    if not re.search(rf"\b(?:{_VERBS}|{_LIMBS}s?)\b", kept):
        return text
    return re.sub(r"^[\s,.;:!?]*(?:(?:and|but|then)\b[\s,]*)*", "", " ".join(kept.split())).rstrip(" ,")


def _value(number: str) -> float:
    return float(number.replace(",", "."))


def _numbered(text: str) -> str:
    """Say amounts in numbers."""
    if "turn" in text:
        text = _TURNS.sub(_turned, text)
    if "right" in text:
        text = _RIGHT_ANGLE.sub(lambda found: f"a 90 degrees {found[1] or 'angle'}", text)
    if "half" in text:
        text = _HALF.sub(lambda found: f"0.5 {found[1] or found[2]}".replace("0.5 right angle", "45 degrees"), text)
    if "pi" in text or "\u03c0" in text:
        text = _PI.sub(lambda found: f"{180 * _value(found[1] or '1') / max(1, int(found[2] or 1)):.1f} degrees", text)
    if "%" in text or "cent" in text:
        text = " ".join(_SHARE.sub(lambda found: _share(_value(found[1])), text).split())
    if any(letter.isdigit() for letter in text):
        text = _UNITLESS.sub(r"by \1 \2", text)  # "by 30 and the left one by 60 degrees"
        text = _FROM.sub("to ", text)  # what it is bent by now is seen, not told
        text = _FRACTION.sub(lambda found: f"{int(found[1] or 0) + int(found[2]) / int(found[3]):.3f}", text)
        text = _RANGE.sub(lambda found: f"{(_value(found[1]) + _value(found[2])) / 2:g}", text)
    return text


def _turned(found: re.Match[str]) -> str:
    name = found[1] or found[2]
    return f"a {270 if name.startswith('three') else _DEGREES_OF_TURN[name]} degrees turn"


def _share(percent: float) -> str:
    return "a little" if percent <= _LITTLE else "a lot" if percent >= _LOT else ""
