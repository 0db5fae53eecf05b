"""Texts said plainly."""

from __future__ import annotations

import time

import pytest

from humanrt.editing.plain import denies, plain
from humanrt.editing.words import split


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Raise your left arm, not your right arm", "raise your left arm,"),
        ("raise your left arm but don\u2019t raise your right arm", "raise your left arm"),
        ("don't raise your right arm, raise the left one", "raise the left arm"),
        ("don't lift your right knee, lift the other one", "lift the left knee"),
        ("not the right arm but the left arm should go up", "the left arm should go up"),
        ("lift your left leg instead of your right leg", "lift your left leg"),
        ("raise your left arm without bending it", "raise your left arm"),
        ("turn your head to the right, not to the left", "turn your head to the right,"),
        ("sit lower, and don't put your hands on your hips", "sit lower,"),
        ("don't move your legs and raise your arm", "raise your arm"),
        # What is known as a correction stays.
        ("don't bend your knees", "don't bend your knees"),
        ("don't lean so far back", "don't lean so far back"),
        ("do not raise your left arm so high", "do not raise your left arm so high"),
        ("your knee is not bent enough", "your knee is not bent enough"),
        ("why don't you raise your left arm", "why don't you raise your left arm"),
        ("don't stop raising your arm", "don't stop raising your arm"),
        ("instead of sitting, stand up", "instead of sitting, stand up"),
    ],
)
def test_denials_are_left_out(text: str, said: str) -> None:
    assert plain(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise your left arm and lower the other one", "raise your left arm and lower the right arm"),
        ("bend your right knee, then your other knee", "bend your right knee, then your left knee"),
        ("left hand on your other shoulder", "left hand on your right shoulder"),
        ("bend the left elbow by 30 and the right one by 60", "bend the left elbow by 30 and the right elbow by 60"),
        ("bend the left knee and do the same with the right", "bend the left knee. bend the right knee"),
        # A place for another limb is not the one that was spoken of.
        (
            "put your left hand on your right knee and the other hand on your hip",
            "put your left hand on your right knee and the right hand on your hip",
        ),
        (
            "left hand on your right knee, the other on your hip",
            "left hand on your right knee, the right hand on your hip",
        ),
        (
            "raise your right hand and touch your left knee with the other one",
            "raise your right hand and touch your left knee with the left hand",
        ),
        ("stand on your left leg and lift the other one", "stand on your left leg and lift the right leg"),
        # Nothing to name it by, or another meaning.
        ("lower the other arm", "lower the other arm"),
        ("lift your left arm and turn the other way", "lift your left arm and turn the other way"),
        ("do the same with the other side", "do the same with the other side"),
        ("put your left hand to the right", "put your left hand to the right"),
    ],
)
def test_the_other_one_is_named(text: str, said: str) -> None:
    assert plain(text) == said


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("bring both elbows to a right angle", [90 / 50]),
        ("a quarter turn to the left", [90 / 50]),
        ("make a half turn", [180 / 50]),
        ("turn by pi/2 radians", [90 / 50]),
        ("turn by 2pi/3", [120 / 50]),
        ("lift it by \u00bd m", [0.5 / 0.25]),
        ("lift it by 1\u00bd m", [1.5 / 0.25]),
        ("lift it by 1 1/2 m", [1.5 / 0.25]),
        ("bend it from 20 to 90 degrees", [90 / 50]),
        ("bend it by 0.5 rad", [28.6479 / 50]),
        ("lift your left hand half a meter", [0.5 / 0.25]),
        ("raise your hand 2 feet", [0.6096 / 0.25]),
        ("a 20-cm step", [0.2 / 0.25]),
        ("lift it 10 to 20 cm", [0.15 / 0.25]),
        ("bend your left knee by 20 degrees and your right one by 50 mm", [20 / 50, 0.05 / 0.25]),
        ("a hundred and twenty degrees", [120 / 50]),
        ("raise it by 20 percent", []),
        ("feet and hips, your two feet", []),
    ],
)
def test_amounts_become_numbers(text: str, amounts: list[float]) -> None:
    assert [value for word, value in split(text) if word == "#"] == pytest.approx(amounts, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("bend the right elbow by 30 and the left one by 60 degrees", ["degrees", "degrees"]),
        ("lift your left hand by 10, your right hand by 20 cm", ["cm", "cm"]),
        # Another verb has a unit of its own.
        ("bend your left knee by 5, step back by 20 cm", [",", "cm"]),
        ("raise your left arm by 30 and bend your knees by 5 cm", ["and", "cm"]),
    ],
)
def test_the_unit_of_one_verb(text: str, units: list[str]) -> None:
    words = [word for word, _ in split(text)]
    assert [words[at + 1] for at, word in enumerate(words) if word == "#"] == units


def test_shares_are_little_or_much() -> None:
    assert [plain(f"bend your knees by {share}") for share in ("10%", "50 percent", "90 per cent")] == [
        "bend your knees a little",
        "bend your knees",
        "bend your knees a lot",
    ]


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("don't raise your arm", True),
        ("stop moving", True),
        ("don't raise it, please", True),
        ("sit, don't lean back", 0),
    ],
)
def test_what_only_denies(text: str, only: bool) -> None:
    assert denies(text) == bool(only)


@pytest.mark.parametrize(
    "unit", ["not the left ", "don't raise ", "the other one ", "1/2 ", "pi ", "a right ", "%" * 9]
)
def test_long_texts_take_no_time(unit: str) -> None:
    begin = time.process_time()
    plain(unit * 3000)
    assert time.process_time() - begin < 0.5
