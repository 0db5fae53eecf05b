"""Robot arms: solved from a person's arm, read from URDFs, moved gently."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt import GentleMotion, RobotCommands
from humanrt.errors import HumanrtError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.hands.pipeline import HandPipeline
from humanrt.hands.robots import RobotHands
from humanrt.people.arms import RobotArms, arm_pose
from humanrt.people.results import Person
from humanrt.retarget import ArmPose, ArmRetargeter, arms, load_arm, load_robot, trunk_axes
from humanrt.retarget.arm import ArmDescription, Placement
from humanrt.retarget.arm_retargeter import FACING

Array = NDArray[np.float64]

SCALE = 1.5
SHOULDER = np.array([0.2, 0.1, 2.0])


def placed(name: str, **changes: object) -> ArmRetargeter:
    return ArmRetargeter(replace(load_arm(name), placement=Placement("camera", scale=SCALE), **changes))  # type: ignore[arg-type]


def person_at(solver: ArmRetargeter, q: Array) -> ArmPose:
    """A person whose arm is laid onto the robot's in pose q."""
    arm = solver.arm
    tool, base = arm.pose(q), arm.positions(q, [arm.shoulder])[0]
    elbow = arm.positions(q, [arm.elbow])[0]
    return ArmPose(
        SHOULDER,
        SHOULDER + FACING @ (elbow - base) / SCALE,
        SHOULDER + FACING @ (tool[:3, 3] - base) / SCALE,
        FACING @ tool[:3, :3],
    )


def paths(solver: ArmRetargeter, count: int) -> Array:
    """Smooth paths of a quarter of the joints' ranges around the rest pose: [count, 30, dof]."""
    rng = np.random.default_rng(3)
    low, high = solver.arm.limits.T
    rest, t = solver.arm.rest_pose, np.linspace(0, 2 * np.pi, 30)
    way = rng.uniform(-0.8, 0.8, (count, 2, len(rest)))
    moved = rest + way[:, :1] * np.sin(t)[:, None] + way[:, 1:] * (1 - np.cos(t))[:, None] / 2
    return np.clip(moved, low, high)


@pytest.mark.parametrize("name", arms())
def test_the_true_pose_is_found_and_followed(name: str) -> None:
    solver = placed(name)
    place, turn = [], []
    for path in paths(solver, 2):
        solver.reset()
        for q in path:
            found = solver.solve(person_at(solver, q))
            assert (found >= solver.arm.limits[:, 0]).all()
            assert (found <= solver.arm.limits[:, 1]).all()
            place.append(solver.error[0])
            turn.append(solver.error[1])
    assert np.median(place) < 2e-4
    assert np.percentile(place, 95) < 2e-3
    assert np.percentile(turn, 95) < 0.02


def test_the_elbow_decides_what_a_seventh_joint_leaves_open() -> None:
    solver = placed("panda")
    q = solver.arm.rest_pose
    person = person_at(solver, q)
    solver.reset()
    solver.solve(person)
    there = solver.arm.positions(solver.last, [solver.arm.elbow])[0]
    axis = (person.wrist - person.shoulder) / np.linalg.norm(person.wrist - person.shoulder)
    across = np.cross(axis, person.elbow - person.shoulder)
    swung = replace(person, elbow=person.elbow + 0.15 * across / np.linalg.norm(across))
    for _ in range(5):
        solver.solve(swung)
    moved = FACING @ (solver.arm.positions(solver.last, [solver.arm.elbow])[0] - there)
    assert moved @ across / np.linalg.norm(across) > 0.03
    assert solver.error[0] < 1e-3


def test_out_of_reach_it_comes_as_near_as_it_can_and_says_so() -> None:
    solver = placed("ur5e")
    person = person_at(solver, solver.arm.rest_pose)
    far = replace(
        person, wrist=SHOULDER - np.array([0.0, 0.0, 1.9]), elbow=SHOULDER - np.array([0.0, 0.0, 0.3]), hand=None
    )
    solver.solve(far)
    tool, _ = solver.target(far)
    base = solver.arm.positions(solver.last, [solver.arm.shoulder])[0]
    assert not solver.reached
    # In the direction of the place, with the arm straight.
    assert solver.error[0] == pytest.approx(np.linalg.norm(tool - base) - solver.reach, abs=0.03)
    solver.solve(person)
    assert solver.reached


