"""PoseBERTStream: whatever the camera does, the window holds what was seen, when it was seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from humanrt.bundle import Bundle
from humanrt.errors import BundleError, HumanrtError
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.posebert.model import PoseBERT
from humanrt.posebert.stream import Observation, PoseBERTStream, PoseState, _Track

Toy = Callable[..., Bundle]
Points = NDArray[np.float32]

STEP = 1 / 30
WINDOW = 16
DRIFT, TURN = 0.001, 0.05  # of the toy (conftest)
SHAPE = np.random.default_rng(0).normal(0, 0.03, (21, 3)).astype(np.float32)
MIRROR = np.array((-1, 1, 1), np.float32)


def hand(t: float, speed: float = 0.3) -> Points:
    """A hand whose fingers spread steadily: keypoint i moves at speed * i / 20 m/s along x."""
    return (SHAPE + np.linspace(0, speed, 21)[:, None] * (t, 0, 0)).astype(np.float32)


def centred(points: Points) -> Points:
    return points - points.mean(axis=0)


def window_of(times: list[float], now: float, rows: int = WINDOW) -> tuple[Points, NDArray[np.bool_], Points]:
    """Rows at now, now - STEP, ... of a track that saw `hand` at these times."""
    track = _Track(False, (21, 3), rows, STEP)
    for t in times:
        track.push(t, hand(t), None)
    keypoints = np.full((rows, 21, 3), np.nan, np.float32)
    mask, confidence = np.zeros(rows, bool), np.full((rows, 21), np.nan, np.float32)
    track.window(now + (np.arange(rows) - rows + 1) * STEP, keypoints, mask, confidence)
    return keypoints, mask, confidence


@pytest.mark.parametrize(
    ("fps", "seen"), [(30, 1.0), (60, 1.0), (120, 1.0), (24, 1.0), (25, 1.0), (20, 1.0), (15, 0.5)]
)
def test_rows_are_where_the_hand_was_at_that_time(fps: int, seen: float) -> None:
    times = [5 + i / fps for i in range(2 * fps)]
    keypoints, mask, confidence = window_of(times, times[-1])
    assert mask.mean() == pytest.approx(seen, abs=0.01)
    assert mask[-1]
    np.testing.assert_array_equal(keypoints[-1], hand(times[-1]))
    grid = times[-1] + (np.arange(WINDOW) - WINDOW + 1) * STEP
    truth = np.array([hand(t) for t in grid])
    np.testing.assert_allclose(keypoints[mask], truth[mask], atol=1e-6)
    assert not keypoints[~mask].any()
    np.testing.assert_array_equal(confidence, np.broadcast_to(mask[:, None], confidence.shape))


def test_a_steady_camera_is_taken_as_it_is_though_its_stamps_tremble() -> None:
    random = np.random.default_rng(1)
    times = [i / 29.97 + random.uniform(-0.001, 0.001) for i in range(40)]
    keypoints, mask, _ = window_of(times, times[-1])
    assert mask.all()
    np.testing.assert_array_equal(keypoints, [hand(t) for t in times[-WINDOW:]])


@settings(max_examples=200)
@given(st.lists(st.floats(0.2 * STEP, 6 * STEP), min_size=1, max_size=60))
def test_whatever_the_stamps_rows_are_on_the_path_and_gaps_stay_gaps(intervals: list[float]) -> None:
    times = np.cumsum(intervals).tolist()
    now = times[-1]
    keypoints, mask, _ = window_of(times, now)
    grid = now + (np.arange(WINDOW) - WINDOW + 1) * STEP
    distance = np.abs(grid[:, None] - np.array(times)).min(axis=1) / STEP
    assert mask[-1]
    assert mask[distance <= 0.499].all()  # nothing that was seen is lost
    assert not mask[distance > 0.751].any()  # and nothing invented in a gap
    for row in np.flatnonzero(mask):
        # Half a step is the most that an observation is displaced, and only beside a gap.
        assert np.abs(keypoints[row] - hand(grid[row])).max() <= 0.3 * 0.51 * STEP
        if distance[row] <= 0.099:
            nearest = times[int(np.abs(grid[row] - np.array(times)).argmin())]
            np.testing.assert_array_equal(keypoints[row], hand(nearest))


@settings(max_examples=50)
@given(st.lists(st.floats(0, 3 * STEP), min_size=1, max_size=800))
def test_the_window_needs_no_memory_of_what_left_it(intervals: list[float]) -> None:
    """Long streams, at up to any rate: the buffer that was moved many times holds what a new one does."""
    times = np.cumsum(intervals)
    track = _Track(False, (21, 3), WINDOW, STEP)
    for t in times:
        track.push(float(t), hand(float(t)), None)
    # Of closer stamps than a fifth of a step some are left out, but the newest never, and none is moved.
    kept = track._times[track._start : track._end]
    assert kept[-1] == times[-1]
    assert np.isin(kept, times).all()
    assert (kept[2:] - kept[:-2] >= STEP / 5 - 1e-9).all()
    rows = [np.empty((WINDOW, 21, 3), np.float32), np.zeros(WINDOW, bool), np.empty((WINDOW, 21), np.float32)]
    track.window(times[-1] + (np.arange(WINDOW) - WINDOW + 1) * STEP, *rows)
    expected = window_of(kept.tolist(), float(times[-1]))
    for row, other in zip(rows, expected, strict=True):
        np.testing.assert_allclose(row, other, atol=1e-6)


def run(stream: PoseBERTStream, times: list[float], missing: set[int] | None = None) -> list[dict[int, PoseState]]:
    missing = missing or set()
    return [stream.update(t, {} if i in missing else {7: (hand(t), None, "right")}) for i, t in enumerate(times)]


def test_the_answer_is_the_row_of_now(toy: Toy) -> None:
    """The toy's average of the frames so far, + DRIFT a row."""
    times = [i * STEP for i in range(25)]
    answers = run(PoseBERTStream(toy()), times)
    for i, answer in enumerate(answers):
        state = answer[7]
        mean = np.mean([centred(hand(t)) for t in times[max(0, i - WINDOW + 1) : i + 1]], axis=0)
        np.testing.assert_allclose(state.keypoints, mean + DRIFT * (WINDOW - 1), atol=1e-6)
        assert (state.filled, state.age, state.t) == (False, 0.0, times[i])
        angle = vectors_from_matrices(state.rotations)[:, 2]
        np.testing.assert_allclose(angle, 10 * mean[:16, 0] + TURN * (WINDOW - 1), atol=1e-5)


