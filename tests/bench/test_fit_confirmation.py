"""`bench/fit_confirmation.py`: which proposals constants confirm, weights that are known, and where people are lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from fit_confirmation import Constants, Evidence, Shot, chosen, confirmed, fates, fitted_weights, judged, present
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.limbs import LIMBS
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.people.body_tracker import BodyTracker
from humanrt.people.confirmation import TrunkDetection, TrunkWeights
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.proposals import Proposal
from humanrt.people.single_shot import SingleShotBody
from humanrt.people.unconfirmed import WEIGHTS
from shipped import shipped

SIDE = 100.0
JOINTS = 163
LOGIT = TrunkWeights(1.0, 0.0, 0.0, 0.0, 0.0)


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


def seen(x: float, score: float, logit: float, close: Sequence[float] = (0.0,) * 5, there: bool = True) -> Evidence:
    """Return evidence for somebody at ``x``, whose weighted evidence is ``logit``."""
    still = np.tile(np.eye(3, dtype=np.float32), (len(ANNY_BONES), 1, 1))
    pixels = np.full((JOINTS, 2), (x, 200), np.float32) + np.linspace(-40, 40, JOINTS, dtype=np.float32)[:, None]
    body = SingleShotBody(score, still, np.full(6, 0.5, np.float32), np.array([0, 0, 3], np.float32), pixels, np.eye(3))
    trunk = TrunkDetection(score, np.array([x, 160], np.float32), np.array([x, 200], np.float32))
    proposal = Proposal.at(Region(x, 200, SIDE), score, trunk=trunk, body=body)
    return Evidence(proposal, marks(x), (logit, score, 0.0, 0.0, 1.0), tuple(close)) if there else Evidence(proposal)


def marks(x: float) -> BodyLandmarks:
    ones = np.ones(33, np.float32)
    return BodyLandmarks(0.9, place(x), ones, np.zeros((33, 3), np.float32), ones, ones, Region(x, 200, SIDE))


def shot(evidence: Sequence[Evidence], sure: Sequence[float] = (), true: Sequence[float] = ()) -> Shot:
    return Shot((900, 900), [marks(x) for x in sure], evidence, [], limbs(*true), np.ones(len(true), bool))


def test_constants_decide_who_is_confirmed(tracker: BodyTracker) -> None:
    constants = Constants(LOGIT, 0.3, 1.0)

    def who(*evidence: Evidence, sure: Sequence[float] = ()) -> list[float]:
        found, _ = confirmed(shot(evidence, sure), constants, tracker)
        return [one.region.x for one in found]

    assert who(seen(100, 0.5, 4.5)) == [100]  # sure at once
    assert who(seen(100, 0.2, 4.5)) == []  # not proposed
    assert who(seen(100, 0.5, 0.9, (9, 9, 9, 9, 9))) == []  # not worth a close look
    assert who(seen(100, 0.5, 1.1, (1.5, 0, 0, 0, 1.5))) == [100]  # two close looks agree
    assert who(seen(100, 0.5, 1.1, (1.5, 0, 0, 0, 0))) == []
    assert who(seen(100, 0.5, 4.5, there=False)) == []
    assert who(seen(100, 0.5, 4.5), sure=[102]) == [102]  # found already
    assert who(seen(100, 0.5, 4.5), seen(104, 0.4, 4.5), seen(400, 0.4, 4.5)) == [100, 400]
    assert confirmed(shot([seen(100, 0.5, 0.0), seen(104, 0.2, 4.5)]), constants, tracker)[1] == 1


def test_weights_that_made_the_people_are_found_again() -> None:
    true = TrunkWeights(0.8, 3.0, -2.0, -1.5, -1.0)
    random = np.random.default_rng(3)
    shots = []
    for _ in range(1500):
        values = (*random.normal(0, 1.5, 4).tolist(), 1.0)
        there = random.random() < 1 / (1 + np.exp(-np.dot(true, values)))
        one = seen(100, 0.5, 0.0)
        shots.append(shot([Evidence(one.proposal, one.landmarks, values, one.close)], true=[100] if there else [600]))
    assert fitted_weights(shots) == pytest.approx(true, abs=0.35)


def test_the_grid_finds_more_people_and_nobody_in_rooms(tracker: BodyTracker) -> None:
    people = [shot([seen(100, 0.5, 1.2, (9,) * 5), seen(500, 0.35, 0.4, (9,) * 5)], true=[100, 500]) for _ in range(4)]
    rooms = [shot([seen(300, 0.5, -0.2, (9,) * 5)])]
    found = chosen([*people, *rooms], LOGIT, tracker)
    assert found.least == 0.35  # the highest that proposes all of them
    assert -0.2 < found.min_look <= 0.4
    assert len(judged(people[0], found, tracker)[0].found) == 2


def test_it_is_said_where_people_are_lost(tracker: BodyTracker) -> None:
    constants = Constants(LOGIT, 0.4, 1.0)
    one = shot(
        [seen(100, 0.5, 5.0), seen(300, 0.5, -5.0), seen(500, 0.3, 5.0), seen(700, 0.5, 5.0, there=False)],
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
    assert len(present().weights) == 5
    assert 0 < present().least < 1