def test_joints_keep_to_the_speed() -> None:
    solver = placed("ur5e")
    solver = ArmRetargeter(solver.arm, max_speed=1.0)
    q = solver.arm.rest_pose
    last = solver.solve(person_at(solver, q), dt=0.0)
    for _ in range(20):
        here = solver.solve(person_at(solver, q + 0.7), dt=0.05)
        assert np.abs(here - last).max() <= 0.05 + 1e-9
        last = here
    assert solver.reached


def turning(
    solver: ArmRetargeter, angle: float, dt: float, until: float = 6.0, gap: float | None = None, begin: float = 0.0
) -> Iterator[tuple[float, Array]]:
    """Turn the hand about its fingers by ``angle`` in 2 s and keep it there; yield time and solution.

    ``until``: s; ``begin``: s of the turn at which it begins; ``gap``: s before the first frame, if there were others.
    """
    q = solver.arm.rest_pose
    tool, elbow = solver.arm.pose(q), person_at(solver, q).elbow
    shoulder = solver.arm.positions(q, [solver.arm.shoulder])[0]
    wrist = SHOULDER + FACING @ (tool[:3, 3] - shoulder) / SCALE
    for t in np.arange(0.0, until, dt):
        turned = tool[:3, :3] @ matrices_from_vectors(np.array([0.0, 0.0, angle * min((begin + t) / 2.0, 1.0)]))
        yield float(t), solver.solve(ArmPose(SHOULDER, elbow, wrist, FACING @ turned), dt=dt if t else gap)


def narrow(after: float | None, others: float = 2.0 * np.pi, max_speed: float = 10.0) -> ArmRetargeter:
    """A UR5e whose last joint turns by 2 rad either way; beyond that only the wrist turned over reaches.

    ``others``: rad by which the other joints turn either way.
    """
    arm = placed("ur5e", branch_after=after).arm
    ranges = [others] * (len(arm.joints) - 1) + [2.0]
    joints = tuple(
        replace(joint, lower=max(joint.lower, middle - span), upper=min(joint.upper, middle + span))
        for joint, middle, span in zip(arm.joints, arm.rest_pose, ranges, strict=True)
    )
    return ArmRetargeter(replace(arm, joints=joints), max_speed=max_speed)


def test_an_arm_that_reaches_never_changes_its_branch_even_if_it_need_not_wait() -> None:
    solver = placed("ur5e", branch_after=0.0)
    for q in paths(solver, 1)[0]:
        solver.solve(person_at(solver, q), dt=1 / 30)
        assert solver.state == "following"
    assert solver.changes == 0


def test_a_change_of_branch_ends_where_it_arrives_also_if_the_solver_is_slower_than_the_arm() -> None:
    solver = narrow(0.5, max_speed=0.7)
    states, last = [], None
    for _, q in turning(solver, 3.0, 1 / 30, 15.0):
        assert last is None or np.abs(q - last).max() <= 0.7 / 30 + 1e-9
        last = q
        states.append(solver.state)
        if solver.state == "following" and "changing" in states:
            assert solver.reached
    assert solver.changes == 1
    assert states[-1] == "following"


def test_a_joint_may_turn_back_where_the_limits_leave_no_room_to_go_on() -> None:
    # 4.5 rad are 1.78 rad the other way round; the wrist cannot be turned over.
    solver = narrow(0.5, others=1.0)
    for _ in turning(solver, 4.5, 1 / 30, 9.0):
        pass
    assert (solver.changes, solver.state) == (1, "following")
    assert solver.reached


def test_a_gap_is_no_time_out_of_reach() -> None:
    solver = narrow(1.0)

    def states(until: float, gap: float | None, begin: float) -> list[str]:
        return [solver.state for _ in turning(solver, 3.0, 1 / 30, until, gap, begin)]

    # 0.5 s before its end the limit is 0.3 rad behind; then nobody is seen for 5 s.
    assert set(states(2.0, None, 0.0)) == {"following"}
    assert set(states(0.2, 5.0, 2.0)) == {"following"}
    solver.forget_person()
    assert set(states(0.9, 1 / 30, 2.0)) == {"following"}
    assert states(0.3, 1 / 30, 2.0)[-1] == "changing"
    solver.forget_person()
    assert solver.state == "following"
    assert set(states(0.9, 1 / 30, 2.0)) == {"following"}
    assert solver.changes == 1


