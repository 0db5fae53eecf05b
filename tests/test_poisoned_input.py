"""NaN, infinite and absurd numbers are refused where they enter, and leave filters, trackers and solvers unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt import HandTracker, Retargeter
from humanrt.errors import HumanrtError, InvalidInputError
from humanrt.geometry.camera import CameraError, check_intrinsics, field_of_view_intrinsics, read_intrinsics
from humanrt.hands.pipeline import HandPipeline
from humanrt.hands.pose_smoother import HandPoseSmoother
from humanrt.hands.smoother import HandSmoother
from humanrt.hands.tracker import Hand, Hands, TrackerOptions
from humanrt.people.body_tracker import BodyTrackerOptions
from humanrt.people.landmark_people import LandmarkPeople
from humanrt.people.results import People
from humanrt.people.tracking import PeopleTracker, PeopleTrackerOptions
from humanrt.posebert.stream import PoseBERTStream
from humanrt.smoothing.one_euro import OneEuro, OneEuroOptions
from humanrt.sources.opening import Frame

NAN, INF = float("nan"), float("inf")
TIMES = (NAN, INF, -INF, 1e300, 1.7e18, 10**400, None, "soon", [1.0, 2.0])
"""None of them is a time in seconds; 1.7e18 is one in nanoseconds."""
NUMBERS = (NAN, INF, -INF, 1e12, -1e300)
POINTS = np.random.default_rng(0).normal(0, 0.03, (21, 3)).astype(np.float32)
IMAGE = np.zeros((90, 160, 3), np.uint8)


def poisoned(points: np.ndarray, bad: float) -> np.ndarray:
    broken = points.astype(np.float64)
    broken.flat[7] = bad
    return broken


def hands(points: np.ndarray = POINTS) -> Hands:
    return Hands((Hand(1, "right", 0.9, 100 * points[:, :2] + 50, points),))


@pytest.mark.parametrize("kernel", ["native", "numpy"])
@pytest.mark.parametrize("bad", NUMBERS)
def test_a_driver_that_reports_nonsense_does_not_move_the_solver(bad: float, kernel: str) -> None:
    robot = Retargeter("allegro_right", kernel=kernel)
    robot.solve(POINTS)
    before = robot.last
    measured = poisoned(before, bad)
    for call in (robot.warm_start, robot.reset, lambda q: robot.cost(q, POINTS)):
        with pytest.raises(ValueError, match=r"joints' positions: .* is not a finite number"):
            call(measured)
        np.testing.assert_array_equal(robot.last, before)
    for arguments in ((poisoned(POINTS, bad), 0.03), (POINTS, bad if bad != 1e12 else -0.1)):
        with pytest.raises(ValueError, match=r"finite number|dt must be"):
            robot.solve(arguments[0], dt=arguments[1])
        np.testing.assert_array_equal(robot.last, before)
    assert np.isfinite(robot.solve(POINTS)).all()


@pytest.mark.parametrize("kernel", ["native", "numpy"])
@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-160, 1e6, 5e8])
def test_keypoints_of_any_size_give_finite_angles_within_the_limits(size: float, kernel: str) -> None:
    for points in (np.ones((21, 3)) * size, POINTS / 0.1 * size, np.outer(np.arange(21) / 21, [size, 0, 0])):
        robot = Retargeter("shadow_right", kernel=kernel)
        q = robot.solve(points)
        assert ((q >= robot.limits[:, 0]) & (q <= robot.limits[:, 1])).all()


def test_one_euro_refuses_and_goes_on() -> None:
    def run(disturb: Callable[[OneEuro], None]) -> np.ndarray:
        smooth = OneEuro()
        smooth(POINTS, 0.0)
        disturb(smooth)
        return smooth(POINTS * 1.1, 0.03)

    def refusals(smooth: OneEuro) -> None:
        for t in TIMES:
            with pytest.raises(InvalidInputError, match="t must be a finite time in seconds"):
                smooth(POINTS, t)  # type: ignore[arg-type]
        for bad in NUMBERS:
            with pytest.raises(InvalidInputError, match="not a finite number"):
                smooth(poisoned(POINTS, bad), 0.01)
        for unit in (NAN, INF, 0.0, -1.0):
            with pytest.raises(InvalidInputError, match="unit must be"):
                smooth(POINTS, 0.01, unit)

    np.testing.assert_array_equal(run(refusals), run(lambda _: None))


def test_two_frames_of_one_instant_have_no_speed() -> None:
    smooth = OneEuro()
    smooth(np.zeros((1, 2)), 0.0)
    assert np.isfinite(smooth(np.full((1, 2), 1e8), 5e-324)).all()
    assert np.isfinite(smooth(np.full((1, 2), 1e8), 0.03)).all()


@pytest.mark.parametrize("make", [HandSmoother, lambda: HandPoseSmoother(threads=1)])
def test_hand_smoothers_refuse_and_go_on(make: Callable[[], Any]) -> None:
    smoother, calm = make(), make()
    for one in (smoother, calm):
        one(hands(), 0.0)
    for t in TIMES:
        with pytest.raises(InvalidInputError, match="t must be"):
            smoother(hands(), t)
    for bad in NUMBERS:
        for name in ("keypoints_2d", "keypoints_3d"):
            hand = hands()[0]
            points = poisoned(getattr(hand, name), bad)
            with np.errstate(over="ignore"):  # -1e300 is infinite then
                broken = Hands((replace(hand, **{name: points.astype(np.float32)}),))
            with pytest.raises(InvalidInputError, match=f"{name} of hand 1"):
                smoother(broken, 0.02)
    for one in (smoother, calm):
        one(hands(), 0.03)
    after, expected = smoother(hands(POINTS * 1.1), 0.06), calm(hands(POINTS * 1.1), 0.06)
    np.testing.assert_array_equal(after[0].keypoints_3d, expected[0].keypoints_3d)
    np.testing.assert_array_equal(after[0].keypoints_2d, expected[0].keypoints_2d)


def test_streams_refuse_before_anything_changes() -> None:
    with PoseBERTStream(threads=1) as stream, PoseBERTStream(threads=1) as calm:
        for one in (stream, calm):
            one.update(1.0, {1: (POINTS,)})
        for t in TIMES:
            with pytest.raises(InvalidInputError, match="t must be"):
                stream.update(t, {1: (POINTS,)})  # type: ignore[arg-type]
        for wrong in ((POINTS[:3],), (POINTS, 1.5), (POINTS, -0.1), (POINTS, [1.0] * 20), (POINTS, None, "Left")):
            with pytest.raises(ValueError, match="of 2 must be"):
                stream.update(0.5, {1: (POINTS * 3,), 2: wrong}, lost=[1])  # a rewound time: yet nothing is forgotten
        for bad in NUMBERS:  # not seen, which is no mistake
            assert stream.update(1.03, {1: (poisoned(POINTS, bad),)})[1].filled
        calm.update(1.03, {})
        for one in (stream, calm):
            one.update(1.06, {1: (POINTS, NAN)})
        np.testing.assert_array_equal(
            stream.update(1.1, {1: (POINTS,)})[1].keypoints, calm.update(1.1, {1: (POINTS,)})[1].keypoints
        )


def test_trackers_and_pipelines_refuse_times_and_go_on() -> None:
    with HandPipeline(HandTracker(threads=1), ["allegro_right"], HandSmoother()) as pipeline:
        pipeline(Frame(IMAGE, 1.0, 0))
        for t in TIMES[:-3]:
            with pytest.raises(InvalidInputError, match="t must be"):
                pipeline(Frame(IMAGE, t, 1))
        assert len(pipeline(Frame(IMAGE, 1.1, 1)).hands) == 0
    with LandmarkPeople(threads=1, options=BodyTrackerOptions(windows=False)) as people:
        people.track(IMAGE, 1.0)
        for t in TIMES[:-3]:
            with pytest.raises(InvalidInputError, match="t must be"):
                people.track(IMAGE, t)
        for threshold in (NAN, -0.1, 1.5):
            with pytest.raises(InvalidInputError, match="threshold must be"):
                people.track(IMAGE, 0.5, threshold=threshold)
        with pytest.raises(CameraError):
            people.track(IMAGE, 0.5, intrinsics=np.eye(3) * NAN)
        assert people.tracker._t == 1.0  # the rewound time of a refused call did not reset it


def somebody(x: float, depth: float) -> People:
    return People(
        scores=np.ones(1, np.float32),
        locations=np.array([[x, 100.0]], np.float32),
        translations=np.array([[0.0, 0.0, depth]], np.float32),
        rotations=np.eye(3, dtype=np.float32)[None, None],
        shape=np.zeros((1, 2), np.float32),
        expression=np.zeros((1, 0), np.float32),
        intrinsics=field_of_view_intrinsics((640, 480), 60.0),
    )


def test_identities_of_people_survive_nonsense() -> None:
    tracker = PeopleTracker()
    assert tracker(somebody(300, 2.0), 0.0).ids == (1,)
    for person, t in ((somebody(NAN, 2.0), 0.1), (somebody(300, INF), 0.1), (somebody(300, 2.0), NAN)):
        with pytest.raises(InvalidInputError):
            tracker(person, t)
    assert tracker(somebody(305, 2.0), 0.1).ids == (1,)


@pytest.mark.parametrize(
    "make",
    [
        lambda bad: TrackerOptions(min_detection=bad),
        lambda bad: TrackerOptions(min_presence=bad),
        lambda bad: TrackerOptions(remember=bad),
        lambda bad: TrackerOptions(search_interval=bad),
        lambda bad: TrackerOptions(max_hands=bad),
        lambda bad: BodyTrackerOptions(min_detection=bad),
        lambda bad: BodyTrackerOptions(remember=bad),
        lambda bad: BodyTrackerOptions(max_people=bad),
        lambda bad: PeopleTrackerOptions(gate=bad),
        lambda bad: PeopleTrackerOptions(velocity_time_constant=bad),
        lambda bad: OneEuroOptions(min_cutoff=bad),
        lambda bad: OneEuroOptions(beta=bad),
        lambda bad: OneEuroOptions(derivative_cutoff=bad),
    ],
)
def test_options_are_numbers_in_their_range(make: Callable[[Any], object]) -> None:
    for bad in (NAN, INF, -1, "2", True, [1], 10**400):
        with pytest.raises(InvalidInputError, match="must be"):
            make(bad)
    assert issubclass(InvalidInputError, HumanrtError)  # one line on the command line
    assert TrackerOptions(max_hands=np.int64(2)).max_hands == 2


def test_intrinsics_that_no_camera_has(tmp_path: Path) -> None:
    good = field_of_view_intrinsics((640, 480), 60.0)
    for place, bad in (((0, 0), 1e-300), ((0, 0), 1e300), ((0, 2), -1e9), ((1, 1), NAN)):
        broken = good.copy()
        broken[place] = bad
        with pytest.raises(CameraError):
            check_intrinsics(broken)
    with pytest.raises(CameraError):
        check_intrinsics([[10**400, 0, 0], [0, 1, 0], [0, 0, 1]])
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3), }"
    npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    files = {
        "promises.npy": npy,
        "empty.npy": b"",
        "deep.json": b"[" * 100_000,
        "huge.json": b"[" + b"9" * 400 + b"]",
        "long.txt": b"1 0 0\n" * 400_000,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CameraError, match=name):
            read_intrinsics(str(tmp_path / name))