@pytest.mark.parametrize("lag", [1, 4, 8])
def test_with_a_lag_the_answer_is_the_frame_so_many_steps_ago(toy: Toy, lag: int) -> None:
    times = [i * STEP for i in range(30)]
    answers = run(PoseBERTStream(toy("echo"), lag=lag), times)
    assert not any(answers[:lag])  # nobody was seen yet, at the time that it would be for
    for i, answer in enumerate(answers[lag:]):
        np.testing.assert_allclose(answer[7].keypoints, centred(hand(times[i])), atol=1e-6)
        assert answer[7].t == pytest.approx(times[i])


@pytest.mark.parametrize("predict", [0.05, 0.1, 2 * STEP])
def test_prediction_reads_the_rows_after_now_and_between_them(toy: Toy, predict: float) -> None:
    times = [i * STEP for i in range(30)]
    states = [answer[7] for answer in run(PoseBERTStream(toy(), predict=predict), times)]
    future = int(np.ceil(predict * 30 - 1e-6))
    past = times[-(WINDOW - future) :]
    mean = np.mean([centred(hand(t)) for t in past], axis=0)
    row = WINDOW - 1 - future + predict * 30
    np.testing.assert_allclose(states[-1].keypoints, mean + DRIFT * row, atol=1e-6)
    angles = vectors_from_matrices(states[-1].rotations)
    np.testing.assert_allclose(angles[:, 2], 10 * mean[:16, 0] + TURN * row, atol=1e-5)
    assert states[-1].t == pytest.approx(times[-1] + predict)
    assert not states[-1].filled


def test_rotations_are_predicted_for_any_later_time_without_touching_the_state(toy: Toy) -> None:
    """The toy turns by TURN a row, and its rotations after now are those of `predict`."""
    times = [i * STEP for i in range(20)]
    stream = PoseBERTStream(toy(), ahead=0.2)
    last = run(stream, times)[-1][7]
    np.testing.assert_array_equal(stream.rotations_at(times[-1])[7], last.rotations)
    for seconds in (0.05, 0.1, 2 * STEP):
        found = stream.rotations_at(times[-1] + seconds)[7]
        turned = vectors_from_matrices(np.swapaxes(last.rotations, -1, -2) @ found)
        np.testing.assert_allclose(turned[:, 2], TURN * seconds * 30, atol=1e-4)
    farthest = stream.rotations_at(times[-1] + 0.2)[7]
    np.testing.assert_array_equal(stream.rotations_at(times[-1] + 5)[7], farthest)
    with pytest.raises(ValueError, match="after the last update"):
        stream.rotations_at(times[-1] - 0.01)
    stream.reset()
    with pytest.raises(ValueError, match="after the last update"):
        stream.rotations_at(9.0)


