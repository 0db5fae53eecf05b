"""Robots as people have them: arms, whole robots, grippers, followers, and URDFs with faults.

Each moves as the hand does, or is refused with one line that says what to do; what nothing can move is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from urdfs import (
    ARM,
    ARM_JOINTS,
    FOLLOWS,
    GRIPPERS,
    HAND,
    JAWS,
    LEFT,
    NO_RANGE,
    ON_AN_ARM,
    RANGE,
    SLIDE,
    TIPS,
    WIDE,
    finger,
    fixed,
    jaws,
    joint,
    thumb,
)

from hands import human_hand, sequence
from humanrt.cli import main
from humanrt.data import CLIP
from humanrt.errors import HumanrtError
from humanrt.kernels.retarget import problem_arrays, state_arrays
from humanrt.retarget import HandDescription, Retargeter, load_hand


@pytest.fixture
def robot(tmp_path: Path) -> Callable[..., Path]:
    def write(joints: str, /, **hints: Any) -> Path:
        (tmp_path / "robot.urdf").write_text(f'<robot name="r">{joints}</robot>')
        (tmp_path / "robot.json").write_text(json.dumps({"urdf": "robot.urdf", "tips": TIPS, **hints}))
        return tmp_path / "robot.json"

    return write


def refused(message: str, call: Callable[[], object]) -> None:
    with pytest.raises(HumanrtError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def solved(robot: Path | HandDescription, frames: int = 40, **options: Any) -> dict[str, np.ndarray]:
    """Each joint's way [frames] on hands that open, close and pinch, by name."""
    retargeter = Retargeter(robot, **options)
    q = np.array([retargeter.solve(frame, side="right") for frame in sequence(frames)])
    low, high = retargeter.limits.T
    assert (q >= low).all()
    assert (q <= high).all()
    return dict(zip(retargeter.joint_names, q.T, strict=True))


# Arms and whole robots: only the joints from the wrist to the tips are the hand's


@pytest.mark.parametrize("given", [{"wrist": "palm"}, {}], ids=["wrist given", "wrist found"])
def test_an_arm_stays_at_rest(robot: Callable[..., Path], given: dict[str, str], kernel: str) -> None:
    alone = solved(robot(HAND), kernel=kernel, frames=12)
    path = robot(ARM + HAND, **given, rest={"shoulder": 0.4})
    way = solved(path, kernel=kernel, frames=12)
    rest = {"shoulder": 0.4, "elbow": -0.1, "linkage": 0.1}
    for name in ARM_JOINTS:
        np.testing.assert_allclose(way[name], rest.get(name, 0.0), atol=1e-12)
    for name, values in alone.items():
        np.testing.assert_allclose(way[name], values, atol=1e-6)
        assert np.ptp(values) > 0.1
    (note,) = load_hand(path).notes
    assert all(name in note for name in ARM_JOINTS)
    assert "not between palm and the tips" in note
    again = HandDescription.from_json(json.loads(json.dumps(load_hand(path).to_json())))
    np.testing.assert_allclose(solved(again, kernel=kernel, frames=12)["index_j1"], way["index_j1"], atol=1e-6)


def test_a_whole_robot_of_more_joints_than_the_solver_takes(robot: Callable[..., Path]) -> None:
    spine = "".join(joint(f"body_{i}", f"b{i - 1}" if i else "world", f"b{i}", "0 0 0.02") for i in range(60))
    legs = "".join(joint(f"leg_{i}", f"l{i - 1}" if i else "world", f"l{i}", "0 0 -0.1") for i in range(40))
    base = joint("free", "odom", "world", kind="floating", limit=None)
    mount = fixed("b59", "palm")
    path = robot(base + legs + spine + mount + HAND, wrist="palm")
    retargeter = Retargeter(path)
    assert len(retargeter.joint_names) == 109
    alone, way, portable = solved(robot(HAND)), solved(retargeter.hand), solved(retargeter.hand, 8, kernel="numpy")
    for name, values in way.items():
        if name.startswith(("body", "leg")):
            assert (values == 0.0).all()
        else:
            np.testing.assert_allclose(values, alone[name], atol=1e-6)
            np.testing.assert_allclose(solved(retargeter.hand, 8)[name], portable[name], atol=1e-9)
    assert "joints free, leg_0, leg_1, leg_2, leg_3, 94 more, body_58, body_59 stay at rest" in retargeter.hand.notes[0]
    # the GPU takes the same problem, and knows where the others rest
    assert len(problem_arrays(retargeter._problem)["parent"]) == 9
    assert state_arrays(retargeter._problem, 2)["q"].shape == (2, 109)


