"""Repetitions are counted, whatever their pace, and scored by their depth."""

from __future__ import annotations

import numpy as np
import pytest
from movements import squats, track, waving
from postures import posture

from humanrt.coach.alignment import Reference, resampled
from humanrt.coach.readings import read_pose
from humanrt.coach.repetitions import Exercise, Repetition, RepetitionCounter, find_exercise
from humanrt.geometry.rotation import matrices_from_vectors


def exercise_of(movement: object) -> Exercise | None:
    return find_exercise(Reference.of([read_pose(pose) for pose in resampled(movement)]))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def exercise() -> Exercise:
    found = exercise_of(track(squats, 6.0))
    assert found is not None
    return found


def counted(exercise: Exercise, seconds: float, period: float, depth: float, noise: float = 0.0) -> list[Repetition]:
    generator = np.random.default_rng(1)
    counter = RepetitionCounter(exercise)
    done = []
    for t in np.arange(0, seconds, 0.05):
        pose = squats(t, period, depth) @ matrices_from_vectors(generator.normal(0, noise, (22, 3)))
        done.append(counter.update(t, read_pose(pose)))
    return [one for one in done if one is not None]


def test_an_exercise_is_found_in_its_reference(exercise: Exercise) -> None:
    assert exercise.count == 3
    assert exercise.seconds == pytest.approx(1.3, abs=0.3)  # from leaving the start to coming back


@pytest.mark.parametrize("period", [1.2, 2.0, 5.0])
def test_every_repetition_is_counted(exercise: Exercise, period: float) -> None:
    done = counted(exercise, 4 * period + 0.2, period, 1.0)
    assert [one.count for one in done] == [1, 2, 3, 4]
    assert all(one.depth == pytest.approx(1.0, abs=0.1) and one.score == 100 for one in done)


def test_noise_adds_none(exercise: Exercise) -> None:
    assert len(counted(exercise, 8.2, 2.0, 1.0, noise=0.08)) == 4


def test_shallow_ones_score_less_or_do_not_count(exercise: Exercise) -> None:
    shallow = counted(exercise, 4.2, 2.0, 0.75)
    assert len(shallow) == 2
    assert shallow[0].score < 90
    assert shallow[0].depth == pytest.approx(0.75, abs=0.1)
    tried = counted(exercise, 4.2, 2.0, 0.5)
    assert [(one.count, one.counts) for one in tried] == [(0, False)] * 2
    assert counted(exercise, 4.2, 2.0, 0.2) == []


def test_error_lowers_the_score(exercise: Exercise) -> None:
    counter = RepetitionCounter(exercise)
    done = [counter.update(t, read_pose(squats(t)), error=35.0) for t in np.arange(0, 2.2, 0.05)]
    (one,) = [each for each in done if each is not None]
    assert one.error == pytest.approx(35)
    assert one.score == pytest.approx(70, abs=1)


def test_what_does_not_come_back_is_no_exercise() -> None:
    assert exercise_of(track(waving, 4.0)) is None
    assert exercise_of(track(lambda t: posture(), 2.0)) is None
    assert exercise_of(track(lambda t: posture(), 0.0)) is None