def test_gaps_are_filled_for_a_time_and_then_lost_until_seen_again(toy: Toy) -> None:
    times = [i * STEP for i in range(60)]
    missing = set(range(20, 50))
    answers = run(PoseBERTStream(toy(), fill=0.2), times, missing)
    for i in range(20, 50):
        gap = times[i] - times[19]
        assert (7 in answers[i]) == (gap <= 0.2 + 1e-6)
        if 7 in answers[i]:
            assert answers[i][7].filled
            assert answers[i][7].age == pytest.approx(gap)
    # After a second, a fresh window: the first answer is of one frame.
    back = answers[50][7]
    np.testing.assert_allclose(back.keypoints, centred(hand(times[50])) + DRIFT * (WINDOW - 1), atol=1e-6)
    assert (back.filled, back.age) == (False, 0.0)


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_who_is_missing_now_is_filled_at_every_rate(toy: Toy, fps: int) -> None:
    times = [i / fps for i in range(20)]
    answers = run(PoseBERTStream(toy()), times, {15})
    assert [answer[7].filled for answer in answers] == [i == 15 for i in range(20)]


def test_no_filling_at_all_if_not_wanted(toy: Toy) -> None:
    answers = run(PoseBERTStream(toy(), fill=0), [i * STEP for i in range(10)], {4, 5})
    assert [7 in answer for answer in answers] == [i not in (4, 5) for i in range(10)]


def test_with_a_lag_a_gap_is_seen_from_both_sides(toy: Toy) -> None:
    """A gap that ended is filled up to `fill` after its begin, at the time that the answer is for."""
    times = [i * STEP for i in range(40)]
    answers = run(PoseBERTStream(toy(), lag=4, fill=0.1), times, set(range(10, 20)))
    present = [i - 4 for i, answer in enumerate(answers) if answer]
    assert present == [i for i in range(36) if not 12 < i < 20]
    assert [answers[i + 4][7].filled for i in present] == [10 <= i < 20 for i in present]


def test_keypoints_that_are_no_numbers_are_missing(toy: Toy) -> None:
    stream = PoseBERTStream(toy())
    stream.update(0.0, {1: Observation(hand(0))})
    broken = hand(STEP)
    broken[4, 1] = np.nan
    state = stream.update(STEP, {1: Observation(broken), 2: Observation(broken)})
    assert list(state) == [1]
    assert state[1].filled
    assert np.isfinite(state[1].keypoints).all()


def test_confidence_reaches_the_network_with_its_frame(toy: Toy) -> None:
    stream = PoseBERTStream(toy("echo"))
    confidence = np.linspace(0, 1, 21, dtype=np.float32)
    state = stream.update(0.0, {1: (hand(0), confidence, None)})[1]
    np.testing.assert_allclose(state.keypoints, centred(hand(0)) * confidence[:, None], atol=1e-6)


def test_lost_and_reset_and_a_rewound_source_end_an_identity(toy: Toy) -> None:
    def first(state: PoseState, t: float) -> bool:
        return bool(np.allclose(state.keypoints, centred(hand(t)) + DRIFT * (WINDOW - 1), atol=1e-6))

    stream = PoseBERTStream(toy())
    run(stream, [i * STEP for i in range(10)])
    assert not first(stream.update(10 * STEP, {7: (hand(1.0),)})[7], 1.0)
    assert stream.update(11 * STEP, {}, lost=[7]) == {}
    assert first(stream.update(12 * STEP, {7: (hand(2.0),)})[7], 2.0)
    stream.reset()
    assert first(stream.update(13 * STEP, {7: (hand(1.0),)})[7], 1.0)
    stream.update(14 * STEP, {7: (hand(1.1),)})
    assert first(stream.update(0.0, {7: (hand(3.0),)})[7], 3.0)  # rewound


def test_another_side_is_another_hand(toy: Toy) -> None:
    stream = PoseBERTStream(toy())
    run(stream, [i * STEP for i in range(10)])
    state = stream.update(10 * STEP, {7: (hand(1.0), None, "left")})[7]
    expected = centred(hand(1.0)) + MIRROR * np.float32(DRIFT * (WINDOW - 1))
    np.testing.assert_allclose(state.keypoints, expected, atol=1e-6)