@pytest.mark.parametrize("dt", [1 / 30, 1 / 90])
def test_another_branch_is_gone_to_gently_if_this_one_does_not_reach(dt: float) -> None:
    solver = narrow(0.5)
    last, steps, states = None, [], []
    for t, q in turning(solver, 3.0, dt):
        if last is not None:
            steps.append(np.abs(q - last).max() / dt)
        last = q
        states.append((t, solver.state))
    # The limit is met at 1.33 s; 0.3 rad beyond it, half a second passes before anything else is tried.
    began = next(t for t, state in states if state == "changing")
    assert 1.33 + 0.2 + 0.5 - 0.1 < began < 1.33 + 0.2 + 0.5 + 0.2
    assert solver.changes == 1
    assert solver.state == "following"
    assert solver.reached
    assert max(steps) < 1.05 * 2.0  # the arm's own max speed


def test_an_arm_that_may_not_change_its_branch_stays_where_it_is_nearest() -> None:
    solver = narrow(None)
    steps, last = [], None
    for _, q in turning(solver, 3.0, 1 / 30):
        steps.append(0.0 if last is None else np.abs(q - last).max())
        last = q
    assert solver.changes == 0
    assert not solver.reached
    assert max(steps) < 0.1


@pytest.mark.parametrize("name", arms())
def test_smooth_paths_are_followed_without_jumps(name: str) -> None:
    solver = ArmRetargeter(placed(name).arm, max_speed=None)  # which nothing keeps from jumping
    for path in paths(solver, 3):
        solver.reset()
        last = None
        own = np.abs(np.diff(path, axis=0)).max()  # up to 0.2 rad; another branch would be more than 1 rad away
        for q in path:
            found = solver.solve(person_at(solver, q), dt=None if last is None else 1 / 30)
            assert solver.error[0] < 2e-3
            assert last is None or np.abs(found - last).max() < 1.3 * own
            last = found
        assert solver.changes == 0


def test_an_offset_moves_the_workspace() -> None:
    arm = load_arm("ur5e")
    person = person_at(placed("ur5e"), arm.rest_pose)
    plain, lifted = (
        ArmRetargeter(replace(arm, placement=Placement("camera", scale=SCALE, offset=offset)))
        for offset in ((0.0, 0.0, 0.0), (0.1, 0.0, 0.2))
    )
    np.testing.assert_allclose(lifted.target(person)[0] - plain.target(person)[0], [0.1, 0.0, 0.2], atol=1e-12)
    lifted.solve(person)
    assert lifted.reached


def test_scale_and_frame() -> None:
    arm = load_arm("ur5e")
    solver = ArmRetargeter(arm)
    turned = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    straight = SHOULDER - 0.25 * FACING[:, 0], SHOULDER - 0.5 * FACING[:, 0]
    results = []
    for turn in (np.eye(3), turned):  # the person turns; against their trunk nothing moves
        elbow, wrist = (SHOULDER + FACING @ turn @ FACING.T @ (point - SHOULDER) for point in straight)
        person = ArmPose(SHOULDER, elbow, wrist, trunk=FACING @ turn)
        solver.reset()
        solver.solve(person)
        results.append(solver.target(person)[0])
    np.testing.assert_allclose(*results, atol=1e-9)
    # A straight arm reaches 90 % as far as the robot can.
    assert np.linalg.norm(results[0] - [0, 0, 0.1625]) == pytest.approx(0.9 * solver.reach)
    camera = ArmRetargeter(replace(arm, placement=Placement("camera", arm_length=0.6)))
    camera.solve(person)
    assert np.linalg.norm(camera.target(person)[0] - [0, 0, 0.1625]) == pytest.approx(0.75 * solver.reach)


def test_trunk_axes() -> None:
    shoulders, hips = [[0.2, -0.5, 2.0], [-0.2, -0.5, 2.0]], [[0.1, 0.0, 2.0], [-0.1, 0.0, 2.0]]
    np.testing.assert_allclose(trunk_axes(shoulders, hips), FACING, atol=1e-12)  # who faces the camera


