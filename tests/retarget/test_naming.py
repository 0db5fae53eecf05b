"""Names and order of a robot's joints as its driver has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from humanrt import GentleMotion, Retargeter, RobotCommands
from humanrt.errors import HumanrtError
from humanrt.hands.robots import RobotHands
from humanrt.retarget import ArmRetargeter, load_arm, load_hand, load_robot
from humanrt.retarget.gentle import open_hand
from humanrt.retarget.naming import renamed

FIST = open_hand("right") * [1.0, 1.0, 0.6]


@pytest.mark.parametrize("robot", ["allegro_right", "shadow_right"])
def test_the_angles_are_the_same_by_the_drivers_names_and_in_its_order(robot: str) -> None:
    own = Retargeter(robot)
    order = own.joint_names[::-1]
    names = {name: f"driver_{k}" for k, name in enumerate(order)}
    driver = Retargeter(robot, names=names)
    assert driver.joint_names == tuple(names.values())
    there = dict(zip(driver.joint_names, driver.solve(FIST), strict=True))
    here = dict(zip(own.joint_names, own.solve(FIST), strict=True))
    for name, value in here.items():
        assert there[names[name]] == pytest.approx(value, abs=1e-9)
    np.testing.assert_allclose(driver.limits, own.limits[::-1])


def test_a_few_names_come_first() -> None:
    hand = renamed(load_hand("leap_right"), {"13": "thumb_a", "12": "thumb_b"})
    assert hand.joint_names[:2] == ("thumb_a", "thumb_b")
    assert set(hand.joint_names[2:]) == set(load_hand("leap_right").joint_names) - {"12", "13"}


def test_a_file_gives_a_robot_its_drivers_names_everywhere(tmp_path: Path) -> None:
    names = {name: f"j{k}" for k, name in enumerate(load_hand("allegro_right").joint_names[::-1])}
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"robot": "allegro_right", "names": names}))
    wanted = [f"j{k}" for k in range(16)]
    assert RobotHands(file).joint_names == {"allegro_right": wanted}  # of a recording's header
    assert GentleMotion(file).joint_names == tuple(wanted)
    record = {
        "frame": 0,
        "t": 0.0,
        "people": [],
        "hands": [{"id": 1, "side": "right", "robot": {"allegro_right": [0.0] * 16}}],
    }
    assert RobotCommands(file)(record)["allegro_right"]["joints"] == wanted


def test_arms_too(tmp_path: Path) -> None:
    own = load_arm("ur5e")
    file = tmp_path / "mine.json"
    names = {name: f"axis_{6 - k}" for k, name in enumerate(own.joint_names)}
    file.write_text(json.dumps({"robot": "ur5e", "names": dict(reversed(names.items()))}))
    arm = load_robot(file, "left")
    assert arm.side == "left"
    assert arm.joint_names == tuple(f"axis_{k}" for k in range(1, 7))
    q = own.rest_pose + 0.1
    np.testing.assert_allclose(arm.pose(q[::-1]), own.pose(q), atol=1e-12)  # type: ignore[union-attr]
    assert ArmRetargeter(arm).reach == pytest.approx(ArmRetargeter(own).reach, abs=1e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"names": {"nowhere": "x"}}, "names: no joint nowhere; it has "),
        ({"names": {"1": "0"}}, "several joints are to be named 0"),
        ({"names": ["a"]}, "names: give such as"),
        ({"names": {}, "side": "left"}, "unknown field side"),
        ({"robot": "mine.json"}, "mine.json only names another robot's joints"),
        ({"robot": "nowhere"}, "unknown robot"),
    ],
)
def test_refuses_names(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"robot": "leap_right", **fields}))
    with pytest.raises(HumanrtError, match=message):
        load_robot(file)
