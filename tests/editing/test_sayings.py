"""Sayings, told in words that the network knows."""

from __future__ import annotations

import pytest

from humanrt.editing.plain import plain

KNEEL = "both thighs straight down. bend both knees to 100 degrees. point both feet"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Crouch", "squat"),
        ("please crouch down a little", "please squat down a little"),
        ("squat really low", "squat a lot"),
        ("kneel", KNEEL),
        ("Kneel down on the floor, please!", f"{KNEEL}, please!"),
        ("get down on your knees", KNEEL),
        ("on your knees", KNEEL),
        (
            "kneel on your left knee",
            "both thighs straight down. right thigh straight forward. bend both knees to 90 degrees. "
            "bend your left knee to 100 degrees. point your left toes",
        ),
        (
            "lunge with your left leg",
            "both thighs straight down. left thigh straight forward. bend both knees to 90 degrees",
        ),
        ("sit", "sit down"),
        ("stand, then look up", "stand up, then look up"),
        ("stand up tall", "straighten your back. straighten both knees"),
        ("stretch", "stretch both arms straight up"),
        ("reach for the ceiling with your left hand", "stretch your left arm straight up"),
        ("balance on your left leg", "lift your right foot off the ground"),
        ("put one hand on each hip", "put both hands on your hips"),
        ("a hand on each of your knees", "both hands on your knees"),
        ("left arm forward, look ahead", "stretch your left arm straight out in front, look ahead"),
        ("lift both arms sideways to shoulder level", "stretch both arms straight out to the sides"),
        ("raise your right arm to the front to shoulder height", "stretch your right arm straight out in front"),
        ("drop the left arm by a lot", "drop the left arm a lot"),
        # A limb without its side is the right one; several are both.
        ("raise your arm to shoulder height", "stretch your right arm straight out to the side"),
        ("lift one arm to the front to chest height", "stretch your right arm straight out in front"),
        ("raise your arms to shoulder height", "stretch both arms straight out to the sides"),
        ("raise both your arms to shoulder height", "stretch both arms straight out to the sides"),
        ("lift your left and right arm to shoulder height", "stretch both arms straight out to the sides"),
        ("arm forward", "stretch your right arm straight out in front"),
        ("arms forward", "stretch both arms straight out in front"),
        ("your left and right arm forward", "stretch both arms straight out in front"),
        ("reach for the sky with your hand", "stretch your right arm straight up"),
        ("reach for the sky with your hands", "stretch both arms straight up"),
        ("reach for the sky", "stretch both arms straight up"),
        ("arm straight up", "your right arm straight up"),
        ("left hand on your hip, hand on your head", "left hand on your hip, your right hand on your head"),
        (
            "kneel on your knee",
            "both thighs straight down. left thigh straight forward. bend both knees to 90 degrees. "
            "bend your right knee to 100 degrees. point your right toes",
        ),
        ("balance on your leg", "lift your left foot off the ground"),
        (
            "lunge with your leg",
            "both thighs straight down. right thigh straight forward. bend both knees to 90 degrees",
        ),
        ("raise your left arm and hand", "raise your left arm and hand"),
        ("crouching", "squat"),
        ("stop crouching", "stop squatting"),
        # What is to stay is left out beside what is to change.
        ("Raise your right arm, but leave the left one down", "raise your right arm"),
        ("keep your left arm down and raise the right one", "raise the right arm"),
        ("bow and let your arms be", "bow"),
        ("bend just the right knee, please leave the left straight", "bend the right knee"),
        ("your shoulders are turned too far to the left", "turn your shoulders to the right"),
        ("your torso is leaning too much to the right", "lean your torso to the left"),
        ("let your head fall to the side, to the right", "tilt your head to the right"),
        ("just a bit lower", "just a bit lower"),
        # These say something else, or are known.
        ("sit a bit lower", "sit a bit lower"),
        ("hands on your knees", "hands on your knees"),
        ("don't sit so low", "don't sit so low"),
        ("stand on your left leg and lift the other one", "stand on your left leg and lift the right leg"),
        ("raise your arms forward", "raise your arms forward"),
        ("keep your legs straight", "keep your legs straight"),
        ("raise both arms but keep your elbows straight", "raise both arms but keep your elbows straight"),
        ("let your left arm down", "let your left arm down"),
        ("bow and let your arms be as they are", "bow"),
        ("let your arms be straight and raise your head", "let your arms be straight and raise your head"),
        ("bend your knees, let your left arm be straight up", "bend your knees, let your left arm be straight up"),
        ("leave your left arm down", "leave your left arm down"),
        ("stretch your left leg", "stretch your left leg"),
    ],
)
def test_sayings_are_told_in_other_words(text: str, said: str) -> None:
    assert plain(text) == said
    assert plain(said) == said  # once is enough