def test_refuses_what_is_no_arm() -> None:
    solver = ArmRetargeter("ur5e")
    good = person_at(placed("ur5e"), solver.arm.rest_pose)
    for wrong in (
        replace(good, wrist=np.array([np.nan, 0, 0])),
        replace(good, wrist=good.wrist * 1000),
        replace(good, hand=np.ones((3, 3))),
        replace(good, hand=np.diag([1.0, 1.0, -1.0])),
        replace(good, elbow=np.zeros(2)),
    ):
        with pytest.raises(ValueError, match=r"wrist|arm is|hand is|elbow"):
            solver.solve(wrong)
    with pytest.raises(HumanrtError, match="unknown arm 'ur6'; choose one of: panda, ur5e"):
        load_arm("ur6")
    with pytest.raises(HumanrtError, match="give right or left"):
        load_arm("ur5e", "middle")
    with pytest.raises(HumanrtError, match="unknown kernel 'gpu'; choose one of: auto, native, numpy"):
        ArmRetargeter("ur5e", kernel="gpu")
    with pytest.raises(HumanrtError, match=r"unknown robot 'ur6'; choose one of: .*panda.*ur5e"):
        load_robot("ur6")
    with pytest.raises(HumanrtError, match=r"ur5e is an arm, not a hand; .*--task people"):
        HandPipeline(robots="ur5e")
    with pytest.raises(HumanrtError, match="--collisions: none of the robots is a hand"):
        RobotHands((), collisions=True)


def test_the_panda_keeps_to_what_its_joints_bear() -> None:
    arm = load_arm("panda")
    assert arm.max_speed is not None
    assert arm.max_acceleration is not None
    # Of its joints the lowest maximum that Franka publishes: rad/s, rad/s2.
    assert arm.max_speed < 2.175
    assert arm.max_acceleration < 7.5


def joint(name: str, parent: str, child: str, xyz: str, axis: str, kind: str = "revolute") -> str:
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/><origin xyz="{xyz}"/>'
        f'<axis xyz="{axis}"/><limit lower="-2.5" upper="2.5"/></joint>'
    )


URDF = "".join(
    (
        joint("mount", "world", "base", "0 0 0.5", "0 0 1", "fixed"),
        joint("a1", "base", "l1", "0 0 0.1", "0 0 1"),
        joint("a2", "l1", "l2", "0 0 0.1", "0 1 0"),
        joint("a3", "l2", "l3", "0 0 0.4", "0 1 0"),
        joint("a4", "l3", "l4", "0 0 0.2", "0 0 1"),
        joint("a5", "l4", "l5", "0 0 0.2", "0 1 0"),
        joint("a6", "l5", "l6", "0 0 0.1", "0 0 1"),
        joint("flange", "l6", "flange", "0 0 0.05", "0 0 1", "fixed"),
        joint("tip", "flange", "tool0", "0 0 0.05", "0 0 1", "fixed"),
        joint("camera", "l6", "camera", "0.1 0 0", "0 0 1", "fixed"),
    )
)
FINGERS = "".join(joint(f"f{k}", "tool0", f"finger{k}", f"0 0.0{k} 0.1", "1 0 0") for k in (1, 2))


@pytest.fixture
def urdf(tmp_path: Path) -> Callable[[str], Path]:
    def write(joints: str) -> Path:
        path = tmp_path / "my_arm.urdf"
        path.write_text(f'<robot name="r">{joints}</robot>')
        return path

    return write


def test_a_urdf_alone_is_an_arm(urdf: Callable[[str], Path]) -> None:
    path = urdf(URDF)
    with pytest.raises(HumanrtError, match="or, if it is an arm, --arm right"):
        load_robot(path)
    arm = load_robot(path, "left")
    assert isinstance(arm, ArmDescription)
    assert (arm.name, arm.side, arm.elbow.joint, arm.tool.joint) == ("my_arm", "left", "a3", "a6")
    np.testing.assert_allclose(arm.positions(np.zeros(6), [arm.shoulder, arm.tool]), [[0, 0, 0.7], [0, 0, 1.7]])
    assert ArmRetargeter(arm).reach == pytest.approx(1.0, abs=0.01)
    # The rest pose holds the forearm forward, the palm inwards.
    pose = arm.pose(arm.rest_pose)
    assert pose[0, 3] > 0.2
    assert arm.notes == ("my_arm: moved by a person's left arm; its tool is link tool0",)


