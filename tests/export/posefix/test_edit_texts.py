"""Texts that ask for changes, and what they ask for."""

from __future__ import annotations

import random

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")

from humanrt.coach.readings import read_pose
from humanrt.editing.apply import apply
from humanrt.editing.changes import CHANNELS, METRES, POINTS
from humanrt.editing.words import split
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.data.edits.grammar import expand
from humanrt_export.data.edits.pairs import wishes_of
from humanrt_export.data.edits.texts import Wish, edit_of, nonsense, sentence
from humanrt_export.data.edits.wordings import SIMPLE, WHOLE

SLOTS = (
    *("N", "be", "are", "are2", "is", "you", "your", "yourself", "its", "a", "a2", "q", "q2", "too", "to", "from"),
    *(
        "ways",
        "side_ways",
        "head",
        "chin",
        "trunk",
        "turning",
        "whole",
        "feet",
        "sided",
        "other",
        "there",
        "num",
        "part",
    ),
)


def test_grammars() -> None:
    chance = random.Random(0)
    assert {expand("(a|b(c|d)) x[ y]", chance) for _ in range(200)} == {
        f"{first} x{rest}" for first in ("a", "bc", "bd") for rest in ("", " y")
    }
    assert expand("{N} up", chance, {"N": lambda: "arm"}) == "arm up"


def test_sentences_ask_for_something_in_many_ways() -> None:
    chance = random.Random(1)
    made = [sentence(chance) for _ in range(1500)]
    assert len({text for text, _ in made}) > 1480
    assert all(changes for _, changes in made)
    assert not any("{" in text or "|" in text or "  " in text for text, _ in made)
    asked = {change.channel for _, changes in made for change in changes}
    assert asked == set(CHANNELS)
    for _, changes in made:
        channels = [change.channel for change in changes]
        assert len(channels) == len(set(channels))
        for change in changes:
            most = 0.9 if change.channel in (*METRES, *POINTS) else 185.0
            assert abs(change.value) < 2 * most
            assert change.value or change.absolute or change.channel == "mirror"


def test_numbers_are_the_ones_that_are_said() -> None:
    chance = random.Random(2)
    seen = 0
    for _ in range(600):
        text, changes = sentence(chance, [Wish("elbow", "left", ("+",))])
        numbers = [value for word, value in split(text) if word == "#"]
        if len(changes) == 1 and len(numbers) == 1 and changes[0].channel == "left_elbow":
            assert changes[0].value == pytest.approx(50 * numbers[0], abs=0.01)
            seen += 1
    assert seen > 20


def test_every_grammar_is_spoken() -> None:
    chance = random.Random(3)
    for grammars in (*SIMPLE.values(), *WHOLE.values()):
        for grammar in grammars:
            slots = dict.fromkeys(SLOTS, lambda: "x")
            assert expand(grammar, chance, slots).strip()


def test_nonsense_is_no_sentence() -> None:
    chance = random.Random(4)
    made = [nonsense(chance, ("raise", "arm")) for _ in range(300)]
    assert len(set(made)) > 200
    assert all(made)


def test_what_two_poses_differ_in_is_what_is_wished_for() -> None:
    vectors = 0.1 * np.random.default_rng(0).normal(size=(22, 3))
    vectors[0] = (np.pi, 0, 0)
    vectors[17] = (0, 0, 0.9)
    a = matrices_from_vectors(vectors)
    text, changes = sentence(random.Random(5), [Wish("arm", "right", ("up",), 50.0)])
    assert text
    b = apply(a, edit_of([change for change in changes if change.channel == "right_arm"]))
    found = [wish for wish in wishes_of(read_pose(a), read_pose(b)) if wish.kind == "arm"]
    assert found
    assert found[0].side == "right"
    assert "up" in found[0].ways
