"""Whether landmarks are a person's: evidence of a second network, and bodies that lie on others."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from humanrt.errors import HumanrtError
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import COCO_17, MEDIAPIPE_33
from humanrt.people.body_tracker import BodyTracker, BodyTrackerOptions
from humanrt.people.confirmation import (
    NEEDED,
    NEEDED_OF_BODIES,
    NEEDED_OF_SURE_BODIES,
    accepted,
    confidence,
    disagreement,
    is_part,
    needed_of_body,
    pose_distance,
)
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.multipose import PoseDetection
from humanrt.people.proposals import Proposal, region_of_pose
from shipped import shipped

_UP = {  # somebody who stands, 200 px tall, about the hips
    **dict.fromkeys(("nose", "eye", "ear", "mouth"), (0.0, -85.0)),
    "shoulder": (22.0, -60.0),
    "elbow": (30.0, -30.0),
    "wrist": (32.0, -2.0),
    "index": (32.0, 6.0),
    "hip": (14.0, 0.0),
    "knee": (14.0, 45.0),
    "ankle": (14.0, 90.0),
}


def _point(name: str) -> tuple[float, float]:
    part = next((part for part in _UP if part in name), "index" if "pinky" in name or "thumb" in name else "ankle")
    x, y = _UP[part]
    return (x if "left" in name else -x if "right" in name else 0.0, y)


def landmarks(x: float = 300, y: float = 200, scale: float = 1.0, score: float = 0.9) -> BodyLandmarks:
    points = np.array([_point(name) for name in MEDIAPIPE_33], np.float32) * scale + (x, y)
    ones = np.ones(33, np.float32)
    return BodyLandmarks(
        score, points.astype(np.float32), ones, np.zeros((33, 3), np.float32), ones, ones, Region(x, y, 270 * scale)
    )


def pose(x: float = 300, y: float = 200, scale: float = 1.0, score: float = 0.4) -> PoseDetection:
    points = (np.array([_point(name) for name in COCO_17], np.float32) * scale + (x, y)).astype(np.float32)
    return PoseDetection(score, points, points, np.full(17, 0.5, np.float32))


def test_a_pose_in_the_same_place_supports_landmarks() -> None:
    same = confidence(landmarks(), [0.9, 0.9], [pose()])
    assert same > 3
    assert confidence(landmarks(), [0.9, 0.9], [pose(x=340)]) < same - 1.5
    assert confidence(landmarks(), [0.9, 0.9], [pose(x=900)]) < 0
    assert confidence(landmarks(), [0.9, 0.9], [pose(score=0.1)]) < same - 1
    assert confidence(landmarks(), [0.1, 0.1], [pose()]) < same - 1
    assert confidence(landmarks(), [0.9, 0.9], []) == -inf
    # Of several, the nearest counts; scores of 0 and 1 are finite.
    assert confidence(landmarks(), [0.9, 0.9], [pose(x=900), pose()]) == pytest.approx(same)
    assert np.isfinite(confidence(landmarks(), [0.0, 1.0], [pose()]))


def test_distances_are_fractions_of_the_body() -> None:
    trunk, head = disagreement(landmarks(), pose(x=327))
    assert trunk == pytest.approx(0.1, abs=1e-3)
    assert head == pytest.approx(0.1, abs=1e-3)
    assert pose_distance(pose(), pose(x=310)) == pytest.approx(10)


def _accepts(first_look: float, *close_looks: float, of: int = 3) -> bool:
    """Call `accepted`; fails if it looks more often, or less, than there are values."""
    values = list(close_looks)
    result = accepted(first_look, lambda _: values.pop(0), [1.0] * of)
    assert not values
    return result


def test_two_close_looks_must_agree() -> None:
    assert _accepts(5.0)  # plain to see
    assert _accepts(1.0, 2.0, 3.0)
    assert not _accepts(1.0, -inf, 1.0)
    assert _accepts(1.5, -inf, 2.0, 1.0)
    assert not _accepts(1.5, 3.0, -inf, -1.0)
    assert _accepts(2.0, -inf, 1.1, -2.0, 1.7, of=5)
    assert _accepts(-inf, 2.5, 2.5)  # the proposal itself says nothing
    assert accepted(-inf, lambda _: 1.5, (1.0, 0.75), needed=1.5)
    assert not accepted(-inf, lambda _: 1.4, (1.0, 0.75), needed=1.5)


def test_a_body_on_an_arm_or_a_trunk_is_a_part_of_it() -> None:
    whole = landmarks()
    arm = landmarks(x=331, y=185, scale=0.15)
    trunk = landmarks(y=180, scale=0.4)
    beside = landmarks(x=420, y=180, scale=0.4)
    assert is_part(arm, whole)
    assert is_part(trunk, whole)
    assert not is_part(beside, whole)
    assert not is_part(whole, arm)
    # A child before an adult: the face on the adult's hips, its own hips between the adult's knees.
    child = landmarks(y=250, scale=0.5)
    assert not is_part(child, whole)


def test_the_region_of_a_pose_holds_the_body_head_up() -> None:
    region = region_of_pose(pose())
    assert (region.x, region.y) == pytest.approx((300, 200))
    assert region.angle == pytest.approx(0, abs=1e-3)
    assert 240 < region.size < 300
    raised = pose().keypoints.copy()
    raised[[9, 10]] = (300, -20)  # wrists far above the head do not make the region larger
    assert region_of_pose(replace(pose(), keypoints=raised)).size == pytest.approx(region.size)
    lying = pose().keypoints[:, ::-1] * (-1, 1) + (600, 0)
    assert abs(abs(region_of_pose(replace(pose(), keypoints=lying.astype(np.float32))).angle) - np.pi / 2) < 0.01


def test_a_proposal_is_a_region_with_evidence() -> None:
    proposal = Proposal.at(Region(300, 200, 270), 0.4, pose())
    assert proposal.confidence(landmarks(), [0.9]) == confidence(landmarks(), [0.9], [pose()])
    assert Proposal.at(Region(300, 200, 270), 0.4).confidence(landmarks(), [0.9]) == -inf


def test_unknown_sources_are_refused() -> None:
    with pytest.raises(HumanrtError, match=r"no source `eyes`.*multipose"):
        BodyTrackerOptions(proposals=("eyes",))
    with pytest.raises(HumanrtError, match="each once"):
        BodyTrackerOptions(proposals=())
    with pytest.raises(HumanrtError, match="each once"):
        BodyTrackerOptions(proposals=("multipose", "multipose"))


def test_before_a_crowd_only_who_is_large_enough_to_be_kept_is_looked_at() -> None:
    """The looks ran out at spectators, and a player was never looked at."""
    with BodyTracker(shipped("landmarks"), options=BodyTrackerOptions(max_people=2), threads=1) as tracker:
        crowd = [landmarks(100 * k, scale=scale) for k, scale in enumerate((0.5, 0.8, 0.6))]

        def worth(scale: float, room: int, seen: int = 3) -> bool:
            region = replace(crowd[0].region, size=270 * scale)
            return tracker._worth_examining(region, crowd[:seen], room)

        assert worth(0.7, 2)  # larger than the second
        assert not worth(0.55, 2)
        assert worth(0.55, 3)
        assert worth(0.1, 2, seen=1)
        assert not worth(9.0, 0)


@pytest.mark.parametrize(
    ("score", "distance", "needed"),
    [
        (0.9, 0.21, NEEDED),  # another body than the proposed one
        (0.9, 0.2, NEEDED_OF_BODIES),
        (0.5, 0.1, NEEDED_OF_SURE_BODIES),
        (0.9, 0.11, NEEDED_OF_BODIES),
        (0.4, 0.05, NEEDED_OF_BODIES),
        (0.6, 0.05, NEEDED_OF_SURE_BODIES),
    ],
)
def test_the_surer_a_proposed_body_is_the_less_close_looks_must_say(
    score: float, distance: float, needed: float
) -> None:
    assert needed_of_body(score, distance) == needed
    assert NEEDED > NEEDED_OF_BODIES > NEEDED_OF_SURE_BODIES
