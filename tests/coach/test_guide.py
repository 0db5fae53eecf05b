"""Advice over time: settled, said once, kept until done, praised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from postures import posture

from humanrt import HumanrtError, PoseCoach
from humanrt.coach.guide import Guidance, Guide, GuideOptions
from humanrt.geometry.rotation import matrices_from_vectors

GOAL = posture(left_knee=(60, 0, 0))
RATE = 20.0


def guided(
    pose: Callable[[float], np.ndarray], seconds: float, goal: np.ndarray = GOAL, **options: float
) -> Iterator[Guidance]:
    """Yield what is said to somebody whose pose changes over time."""
    coach = PoseCoach()
    guide, wanted = Guide(coach, GuideOptions(**options)), coach.read(goal)  # type: ignore[arg-type]
    for frame in range(round(seconds * RATE)):
        t = frame / RATE
        yield guide.update(t, coach.read(pose(t)), wanted)


def knee(degrees: float) -> np.ndarray:
    return posture(left_knee=(degrees, 0, 0))


def test_said_once_and_kept_until_done_then_praised() -> None:
    moments = list(guided(lambda t: knee(0 if t < 3 else min(60, (t - 3) * 60)), 6))
    said = [(moment.t, words) for moment in moments for words in moment.said]
    assert [words for _, words in said] == ["Bend your left knee.", "Good.", "Your pose matches."]
    assert 0.5 < said[0][0] < 0.8
    assert 3.6 < said[1][0] < 5.5
    standing = [moment.t for moment in moments if moment.sentences]
    assert standing[0] == said[0][0]
    assert said[1][0] - 0.1 < standing[-1] < said[1][0]
    assert moments[-1].matches


def test_a_short_slip_is_not_spoken_of() -> None:
    moments = list(guided(lambda t: knee(60 if not 2 < t < 2.4 else 0), 5))
    assert [words for moment in moments for words in moment.said] == ["Your pose matches."]


def test_nothing_flickers_where_a_change_is_as_large_as_the_least() -> None:
    generator = np.random.default_rng(0)
    changes = 0
    for degrees in (43.0, 46.0):
        noise = iter(generator.normal(0, 3, 2000))
        moments = list(guided(lambda t, d=degrees, n=noise: knee(d + next(n)), 10))  # type: ignore[misc]
        changes += sum(a.sentences != b.sentences for a, b in pairwise(moments))
    assert changes <= 2 * 2  # twice 5 s each


def test_words_that_became_wrong_are_taken_back_without_praise() -> None:
    moments = list(guided(lambda t: knee(0 if t < 2 else 120), 5))
    said = [words for moment in moments for words in moment.said]
    assert said == ["Bend your left knee.", "Straighten your left knee."]
    for moment in moments:
        if moment.t > 3.2:
            assert moment.sentences in ((), ("Straighten your left knee.",))


def test_at_most_two_stand_and_the_next_follows() -> None:
    goal = posture(left_knee=(60, 0, 0), right_elbow=(0, 90, 0), head=(0, 50, 0), left_shoulder=(0, 0, 0))
    moments = list(guided(lambda t: posture(), 8, goal))
    assert max(len(moment.sentences) for moment in moments) == 2
    spoken = [moment.t for moment in moments if moment.said]
    assert np.diff(spoken).min() >= 1.5 - 1e-6
    assert len(moments[-1].differences) == 4


def test_what_matters_far_more_takes_the_place_of_what_is_not_done() -> None:
    goal = posture(left_knee=(60, 0, 0), left_shoulder=(0, 0, 60))
    moments = list(
        guided(lambda t: posture(left_shoulder=(0, 0, 60 if t < 2 else -80)), 9, goal, sentences=1, patience=3.0)
    )
    said = [words for moment in moments for words in moment.said]
    assert said == ["Bend your left knee.", "Raise your left arm a lot."]
    assert moments[-1].sentences == ("Raise your left arm a lot.",)


def test_both_sides_end_when_one_of_them_is_done() -> None:
    goal = posture(left_knee=(60, 0, 0), right_knee=(60, 0, 0))
    moments = list(guided(lambda t: posture(left_knee=(0 if t < 2 else 60, 0, 0)), 6, goal))
    said = [words for moment in moments for words in moment.said]
    assert said[:2] == ["Bend both knees.", "Bend your right knee."]


def test_still_and_trembling_people_hear_at_most_one_change_in_five_seconds() -> None:
    generator = np.random.default_rng(2)
    goal = posture(left_hip=(-50, 0, 0), left_knee=(60, 0, 0), right_elbow=(0, 40, 0), head=(0, 20, 0))
    still = posture(right_elbow=(0, 22, 0))

    def trembling(t: float) -> np.ndarray:
        noise = matrices_from_vectors(generator.normal(0, 0.03, (22, 3)))
        return still @ noise

    moments = [moment for moment in guided(trembling, 23, goal) if moment.t > 3]
    changes = sum(a.sentences != b.sentences for a, b in pairwise(moments))
    assert changes <= 4


def test_advice_stands_where_many_changes_are_as_large_as_the_least() -> None:
    """A change that trembles below the limit for a moment keeps its place before those that are no larger."""
    names = ("left_elbow", "right_elbow", "left_knee", "right_knee", "left_hip", "right_hip")
    goal = posture(
        **{
            name: (0, 17 * (-1) ** place, 0) if "elbow" in name else (17 * (-1) ** place, 0, 0)
            for place, name in enumerate(names)
        },
        head=(0, 18, 0),
        spine2=(0, 0, 17),
    )
    restless = 0
    for seed in (3, 4):
        generator, drift = np.random.default_rng(seed), np.zeros((22, 3))

        def trembling(t: float, generator=generator, drift=drift) -> np.ndarray:  # type: ignore[no-untyped-def]
            drift[:] = 0.9 * drift + generator.normal(0, 0.03, (22, 3))
            return posture() @ matrices_from_vectors(drift)

        moments = [moment for moment in guided(trembling, 24, goal) if moment.t > 4]
        restless += sum(a.sentences != b.sentences for a, b in pairwise(moments))
    assert restless <= 2 * 4


def test_a_movement_ends_the_unrest_of_a_limit() -> None:
    """Who was near the limit for long and then moves is told as soon as anybody."""
    near = [46.0, 41.0] * 12
    moments = list(guided(lambda t: knee(near[int(t)] if t < 24 else 10 if t < 27 else 60), 30))
    told = [moment.t for moment in moments if moment.t > 24.2 and moment.sentences]
    assert told[0] < 25.5
    assert told[-1] < 29


def test_wrong_options_are_refused() -> None:
    with pytest.raises(HumanrtError, match="settle must be a number from 0"):
        GuideOptions(settle=-1)
    with pytest.raises(HumanrtError, match="done must be a number from 0 to 1"):
        GuideOptions(done=2)
