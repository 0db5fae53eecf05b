"""Hands as MJCF: the same kinematics in MuJoCo, where that is installed (75 MB, not in CI), and whole files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from test_gentle import gripper

from humanrt.retarget import load_hand, robots
from humanrt.retarget.mjcf import ServoOptions, hand_mjcf


@pytest.mark.parametrize("robot", robots())
def test_joints_and_servos_are_the_descriptions(robot: str) -> None:
    hand, root = load_hand(robot), ET.fromstring(hand_mjcf(robot, servos=ServoOptions(stiffness=7.0)))
    joints = {one.get("name"): one for one in root.iter("joint") if one.get("type")}
    assert joints.keys() == set(hand.joint_names)
    servos = root.findall("actuator/position")
    assert [one.get("joint") for one in servos] == [joint.name for joint in hand.joints if joint.mimic is None]
    assert {one.get("kp") for one in servos} == {"7"}
    for joint in hand.joints:
        assert np.fromstring(joints[joint.name].get("range"), sep=" ") == pytest.approx([joint.lower, joint.upper])
    drawn = [one for one in hand.capsules(hand.rest_pose)[0] if np.linalg.norm(one[1] - one[0]) > 1e-4]
    assert len([one for one in root.iter("geom") if one.get("fromto")]) == len(drawn)


def test_a_follower_is_coupled(tmp_path: Path) -> None:
    root = ET.fromstring(hand_mjcf(gripper(tmp_path, "one follows the other way")))
    (coupling,) = root.findall("equality/joint")
    assert dict(coupling.attrib) == {"joint1": "right", "joint2": "left", "polycoef": "0 -1 0 0 0"}
    assert [one.get("joint") for one in root.findall("actuator/position")] == ["left"]


@pytest.mark.parametrize("robot", robots())
def test_mujoco_moves_as_the_description(robot: str) -> None:
    mujoco = pytest.importorskip("mujoco", reason="mujoco is not installed: pip install mujoco")
    hand = load_hand(robot)
    pose = np.eye(4)
    pose[:3] = [[0, -1, 0, 0.1], [1, 0, 0, 0.2], [0, 0, 1, 0.3]]
    model = mujoco.MjModel.from_xml_string(hand_mjcf(robot, pose))
    data = mujoco.MjData(model)
    low, high = hand.limits.T
    q = low + np.random.default_rng(1).uniform(size=len(low)) * (high - low)
    for name, angle in zip(hand.joint_names, q, strict=True):
        data.joint(name).qpos = angle
    mujoco.mj_kinematics(model, data)
    for name, frame in hand.forward(q).items():
        body = data.body(hand.name if name is None else f"{name}_link")
        assert body.xpos == pytest.approx((pose @ frame)[:3, 3], abs=1e-8)
        assert body.xmat.reshape(3, 3) == pytest.approx((pose @ frame)[:3, :3], abs=1e-7)
    drawn = hand.capsules(q)[0]
    drawn = drawn[np.linalg.norm(drawn[:, 1] - drawn[:, 0], axis=1) > 1e-4]
    middles = drawn.mean(axis=1) @ pose[:3, :3].T + pose[:3, 3]
    nearest = np.linalg.norm(middles[:, None] - data.geom_xpos, axis=-1).min(axis=1)
    assert nearest.max() < 0.005  # a capsule whose ends belong to two links is carried by one of them