def test_wrist_that_does_not_carry_the_fingers(robot: Callable[..., Path]) -> None:
    other = joint("pan", "base", "camera", axis="0 0 1", limit=WIDE) + fixed("base", "palm")
    refused(
        "tips: thumb: link thumb_tip is not carried by the wrist link camera; give as wrist .* such as base",
        lambda: load_hand(robot(other + HAND, wrist="camera")),
    )
    assert load_hand(robot(fixed("palm", "frame", "0 0 -0.02") + HAND, wrist="frame")).wrist.xyz == (0, 0, -0.02)
    refused(
        "tips: index: no joint moves that link",
        lambda: load_hand(robot(HAND, wrist="index_3", tips={"index": "index_tip"})),
    )


def test_one_finger_on_an_arm_does_not_tell_where_the_hand_begins(robot: Callable[..., Path]) -> None:
    tips = {"index": "index_tip"}
    refused(
        'joints rail, shoulder, .* carry the tip of the index, and no second tip tells .* "wrist": "palm"',
        lambda: load_hand(robot(ARM + finger("index", "0 0 0.1"), tips=tips)),
    )
    way = solved(robot(ARM + finger("index", "0 0 0.1"), tips=tips, wrist="palm"))
    assert np.ptp(way["shoulder"]) == 0.0
    assert np.ptp(way["index_j1"]) > 0.5
    refused("this URDF has no <joint>", lambda: load_hand(robot("<link name='palm'/>")))


def test_an_arm_below_the_wrist_is_refused(robot: Callable[..., Path]) -> None:
    text = ARM.replace(f"<limit {NO_RANGE}/></joint>", f"<limit {WIDE}/></joint>") + HAND
    text = text.replace('<axis xyz="1 0 0"/></joint>', f'<axis xyz="1 0 0"/><limit {WIDE}/></joint>')
    refused(
        'wrist: joints rail, shoulder, .* lie between it and all fingers.* such as "wrist": "palm"',
        lambda: load_hand(robot(text, wrist="world")),
    )


def test_a_joint_between_palm_and_fingers_is_the_hands(robot: Callable[..., Path]) -> None:
    """A palm in the middle of the chain: what lies beyond it moves, what lies before it does not."""
    arch = joint("arch", "heel", "palm", "0 0 0.01", axis="1 0 0", limit='lower="-0.4" upper="0.4"')
    way = solved(robot(joint("lift", "base", "heel", limit=WIDE) + arch + HAND, wrist="heel"))
    assert np.ptp(way["lift"]) == 0.0
    assert np.ptp(way["arch"]) > 0.01


# Followers


@pytest.mark.parametrize("limit", [NO_RANGE, None, "continuous"])
def test_followers_without_a_range_do_not_bind_their_leader(robot: Callable[..., Path], limit: str | None) -> None:
    kind = {"kind": "continuous", "limit": None} if limit == "continuous" else {"limit": limit}
    follower = joint("index_j2", "index_1", "index_2", "0 0 0.045", mimic='joint="index_j1" multiplier="1.1"', **kind)
    second = joint("index_j3", "index_2", "index_3", "0 0 0.03", mimic='joint="index_j2" multiplier="-0.9"', **kind)
    second = second.replace('axis xyz="0 1 0"', 'axis xyz="0 -1 0"')
    text = HAND.replace(joint("index_j2", "index_1", "index_2", "0 0 0.045"), follower)
    text = text.replace(joint("index_j3", "index_2", "index_3", "0 0 0.03"), second)
    way = solved(robot(text))
    assert np.ptp(way["index_j1"]) > 0.5
    np.testing.assert_allclose(way["index_j2"], 1.1 * way["index_j1"], atol=1e-9)
    np.testing.assert_allclose(way["index_j3"], -0.99 * way["index_j1"], atol=1e-9)
    low, high = load_hand(robot(text)).limits[4:6].T
    np.testing.assert_allclose([*low, *high], [0.0, -1.584, 1.76, 0.0], atol=1e-9)


