"""Texts of several changes, one by one."""

from __future__ import annotations

import pytest

from humanrt.editing.clauses import MOST, clauses
from humanrt.editing.plain import plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Raise your left arm, bend your right knee and look up.",
            ["raise your left arm", "bend your right knee", "look up"],
        ),
        ("sit down. lean back, then fold your arms", ["sit down", "lean back", "fold your arms"]),
        ("left arm up, right arm out to the side", ["left arm up", "right arm out to the side"]),
        (
            "raise the right arm a bit and drop the other one a lot",
            ["raise the right arm a bit", "drop the left arm a lot"],
        ),
        # The verb holds for both.
        (
            "bend your left elbow by 20 degrees and your right elbow by 70 degrees",
            ["bend your left elbow by 20 degrees", "bend your right elbow by 70 degrees"],
        ),
        (
            "Raise the right arm by 30 and the left one by 60 degrees",
            ["raise the right arm by 30 degrees", "raise the left arm by 60 degrees"],
        ),
        (
            "put your left hand on your hip and your right hand on your head",
            ["put your left hand on your hip", "put your right hand on your head"],
        ),
    ],
)
def test_changes_are_told_apart(text: str, said: list[str]) -> None:
    assert clauses(plain(text)) == said


@pytest.mark.parametrize(
    "text",
    [
        "raise your left arm",
        "raise your left arm and your right arm by 20 degrees",  # 20 degrees are of both
        "raise your left arm and bend it",
        "bend your right knee and then the left knee too",
        "turn your head to the left and right",
        "lift and straighten your left leg",
        "lean forward until your hands touch the floor, and look up",
        ", ".join(["raise your left arm"] * (MOST + 1)),
        "",
    ],
)
def test_what_hangs_together_stays_together(text: str) -> None:
    assert clauses(text) == [text]
