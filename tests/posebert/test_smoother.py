"""HandPoseSmoother: `Hands` in, `Hands` out, with those that were missed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.bundle import Bundle
from humanrt.data import CLIP
from humanrt.errors import HumanrtError
from humanrt.hands import pose_smoother as smoother_module
from humanrt.hands.pipeline import HandPipeline
from humanrt.hands.pose_smoother import HandPoseSmoother
from humanrt.hands.smoother import HandSmoother
from humanrt.hands.tracker import Hand, Hands, HandTracker
from humanrt.hands.view import Painter
from humanrt.outputs.record import Recorder, read_recording
from humanrt.sources.opening import Frame, open_source

Toy = Callable[..., Bundle]

STEP = 1 / 30
SHAPE = np.random.default_rng(0).normal(0, 0.03, (21, 3)).astype(np.float32)
ORIGIN = np.array((0.01, -0.02, 0.03), np.float32)


def hand(identity: int = 1, x: float = 100.0, side: str = "right", shape: NDArray[np.float32] = SHAPE) -> Hand:
    """100 px tall, at x; its metric origin is not its mean."""
    pixels = np.linspace((0, 0), (20, 100), 21).astype(np.float32) + np.array((x, 50), np.float32)
    return Hand(identity, side, 1.0, pixels, shape - shape.mean(axis=0) + ORIGIN)  # type: ignore[arg-type]


def test_pixels_are_one_euros_and_metres_are_posebert_about_the_models_origin(toy: Toy) -> None:
    smooth, one_euro = HandPoseSmoother(toy("echo")), HandSmoother()
    random = np.random.default_rng(1)
    for i in range(20):
        noisy = hand(x=100 + random.normal(0, 2))
        result, expected = smooth(Hands((noisy,), {"landmarks": 1.0}), i * STEP), one_euro(Hands((noisy,)), i * STEP)
        np.testing.assert_array_equal(result[0].keypoints_2d, expected[0].keypoints_2d)
        np.testing.assert_allclose(result[0].keypoints_3d, noisy.keypoints_3d, atol=1e-6)
        assert (result[0].id, result[0].side, result[0].score, result[0].filled) == (1, "right", 1.0, False)
        assert result.ms == {"landmarks": 1.0}
        assert result[0].keypoints_3d.dtype == result[0].keypoints_2d.dtype == np.float32


def test_a_missed_hand_is_filled_in_moves_on_and_slows_down(toy: Toy) -> None:
    smooth = HandPoseSmoother(toy(), fill=0.25)
    for i in range(10):
        last = smooth(Hands((hand(x=100 + 10 * i),)), i * STEP)[0]
    speed = 10 / STEP
    places = [last.keypoints_2d[0, 0]]
    for i in range(10, 17):
        result = smooth(Hands(()), i * STEP)
        assert len(result) == 1
        assert (result[0].filled, result[0].score, result[0].id) == (True, 0.0, 1)
        assert np.isfinite(result[0].keypoints_3d).all()
        places.append(result[0].keypoints_2d[0, 0])
    steps = np.diff(places)
    assert (steps > 0).all()
    assert (np.diff(steps) < 0).all()
    assert sum(steps) < 0.1 * speed * 1.01
    assert steps[0] > 5
    assert len(smooth(Hands(()), 17.1 * STEP)) == 0  # honestly lost


def test_who_is_lost_is_not_filled_in(toy: Toy) -> None:
    smooth = HandPoseSmoother(toy("average", (1, 4)))
    smooth(Hands((hand(1), hand(2, x=500))), 0.0)
    result = smooth(Hands((), lost=(1,)), STEP)
    assert [h.id for h in result] == [2]
    assert result.lost == (1,)


def test_no_ghost_beside_a_hand_that_was_found_again_under_another_identity(toy: Toy) -> None:
    smooth = HandPoseSmoother(toy("average", (1, 4)))
    smooth(Hands((hand(1), hand(2, x=500))), 0.0)
    result = smooth(Hands((hand(3, x=510),)), STEP)
    assert [(h.id, h.filled) for h in result] == [(1, True), (3, False)]


def test_two_hands_do_not_mix_and_the_oldest_comes_first(toy: Toy) -> None:
    smooth = HandPoseSmoother(toy("echo", (1, 4)))
    other = (SHAPE * 2).astype(np.float32)
    smooth(Hands((hand(1), hand(2, 500, "left", other))), 0.0)
    result = smooth(Hands((hand(2, 500, "left", other), hand(1))), STEP)
    assert [h.id for h in result] == [1, 2]
    np.testing.assert_allclose(result[0].keypoints_3d, hand(1).keypoints_3d, atol=1e-6)
    np.testing.assert_allclose(result[1].keypoints_3d, hand(2, 0, "left", other).keypoints_3d, atol=1e-6)


def test_a_rewound_source_starts_afresh(toy: Toy) -> None:
    smooth = HandPoseSmoother(toy())
    for i in range(10):
        smooth(Hands((hand(x=100.0),)), i * STEP)
    result = smooth(Hands((hand(x=900.0),)), 0.0)
    np.testing.assert_array_equal(result[0].keypoints_2d, hand(x=900.0).keypoints_2d)


def test_a_bundle_of_bodies_is_refused(toy: Toy) -> None:
    with pytest.raises(HumanrtError, match="not for hands"):
        HandPoseSmoother(toy(points=33))


def test_filled_hands_are_recorded_drawn_and_move_the_robot(toy: Toy, tmp_path: Path) -> None:
    tracker = HandTracker()
    pipeline = HandPipeline(tracker, ["allegro_right"], HandPoseSmoother(toy("echo")))
    found = [Hands((hand(),)), Hands(())]
    pipeline.tracker = lambda image, t: found[round(t / STEP)]  # type: ignore[assignment, misc]
    image = np.zeros((240, 320, 3), np.uint8)
    results = [pipeline(Frame(image, i * STEP, i)) for i in range(2)]
    assert [r.ids for r in results] == [(1,), ()]
    with Recorder(tmp_path / "r.jsonl", {"humanrt": "0"}) as recorder:
        for result in results:
            recorder.write(result.record())
    first, second = ([dict(h) for h in line["hands"]] for line in read_recording(tmp_path / "r.jsonl"))
    assert ("filled" in first[0], second[0]["filled"], second[0]["score"]) == (False, True, 0)
    assert len(second[0]["robot"]["allegro_right"]) == 16
    assert Painter(pipeline.robots)(results[1]).any()


def test_run_takes_it_by_name(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from humanrt.cli import main
    from humanrt.data import CLIP

    bundle = toy()
    real = smoother_module.PoseBERTStream
    monkeypatch.setattr(smoother_module, "PoseBERTStream", lambda _, **options: real(bundle, **options))
    record = tmp_path / "run.jsonl"
    for name in ("posebert", "none"):
        arguments = ["run", str(CLIP), "--headless", "--max-frames", "3", "--smooth", name, "--backend", "cpu"]
        assert main([*arguments, "--record", str(record)]) == 0
        header, *frames = (json.loads(line) for line in record.read_text().splitlines())
        assert header["smooth"] == name
        assert len(frames) == 3
        assert all("smooth" in frame["ms"] for frame in frames) == (name == "posebert")


def test_bench_measures_one_hand_and_ten(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from humanrt.cli import main

    bundle = toy("average", (1, 10))
    report, pictures = tmp_path / "report.json", tmp_path / "pictures"
    pictures.mkdir()
    with open_source(CLIP) as source:
        for frame in itertools.islice(source, 12):
            cv2.imwrite(str(pictures / f"{frame.index:02}.jpg"), frame.image[..., ::-1])
    arguments = ["bench", "posebert", "--bundle", str(bundle.path), "--backend", "cpu", "--threads", "1"]
    arguments += ["--source", str(pictures)]
    assert main([*arguments, "--repeat", "1", "--json", str(report)]) == 0
    data = json.loads(report.read_text())
    assert data["bench"] == "posebert"
    assert list(data["stages"]) == ["1 hand", "10 hands"]
    assert main([*arguments, "--repeat", "1", "--compare", str(report)]) == 0
    assert "vs before" in capsys.readouterr().out
