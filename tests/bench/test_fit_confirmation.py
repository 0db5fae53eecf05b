"""`bench/fit_confirmation.py`: which proposals constants confirm, weights that are known, and where people are lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from fit_confirmation import NOBODY, Constants, Evidence, Shot, chosen, confirmed, fates, judged, known, present
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.limbs import LIMBS
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.people.body_tracker import BodyTracker
from humanrt.people.confirmation import NEEDED, NEEDED_OF_SURE_BODIES, TrunkDetection
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.proposals import Proposal
from humanrt.people.single_shot import SingleShotBody
from humanrt.people.unconfirmed import WEIGHTS
from shipped import shipped

SIDE = 100.0
JOINTS = 163


@pytest.fixture(scope="module")
def tracker() -> Iterator[BodyTracker]:
    with BodyTracker(shipped("landmarks"), threads=1) as opened:
        yield opened


def place(x: float) -> np.ndarray:
    """Return somebody's 33 landmarks, px: as different from each other as those of a person."""
    points = np.stack([np.linspace(-15, 15, 33), np.linspace(-50, 50, 33)], axis=-1) + np.array([x, 200])
    return points.astype(np.float32)


def limbs(*places: float) -> np.ndarray:
    rows = [MEDIAPIPE_33.index(name) for name in LIMBS]
    return np.array([place(x)[rows] for x in places], np.float64).reshape(-1, len(rows), 2)


def seen(x: float, score: float, *close: float, evidence: Sequence[float] = (0.0,) * 4) -> Evidence:
    """Return evidence for somebody at ``x``; without close looks, the landmark network sees nobody there."""
    still = np.tile(np.eye(3, dtype=np.float32), (len(ANNY_BONES), 1, 1))
    pixels = np.full((JOINTS, 2), (x, 200), np.float32) + np.linspace(-40, 40, JOINTS, dtype=np.float32)[:, None]
    body = SingleShotBody(score, still, np.full(6, 0.5, np.float32), np.array([0, 0, 3], np.float32), pixels, np.eye(3))
    trunk = TrunkDetection(score, np.array([x, 160], np.float32), np.array([x, 200], np.float32))
    proposal = Proposal.at(Region(x, 200, SIDE), score, trunk=trunk, body=body)
    return Evidence(proposal, marks(x), tuple(evidence), close) if close else Evidence(proposal)


def marks(x: float) -> BodyLandmarks:
    ones = np.ones(33, np.float32)
    return BodyLandmarks(0.9, place(x), ones, np.zeros((33, 3), np.float32), ones, ones, Region(x, 200, SIDE))


def shot(evidence: Sequence[Evidence], sure: Sequence[float] = (), true: Sequence[float] = ()) -> Shot:
    return Shot((900, 900), [marks(x) for x in sure], evidence, [], limbs(*true), np.ones(len(true), bool))


def test_constants_decide_who_is_confirmed(tracker: BodyTracker) -> None:
    constants = Constants(0.3, 2.0)
    sure = 3.0, 3.0

    def who(*evidence: Evidence, found: Sequence[float] = ()) -> list[float]:
        return [one.region.x for one in confirmed(shot(evidence, found), constants, tracker)[0]]

    assert who(seen(100, 0.45, *sure)) == [100]
    assert who(seen(100, 0.45, -1.0, 2.1, 0.0, 2.1)) == [100]  # two close looks agree
    assert who(seen(100, 0.45, -1.0, 2.1, 0.0, 1.9)) == []
    assert who(seen(100, 0.45, 2.4, 2.4, evidence=(0.0, 0.5, 0.3, 0.0))) == []  # the landmarks are somebody else's...
    assert who(seen(100, 0.45, 2.5, 2.5, evidence=(0.0, 0.5, 0.3, 0.0))) == [100]  # ...who must be seen well
    assert who(seen(100, 0.55, -1.0, -0.4, -0.4)) == [100]  # the body is sure, and landmarks lie on it
    assert who(seen(100, 0.55, -1.0, -0.4, -0.6)) == []
    assert who(seen(100, 0.55, -1.0, -0.4, -0.4, evidence=(0.0, 0.55, 0.15, 0.0))) == []  # they lie a bit beside it
    assert who(seen(100, 0.2, *sure)) == []  # not proposed
    assert who(seen(100, 0.45)) == []
    assert who(seen(100, 0.45, *sure), found=[102]) == [102]  # found already
    assert who(seen(100, 0.45, *sure), seen(104, 0.4, *sure), seen(400, 0.4, *sure)) == [100, 400]
    assert confirmed(shot([seen(100, 0.45, 0.0, 0.0), seen(104, 0.2, *sure)]), constants, tracker)[1] == 1
    alone, looked = confirmed(shot([seen(100, 0.9, *sure)], [500]), NOBODY, tracker)
    assert [one.region.x for one in alone] == [500]
    assert looked == 0


def test_the_grid_finds_more_people_and_nobody_in_rooms(tracker: BodyTracker) -> None:
    people = [shot([seen(100, 0.5, 2.7, 2.7), seen(500, 0.37, 1.2, 1.2)], true=[100, 500]) for _ in range(4)]
    assert chosen(people, tracker) == Constants(0.35, 0.0)  # nothing speaks against it
    somebody = seen(300, 0.42, 1.8, 1.8)
    assert chosen([*people, shot([somebody])], tracker) == Constants(0.45, 0.0)  # four of eight are found
    assert chosen([*people, shot([somebody], true=[700])], tracker) == Constants(0.45, 0.0)  # 8 of 9 are too few
    sure = [shot([seen(100, 0.5, 2.7, 2.7), seen(500, 0.37, 2.2, 2.2)], true=[100, 500]) for _ in range(4)]
    assert chosen([*sure, shot([somebody])], tracker) == Constants(0.35, 2.0)


def test_it_is_measured_what_the_single_shot_network_adds() -> None:
    random = np.random.default_rng(3)
    useful, idle = [], []
    for _ in range(400):
        logit, other = random.normal(0, 2, 2)
        for shots, decides in ((useful, logit + other), (idle, logit)):
            there = random.random() < 1 / (1 + np.exp(-decides))
            one = seen(100, 0.5, logit, logit, evidence=(0.0, other, 0.0, 0.0))
            shots.append(shot([one], true=[100] if there else [600]))
    close, everything = known(useful)
    assert everything < close - 0.05
    close, everything = known(idle)
    assert everything == pytest.approx(close, abs=0.02)


def test_it_is_said_where_people_are_lost(tracker: BodyTracker) -> None:
    constants = Constants(0.4, 2.0)
    one = shot(
        [seen(100, 0.5, 3.0, 3.0), seen(300, 0.5, -5.0, 0.0), seen(500, 0.3, 3.0, 3.0)],
        true=[100, 300, 500, 850],
    )
    picture, _ = judged(one, constants, tracker)
    assert fates([one], [picture], constants, WEIGHTS) == {
        "confirmed": 1,
        "lost: landmarks right, refused": 1,
        "lost: landmarks right, proposed too faintly": 1,
        "lost: not proposed": 1,
    }


def test_the_constants_tried_first_are_those_of_the_code() -> None:
    assert 0 < present().least < 1
    assert NEEDED_OF_SURE_BODIES < present().needed < NEEDED
