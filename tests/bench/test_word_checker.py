"""The checker of the coach's words: what it understands, that it refuses what is false, and what it finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from postures import anybody, posture

from humanrt import PoseCoach
from humanrt_export.motion.load import load_motions
from pose_words import Score, pairs_of, score
from word_checker import holds, large_differences, measure_pose, named, read_claims

STAND = posture()
MOCAP = Path(__file__).resolve().parents[3] / "shared" / "mocap" / "hdm05.tar.xz"


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        ("Bend your left knee by 60 degrees.", {"left_knee": (60, 0, 0)}, {"left_knee": (40, 0, 0)}),
        ("Bend your left knee.", {"left_knee": (60, 0, 0)}, {"right_knee": (60, 0, 0)}),
        ("Raise your right arm forward.", {"right_shoulder": (-50, 0, 60)}, {"right_shoulder": (0, 0, 40)}),
        ("Turn your head to your left.", {"head": (0, 30, 0)}, {"head": (0, -30, 0)}),
        ("Turn your head to your left a little.", {"head": (0, 20, 0)}, {"head": (0, 60, 0)}),
        ("Lift your chin.", {"head": (-30, 0, 0)}, {"head": (30, 0, 0)}),
        ("Tilt your head to your left.", {"head": (0, 0, -30)}, {"head": (0, 0, 30)}),
        ("Lean further forward.", {"spine1": (30, 0, 0)}, {"spine1": (-30, 0, 0)}),
        ("Lean less far to your right.", {"spine1": (0, 0, -30)}, {"spine1": (0, 0, 30)}),
        ("Turn your shoulders to your right.", {"spine2": (0, -30, 0)}, {"spine2": (0, 30, 0)}),
        ("Put your feet much further apart.", {"left_hip": (0, 0, 40)}, {"left_hip": (0, 0, 5)}),
        ("Tip your trunk further over.", {"pelvis": (0, 0, 90)}, {}),
        ("Move your left hand up by 20 cm.", {"left_elbow": (0, 0, 75)}, {"left_elbow": (0, 0, 20)}),
    ],
)
def test_truth_is_told_from_falsehood(
    text: str, true: dict[str, tuple[float, float, float]], false: dict[str, tuple[float, float, float]]
) -> None:
    [[claim]] = read_claims(text)
    assert holds(claim, measure_pose(STAND), measure_pose(posture(**true)))
    assert not holds(claim, measure_pose(STAND), measure_pose(posture(**false)))


def test_sentences_are_taken_apart() -> None:
    claims = read_claims("Bend both knees a lot and sit lower. Move your left hand up and backward by 35 cm.")
    assert [[claim.what for claim in sentence] for sentence in claims] == [["knee", "height"], ["hand"]]
    assert claims[0][0].sides == ("left", "right")
    assert claims[1][0].ways == ("up", "backward")
    assert claims[1][0].number == pytest.approx(0.35)


@pytest.mark.parametrize("text", ["Do a handstand.", "Bend your left.", "Move your left arm.", "Bend both knees and."])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not understood|no direction"):
        read_claims(text)


def test_large_differences_are_found_and_silence_names_none() -> None:
    other = posture(left_knee=(60, 0, 0), head=(0, 45, 0), right_shoulder=(0, 0, 0))
    a, b = measure_pose(STAND), measure_pose(other)
    found = large_differences(a, b)
    assert {(what, side) for what, side, _ in found} == {
        *(("hand", "right"), ("arm", "right"), ("knee", "left"), ("foot", "left"), ("turn", ""))
    }
    assert not any(named(what, side, [], a, b) for what, side, _ in found)
    claims = [claim for said in read_claims("Raise your right arm outward. Bend your left knee.") for claim in said]
    told = {(what, side) for what, side, _ in found if named(what, side, claims, a, b)}
    assert told == {("hand", "right"), ("arm", "right"), ("knee", "left"), ("foot", "left")}
    false = [claim for said in read_claims("Lower your right arm. Straighten your left knee.") for claim in said]
    assert not any(named(what, side, false, a, b) for what, side, _ in found)


@pytest.mark.parametrize("numbers", [False, True])
def test_words_about_random_poses_are_true(numbers: bool) -> None:
    generator = np.random.default_rng(5)
    total = Score()
    for _ in range(60):
        score(PoseCoach(numbers=numbers), anybody(generator), anybody(generator), total)
    assert total.claims > 300
    assert total.true >= 0.99 * total.claims, total.wrong
    assert total.named >= 0.9 * total.large, total.missed


def test_words_for_the_way_back_do_not_hold() -> None:
    generator = np.random.default_rng(6)
    false = count = 0
    for _ in range(20):
        a, b = anybody(generator), anybody(generator)
        for sentence in read_claims(PoseCoach().describe(b, a, sentences=4)):
            for claim in sentence:
                count += 1
                false += not holds(claim, measure_pose(a), measure_pose(b))
    assert count > 100
    assert false == count


@pytest.mark.slow
def test_words_about_captured_poses_are_true() -> None:
    if not MOCAP.is_file():
        pytest.skip(f"{MOCAP} is not here: it is shared with developers and CI only")
    total = Score()
    for _, a, b in pairs_of(list(load_motions(MOCAP)), 600, seed=7):
        score(PoseCoach(), a, b, total)
    assert total.true >= 0.99 * total.claims, total.wrong
    assert total.named >= 0.95 * total.large, total.missed