@pytest.mark.parametrize(
    ("limit", "mimic"),
    [
        ('lower="0" upper="0"', 'joint="index_j1"'),
        (RANGE, 'joint="index_j1" multiplier="-1"'),
        ('lower="0.4" upper="0.4"', 'joint="index_j1" offset="0.4"'),
    ],
)
def test_a_follower_that_holds_its_leader_is_named(robot: Callable[..., Path], limit: str, mimic: str) -> None:
    plain = joint("index_j2", "index_1", "index_2", "0 0 0.045")
    text = HAND.replace(plain, joint("index_j2", "index_1", "index_2", "0 0 0.045", limit=limit, mimic=mimic))
    refused(r"joint index_j1 cannot move: index_j2, which follows it .*, holds it", lambda: Retargeter(robot(text)))


def test_a_follower_of_what_stays_at_rest_is_named(robot: Callable[..., Path]) -> None:
    for mimic in ('joint="shoulder"', 'joint="middle_j1" multiplier="0" offset="0.2"'):
        first = joint("index_j1", "palm", "index_1", "0 0.026 0.095")
        led = joint("index_j1", "palm", "index_1", "0 0.026 0.095", limit=NO_RANGE, mimic=mimic)
        path = robot(ARM + HAND.replace(first, led), rest={"shoulder": 0.2})
        assert "joint index_j1 cannot move: " in load_hand(path).notes[1]
        np.testing.assert_allclose(solved(path)["index_j1"], 0.2)


def test_a_leader_beside_the_hand_leads(robot: Callable[..., Path]) -> None:
    """A motor's own link is no finger's, and what follows a finger but carries no tip still follows."""
    first = joint("index_j1", "palm", "index_1", "0 0.026 0.095")
    led = joint("index_j1", "palm", "index_1", "0 0.026 0.095", mimic='joint="motor" multiplier="0.5"')
    motor = joint("motor", "palm", "rotor", limit='lower="0" upper="3"')
    cover = joint("cover", "palm", "lid", limit=NO_RANGE, mimic='joint="index_j1" multiplier="2"')
    path = robot(motor + cover + HAND.replace(first, led))
    way = solved(path)
    assert np.ptp(way["motor"]) > 0.5
    np.testing.assert_allclose(way["index_j1"], 0.5 * way["motor"], atol=1e-9)
    np.testing.assert_allclose(way["cover"], way["motor"], atol=1e-9)
    assert load_hand(path).notes == ()


# Tips


def test_joints_that_move_no_tip_are_named(robot: Callable[..., Path]) -> None:
    bare = {"thumb": "thumb_2", "index": "index_3", "middle": "middle_tip"}
    refused(
        r'nothing can move joint thumb_j2, index_j3: it turns no finger .*"link": "index_3", "xyz"',
        lambda: Retargeter(robot(HAND, tips=bare)),
    )
    placed = {**TIPS, "index": {"link": "index_3", "xyz": [0, 0, 0.025]}}
    expected, way = solved(robot(HAND)), solved(robot(HAND, tips=placed))
    for name, values in expected.items():
        np.testing.assert_allclose(way[name], values, atol=1e-9)
    # or the user says that they stay
    way = solved(robot(HAND, tips=bare, locked={"thumb_j2": 0.2, "index_j3": 0.3}))
    assert (way["index_j3"] == 0.3).all()
    assert np.ptp(way["index_j2"]) > 0.5