def test_a_gripper_beyond_the_tool_stays_at_rest(urdf: Callable[[str], Path]) -> None:
    arm = load_arm(urdf(URDF + FINGERS), "right")
    assert arm.locked == {"f1": 0.0, "f2": 0.0}
    assert "2 joints that do not carry its tool stay at rest: f1, f2" in arm.notes[1]
    q = ArmRetargeter(arm).solve(ArmPose(np.zeros(3), np.array([0, 0.25, 0]), np.array([0, 0.25, -0.25])))
    assert q[6:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tool": "hand"}, "has no link 'hand'"),
        ({"tool": "l1"}, "1 joints move link l1"),
        ({"elbow": "a9"}, "elbow is 'a9'; choose one of: a1"),
        ({"place": {"frame": "room"}}, "frame is 'room'; choose one of: "),
        ({"place": {"rpy": [0, 0, 90]}}, "looks like degrees"),
        ({"place": {"arm_length": 520}}, "arm_length is 520 m; a person's is"),
        ({"place": {"offset": [0, 0, 300]}}, r"offset \[0.0, 0.0, 300.0\] is over 5 m"),
        ({"branch_after": -1}, "branch_after is -1; it must not be negative"),
        ({"side": "both"}, "side is 'both'; choose one of: left, right"),
        ({"axes": {"fingers": "+z", "palm": "+z"}}, "at right angles"),
    ],
)
def test_a_file_says_what_is_wrong(urdf: Callable[[str], Path], fields: dict[str, object], message: str) -> None:
    file = urdf(URDF).with_suffix(".json")
    file.write_text(json.dumps({"urdf": "my_arm.urdf", "arm": "mine", **fields}))
    with pytest.raises(HumanrtError, match=message):
        load_robot(file)


def test_two_arms_need_a_tool(urdf: Callable[[str], Path]) -> None:
    with pytest.raises(HumanrtError, match="several chains of joints part at link world"):
        load_arm(urdf(URDF + joint("b1", "world", "other", "0 1 0", "0 0 1")))


def test_descriptions_are_read_as_written() -> None:
    for name in arms():
        arm = load_arm(name)
        again = ArmDescription.from_json(json.loads(json.dumps(arm.to_json())), "x", "right")
        assert again.to_json() == arm.to_json()
        assert arm.licence
        assert arm.source["origin"]


def test_arms_move_gently_and_hold() -> None:
    arm = load_arm("ur5e")
    motion = GentleMotion(arm, max_speed=50.0, max_acceleration=1e4, on_lost="open")
    last, speed, t = motion(arm.rest_pose + 1.0, 0.0), np.zeros(6), 0.0
    for k in range(1, 200):
        t = 0.01 * k
        here = motion(arm.rest_pose + 1.0 if k < 100 else None, t)
        assert np.abs(here - last).max() <= 0.01 * 2.0 + 1e-9
        assert np.abs((here - last) / 0.01 - speed).max() <= 10.0 * 0.01 + 1e-6
        last, speed = here, (here - last) / 0.01
    assert motion.state == "holding"
    np.testing.assert_allclose(last, arm.rest_pose + 1.0, atol=1e-6)


NAMES = [
    f"{bone}.{end}"
    for end in "LR"
    for bone in ("upperarm01", "upperleg01", "lowerarm01", "wrist", *(f"finger{k}-1" for k in range(1, 6)))
]


def person(identity: int, turn: float) -> Person:
    """Somebody who faces the camera at 2 m, the forearms forward, the palms inwards; moved by ``turn`` m."""
    where = {}
    for end, aside in (("L", 1.0), ("R", -1.0)):
        where |= {
            f"upperarm01.{end}": (0.2 * aside, -0.5, 2.0),
            f"upperleg01.{end}": (0.1 * aside, 0.0, 2.0),
            f"lowerarm01.{end}": (0.2 * aside, -0.2, 2.0),
            f"wrist.{end}": (0.2 * aside + turn, -0.2, 1.75),
        }
        for k, height in enumerate((-0.25, -0.23, -0.2, -0.18, -0.16), 1):
            where[f"finger{k}-1.{end}"] = (0.2 * aside + turn, height, 1.72 if k == 1 else 1.65)
    joints = np.array([where[name] for name in NAMES], np.float32)
    empty = np.zeros(0, np.float32)
    return Person(identity, 0.9, empty, empty, empty, empty, empty, joints)


