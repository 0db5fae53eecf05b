"""What words say of a pose, as facts: only what is covered wholly by our own wordings."""

from __future__ import annotations

import random

import pytest

from humanrt.embedding.facts import NAMES
from humanrt.embedding.said import said
from humanrt.embedding.wordings import ACTS, FACTS, STATES, WHOLE, finite


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        ("both arms raised above the head", [("arms.up", "hands.overhead")]),
        ("somebody kneels on the floor", [("body.kneel", "body.half_kneel")]),
        ("left hand up in the air, right arm hangs down", [("left_arm.up", "left_hand.overhead"), ("right_arm.down",)]),
        ("a kick with the right leg stretched forward", [("right_leg.front",)]),
        ("kicking with the left leg", [("left_leg.front", "left_leg.raised")]),
        ("sitting with hands on the knees", [("body.sit",), ("hands.knee",)]),
        ("She's standing on one leg", [("body.one_leg_left", "body.one_leg_right")]),
        ("left hand on the right shoulder", [("left_hand.shoulder",)]),
        ("with bent knees", [("knees.bent",)]),
        ("ARMS CROSSED!", [("arms.crossed",)]),
        ("both arms crossed", [("arms.crossed",)]),
        ("cross your arms", [("arms.crossed",)]),
        ("like a cross", [("body.t_pose",)]),
        ("both arms out to the sides", [("body.t_pose",)]),
        ("arms spread out to both sides", [("arms.side",)]),
        ("right arm stretched out sideways", [("right_arm.side",)]),
        ("on hands and knees", [("body.fours",)]),
        ("crawling on her hands and knees", [("body.fours",)]),
        ("kneeling and looking up", [("body.kneel", "body.half_kneel"), ("head.up",)]),
        ("lying on the floor", [("body.lying_back", "body.lying_front")]),
        ("standing on both feet", [("body.standing",)]),
        ("on her knees", [("body.kneel",)]),
        ("left and right knee bent", [("left_knee.bent",), ("right_knee.bent",)]),
        ("left hand and right hand on the hips", [("left_hand.hip",), ("right_hand.hip",)]),
        ("arms and legs crossed", [("arms.crossed",), ("legs.crossed",)]),
        ("hands on hips and knees bent", [("hands.hip",), ("knees.bent",)]),
        ("both arms and legs straight", [("elbows.straight",), ("knees.straight",)]),
    ],
)
def test_clauses_that_are_covered_are_facts(words: str, facts: list[tuple[str, ...]]) -> None:
    found = said(words)
    assert list(found.facts) == facts
    assert not found.rest


@pytest.mark.parametrize(
    "words",
    [
        "the left arm and the right arm are raised",
        "left and right arm raised",
        "left arm, right arm raised",
        "raising the left arm and the right arm",
    ],
)
def test_limbs_share_a_predicate(words: str) -> None:
    found = said(words)
    assert found.facts == (("left_arm.up", "left_arm.raised"), ("right_arm.up", "right_arm.raised"))
    assert not found.rest


def test_limbs_share_a_side() -> None:
    assert said("left arm and leg raised").facts == (
        ("left_arm.up", "left_arm.raised"),
        ("left_knee.raised", "left_leg.raised"),
    )


@pytest.mark.parametrize(
    "words",
    [
        "crossing",
        "crossed",
        "feet up",
        "both knees",
        "knees",
        "looking left and right",
        "left hand and left foot up",
        "hands on hips and knees",
        "left and right arm crossed",
        "he waves to the right hand side of the bus",
        "both hands behind the head",
        "jumping",
        "the left hand on the dog",
        "",
    ],
)
def test_nothing_is_guessed(words: str) -> None:
    found = said(words)
    assert not found.facts
    assert list(found.rest) == ([words] if words else [])


def test_what_is_understood_and_what_is_not_are_told_apart() -> None:
    found = said("squatting down, juggling, left arm raised")
    assert found.facts == (("body.squat",), ("left_arm.up", "left_arm.raised"))
    assert found.rest == ("juggling",)
    found = said("sitting with feet up")
    assert (found.facts, found.rest) == ((("body.sit",),), ("feet up",))


def test_all_facts_that_are_named_exist() -> None:
    assert set(FACTS) <= set(NAMES)
    assert set(ACTS) <= set(STATES)
    drawn = random.Random(0)
    for state, wordings in ACTS.items():
        part = state.partition(".")[0]
        for words in wordings:
            found = said(words.replace("{l}", f"the left {part}").replace("{p}", drawn.choice(("her", "the"))))
            named = {name for names in found.facts for name in names}
            assert named <= set(NAMES)
            assert any(name.startswith("left_") for name in named), words


def test_every_wording_of_the_whole_body_is_understood() -> None:
    for name, wordings in WHOLE.items():
        for words in wordings:
            found = said(words.replace("{p}", "the"))
            same = tuple(one for one, others in WHOLE.items() if words in others)  # "lying" is on the back or the front
            assert (found.facts, found.rest) == ((same,), ()), (name, words)


def test_every_wording_of_a_limb_is_understood() -> None:
    for state, wordings in STATES.items():
        noun = state.partition(".")[0]
        for words in wordings:
            if " | " in words:  # "the left leg is in front of the right leg": not understood, left to the embedder
                continue
            found = said(f"the left {noun} is {words}".replace("{p}", "the").replace("{o}", "right"))
            assert f"left_{state}" in {one for names in found.facts for one in names}, (state, words)
            assert not found.rest


def test_verbs_have_forms() -> None:
    assert finite("kneeling on the floor", True) == "kneels on the floor"
    assert [finite(f"{verb} x", True) for verb in ("sitting", "lying", "raising", "crossing")] == [
        "sits x", "lies x", "raises x", "crosses x",
    ]  # fmt: skip
    assert finite("squatting", False) == "squat"
    assert finite("with bent knees", True) == "with bent knees"