@pytest.mark.parametrize(
    "tip", [{"link": "index_3"}, {"link": "index_3", "xyz": [0, 0]}, {"link": "x", "xyz": [0, 0, 0]}]
)
def test_places_of_tips(robot: Callable[..., Path], tip: dict[str, object]) -> None:
    refused(r"tips: index", lambda: load_hand(robot(HAND, tips={**TIPS, "index": tip})))


# Limits


@pytest.mark.parametrize("limit", [NO_RANGE, None])
@pytest.mark.parametrize("kind", ["revolute", "prismatic"])
def test_a_joint_without_limits_is_refused(robot: Callable[..., Path], kind: str, limit: str | None) -> None:
    plain = joint("index_j2", "index_1", "index_2", "0 0 0.045")
    text = HAND.replace(plain, joint("index_j2", "index_1", "index_2", "0 0 0.045", kind=kind, limit=limit))
    refused(f"joint index_j2 is {kind} but has no lower and upper limit", lambda: load_hand(robot(text)))
    assert (solved(robot(text, locked={"index_j2": 0.0}))["index_j2"] == 0.0).all()


def test_one_limit_left_out_is_zero(robot: Callable[..., Path]) -> None:
    assert load_hand(robot(HAND.replace('lower="0" upper="1.6"', 'upper="1.6"'))).limits[3].tolist() == [0.0, 1.6]


def test_a_joint_without_a_range_is_named(robot: Callable[..., Path]) -> None:
    plain = joint("index_j2", "index_1", "index_2", "0 0 0.045")
    stiff = joint("index_j2", "index_1", "index_2", "0 0 0.045", limit='lower="0" upper="0"')
    path = robot(HAND.replace(plain, stiff))
    (note,) = load_hand(path).notes
    assert note.startswith("robot: joint index_j2 cannot move: lower and upper limit are the same in robot.urdf, or")
    assert (solved(path)["index_j2"] == 0.0).all()
    text = HAND
    for plain_limit in ("index_j1", "index_j2", "index_j3"):
        start = text.index(f'name="{plain_limit}"')
        text = text[:start] + text[start:].replace(RANGE, 'lower="0" upper="0"', 1)
    refused("tips: index: no joint moves .*index_j1, index_j2, index_j3 cannot move", lambda: load_hand(robot(text)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (RANGE, 'lower="0" upper="90"', r"joint index_j1 has limits 0..90, which look like degrees; .* 0..1.571"),
        ('lower="-1.6" upper="1.6"', 'lower="-20" upper="20"', "joint thumb_j0 has limits -20..20, .* degrees"),
        ('rpy="-1 0 0"', 'rpy="-57.3 0 0"', "joint thumb_j0: origin rpy='-57.3 0 0' looks like degrees"),
        ("0 0 0.045", "0 0 45", "tips: index: the tip is .* m from palm; a URDF's lengths are metres"),
    ],
)
def test_other_units_are_refused(robot: Callable[..., Path], old: str, new: str, message: str) -> None:
    assert old in HAND
    refused(message, lambda: load_hand(robot(HAND.replace(old, new))))
    slide = joint("index_j1", "palm", "index_1", kind="prismatic", limit='lower="0" upper="40"')
    plain = joint("index_j1", "palm", "index_1", "0 0.026 0.095")
    refused("0..40, which look like millimetres; .* 0..0.04", lambda: load_hand(robot(HAND.replace(plain, slide))))


# Sides


