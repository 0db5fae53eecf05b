"""The whole way of a frame: real video in, robot joint angles and a record out."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from humanrt.errors import HumanrtError
from humanrt.hands.pipeline import HandPipeline, HandResult
from humanrt.hands.smoother import HandSmoother
from humanrt.hands.tracker import HandTracker
from humanrt.hands.view import Painter
from humanrt.sources.opening import Frame, open_source

ROBOTS = ("allegro_right", "leap_right", "shadow_right")


@pytest.fixture(scope="module")
def tracker() -> HandTracker:
    return HandTracker()


@pytest.fixture(scope="module")
def frames(hand_video: Path) -> list[Frame]:
    """Every other of the first 300 frames: rest, then the fingers one by one."""
    with open_source(hand_video) as source:
        return list(islice(source, 0, 300, 2))


@pytest.fixture(scope="module")
def results(frames: list[Frame], tracker: HandTracker) -> list[HandResult]:
    pipeline = HandPipeline(tracker, ROBOTS, HandSmoother())
    pipeline.reset()
    return [pipeline(frame) for frame in frames]


def test_every_hand_moves_every_robot_within_its_limits(results: list[HandResult], tracker: HandTracker) -> None:
    robots = HandPipeline(tracker, ROBOTS).robots
    for result in results:
        assert len(result.hands) == 1
        for name, q in result.robots[result.hands[0].id].items():
            low, high = robots[name].limits.T
            assert ((q >= low) & (q <= high)).all()


def test_the_robots_fingers_bend_when_the_humans_do(results: list[HandResult], tracker: HandTracker) -> None:
    """Correlation over time of how far each fingertip is from the wrist, human against robot."""
    robots = HandPipeline(tracker, ROBOTS).robots
    tips = {"thumb": 4, "index": 8, "middle": 12, "ring": 16, "little": 20, "pinky": 20}
    for name, robot in robots.items():
        for finger, points in robot.fingers.items():
            human, machine = [], []
            for result in results:
                hand = result.hands[0]
                human.append(np.linalg.norm(hand.keypoints_3d[tips[finger]] - hand.keypoints_3d[0]))
                wrist, tip = robot.positions(result.robots[hand.id][name], [robot.wrist, points[3]])
                machine.append(np.linalg.norm(tip - wrist))
            if np.ptp(human) < 0.03:  # a finger that hardly moves proves nothing
                continue
            least = 0.6 if finger == "thumb" else 0.8  # a thumb swings more than it comes nearer
            assert np.corrcoef(human, machine)[0, 1] > least, (name, finger)


def test_smoothing_calms_the_keypoints_and_costs_no_identity(frames: list[Frame], tracker: HandTracker) -> None:
    def path(smoother: HandSmoother | None) -> np.ndarray:
        pipeline = HandPipeline(tracker, (), smoother)
        pipeline.reset()
        return np.array([pipeline(frame).hands[0].keypoints_2d for frame in frames[:60]])

    raw, calm = path(None), path(HandSmoother())
    # The median frame is one at rest: there the tremor must go, while the moving hand is followed.
    tremor = [np.median(np.linalg.norm(np.diff(points, 2, axis=0), axis=-1)) for points in (raw, calm)]
    assert tremor[1] < 0.5 * tremor[0]
    assert np.median(np.linalg.norm(calm - raw, axis=-1)) < 1.5


@pytest.fixture(scope="module")
def dense(hand_video: Path) -> list[Frame]:
    """Frames 150 to 240 at the camera's own 30 a second: fingers fold and unfold."""
    with open_source(hand_video) as source:
        return list(islice(source, 150, 240))


def smoothed(tracker: HandTracker, frames: list[Frame]) -> dict[int, np.ndarray]:
    """Smoothed keypoints [21, 2] px by the number of the frame in its clip; the last wins where one is repeated."""
    pipeline = HandPipeline(tracker, (), HandSmoother())
    pipeline.reset()
    return {frame.index: pipeline(frame).hands[0].keypoints_2d for frame in frames}


