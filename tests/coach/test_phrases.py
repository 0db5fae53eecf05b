"""Every language says everything that the coach may want to say."""

from __future__ import annotations

import string

import pytest

from humanrt.coach.clauses import Clause
from humanrt.coach.differences import Difference
from humanrt.coach.phrases import languages, load_phrases

SIDES = ("left", "right", "both")
DIRECTIONS = ("up", "down", "front", "back", "out", "in")
SAYABLE = {
    **{part: (SIDES, tuple((way,) for way in DIRECTIONS)) for part in ("arm", "hand", "thigh", "foot")},
    **dict.fromkeys(("elbow", "knee"), (SIDES, (("bend",), ("straighten",)))),
    "sit": (("both",), (("up",), ("down",))),
    "stance": (("both",), (("out",), ("in",))),
    "lean": (("",), (("front",), ("back",), ("less_front",), ("less_back",))),
    "side_lean": (("",), (("left",), ("right",), ("less_left",), ("less_right",))),
    "incline": (("",), (("over",), ("upright",))),
    **dict.fromkeys(("twist", "head_turn", "head_tilt", "facing"), (("",), (("left",), ("right",)))),
    "head_nod": (("",), (("up",), ("down",))),
}


def _clause(part: str, side: str, ways: tuple[str, ...], size: float) -> Clause:
    unit = "metres" if part in ("hand", "foot", "sit", "stance") else "degrees"
    size = size / 150 if unit == "metres" else size
    one = Difference(part, side, ways, size, unit, 1.0)  # type: ignore[arg-type]
    return Clause(part, side, ways, size, unit, 1.0, (one,))  # type: ignore[arg-type]


@pytest.mark.parametrize("language", languages())
def test_everything_is_said_differently(language: str) -> None:
    phrases = load_phrases(language)
    said: dict[str, object] = {}
    for part, (sides, ways) in SAYABLE.items():
        for side in sides:
            for way in ways:
                for size in (20.0, 50.0, 90.0):
                    words = phrases.clause(_clause(part, side, way, size))
                    assert words
                    assert "{" not in words
                    assert words == " ".join(words.split())
                    assert said.setdefault(words, (part, side, way, size)) == (part, side, way, size)
                number = phrases.clause(_clause(part, side, way, 50.0), numbers=True)
                assert any(letter in string.digits for letter in number)


@pytest.mark.parametrize("language", languages())
def test_two_ways_are_both_said(language: str) -> None:
    phrases = load_phrases(language)
    for part in ("arm", "hand", "thigh", "foot"):
        both = phrases.clause(_clause(part, "left", ("up", "front"), 50.0))
        other_order = phrases.clause(_clause(part, "left", ("front", "up"), 50.0))
        assert both != phrases.clause(_clause(part, "left", ("up",), 50.0))
        assert sorted(both.split()) == sorted(other_order.split())


@pytest.mark.parametrize("language", languages())
def test_praise_and_match_are_there(language: str) -> None:
    phrases = load_phrases(language)
    assert phrases.language
    assert phrases.matches
    assert len(phrases.praise) >= 2