def test_a_left_hand_without_side_is_told_by_its_thumb(robot: Callable[..., Path]) -> None:
    right = Retargeter(robot(HAND))
    assert right.hand.side == "right"
    assert right.hand.notes == ()
    left = Retargeter(robot(LEFT))
    assert left.hand.side == "left"
    assert "taken for a left hand, by where its thumb is" in left.hand.notes[0]
    for bend in (0.1, 0.6):
        tips = [
            r.hand.positions(r.solve(human_hand(bend, side=side)), [p[3] for p in r.hand.fingers.values()])
            for r, side in ((right, "right"), (left, "left"))
        ]
        np.testing.assert_allclose(tips[1] * [1, -1, 1], tips[0], atol=1e-4)
    assert load_hand(robot(LEFT, side="left")).notes == ()
    axes = {"fingers": "+z", "palm": "+x"}
    assert load_hand(robot(LEFT, axes=axes)).side == "left"
    assert load_hand(robot(LEFT, side="right", axes=axes)).side == "right"  # said twice: believed
    for text, side, other in ((LEFT, "right", "left"), (HAND, "left", "right")):
        refused(
            f"side is {side}, but the thumb is where a {other} hand has it; .*axes",
            lambda t=text, s=side: load_hand(robot(t, side=s)),
        )


def test_a_hand_whose_sides_cannot_be_told_says_so(robot: Callable[..., Path]) -> None:
    text = thumb().replace("0.01 0.03 0.03", "0.03 0 0.03").replace('rpy="-1 0 0"', 'rpy="0 0 0"') + finger(
        "index", "0 0 0.095"
    )
    hand = load_hand(robot(text, tips={"thumb": "thumb_tip", "index": "index_tip"}))
    assert hand.side == "right"
    assert "nothing tells its sides apart" in hand.notes[0]


# Grippers


EXTENT = {
    "one jaw is fixed": (0.003, 0.1213),
    "parallelograms": (0.0, 0.084),
    "two hinges": (0.0, 0.0938),
    "two hinges that could cross": (0.0, 0.06),
    "fingers of two hinges": (0.0, 0.1),
    "three jaws": (0.0, 0.0693),
    "three motors": (0.0, 0.0693),
}
"""Metres between the first two tips, closed and open, of those grippers that have others than 0..0.08."""