def test_a_person_moves_the_arms_until_they_are_lost() -> None:
    assert arm_pose(person(1, 0.0).joints, NAMES, "right").length == pytest.approx(0.55, abs=1e-3)  # type: ignore[arg-type]
    moving = RobotArms([load_arm("ur5e", "right"), load_arm("panda", "left")], NAMES)
    first = moving.solve([person(1, 0.0), person(2, 0.1)], 0.0)
    assert list(first) == [1]
    assert set(first[1]) == {"ur5e", "panda"}
    assert max(error for error, _ in moving.errors.values()) < 0.01
    # The rest pose is that of this person.
    assert np.abs(first[1]["ur5e"] - load_arm("ur5e").rest_pose).max() < 1.2
    assert moving.solve([person(2, 0.1)], 0.04) == {}  # not seen, and not lost
    assert list(moving.solve([person(2, 0.1)], 0.08, lost=[1])) == [2]


def test_two_arms_of_one_kind_in_one_run(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"robot": "ur5e_left", "names": {"shoulder_pan_joint": "left_pan"}}')
    assert load_robot(file, "right").joint_names[0] == "left_pan"
    loaded = [load_robot(name, "right") for name in ("ur5e_left", "ur5e_right", "ur5e")]
    assert [(one.name, one.side) for one in loaded] == [
        ("ur5e_left", "left"),
        ("ur5e_right", "right"),
        ("ur5e", "right"),
    ]
    moving = RobotArms([one for one in loaded if isinstance(one, ArmDescription)], NAMES)
    angles = moving.solve([person(1, 0.0)], 0.0)[1]
    assert set(angles) == {"ur5e_left", "ur5e_right", "ur5e"}
    np.testing.assert_array_equal(angles["ur5e_right"], angles["ur5e"])
    # This person's arms mirror each other, and so do the tools: y is left.
    mirrored = [one.pose(angles[one.name])[:3, 3] for one in loaded[:2] if isinstance(one, ArmDescription)]
    np.testing.assert_allclose(mirrored[0] * [1, -1, 1], mirrored[1], atol=2e-3)
    record = {"frame": 0, "t": 0.0, "hands": [], "people": [{"id": 1, "robot": angles}]}
    assert RobotCommands("ur5e_left")(record)["ur5e_left"]["state"] == "following"


def test_a_file_says_whose_arm_moves_it(urdf: Callable[[str], Path]) -> None:
    file = urdf(URDF).with_suffix(".json")
    file.write_text('{"urdf": "my_arm.urdf", "arm": "mine", "side": "left"}')
    arm = load_robot(file, "right")
    assert isinstance(arm, ArmDescription)
    assert arm.side == "left"
    assert arm.notes == ("mine: moved by a person's left arm; its tool is link tool0",)


def test_a_side_that_contradicts_is_refused(urdf: Callable[[str], Path]) -> None:
    file = urdf(URDF).with_suffix(".json")
    file.write_text('{"urdf": "my_arm.urdf", "arm": "mine", "side": "left"}')
    left = load_arm("ur5e_left")
    assert load_arm(left) is left
    assert load_arm(left, "left") is left
    assert load_robot(left, "right") is left  # --arm is for those that do not say it themselves
    for robot in ("ur5e_left", left, file):
        with pytest.raises(HumanrtError, match="is moved by a person's left arm, as its name or description says"):
            load_arm(robot, "right")
        with pytest.raises(HumanrtError, match="not by the right one"):
            ArmRetargeter(robot, "right")
    assert load_arm(file, "left").side == "left"
    assert (load_arm("ur5e").side, load_arm("ur5e", "left").side) == ("right", "left")


def test_commands_of_arms() -> None:
    commands = RobotCommands({"ur5e": load_arm("ur5e")})
    angles = load_arm("ur5e").rest_pose
    record = {"frame": 0, "t": 0.0, "hands": [], "people": [{"id": 3, "robot": {"ur5e": angles}}]}
    command = commands(record)["ur5e"]
    assert (command["id"], command["side"], command["state"]) == (3, None, "following")
    assert command["joints"][0] == "shoulder_pan_joint"
    assert commands({**record, "t": 0.1, "people": []})["ur5e"]["state"] == "holding"
    assert RobotCommands("ur5e")(record)["ur5e"]["angles"] == pytest.approx(angles)
