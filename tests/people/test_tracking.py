"""Identities on made-up paths: crossing, hidden, leaving and returning, at any frame rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from humanrt.geometry.camera import field_of_view_intrinsics, project
from humanrt.people.results import People
from humanrt.people.tracking import Identities, PeopleTracker

K = field_of_view_intrinsics((1280, 720), 60.0)
Path = Callable[[float], tuple[float, float, float] | None]  # seconds -> head in m, None while it is not seen


def people_at(heads: Sequence[tuple[float, float, float]]) -> People:
    count = len(heads)
    translations = np.array(heads, np.float32).reshape(count, 3)
    return People(
        scores=np.ones(count, np.float32),
        locations=project(translations, K).astype(np.float32),
        translations=translations,
        rotations=np.zeros((count, 1, 3, 3), np.float32),
        shape=np.zeros((count, 1), np.float32),
        expression=np.zeros((count, 1), np.float32),
        intrinsics=K,
    )


def follow(
    paths: Sequence[Path], seconds: float, fps: float, *, noise: float = 0.0, seed: int = 0
) -> tuple[list[list[int]], list[Identities]]:
    """Runs a tracker over paths. Returns every path's identities over time, and the tracker's own answers.

    The order of the people changes from frame to frame. noise: of depth, as a share of it; a fifth of it across.
    """
    random = np.random.default_rng(seed)
    tracker = PeopleTracker()
    identities: list[list[int]] = [[] for _ in paths]
    answers = []
    for frame in range(round(seconds * fps)):
        t = frame / fps
        seen = [(index, head) for index, path in enumerate(paths) if (head := path(t)) is not None]
        order = random.permutation(len(seen))
        heads = []
        for i in order:
            x, y, z = seen[i][1]
            scale = 1 + noise * random.standard_normal()
            jitter = noise / 5 * random.standard_normal(2)
            heads.append(((x + z * jitter[0]) * scale, (y + z * jitter[1]) * scale, z * scale))
        answer = tracker(people_at(heads), t)
        answers.append(answer)
        for i, identity in zip(order, answer.ids, strict=True):
            identities[seen[i][0]].append(identity)
    return identities, answers


def walk(start: tuple[float, float, float], speed: tuple[float, float, float]) -> Path:
    return lambda t: tuple(p + v * t for p, v in zip(start, speed, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("fps", [5, 10, 30, 60])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_people_who_cross_keep_their_identities(fps: float, noise: float) -> None:
    paths = [walk((-1.5, 0, 3.0), (1.2, 0, 0)), walk((1.5, 0, 3.6), (-1.2, 0, 0))]
    identities, _ = follow(paths, 2.5, fps, noise=noise)
    assert [len(set(ids)) for ids in identities] == [1, 1]
    assert identities[0][0] != identities[1][0]


@pytest.mark.parametrize("hidden", [0.1, 0.3, 0.6])
def test_who_is_hidden_while_crossing_comes_out_as_the_same(hidden: float) -> None:
    behind = walk((1.5, 0, 4.2), (-1.2, 0, 0))
    paths: list[Path] = [
        walk((-1.5, 0, 3.0), (1.2, 0, 0)),
        lambda t: None if abs(t - 1.25) < hidden / 2 else behind(t),
    ]
    identities, answers = follow(paths, 2.5, 30, noise=0.01)
    assert [len(set(ids)) for ids in identities] == [1, 1]
    assert not any(answer.lost for answer in answers)


def test_a_jump_across_the_room_is_another_person() -> None:
    identities, _ = follow([lambda t: (-1.5 if t < 1 else 1.5, 0, 3.0)], 2, 30)
    assert len(set(identities[0])) == 2


def test_the_same_place_at_another_depth_is_another_person() -> None:
    identities, _ = follow([lambda t: (0.0, 0.0, 2.0 if t < 1 else 7.0)], 2, 30)
    assert len(set(identities[0])) == 2


@pytest.mark.parametrize(("away", "same"), [(1.0, True), (4.0, False)])
def test_leaving_and_returning(away: float, same: bool) -> None:
    """Out at the left edge and back in there: known for a while, then a new person, and the old one's end is told."""

    def path(t: float) -> tuple[float, float, float] | None:
        if t < 1:
            return -1.0 - 0.6 * t, 0.0, 3.0
        return None if t < 1 + away else (-1.6 + 0.6 * (t - 1 - away), 0.0, 3.0)

    identities, answers = follow([path], 2 + away, 30)
    assert (len(set(identities[0])) == 1) == same
    assert [lost for answer in answers for lost in answer.lost] == ([] if same else [1])


def test_identities_are_never_reused_and_follow_nobody_when_rewound() -> None:
    tracker = PeopleTracker()
    assert tracker(people_at([(0, 0, 3), (1, 0, 3)]), 0.0).ids == (1, 2)
    assert tracker(people_at([]), 0.1).ids == ()
    assert tracker(people_at([(1, 0, 3), (0, 0, 3)]), 0.2).ids == (2, 1)
    rewound = tracker(people_at([(0, 0, 3)]), 0.0)
    assert rewound.ids == (3,)
    assert rewound.lost == (1, 2)
    tracker.reset()
    assert tracker(people_at([(0, 0, 3)]), 0.0).ids == (4,)


def test_a_newcomer_does_not_take_a_standing_persons_identity() -> None:
    standing, arriving = (lambda t: (0.0, 0.0, 3.0)), (lambda t: (0.5, 0.0, 3.0) if t > 0.5 else None)
    identities, _ = follow([standing, arriving], 1.5, 30, noise=0.02)
    assert [len(set(ids)) for ids in identities] == [1, 1]


def test_depth_of_zero_does_not_bring_everybody_within_reach() -> None:
    tracker = PeopleTracker()
    tracker(people_at([(0, 0, 3)]), 0.0)
    collapsed = people_at([(0, 0, 3)])
    collapsed.translations[:] = 0
    assert tracker(collapsed, 0.03).ids == (2,)


def test_a_crowd_walking_keeps_all_identities() -> None:
    random = np.random.default_rng(3)
    paths = [
        walk((-3 + 0.8 * i, 0.1 * i, 3 + 0.5 * (i % 4)), tuple(random.uniform(-0.4, 0.4, 3) * (1, 0, 1)))
        for i in range(8)
    ]
    identities, _ = follow(paths, 2, 15, noise=0.02)
    assert [len(set(ids)) for ids in identities] == [1] * 8