def pinching(frames: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Hands [frames, 21, 3] whose finger tips part from the thumb's, in turning directions, by distances [frames] m."""
    distances = 0.062 - 0.062 * np.cos(np.linspace(0, 4 * np.pi, frames))
    hands = []
    for i, distance in enumerate(distances):
        hand = human_hand(0.3 + 0.2 * np.sin(i))
        away = np.array([np.sin(0.2 * i), np.cos(0.2 * i), 0.5])
        for tip, sign in ((8, 1.0), (12, 1.0)):
            hand[tip] = hand[4] + sign * distance * away / np.linalg.norm(away)
        hands.append(hand)
    return np.array(hands), distances


@pytest.mark.parametrize("arm", ["", ON_AN_ARM], ids=["alone", "on an arm"])
@pytest.mark.parametrize("name", GRIPPERS)
def test_a_gripper_opens_as_thumb_and_finger_part(robot: Callable[..., Path], name: str, arm: str, kernel: str) -> None:
    text, tips = GRIPPERS[name]
    retargeter = Retargeter(robot(arm + text, tips=tips), kernel=kernel)
    hand = retargeter.hand
    assert hand.gripper
    frames, apart = pinching(60 if kernel == "native" else 12)
    if "middle" in tips and "thumb" not in tips:
        frames[:, 12] = frames[:, 8] + (frames[:, 8] - frames[:, 4])
    q = np.array([retargeter.solve(frame) for frame in frames])
    points = [points[3] for points in hand.fingers.values()]
    opening = np.array([np.linalg.norm(np.subtract(*hand.positions(each, points)[:2])) for each in q])
    # From tips that touch, or the narrowest gap, to the opening of jaws that have not crossed
    narrowest, widest = EXTENT.get(name, (0.0, 0.08))
    share = (opening - narrowest) / (widest - narrowest)
    assert np.corrcoef(share, apart)[0, 1] > 0.9
    assert share[apart < 0.03].max() < 0.05
    assert share[apart > 0.09].min() > 0.8
    if arm:
        assert np.ptp(q[:, :2]) == 0.0
    assert len(retargeter._problem.x) == len([j for j in hand.joints if j.mimic is None]) - 2 * bool(arm)
    for objective in ("vector", "dexpilot"):
        refused("is a gripper: .*use pose", lambda o=objective: Retargeter(hand, objective=o))


def test_what_carries_all_jaws_stays_at_rest_and_is_named(robot: Callable[..., Path]) -> None:
    lift = joint("lift", "base", "hand", kind="prismatic", limit=SLIDE)
    path = robot(lift + GRIPPERS["two motors"][0], tips=JAWS, wrist="base", rest={"lift": 0.01})
    assert load_hand(path).notes == ("robot: joint lift stays at rest: it carries all jaws of a gripper",)
    way = solved(path)
    assert (way["lift"] == 0.01).all()
    assert np.ptp(way["left"]) > 0.01


def test_a_gripper_that_cannot_open_is_refused(robot: Callable[..., Path]) -> None:
    alike = jaws({}, FOLLOWS)
    refused(
        "nothing can move joint left: it turns no finger and moves no tip", lambda: Retargeter(robot(alike, tips=JAWS))
    )
    still = {"thumb": "a", "index": "b"}
    fixed_tips = GRIPPERS["two motors"][0] + fixed("hand", "a") + fixed("hand", "b")
    refused("tips: thumb: no joint moves that link, a", lambda: load_hand(robot(fixed_tips, tips=still)))


def test_a_hand_is_no_gripper(robot: Callable[..., Path]) -> None:
    assert not load_hand(robot(HAND)).gripper
    assert not load_hand(robot(HAND, tips={"thumb": "thumb_tip", "index": "index_tip"})).gripper
    assert not any(load_hand(name).gripper for name in ("allegro_right", "leap_left", "shadow_right"))


# Xacro


@pytest.mark.parametrize(
    "text",
    [
        '<robot xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:include filename="finger.xacro"/></robot>',
        '<robot xmlns:x="http://www.ros.org/wiki/xacro"><x:macro name="finger" params="n"/></robot>',
        '<robot xmlns:xacro="http://ros.org/wiki/xacro"><link name="a"/><xacro:property name="w" value="1"/></robot>',
        '<robot><xacro:finger name="index"/></robot>',
        f"<robot>{HAND.replace('0 0 0.045', '0 0 ${length}')}</robot>",
        f"<robot>{HAND.replace('palm', '${prefix}palm')}</robot>",
        f"<robot>{HAND.replace('0 0 0.045', '$(arg offset)')}</robot>",
        "<robot>" + HAND.replace(RANGE, 'lower="0" upper="${pi / 2}"') + "</robot>",
    ],
)
def test_xacro_is_named_for_what_it_is(robot: Callable[..., Path], text: str) -> None:
    path = robot("")
    path.with_name("robot.urdf").write_text(text)
    refused(r"robot\.urdf: this is xacro, .*run `xacro robot\.urdf > hand\.urdf`", lambda: load_hand(path))


def test_expanded_xacro_is_a_urdf(robot: Callable[..., Path]) -> None:
    """The namespace stays in what xacro writes; meshes are not opened, so what names them does not matter."""
    mesh = '<link name="palm"><visual><geometry><mesh filename="$(find r)/palm.stl"/></geometry></visual></link>'
    path = robot(HAND)
    path.with_name("robot.urdf").write_text(
        f'<robot name="r" xmlns:xacro="http://www.ros.org/wiki/xacro">{mesh}{HAND}</robot>'
    )
    assert load_hand(path).side == "right"


def test_a_urdf_or_xacro_alone(tmp_path: Path) -> None:
    for name in ("hand.urdf", "hand.urdf.xacro"):
        refused("does not say which links are fingertips; give a .json", lambda n=name: load_hand(tmp_path / n))


# On the command line


def test_run_says_what_stays_at_rest(robot: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    record = robot("").with_name("r.jsonl")
    options = ("--headless", "--max-frames", "5", "--record", str(record))
    assert main(["run", str(CLIP), *options, "--robot", str(robot(ARM + HAND))]) == 0
    error = capsys.readouterr().err
    assert "robot: joints rail, shoulder, elbow, linkage, forearm, wrist_roll, wrist_lift stay at rest" in error
    assert "rail" in json.loads(record.read_text().splitlines()[0])["robots"]["robot"]


# Hints that cannot be meant


def test_hints_that_cannot_be_meant_are_refused_by_name(robot: Callable[..., Path]) -> None:
    for hints, message in (
        ({"tips": {**TIPS, "middle": "index_tip"}}, "index and middle are at the same position on link index_tip"),
        ({"locked": {"index_j1": 45}}, r"locked: index_j1 is 45, outside its limits 0\.\.1\.6 .*radians"),
        ({"rest": {"index_j3": -20}}, r"rest: index_j3 is -20, outside its limits"),
        ({"joints": {"index": ["index_j1", "index_j1", "index_j3"]}}, "not index_j1, index_j1, index_j3"),
        ({"joints": {"index": ["index_j3", "index_j2", "index_j1"]}}, "not index_j3, index_j2, index_j1"),
    ):
        refused(message, lambda hints=hints: Retargeter(robot(HAND, **hints)))


def test_tips_of_two_arms_are_refused(robot: Callable[..., Path]) -> None:
    """A copied line that names the other hand would have the fingers drive both arms."""
    arm = "".join(joint(f"a{i}", f"link{i}", f"link{i + 1}" if i < 5 else "palm", limit=WIDE) for i in range(6))
    arms = "".join(
        re.sub(r'(name|link)="', rf'\1="{side}_', arm + HAND).replace(f"{side}_link0", "torso") for side in "lr"
    )
    one = {name: f"r_{tip}" for name, tip in TIPS.items()}
    assert solved(robot(arms, tips=one), frames=2)["l_a1"].max() == 0.0
    refused("tips: thumb: joints l_a0.* more than a finger has; give the tips of one hand",
            lambda: Retargeter(robot(arms, tips={**one, "thumb": "l_thumb_tip"})))  # fmt: skip


def test_a_jaw_may_be_the_hand_itself(robot: Callable[..., Path]) -> None:
    slide = joint("jaw", "hand", "moving", "0 0 0.0", kind="prismatic", limit=SLIDE)
    way = solved(robot(slide, tips={"thumb": "moving", "index": "hand"}))
    assert way["jaw"].min() < 0.001
    assert way["jaw"].max() > 0.035


def test_joints_without_type_or_name_are_named(robot: Callable[..., Path]) -> None:
    for old, new, message in (
        ('name="index_j2" type="revolute"', 'name="index_j2"', "joint index_j2 has no type"),
        ('name="index_j2" ', "", "a joint has no name"),
        ('<parent link="index_1"/>', "<parent/>", "joint index_j2 has no parent or child link"),
    ):
        assert old in HAND
        refused(message, lambda old=old, new=new: Retargeter(robot(HAND.replace(old, new))))


def test_hints_of_an_editor_that_marks_utf_8(robot: Callable[..., Path]) -> None:
    path = robot(HAND)
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert load_hand(path).joint_names


@pytest.mark.parametrize("wrong", [90.0, -1e5])
def test_a_pose_measured_in_degrees_is_refused(wrong: float) -> None:
    retargeter = Retargeter("allegro_right")
    before = retargeter.solve(sequence(2)[1])
    for call in (retargeter.warm_start, retargeter.reset):
        with pytest.raises(ValueError, match=r"joint joint_3.0 of allegro_right is at .*; give radians"):
            call([*before[:3], wrong, *before[4:]])
        np.testing.assert_array_equal(retargeter.last, before)
    retargeter.warm_start(before + 0.5)


@pytest.mark.parametrize("factor", [0.1, 0.001])
def test_a_hand_that_is_too_small_is_refused(robot: Callable[..., Path], factor: float) -> None:
    """Its objective, in metres, would weigh less than the pull to the rest pose."""
    small = re.sub(
        r'xyz="([^"]+)" rpy', lambda m: f'xyz="{" ".join(str(float(v) * factor) for v in m[1].split())}" rpy', HAND
    )
    refused("too small a hand; a URDF's lengths are metres", lambda: Retargeter(robot(small)))
