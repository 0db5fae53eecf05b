"""The search is exact, whatever the vectors, and events are events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from humanrt.errors import InvalidInputError
from humanrt.search.coarse import COARSE, bounds, coarse_rows
from humanrt.search.nearest import Filter, nearest
from humanrt.search.store import ROW, Addition, IndexWriter, PoseIndex

D = 24
GROUPS = tuple(place % (COARSE - 1) if place % 4 else -1 for place in range(D))


def index_of(folder: Path, *files: tuple[np.ndarray, np.ndarray, np.ndarray]) -> PoseIndex:
    """An index of files, each of vectors, persons and times."""
    with IndexWriter(folder, "way", GROUPS) as writer:
        for number, (vectors, persons, times) in enumerate(files):
            rows = np.zeros(len(vectors), ROW)
            rows["frame"], rows["person"], rows["t"] = np.arange(len(vectors)), persons, times
            writer.add([Addition(Path(f"/{number}/take.jsonl"), "", vectors.astype(np.float32), rows)])
    return PoseIndex(folder)


def still(count: int, value: float) -> np.ndarray:
    return np.full((count, D), value)


def test_coarse_vectors_bound_distances_from_below() -> None:
    random = np.random.default_rng(0)
    vectors, query = random.standard_normal((2000, D)).astype(np.float32), random.standard_normal(D).astype(np.float32)
    groups = np.array(GROUPS)
    lower, exact = bounds(coarse_rows(vectors, groups), query, groups), ((vectors - query) ** 2).sum(1)
    assert (lower <= exact + 1e-5).all()
    assert np.median(lower / exact) > 0.3  # they are of use
    assert abs(bounds(coarse_rows(query[None], groups), query, groups))[0] < 1e-5


@pytest.mark.parametrize("seed", range(6))
def test_every_frame_is_found_in_the_order_of_a_full_scan(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    count = (1, 7, 300, 3000, 3000, 3000)[seed]
    vectors = random.standard_normal((count, D))
    if seed == 4:
        vectors[:] = vectors[0]  # all alike
    if seed == 5:
        vectors[:, np.array(GROUPS) >= 0] = 0  # coarse vectors tell nothing
    index = index_of(tmp_path, (vectors, np.zeros(count), np.arange(count)))
    query = random.standard_normal(D)
    found = nearest(index, query, 10, gap=0.0)
    exact = np.linalg.norm(vectors - query, axis=1)
    np.testing.assert_allclose([one.distance for one in found], np.sort(exact)[:10], rtol=1e-5)
    assert len({one.row for one in found}) == min(10, count)
    for one in found:
        assert abs(one.distance - exact[one.row]) < 1e-4


def test_frames_after_one_another_are_one_event(tmp_path: Path) -> None:
    there = np.concatenate([still(30, 5.0), still(20, 0.1), still(30, 5.0), still(10, 0.2), still(30, 5.0)])
    there[38] = 0.09  # the nearest frame of the first event
    index = index_of(tmp_path, (there, np.zeros(120), np.arange(120) / 10))
    found = nearest(index, np.zeros(D), 2, gap=1.0, tolerance=0.1)
    assert [one.frame for one in found] == [38, 80]
    np.testing.assert_allclose([(one.start, one.end) for one in found], [(3.0, 4.9), (8.0, 8.9)])
    # Within the gap of an event nothing else is an event, but a person beside them is.
    two = np.concatenate([there, there])
    index = index_of(tmp_path / "two", (two, np.repeat([1, 2], 120), np.tile(np.arange(120) / 10, 2)))
    found = nearest(index, np.zeros(D), 4, gap=1.0, tolerance=0.1)
    assert sorted((one.person, one.frame) for one in found) == [
        (1, 38),
        (1, 80),
        (2, 158),
        (2, 200),
    ]  # rows of the file


def test_a_long_event_is_one_and_a_gap_ends_it(tmp_path: Path) -> None:
    times = np.arange(2000) / 10
    times[1500:] += 30  # a pause of half a minute
    index = index_of(tmp_path, (still(2000, 0.1), np.zeros(2000), times))
    found = nearest(index, np.zeros(D), 10, gap=1.0)
    np.testing.assert_allclose(sorted((one.start, one.end) for one in found), [(0.0, 149.9), (180.0, 229.9)])


def test_events_are_the_nearest_ones_though_frames_of_others_are_nearer(tmp_path: Path) -> None:
    """Ten events are asked for, and the thousand nearest frames are of one."""
    random = np.random.default_rng(0)
    crowd = (0.01 * random.random((1000, D)), np.zeros(1000), np.arange(1000) / 100)
    others = [(still(5, 0.1 * value), np.zeros(5), np.arange(5) / 10) for value in range(1, 15)]
    index = index_of(tmp_path, crowd, *others)
    found = nearest(index, np.zeros(D), 10)
    assert [one.file for one in found] == [f"/{number}/take.jsonl" for number in range(10)]
    assert [one.distance for one in found] == sorted(one.distance for one in found)


def test_filters(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    files = [
        (random.standard_normal((400, D)), np.repeat([1, 2], 200), np.tile(np.arange(200) / 10, 2)) for _ in range(4)
    ]
    index = index_of(tmp_path, *files)
    for only, good in (
        (Filter(person=2), lambda one: one.person == 2),
        (Filter(file="/3/*"), lambda one: one.file.startswith("/3/")),
        (Filter(file="take.*", begin=5.0, end=6.0), lambda one: 5 <= one.start <= one.t <= one.end <= 6),
        (Filter(person=1, file="*0*", end=2.0), lambda one: (one.person, one.file[:3]) == (1, "/0/") and one.end <= 2),
    ):
        for gap in (0.0, 0.3):
            found = nearest(index, np.zeros(D), 500, gap=gap, only=only, tolerance=1.0)
            assert found
            assert all(good(one) for one in found)
        allowed = only.allowed(index)
        assert allowed is not None
        assert len(nearest(index, np.zeros(D), 1000, gap=0.0, only=only)) == min(1000, allowed.sum())
    assert nearest(index, np.zeros(D), only=Filter(person=9)) == []
    assert nearest(index, np.zeros(D), only=Filter(file="nothing")) == []


def test_rows_of_a_replaced_file_are_not_found(tmp_path: Path) -> None:
    index_of(tmp_path, (still(5, 0.0), np.zeros(5), np.arange(5)))
    index = index_of(tmp_path, (still(5, 1.0), np.zeros(5), np.arange(5)))
    assert len(index) == 10
    assert nearest(index, np.zeros(D), 1)[0].distance == pytest.approx(np.sqrt(D))


def test_an_empty_index_has_nothing(tmp_path: Path) -> None:
    assert nearest(index_of(tmp_path), np.zeros(D)) == []


def test_times_of_a_filter_are_times() -> None:
    with pytest.raises(InvalidInputError, match="begin must be a finite time"):
        Filter(begin=float("nan"))


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        (np.zeros(3), {}, r"query must be \[24\] finite numbers, not \[3\]"),
        (np.full(D, np.nan), {}, "finite numbers"),
        (np.zeros(D), {"top": 0}, "top must be at least 1"),
        (np.zeros(D), {"gap": -1.0}, "gap must be"),
        (np.zeros(D), {"tolerance": np.inf}, "tolerance must be"),
    ],
)
def test_bad_input_is_refused(query: np.ndarray, options: dict[str, float], message: str, tmp_path: Path) -> None:
    index = index_of(tmp_path, (still(3, 0.0), np.zeros(3), np.arange(3)))
    with pytest.raises(InvalidInputError, match=message):
        nearest(index, query, **options)


def test_what_belongs_to_a_nearer_event_belongs_to_no_other(tmp_path: Path) -> None:
    there = np.concatenate([still(15, 0.0), still(15, 3.0)])
    index = index_of(tmp_path, (there, np.zeros(30), np.arange(30) / 10))
    first, second = nearest(index, np.zeros(D), 2, gap=0.25)
    assert ((first.start, first.end), (second.start, second.end)) == ((0.0, 1.4), (1.7, 2.9))
