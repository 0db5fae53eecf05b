"""Gentle motion: speed and acceleration hold for every sequence of hands, times and losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from urdfs import GRIPPERS

import humanrt
from hands import human_hand
from humanrt.errors import HumanrtError
from humanrt.outputs.robot_commands import RobotCommands
from humanrt.retarget import Retargeter, load_hand, robots
from humanrt.retarget.gentle import MAX_GAP, GentleMotion, GentleOptions, open_hand
from humanrt.retarget.retargeter import STROKE

Array = NDArray[np.float64]


def gripper(folder: Path, name: str) -> Path:
    """Write a gripper of the tests, and return its description file."""
    links, tips = GRIPPERS[name]
    (folder / "gripper.urdf").write_text(f'<robot name="gripper"><link name="hand"/>{links}</robot>')
    path = folder / "gripper.json"
    path.write_text(f'{{"urdf": "gripper.urdf", "side": "right", "tips": {tips!r}}}'.replace("'", '"'))
    return path


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> list[GentleMotion]:
    """A hand with all motors, one with locked joints, a slide with a follower, and hinges that follow."""
    folders = [tmp_path_factory.mktemp("gripper") for _ in range(2)]
    names = ("one follows the other way", "parallelograms")
    files = [gripper(folder, name) for folder, name in zip(folders, names, strict=True)]
    return [GentleMotion(robot) for robot in ("allegro_right", "shadow_left", *files)]


def units(motion: GentleMotion) -> Array:
    """What counts as a radian, of each joint."""
    ranges = motion.limits[:, 1] - motion.limits[:, 0]
    return np.array([r / STROKE if j.prismatic else 1.0 for j, r in zip(motion.hand.joints, ranges, strict=True)])


def check(path: list[tuple[float, Array]], motion: GentleMotion) -> None:
    """Speed and acceleration of a path are within what was asked, between all its points."""
    t = np.array([time for time, _ in path])
    x = np.array([angles for _, angles in path]) / np.maximum(units(motion), 1e-9)
    dt = np.diff(t)
    speed = np.concatenate([np.zeros((1, x.shape[1])), np.diff(x, axis=0) / dt[:, None]])  # it stood before
    middles = np.concatenate([[dt[0]], (dt[1:] + dt[:-1]) / 2])
    acceleration = np.diff(speed, axis=0) / middles[:, None]
    noise = 1e-12 / dt.min()
    assert np.abs(speed).max() <= motion.options.max_speed * (1 + 1e-6) + noise
    assert np.abs(acceleration).max() <= motion.options.max_acceleration * (1 + 1e-6) + noise / dt.min()
    free = motion.limits[:, 1] > motion.limits[:, 0]  # followers without a range have no limits of their own
    raw = np.array([angles for _, angles in path])[:, free]
    assert (raw >= motion.limits[free, 0] - 1e-9).all()
    assert (raw <= motion.limits[free, 1] + 1e-9).all()


STEPS = st.lists(
    st.tuples(
        st.floats(1e-3, 0.6),  # s to the next frame: also longer than MAX_GAP
        st.one_of(st.none(), st.integers(0, 2**32 - 1)),  # no hand, or any pose
        st.booleans(),
    ),
    min_size=2,
    max_size=30,
)


@settings(max_examples=50, deadline=None)
@given(
    which=st.integers(0, 3),
    steps=STEPS,
    speed=st.floats(0.05, 50.0),
    acceleration=st.floats(0.05, 500.0),
    on_lost=st.sampled_from(["hold", "open"]),
)
def test_speed_and_acceleration_are_never_exceeded(
    hands: list[GentleMotion],
    which: int,
    steps: list[tuple[float, int | None, bool]],
    speed: float,
    acceleration: float,
    on_lost: str,
) -> None:
    options = GentleOptions(max_speed=speed, max_acceleration=acceleration, on_lost=on_lost, patience=0.1)
    motion = GentleMotion(hands[which].hand, options)
    followers = {j.name for j in motion.hand.joints if j.mimic}
    t, path = 0.0, []
    for dt, seed, enabled in steps:
        q = None
        if seed is not None:  # any pose within the limits and beyond
            low, high = motion.limits.T
            q = low + np.random.default_rng(seed).uniform(-0.5, 1.5, len(low)) * (high - low)
        path.append((t, motion(q, t, enabled=enabled)))
        t += dt
    check(path, motion)
    if followers:
        drives = dict(zip(motion.joint_names, motion.hand.drives({}), strict=True))
        for _, x in path:
            at = dict(zip(motion.joint_names, x, strict=True))
            for name in followers:
                leader, gain, offset = drives[name]
                assert at[name] == pytest.approx(gain * at[leader] + offset)


def test_a_hand_that_vanishes_and_comes_back_elsewhere() -> None:
    """Between the open hand and a fist, whose angles lie a radian apart, with the hand gone in between."""
    solver, motion = Retargeter("allegro_right"), GentleMotion("allegro_right", max_speed=3.0, max_acceleration=20.0)
    opened, fist = solver.solve(human_hand(0.0)), solver.solve(human_hand(1.0))
    assert np.abs(opened - fist).max() > 0.9
    path, states = [], []
    for frame in range(180):
        q = opened if frame < 20 else None if frame < 40 else fist if frame < 120 else None if frame < 130 else opened
        path.append((frame / 30, motion(q, frame / 30)))
        states.append(motion.state)
    check(path, motion)
    assert np.abs(path[119][1] - fist).max() < 1e-9  # it gets there
    assert np.abs(path[179][1] - opened).max() < 1e-9
    assert states[30] == "holding"
    assert np.array_equal(path[30][1], path[39][1])  # and stands still meanwhile
    # The jump would be far above the bounds: the solver's own angles are.
    assert np.abs(fist - opened).max() * 30 > 5 * 3.0


def test_a_lost_hand_is_held_or_opened() -> None:
    fist = Retargeter("leap_right").solve(human_hand(1.0))
    for on_lost in ("hold", "open"):
        motion = GentleMotion("leap_right", on_lost=on_lost, patience=0.2)
        start = motion(fist, 0.0)
        for frame in range(1, 60):
            held = motion(fist, frame / 30)
        assert np.allclose(held, fist)
        states = []
        for frame in range(60, 150):
            last = motion(None, frame / 30)
            states.append(motion.state)
        assert np.allclose(last, start if on_lost == "open" else fist)
        assert states[:5] == ["holding"] * 5
        assert states[-1] == ("opening" if on_lost == "open" else "holding")


def test_the_dead_mans_switch_stops_at_once() -> None:
    fist = Retargeter("leap_right").solve(human_hand(1.0))
    motion = GentleMotion("leap_right", max_speed=2.0, max_acceleration=10.0, on_lost="open", patience=0.0)
    path = [(frame / 100, motion(fist, frame / 100, enabled=frame < 30)) for frame in range(200)]
    check(path, motion)
    stood = path[30 + 21][1]  # 2 rad/s at 10 rad/s2
    assert np.array_equal(stood, path[-1][1])
    assert np.abs(stood - fist).max() > 0.1
    assert motion.state == "holding"


def test_the_path_does_not_depend_on_the_frame_rate() -> None:
    fist = Retargeter("allegro_right").solve(human_hand(1.0))
    ends = []
    for rate in (20, 100, 1000):
        motion = GentleMotion("allegro_right")
        for frame in range(round(0.2 * rate) + 1):
            at = motion(fist, frame / rate)
        ends.append(at)
    assert np.allclose(ends[0], ends[1], atol=1e-9)
    assert np.allclose(ends[0], ends[2], atol=1e-9)
    assert np.abs(ends[0] - fist).max() > 0.1  # still on its way


def test_after_a_gap_the_robot_has_braked() -> None:
    fist = Retargeter("allegro_right").solve(human_hand(1.0))
    motion = GentleMotion("allegro_right", max_speed=1.0, max_acceleration=10.0)
    for frame in range(10):
        before = motion(fist, frame / 30)
    after = motion(fist, 9 / 30 + 4 * MAX_GAP)
    assert 0 < np.abs(after - before).max() <= 1.0 / (2 * 10.0) + 1e-9  # v^2 / 2a, not 1 s of speed


@pytest.mark.parametrize("robot", robots())
def test_the_open_pose_is_open(robot: str) -> None:
    hand = load_hand(robot)
    motion = GentleMotion(robot)
    bent = Retargeter(robot).solve(human_hand(1.0, side=hand.side))
    assert np.abs(motion(None, 0.0)).sum() < 0.5 * np.abs(bent).sum()
    assert open_hand(hand.side).shape == (21, 3)


def test_commands_begin_with_a_hand_and_go_on_without() -> None:
    def record(frame: int, hands: list[tuple[int, str, float]]) -> dict[str, object]:
        found = [{"id": id, "side": side, "robot": {"allegro_right": np.full(16, angle)}} for id, side, angle in hands]
        return {"frame": frame, "t": frame / 30, "hands": found, "people": []}

    commands = RobotCommands("allegro_right", max_speed=3.0)
    assert commands(record(0, [])) == {}
    first = commands(record(1, [(4, "right", 0.1)]))["allegro_right"]
    assert (first["id"], first["side"], first["state"], first["frame"]) == (4, "right", "following", 1)
    assert first["joints"] == list(load_hand("allegro_right").joint_names)
    again = commands(record(1, [(4, "right", 0.1)]))["allegro_right"]
    assert np.array_equal(first["angles"], again["angles"])
    both = commands(record(2, [(5, "left", 1.0), (4, "right", 0.1)]))["allegro_right"]
    assert both["id"] == 4
    gone = commands(record(3, []))["allegro_right"]
    assert (gone["id"], gone["side"], gone["state"]) == (None, None, "holding")
    commands.enabled = False
    assert commands(record(4, [(4, "right", 0.1)]))["allegro_right"]["state"] == "holding"


def test_mistakes_get_one_line() -> None:
    with pytest.raises(HumanrtError, match="hold, open"):
        GentleMotion("allegro_right", on_lost="drop")
    with pytest.raises(HumanrtError, match="unknown option speed"):
        GentleMotion("allegro_right", speed=1.0)
    with pytest.raises(ValueError, match="max_speed"):
        humanrt.GentleMotion("allegro_right", max_speed=0.0)
    motion = humanrt.GentleMotion("allegro_right")
    with pytest.raises(ValueError, match="16 joints"):
        motion(np.zeros(3), 0.0)
    with pytest.raises(ValueError, match="finite"):
        motion(np.full(16, np.nan), 0.0)
