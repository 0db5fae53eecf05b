"""The coach's words for poses whose difference is known."""

from __future__ import annotations

import numpy as np
import pytest
from postures import anybody, posture

from humanrt import HumanrtError, PoseCoach
from humanrt.coach.differences import PARTS
from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides

STAND = posture()
SQUAT = posture(left_hip=(-90, 0, 0), right_hip=(-90, 0, 0), left_knee=(90, 0, 0), right_knee=(90, 0, 0))


@pytest.mark.parametrize(
    ("joints", "there", "back"),
    [
        ({"left_knee": (60, 0, 0)}, "Bend your left knee by 60 degrees.", "Straighten your left knee by 60 degrees."),
        (
            {"left_shoulder": (0, 0, 0), "right_shoulder": (0, 0, 0)},
            "Raise both arms outward by 80 degrees.",
            "Lower both arms inward by 80 degrees.",
        ),
        (
            {"right_elbow": (0, 90, 0)},
            "Bend your right elbow by 90 degrees.",
            "Straighten your right elbow by 90 degrees.",
        ),
        (
            {"spine1": (30, 0, 0), "left_hip": (0, 0, 0)},
            "Lean further forward by 25 degrees.",
            "Lean less far forward by 25 degrees.",
        ),
        (
            {"spine1": (0, 0, -30)},
            "Lean further to your left by 25 degrees.",
            "Lean less far to your left by 25 degrees.",
        ),
        ({"spine1": (0, 40, 0)}, "Turn your shoulders to your left by 40 degrees.", None),
        ({"head": (0, -40, 0)}, "Turn your head to your right by 40 degrees.", None),
        ({"head": (30, 0, 0)}, "Lower your chin by 30 degrees.", "Lift your chin by 30 degrees."),
        ({"head": (0, 0, 30)}, "Tilt your head to your right by 30 degrees.", None),
        (
            {"left_hip": (0, 0, 20), "right_hip": (0, 0, -20)},
            "Put your feet further apart by 60 cm.",
            "Put your feet closer together by 60 cm.",
        ),
        ({"pelvis": (0, 0, 90)}, "Tip your trunk further over by 90 degrees.", None),
    ],
)
def test_says_what_differs(joints: dict[str, tuple[float, float, float]], there: str, back: str | None) -> None:
    coach = PoseCoach(numbers=True)
    other = posture(**joints)
    assert coach.describe(STAND, other) == there
    if back is not None:
        assert coach.describe(other, STAND) == back


def test_a_squat_is_called_sitting_lower() -> None:
    assert PoseCoach().describe(STAND, SQUAT) == "Sit lower and bend both knees a lot."
    assert PoseCoach().describe(SQUAT, STAND) == "Stand taller and straighten both knees a lot."


def test_equal_poses_match() -> None:
    assert PoseCoach().describe(STAND, STAND) == "Your pose matches."
    assert PoseCoach().advise(STAND, STAND).sentences == ()
    nearly = posture(left_knee=(8, 0, 0))
    assert PoseCoach().describe(STAND, nearly) == "Your pose matches."
    assert PoseCoach(degrees=5).describe(STAND, nearly) == "Bend your left knee a little."


def test_a_forearm_that_turns_is_said_by_its_hand() -> None:
    forward, up = ({"left_shoulder": (0, 0, 0), "left_elbow": one} for one in ((0, -90, 0), (0, 0, 90)))
    words = PoseCoach(numbers=True).describe(posture(**forward), posture(**up))
    assert words == "Move your left hand backward and up by 35 cm."


