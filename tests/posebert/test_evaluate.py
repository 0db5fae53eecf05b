"""The comparison itself: what it measures is what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.bundle import Bundle
from humanrt.hands.smoother import hand_span
from humanrt.smoothing.one_euro import OneEuro, OneEuroOptions
from humanrt_export.evaluation.answers import bursts, extrapolated, held, simulate
from humanrt_export.evaluation.batch import STEP, Batch
from humanrt_export.evaluation.compare import evaluate
from humanrt_export.evaluation.one_euro import one_euro
from humanrt_export.evaluation.score import differences, score
from humanrt_export.evaluation.search import grid
from humanrt_export.evaluation.tables import markdown

Array = NDArray[Any]
Toy = Callable[..., Bundle]

SHAPE = np.random.default_rng(0).normal(0, 0.03, (21, 3))


def clip(seed: int = 0, frames: int = 90, noise: float = 0.0, even: bool = True, **changes: Array) -> dict[str, Array]:
    """A hand that waves: truth, and the truth + white noise as observations."""
    random = np.random.default_rng(seed)
    t = np.arange(frames) * STEP if even else np.cumsum(random.uniform(0.4, 1.6, frames)) * STEP
    wave = 0.02 * np.sin(2 * np.pi * 0.7 * t + seed)[:, None, None] * np.linspace(-1, 1, 21)[:, None] * (1, 0.5, 0.2)
    truth = (SHAPE + wave).astype(np.float32)
    made = {
        "t": t,
        "observed": (truth + random.normal(0, noise, truth.shape)).astype(np.float32),
        "score": np.ones(frames, np.float32),
        "keypoints": truth,
        "rotations": np.broadcast_to(np.eye(3, dtype=np.float32), (frames, 16, 3, 3)),
        "source": np.array(f"clip {seed}"),
    }
    return {**made, **changes}


def with_gap(made: dict[str, Array], start: int, stop: int) -> dict[str, Array]:
    observed, scores = made["observed"].copy(), made["score"].copy()
    observed[start:stop], scores[start:stop] = np.nan, 0
    return {**made, "observed": observed, "score": scores}


@pytest.mark.parametrize("setting", [(1.2, 12.0), (0.3, 0.0), (5.0, 40.0)])
def test_the_fast_one_euro_is_the_runtimes(setting: tuple[float, float]) -> None:
    identity = np.repeat([1, 2], 45)
    clips = [clip(0, 60), with_gap(clip(1, 80, 0.003, even=False), 20, 33), clip(2, 90, 0.003, identity=identity)]
    batch = Batch.of(clips)
    points, speeds = one_euro(batch, *setting, velocities=True)
    for place, made in enumerate(clips):
        filters: dict[int, OneEuro] = {}
        for i, (t, raw) in enumerate(zip(made["t"], made["observed"], strict=True)):
            if not np.isfinite(raw).all():
                assert np.isnan(points[place, i]).all()
                continue
            own = filters.setdefault(int(batch.identity[place, i]), OneEuro(OneEuroOptions(*setting)))
            np.testing.assert_allclose(points[place, i], own(raw, float(t), hand_span(raw)), atol=2e-6)
            np.testing.assert_allclose(speeds[place, i], own.velocity, atol=1e-4)
        assert np.isnan(points[place, len(made["t"]) :]).all()


def test_size_and_place_are_no_errors_but_shape_is() -> None:
    batch = Batch.of([clip(0), clip(1, 60, even=False)])
    same = score(batch, batch.truth * 1.3 + 0.5)
    truth = score(batch, batch.truth)
    assert same.error < 1e-3
    assert same.change < 1e-2
    assert same.acceleration == pytest.approx(truth.acceleration, rel=1e-2)
    assert same.frames == 150
    moved = batch.truth.copy()
    moved[..., 8, 0] += 0.021  # one keypoint of 21, and with it the mean: 20 mm itself, and 1 mm of each other
    assert score(batch, moved).error == pytest.approx((20 + 20 * 1) / 21, rel=0.05)


@pytest.mark.parametrize("shift", [-8 * STEP, -STEP, 0.05, 0.1])
def test_an_answer_is_compared_with_the_time_that_it_is_for(shift: float) -> None:
    batch = Batch.of([clip(0, 90), clip(1, 70)])
    right, wrong = score(batch, batch.truth_at(shift), shift), score(batch, batch.truth, shift)
    assert right.error < 1e-3
    assert wrong.error > 0.5
    assert 0 < right.frames < 160


def test_differences_are_of_real_time() -> None:
    random = np.random.default_rng(0)
    t = np.cumsum(random.uniform(0.8, 2.0, 60)) * STEP
    path = 3 * (t / STEP) ** 2  # acceleration 6 a step^2, whatever the stamps
    points = np.zeros((60, 2, 3))
    points[..., 1] = path[:, None]
    first, second, third = differences(t, points, np.ones(60, bool))
    np.testing.assert_allclose(np.linalg.norm(second, axis=-1), 6, rtol=1e-6)
    np.testing.assert_allclose(third, 0, atol=1e-6)
    assert len(first) == 59
    where = np.ones(60, bool)
    where[20:30] = False
    assert len(differences(t, points, where)[0]) == 50 - 2  # none over the gap
    # At 120 frames a second the differences are still those of frames 1/30 s apart.
    fine = np.arange(240) / 120
    shake = np.zeros((240, 1, 3))
    shake[::2] = 1
    assert not differences(fine, shake, np.ones(240, bool))[1].any()


def test_a_fifth_is_taken_away_in_bursts() -> None:
    batch = Batch.of([clip(i, 150, even=i % 2 == 0) for i in range(6)])
    missing = bursts(batch)
    assert missing.mean() == pytest.approx(0.2, abs=0.04)
    assert not missing[:, :10].any()
    for times, row in zip(batch.t, missing, strict=True):
        edges = np.flatnonzero(np.diff(np.pad(row, 1).astype(int)))
        for start, stop in edges.reshape(-1, 2):
            assert times[stop - 1] - times[start] < 10 * STEP
    left = batch.without(missing)
    assert (left.seen == ~missing).all()


def test_baselines_of_gaps() -> None:
    made = clip(0, 60)
    line = (SHAPE + np.linspace(0, 1, 60)[:, None, None] * np.linspace(-0.1, 0.1, 21)[:, None]).astype(np.float32)
    batch = Batch.of([with_gap({**made, "observed": line, "keypoints": line}, 20, 28)])
    np.testing.assert_array_equal(held(batch, batch.observed)[0, 27], line[19])
    np.testing.assert_allclose(extrapolated(batch, batch.observed)[0], line, atol=1e-6)
    ahead = extrapolated(batch, batch.observed, 2 * STEP)[0]
    np.testing.assert_allclose(ahead[1:58], line[3:], atol=1e-6)


def test_the_simulated_stream_sees_what_a_user_would(toy: Toy) -> None:
    """The echo of a stream is its input: gaps, identities and hands taken for the other side included."""
    wrong = np.zeros(60, bool)
    wrong[30:40] = True
    taken_wrong = clip(1, 60, wrong_side=wrong)
    taken_wrong["observed"] = np.where(
        wrong[:, None, None], taken_wrong["observed"] * (-1, 1, 1), taken_wrong["observed"]
    )
    batch = Batch.of([with_gap(clip(0, 70), 20, 25), taken_wrong, clip(2, 50, identity=np.repeat([3, 4], 25))])
    echo = toy("echo")
    answers = simulate(batch, echo)
    seen = batch.seen
    np.testing.assert_allclose(answers.keypoints[seen], batch.about(batch.observed)[seen], atol=1e-6)
    assert answers.filled[0, 20:25].all()
    assert answers.filled.sum() == 5
    assert score(batch, answers.keypoints, where=seen).error < 1e-3
    late = simulate(batch, echo, lag=2)
    assert score(batch, late.keypoints, -2 * STEP, seen & ~late.filled).error < 1e-3


def test_the_search_smooths_noise_more_with_lag_and_the_report_has_it_all(toy: Toy) -> None:
    train, val = (Batch.of([clip(i + s, 60, 0.004) for i in range(3)]) for s in (0, 10))
    found = grid(train, (0.3, 1.2, 5.0, 15.0), (0.0, 8.0))
    zero, late = found.best(0), found.best(4)
    assert zero is not None
    assert late is not None
    assert found.errors.min(axis=0)[4] < found.errors.min(axis=0)[0]
    assert found.best(0, most=0.0) is None
    calm = [point[0] for point in found.curve(0)]
    assert calm == sorted(calm)
    report = evaluate(val, train, toy("average", window=8), lags=(0, 2), predictions=(0.05,))
    methods = report["lags"]["0"]["methods"]
    assert methods["oneeuro"]["error"] < methods["raw"]["error"]
    assert methods["oneeuro"]["acceleration"] < methods["raw"]["acceleration"]
    assert methods["oneeuro_as_calm"]["acceleration"] <= methods["posebert"]["acceleration"] * 1.05
    assert {"hold last", "extrapolate", "posebert"} <= set(report["gaps"]["methods"])
    assert {"constant pose", "constant velocity", "posebert"} <= set(report["prediction"]["0.05"])
    text = markdown(report)
    assert "PoseBERT" in text
    assert "nan" not in text.split("By speed")[0]


def test_no_clips_is_refused() -> None:
    with pytest.raises(ValueError, match="no clips"):
        Batch.of([])
