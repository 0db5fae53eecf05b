"""Texts as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt.editing.words import GROUPS, NUMBER, UNKNOWN, encode, letter_groups, objection, split, word_ids

IDS = word_ids(("raise", "your", "left", "arm", "by", "degrees"))


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("by 25 degrees", 0.5),
        ("25°", 0.5),
        ("25", 0.5),
        ("by twenty-five degrees", 0.5),
        ("twenty five degrees", 0.5),
        ("by 30cm", 1.2),
        ("by 0.5 m", 2.0),
        ("10 inches", 1.016),
        ("a hundred degrees", 2.0),
    ],
)
def test_amounts(text: str, amount: float) -> None:
    numbers = [value for word, value in split(text) if word == "#"]
    assert numbers == [pytest.approx(amount)]


def test_numbers_in_words_are_words_where_no_unit_follows() -> None:
    assert [word for word, _ in split("raise one arm, two feet")] == ["raise", "one", "arm", ",", "two", "feet"]


def test_what_is_encoded() -> None:
    found = encode("Raise YOUR lefft arm by 50 degrees!", IDS)
    assert found.words.tolist() == [3, 4, UNKNOWN, 6, 7, NUMBER, 8, UNKNOWN]
    assert found.numbers[5] == 1
    assert found.numbers.sum() == 1
    assert found.unknown == pytest.approx(1 / 6)
    assert found.letters.shape == (8, GROUPS)
    assert not found.letters[[5, 7]].any()  # numbers and signs have no letters


def test_a_typing_error_shares_letters_with_the_word() -> None:
    right, wrong, other = (set(letter_groups(word)) for word in ("straighten", "straigten", "left"))
    assert len(right & wrong) > 6
    assert len(right & other) < 2


@pytest.mark.parametrize("text", ["", "   ", "...", "\u2603", "\u4f60\u597d", "x" * 5000, "a " * 5000])
def test_any_text(text: str) -> None:
    found = encode(text, IDS)
    assert len(found.words) == len(found.letters) == len(found.numbers) <= 64
    assert 0 <= found.unknown <= 1
    assert np.isfinite(found.numbers).all()
    assert not text.strip() or found.unknown == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Don\u2019t raise your left arm", "what not to do"),
        ("never lift your right arm", "what not to do"),
        ("do not lean forward", "what not to do"),
        ("stop moving your arms", "what not to do"),
        ("don't move your legs", "what not to do"),
        ("bend the right knee by -20 degrees", "no sign"),
        ("raise your left arm by 1000000 degrees", "at most 400 degrees or 2 m"),
        ("lift your left hand 3 m", "at most 400 degrees or 2 m"),
        ("raise your left arm by " + "9" * 400 + " degrees", "at most"),
        ("move your index finger", "moves or turns: finger"),
        ("don't lift your arm, open your fingers", "moves or turns: fingers"),
        ("make a fist", "moves or turns: fist"),
        ("open both of your palms", "moves or turns: palms"),
        ("turn your palms up and raise your arms", "moves or turns: palms"),
    ],
)
def test_what_would_be_done_wrongly_is_objected_to(text: str, why: str) -> None:
    assert why in str(objection(text))


@pytest.mark.parametrize(
    "text",
    [
        "don't lean so far back",
        "do not raise your left arm so high",
        "don't bend your knees",
        "don't slouch",
        "stop leaning",
        "don't move your legs and raise your arm",
        "Don't move your feet. Bend your left elbow.",
        "raise your left arm, but don't move your legs",
        "bend both knees by 20-30 degrees",
        "turn around by 360 degrees",
        "left arm - up a bit",
        # What is denied is not asked for, and fists and palms go where hands go.
        "raise your left arm but do not move your fingers",
        "raise your left arm without opening your fingers",
        "raise both fists above your head",
        "lower your fists to your hips",
        "move your palms to your knees",
    ],
)
def test_what_the_training_knows_is_not(text: str) -> None:
    assert objection(text) is None