def test_the_most_important_comes_first_and_weights_change_that() -> None:
    other = posture(left_knee=(40, 0, 0), right_elbow=(0, 70, 0), head=(0, 40, 0))
    assert PoseCoach().describe(STAND, other, sentences=1) == "Bend your right elbow and bend your left knee."
    assert (
        PoseCoach(weights={"knee": 3}).describe(STAND, other, sentences=1)
        == "Bend your left knee and bend your right elbow."
    )
    assert "elbow" not in PoseCoach(weights={"elbow": 0}).describe(STAND, other, sentences=4)
    advice = PoseCoach().advise(STAND, other, sentences=4)
    assert [one.part for one in advice.differences] == ["elbow", "knee", "head_turn"]
    scores = [one.score for one in advice.differences]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_never_more_sentences_than_asked_for(most: int) -> None:
    generator = np.random.default_rng(most)
    for _ in range(20):
        advice = PoseCoach().advise(anybody(generator), anybody(generator), sentences=most)
        assert 0 < len(advice.sentences) <= most
        assert all(len(clauses) <= 2 for clauses in advice.clauses)


def test_both_sides_are_one_clause_only_when_alike() -> None:
    alike = posture(left_knee=(50, 0, 0), right_knee=(60, 0, 0))
    unlike = posture(left_knee=(30, 0, 0), right_knee=(100, 0, 0))
    assert PoseCoach().describe(STAND, alike).startswith("Bend both knees")
    assert PoseCoach().describe(STAND, unlike) == "Bend your right knee a lot and bend your left knee."


def test_mirrored_follows_as_in_a_mirror() -> None:
    raised = posture(left_shoulder=(0, 0, 60))
    assert PoseCoach().describe(STAND, raised) == "Raise your left arm a lot."
    assert PoseCoach(mirrored=True).describe(STAND, raised) == "Raise your right arm a lot."


def test_facing_counts_only_on_request() -> None:
    turned = posture(pelvis=(0, 90, 0))
    assert PoseCoach().describe(STAND, turned) == "Your pose matches."
    assert PoseCoach(facing=True).describe(STAND, turned) == "Turn your whole body to your left a lot."


def test_left_and_right_are_treated_alike() -> None:
    generator = np.random.default_rng(3)
    swap = list(other_sides(SMPLX_BODY))
    coach = PoseCoach(numbers=True)
    for _ in range(40):
        a, b = anybody(generator), anybody(generator)
        words = coach.describe(a, b)
        flipped = coach.describe(mirrored(a)[swap], mirrored(b)[swap])
        swapped = flipped.replace("left", "?").replace("right", "left").replace("?", "right")
        assert sorted(words.split()) == sorted(swapped.split())  # equal scores may change places


def test_longer_skeletons_are_cut_to_the_body() -> None:
    other = posture(left_knee=(60, 0, 0))
    whole = np.concatenate([other, np.broadcast_to(np.eye(3), (33, 3, 3))])
    assert PoseCoach().describe(STAND, whole) == PoseCoach().describe(STAND, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "xx"}, "no phrases in language `xx`; choose one of: .*en"),
        ({"weights": {"nose": 1}}, "unknown part nose; choose one of: arm"),
        ({"weights": {"arm": -1}}, "weights: arm must be a number from 0"),
        ({"degrees": 0}, "degrees must be a number from 1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(HumanrtError, match=message):
        PoseCoach(**options)  # type: ignore[arg-type]


def test_wrong_poses_are_refused() -> None:
    coach = PoseCoach()
    with pytest.raises(HumanrtError, match=r"expected \[22, 3, 3\] rotation matrices, got \[21, 3, 3\]"):
        coach.describe(STAND, STAND[:21])
    with pytest.raises(HumanrtError, match="not rotations"):
        coach.describe(STAND, STAND * np.nan)
    with pytest.raises(HumanrtError, match="not rotations"):
        coach.describe(STAND * 2, STAND)
    with pytest.raises(HumanrtError, match="sentences must be at least 1"):
        coach.describe(STAND, STAND, sentences=0)


def test_every_part_has_a_weight_above_zero() -> None:
    assert all(weight > 0 for weight in PARTS.values())


def test_another_language_says_the_same() -> None:
    words = PoseCoach(language="de", numbers=True).describe(STAND, posture(left_knee=(60, 0, 0), head=(0, 40, 0)))
    assert words == "Beuge das linke Knie um 60 Grad. Drehe den Kopf um 40 Grad nach links."