@pytest.mark.parametrize(("rate", "limit"), [(10, 6.0), (60, 1.0)])
def test_smoothing_behaves_alike_at_other_rates(
    dense: list[Frame], tracker: HandTracker, rate: int, limit: float
) -> None:
    """A third of the frames, and every frame shown twice, against the clip as it is: median px at common frames."""
    twice = [Frame(f.image, f.t + half / 60, f.index) for f in dense for half in (0, 1)]
    other = dense[::3] if rate == 10 else twice
    base, result = smoothed(tracker, dense), smoothed(tracker, other)
    gap = np.array([np.linalg.norm(result[i] - base[i], axis=1) for i in result])
    assert np.median(gap) < limit
    lag = np.array([np.linalg.norm(np.diff([base[i] for i in base], axis=0), axis=-1).mean()])
    assert np.median(gap) < 1.5 * lag.max()


def test_smoothing_behaves_alike_at_half_the_resolution(dense: list[Frame], tracker: HandTracker) -> None:
    half = [
        Frame(np.asarray(cv2.resize(f.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)), f.t, f.index)
        for f in dense[:45]
    ]
    base, result = smoothed(tracker, dense[:45]), smoothed(tracker, half)
    gap = np.array([np.linalg.norm(2 * result[i] - base[i], axis=1) for i in result])
    assert np.median(gap) < 3


def test_a_record_is_the_contracts_line(results: list[HandResult]) -> None:
    record = results[5].record()
    assert list(record) == ["frame", "t", "size", "intrinsics", "hands", "people", "ms"]
    (hand,) = record["hands"]
    assert list(hand) == ["id", "side", "score", "keypoints_2d", "keypoints_3d", "robot", "wrist"]
    assert np.shape(hand["keypoints_2d"]) == (21, 2)
    assert np.shape(hand["keypoints_3d"]) == (21, 3)
    assert {name: len(q) for name, q in hand["robot"].items()} == {
        "allegro_right": 16,
        "leap_right": 16,
        "shadow_right": 24,
    }
    assert record["size"] == [1280, 720]
    assert record["ms"]["total"] == pytest.approx(sum(v for k, v in record["ms"].items() if k != "total"))
    json.dumps(record["ms"])


def test_a_hand_drives_robots_of_its_side_and_others_only_when_there_is_none(
    frames: list[Frame], tracker: HandTracker
) -> None:
    both = HandPipeline(tracker, ["allegro_left", "allegro_right"])
    both.reset()
    result = both(frames[0])
    assert list(result.robots[result.hands[0].id]) == ["allegro_right"]
    other = HandPipeline(tracker, ["allegro_left"])
    other.reset()
    mirrored = other(frames[0])
    assert list(mirrored.robots[mirrored.hands[0].id]) == ["allegro_left"]


def test_the_flipped_clip_moves_the_left_robot_alike(frames: list[Frame], tracker: HandTracker) -> None:
    flipped = [Frame(np.ascontiguousarray(f.image[:, ::-1]), f.t, f.index) for f in frames[:40]]
    ends = []
    for clip, name in ((frames[:40], "allegro_right"), (flipped, "allegro_left")):
        pipeline = HandPipeline(tracker, [name], HandSmoother())
        pipeline.reset()
        last = [pipeline(frame) for frame in clip][-1]
        ends.append(np.abs(last.robots[last.hands[0].id][name]))
    assert np.median(np.abs(ends[0] - ends[1])) < 0.2  # rad; the network is not exactly mirror symmetric


def test_an_unknown_robot_is_refused_before_the_first_frame(tracker: HandTracker) -> None:
    with pytest.raises(HumanrtError, match=r"unknown robot 'alegro'; choose one of: allegro_left, allegro_right"):
        HandPipeline(tracker, ["alegro"])
    with pytest.raises(HumanrtError, match="already a robot named `allegro_right`"):
        HandPipeline(tracker, ["allegro_right", "allegro_right"])


def test_the_picture_shows_hand_and_robots(results: list[HandResult], tracker: HandTracker) -> None:
    painter = Painter(HandPipeline(tracker, ROBOTS).robots)
    picture = painter(results[0], dropped=0)
    assert picture.dtype == np.uint8
    assert picture.shape[0] == 720
    assert picture.shape[1] > 1280
    x, y = results[0].hands[0].keypoints_2d[8].astype(int)
    assert (picture[y - 3 : y + 4, x - 3 : x + 4] != results[0].frame.image[y - 3 : y + 4, x - 3 : x + 4]).any()
    open_hand, bent = (painter(results[i])[:, 1280:] for i in (0, 110))
    assert (open_hand != bent).mean() > 0.02