def test_equal_stamps_replace_and_identical_frames_count(toy: Toy) -> None:
    stream = PoseBERTStream(toy())
    stream.update(0.0, {1: (hand(5),)})
    state = stream.update(0.0, {1: (hand(0),)})[1]
    np.testing.assert_allclose(state.keypoints, centred(hand(0)) + DRIFT * (WINDOW - 1), atol=1e-6)
    for i in range(1, 100):
        state = stream.update(i * STEP, {1: (hand(0),)})[1]
        assert not state.filled
        np.testing.assert_allclose(state.keypoints, centred(hand(0)) + DRIFT * (WINDOW - 1), atol=1e-6)


def test_a_left_hand_is_the_right_hands_mirror_image(toy: Toy) -> None:
    right, left = PoseBERTStream(toy(), predict=0.05), PoseBERTStream(toy("average", (1, 2)), predict=0.05)
    for i in range(20):
        t = i * STEP
        a = right.update(t, {1: (hand(t), None, "right")})[1]
        b = left.update(t, {1: (hand(t) * MIRROR, None, "left")})[1]
    np.testing.assert_allclose(b.keypoints, a.keypoints * MIRROR, atol=1e-6)
    mirror = np.diag(MIRROR)
    np.testing.assert_allclose(b.rotations, mirror @ a.rotations @ mirror, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(b.rotations), 1, atol=1e-5)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_many_identities_at_once_are_what_each_is_alone(
    together: PoseBERTStream, alone: dict[int, PoseBERTStream], data: st.DataObject
) -> None:
    """They come, miss frames, and go; batches of 1 and 3, and more people than the largest batch."""
    seen = data.draw(st.lists(st.sets(st.sampled_from(sorted(alone))), min_size=1, max_size=25))
    for stream in (together, *alone.values()):
        stream.reset()
    for index, here in enumerate(seen):
        t = index * STEP

        def one(i: int, t: float = t) -> tuple[Points, None, str]:
            return hand(t, 0.1 * i), None, "left" if i % 2 else "right"

        answer = together.update(t, {i: one(i) for i in here})
        expected = {
            i: s
            for i, stream in alone.items()
            for s in [stream.update(t, {i: one(i)} if i in here else {}).get(i)]
            if s
        }
        assert set(answer) == set(expected)
        for i, state in answer.items():
            np.testing.assert_allclose(state.keypoints, expected[i].keypoints, atol=1e-6)
            np.testing.assert_allclose(state.rotations, expected[i].rotations, atol=1e-6)
            assert (state.filled, state.age, state.t) == (expected[i].filled, expected[i].age, expected[i].t)


@pytest.fixture
def together(toy: Toy) -> PoseBERTStream:
    return PoseBERTStream(toy("average", (3, 1)), fill=0.1, threads=1)


@pytest.fixture
def alone(toy: Toy) -> dict[int, PoseBERTStream]:
    bundle = toy()
    return {i: PoseBERTStream(bundle, fill=0.1, threads=1) for i in range(1, 8)}


def test_the_batches_that_fit_best_are_run(toy: Toy) -> None:
    stream = PoseBERTStream(toy("average", (10, 1, 4)))
    assert [network.batch for network in stream._networks] == [1, 4, 10]
    for count, batches in ((0, []), (1, [1]), (2, [1, 1]), (3, [4]), (4, [4]), (5, [1, 4]), (9, [10]), (10, [10])):
        assert sorted(network.batch for network in stream._plan(count)) == batches
    assert sum(network.batch for network in stream._plan(37)) in range(37, 40)
    # On a GPU the smallest that holds all of them.
    for network in stream._networks:
        network.on_device = True
    stream._plans.clear()
    for count, batches in ((1, [1]), (2, [4]), (5, [10]), (11, [1, 10]), (13, [4, 10])):
        assert sorted(network.batch for network in stream._plan(count)) == batches


def test_a_stream_at_the_clocks_rate_is_the_last_row_of_a_window(toy: Toy) -> None:
    model = PoseBERT(toy())
    stream = PoseBERTStream(model)
    assert stream.backend is model.backend
    seen = [hand(i * STEP) for i in range(30)]
    for i, points in enumerate(seen):
        state = stream.update(i * STEP, {1: (points,)})[1]
    window = model.refine(keypoints=np.array(seen[-WINDOW:]))
    assert window.keypoints is not None
    np.testing.assert_allclose(state.keypoints, window.keypoints[-1], atol=1e-6)
    np.testing.assert_allclose(state.rotations, window.rotations[-1], atol=1e-6)


