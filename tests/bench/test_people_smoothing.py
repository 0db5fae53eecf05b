"""Measures of smoothing people: lag is found, a delay is a delay, and films smoothed as wholes keep their people."""

from __future__ import annotations

import numpy as np
import pytest

from camera_pace import delayed
from humanrt.people.results import People
from humanrt.people.smoother import OneEuroPeople, PeopleSmootherOptions
from humanrt.people.tracking import Identities
from humanrt.people.two_sided import TwoSidedOptions
from humanrt.smoothing.one_euro import OneEuroOptions
from people_smoothing import _LAGS, _agreement, _peak, offline
from smoothing_runs import Gaps, Seen, ahead, frames_of, only, over_gaps, through

RATE = 30.0
K = np.array([[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]])


def film(count: int, speed: float = 1.0, missed: tuple[int, ...] = ()) -> list[Seen]:
    """Somebody who walks to the right, and somebody who stands and trembles."""
    rng = np.random.default_rng(0)
    seen = []
    for number in range(count):
        ids = (2,) if number in missed else (1, 2)
        heads = np.array([[-1 + speed * number / RATE, 0, 4], [0.5, 0, 5 + rng.normal(0, 0.2)]], np.float32)[
            -len(ids) :
        ]
        eyes = np.broadcast_to(np.eye(3, dtype=np.float32), (len(ids), 3, 3, 3)).copy()
        people = People(
            scores=np.ones(len(ids), np.float32),
            locations=np.zeros((len(ids), 2), np.float32),
            translations=heads,
            rotations=eyes,
            shape=rng.normal(0, 1, (len(ids), 6)).astype(np.float32),
            expression=np.zeros((len(ids), 0), np.float32),
            intrinsics=K,
        )
        seen.append(Seen(people, Identities(ids), number / RATE, number == 0))
    return seen


@pytest.mark.parametrize("lag", [0, 2, 5])
def test_lag_is_found_under_noise_and_where_frames_are_missing(lag: int) -> None:
    rng = np.random.default_rng(lag)
    t = np.arange(150) / RATE
    true = np.sin(np.outer(t, rng.uniform(2, 6, 12))).reshape(150, 4, 3)
    late = np.roll(true, lag, axis=0) + rng.normal(0, 0.1, true.shape)
    late[: lag + 1] = late[40:50] = np.nan
    assert _LAGS[0] < 0 < _LAGS[-1]
    assert _peak(_agreement(late, true)) == pytest.approx(lag, abs=0.15)


def test_a_film_smoothed_as_a_whole_keeps_its_people() -> None:
    seen = film(60, missed=(20, 21))
    smooth = offline(seen, TwoSidedOptions())
    assert [one.identities.ids for one in smooth] == [one.identities.ids for one in seen]
    walker = np.array([one.people.translations[0] for one in smooth if 1 in one.identities.ids])
    true = np.array([one.people.translations[0] for one in seen if 1 in one.identities.ids])
    np.testing.assert_allclose(walker, true, atol=1e-4)
    depths = [[one.people.translations[-1, 2] for one in some] for some in (seen, smooth)]
    assert np.std(depths[1]) < np.std(depths[0]) / 3
    assert len({one.people.shape[-1].tobytes() for one in smooth}) == 1


def test_a_slow_network_is_late_by_its_time_and_held_until_the_next_look() -> None:
    seen = film(40)
    true = [one.people.translations[0, 0] for one in seen]
    held = [people.translations[0, 0] for people, *_ in delayed(seen, (640, 480), 1e-3, 0.2, blend=False)]
    behind = np.array([round(float(a - b) * RATE) for a, b in zip(true, held, strict=True)])
    assert behind[0] == 0
    assert behind[15:].min() >= 6
    assert behind[15:].max() <= 13
    on = [people.translations[0, 0] for people, *_ in delayed(seen, (640, 480), 1.0, 0.2, blend=True)]
    assert np.abs(np.subtract(on, true))[20:].mean() < np.abs(np.subtract(held, true))[20:].mean() / 2


def test_a_fifth_is_hidden_in_bursts_and_nothing_of_the_first_half_second() -> None:
    gaps = Gaps(600, 3)
    hidden = np.array([1 in gaps(number, (1, 2)) for number in range(600)])
    assert not hidden[:15].any()
    assert 0.15 < hidden.mean() < 0.25
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden.astype(int), [0]])))
    assert np.diff(edges)[::2].max() <= 10
    again = Gaps(600, 3)
    assert [1 in again(number, (1, 2)) for number in range(600)] == hidden.tolist()


def test_results_are_of_the_frames_that_they_are_compared_with() -> None:
    """Somebody walks evenly: what is late by a lag, or predicted, is where they are then."""
    seen, size = film(90), (640, 480)
    true = np.array([one.people.translations[0, 0] for one in seen])
    assert frames_of(seen, 6) == 6
    quick = OneEuroOptions(1e3, 0.0, 30.0)
    options = PeopleSmootherOptions(quick, quick, quick, coast_seconds=10.0)
    late = through(lambda: OneEuroPeople(options), 4)(size, seen)
    assert late[-4:] == [None] * 4
    at = np.array([one.people.translations[0, 0] for one in late[:-4] if one])
    np.testing.assert_allclose(at, true[4:], atol=0.02)
    predicted = ahead(lambda: OneEuroPeople(options), 6)(size, seen)
    assert predicted[:6] == [None] * 6
    at = np.array([one.people.translations[0, 0] for one in predicted[10:] if one])
    np.testing.assert_allclose(at, true[10:], atol=0.05)
    held = ahead(None, 6)(size, seen)
    np.testing.assert_array_equal([one.people.translations[0, 0] for one in held[6:] if one], true[:-6])
    filled = over_gaps(lambda: OneEuroPeople(options), 0)(size, seen)
    gaps = Gaps(90, 0)
    for number, one in enumerate(filled):
        assert one is not None
        assert set(one.ids) <= gaps(number, seen[number].identities.ids)
    assert sum(len(one.ids) for one in filled if one) > 20
    everybody = through(lambda: OneEuroPeople(options))(size, seen)[0]
    assert everybody is not None
    assert only(everybody, {2}).ids == (2,)