def test_answers_are_the_callers_to_keep(toy: Toy) -> None:
    stream = PoseBERTStream(toy())
    first = stream.update(0.0, {1: (hand(0),)})[1]
    kept = first.keypoints.copy(), first.rotations.copy()
    stream.update(STEP, {1: (hand(9.0),)})
    np.testing.assert_array_equal(first.keypoints, kept[0])
    np.testing.assert_array_equal(first.rotations, kept[1])


def test_identities_that_nobody_ends_are_forgotten(toy: Toy) -> None:
    stream = PoseBERTStream(toy(), threads=1)
    for i in range(200):
        stream.update(i * STEP, {i: (hand(0),)})
    assert len(stream._tracks) < 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lag": -1}, "lag"),
        ({"lag": 15}, "lag"),
        ({"lag": 1.5}, "lag"),
        ({"predict": -0.1}, "predict"),
        ({"predict": 0.4}, "predict"),
        ({"predict": float("nan")}, "predict"),
        ({"predict": 0.1, "lag": 2}, "contradict"),
        ({"predict": 0.1, "ahead": 0.1}, "contradict"),
        ({"ahead": 0.4}, "ahead must be"),
        ({"fill": -1}, "fill"),
        ({"fill": float("nan")}, "fill"),
    ],
)
def test_options_that_cannot_be_are_refused(toy: Toy, options: dict[str, float], words: str) -> None:
    with pytest.raises(HumanrtError, match=words):
        PoseBERTStream(toy(), **options)  # type: ignore[arg-type]


def test_what_is_no_observation_is_refused(toy: Toy) -> None:
    stream = PoseBERTStream(toy())
    with pytest.raises(ValueError, match=r"\[21, 3\]"):
        stream.update(0.0, {1: (np.zeros((20, 3)),)})
    with pytest.raises(ValueError, match=r"\[21\]"):
        stream.update(0.0, {1: (hand(0), np.ones(20))})
    with pytest.raises(ValueError, match="finite"):
        stream.update(float("nan"), {})


def test_a_bundle_that_is_not_for_streams_is_refused(make_bundle: Callable[..., object]) -> None:
    graph = {
        "file": "x.onnx",
        "inputs": {
            "features": {"shape": [1, 64, 54], "dtype": "float32"},
            "mask": {"shape": [1, 64], "dtype": "bool"},
        },
        "outputs": {"rotations": {"shape": [1, 64, 24, 3, 3], "dtype": "float32"}},
    }
    settings_of = {"kind": "published", "clock_hz": 30}
    folder = make_bundle({"x.onnx": b""}, "h36m", task="posebert", graphs={"posebert": graph}, settings=settings_of)
    with pytest.raises(BundleError, match=r"features \[1, 64, 54\].*h36m"):
        PoseBERTStream(folder)  # type: ignore[arg-type]
    other = make_bundle({}, "empty", task="posebert", settings=settings_of)
    with pytest.raises(BundleError, match="no graph"):
        PoseBERTStream(other)  # type: ignore[arg-type]


def turning(t: float) -> NDArray[np.float32]:
    """24 joints that turn steadily, each about an axis of its own, by a few rad/s at most."""
    axes = np.random.default_rng(3).normal(0, 1.0, (24, 3))
    return matrices_from_vectors(axes * t).astype(np.float32)


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("fps", [30, 25, 60])
def test_rotations_stream_too(rotation_bundle: Callable[[bool], Bundle], published: bool, fps: int) -> None:
    """The echo: the frame so many steps ago, and between two frames what lies between them."""
    stream = PoseBERTStream(rotation_bundle(published), lag=2)
    assert stream.points == 0
    for i in range(40):
        t = i / fps
        answer = stream.update(t, {1: (turning(t), 0.5, None)})
    assert answer[1].keypoints.shape == (0, 3)
    np.testing.assert_allclose(answer[1].rotations, turning(t - 2 * STEP), atol=2e-3)
    np.testing.assert_allclose(np.linalg.det(answer[1].rotations), 1, atol=1e-5)
    with pytest.raises(ValueError, match="rotations of 1"):
        stream.update(t + STEP, {1: (hand(0),)})
