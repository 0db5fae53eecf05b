"""Configurations of dex-retargeting: what they become, term for term, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from urdfs import FOLLOWS, HAND, RANGE, SLIDE, finger, fixed, jaws, joint, thumb

from hands import human_hand
from humanrt.errors import HumanrtError
from humanrt.retarget import Retargeter, RetargetOptions

yaml = pytest.importorskip("yaml")

VECTOR: dict[str, Any] = {
    "type": "vector",
    "urdf_path": "robot.urdf",
    "target_origin_link_names": ["palm", "palm", "thumb_1"],
    "target_task_link_names": ["thumb_tip", "index_tip", "middle_tip"],
    "target_link_human_indices": [[0, 0, 2], [4, 8, 10]],
    "scaling_factor": 1.3,
    "low_pass_alpha": 0.2,
}
DEXPILOT: dict[str, Any] = {
    "type": "DexPilot",
    "urdf_path": "robot.urdf",
    "wrist_link_name": "palm",
    "finger_tip_link_names": ["thumb_tip", "index_tip", "middle_tip"],
    "scaling_factor": 1.4,
}
POSITION: dict[str, Any] = {
    "type": "position",
    "urdf_path": "robot.urdf",
    "target_joint_names": None,
    "target_link_names": ["thumb_tip", "index_tip", "middle_tip", "index_2"],
    "target_link_human_indices": [4, 8, 12, 6],
    "add_dummy_free_joint": True,
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(given: dict[str, Any], joints: str = HAND) -> Path:
        (tmp_path / "robot.urdf").write_text(f'<robot name="r">{joints}</robot>')
        (tmp_path / "config.yml").write_text("# A comment\n" + yaml.safe_dump({"retargeting": given}))
        return tmp_path / "config.yml"

    return write


def link_positions(retargeter: Retargeter, q: np.ndarray) -> dict[str, np.ndarray]:
    """Return the links' positions [3] by the URDFs of these tests, whose tip links are fixed to the last moving one."""
    frames = retargeter.hand.forward(q)
    at = {"palm": np.zeros(3)}
    for name, number in (("thumb", 3), ("index", 3), ("middle", 3)):
        first = 0 if name == "thumb" else 1
        for k in range(number):
            at[f"{name}_{first + k}"] = frames[f"{name}_j{first + k}"][:3, 3]
        last = frames[f"{name}_j{first + number - 1}"]
        at[f"{name}_tip"] = last[:3, :3] @ (0, 0, 0.03 if name == "thumb" else 0.025) + last[:3, 3]
    return at


def huber(d: np.ndarray, delta: float) -> np.ndarray:
    return np.where(d < delta, 0.5 * d**2 / delta, d - 0.5 * delta)


def random_pose(retargeter: Retargeter) -> np.ndarray:
    return np.random.default_rng(3).uniform(*retargeter.limits.T)


def test_vector_is_the_peers_objective_term_for_term(write: Write) -> None:
    retargeter = Retargeter(write({**VECTOR, "huber_delta": 0.015}), rest_weight=0.0)
    assert retargeter.options.objective == "vector"
    q, human = random_pose(retargeter), human_hand(0.5)
    at = link_positions(retargeter, q)
    ends = zip(VECTOR["target_origin_link_names"], VECTOR["target_task_link_names"], strict=True)
    robot = np.array([at[task] - at[origin] for origin, task in ends])
    begin, end = VECTOR["target_link_human_indices"]
    d = np.linalg.norm(robot - 1.3 * (human[end] - human[begin]), axis=1)
    assert retargeter.cost(q, human, local=True) == pytest.approx(huber(d, 0.015).mean(), rel=1e-12)
    assert "vector of dex-retargeting becomes objective vector with 3 vectors, scale 1.3" in retargeter.hand.notes[0]


def test_both_kernels_minimise_it(write: Write) -> None:
    path = write(VECTOR)
    native, numpy = (Retargeter(path, kernel=kernel) for kernel in ("auto", "numpy"))
    for bend in (0.1, 0.6, 1.0):
        np.testing.assert_allclose(native.solve(human_hand(bend)), numpy.solve(human_hand(bend)), atol=1e-9)


def test_dexpilot_is_ours_with_its_numbers(write: Write) -> None:
    given = Retargeter(write({**DEXPILOT, "project_dist": 0.02, "escape_dist": 0.06}), rest_weight=0.0)
    hand = given.hand
    options = RetargetOptions(objective="dexpilot", project=0.02, escape=0.06, rest_weight=0.0)
    assert given.options == Retargeter(hand, options).options
    q, human = random_pose(given), human_hand(0.5)
    human[8] = human[4] + (0.0, 0.01, 0.0)
    tips = hand.positions(q, [points[3] for points in hand.fingers.values()])
    keypoints, robot = human[[0, 4, 8, 12]], np.concatenate([np.zeros((1, 3)), tips])
    cost = 0.0
    for k, (a, b) in enumerate([(2, 1), (3, 1), (3, 2), (0, 1), (0, 2), (0, 3)]):
        v = keypoints[b] - keypoints[a]
        target, weight = 1.4 * v, 1.0 if k < 3 else 6.0
        if k == 0:
            target, weight = 1e-4 * v / (np.linalg.norm(v) + 1e-6), 200.0
        cost += weight / 6 * float(huber(np.linalg.norm(robot[b] - robot[a] - target), 0.03))
    assert given.cost(q, human, local=True) == pytest.approx(cost, rel=1e-12)


def test_a_dexpilots_wrist_may_lie_beside_the_fingers(write: Write) -> None:
    beside = HAND + fixed("palm", "mount", "0 0 -0.09")
    retargeter = Retargeter(write({**DEXPILOT, "wrist_link_name": "mount"}, beside))
    assert (retargeter.hand.wrist.joint, retargeter.hand.wrist.xyz) == (None, (0.0, 0.0, -0.09))


def test_position_goes_to_places_from_the_wrist(write: Write) -> None:
    retargeter = Retargeter(write(POSITION), rest_weight=0.0)
    q, human = random_pose(retargeter), human_hand(0.5)
    at = link_positions(retargeter, q)
    robot = np.array([at[link] for link in POSITION["target_link_names"]])
    d = np.linalg.norm(robot - (human[[4, 8, 12, 6]] - human[0]), axis=1)
    assert retargeter.cost(q, human, local=True) == pytest.approx(huber(d, 0.02).mean(), rel=1e-12)
    assert "its free base is the wrist frame here" in retargeter.hand.notes[0]


def test_what_is_asked_for_by_name_wins(write: Write) -> None:
    assert Retargeter(write(VECTOR), objective="pose").options.objective == "pose"
    assert Retargeter("allegro_right").options.objective == "pose"


def test_joints_that_are_not_named_stay_at_zero(write: Write) -> None:
    names = ["index_j1", "index_j2", "middle_j1", *(f"thumb_j{k}" for k in range(3))]
    retargeter = Retargeter(write({**VECTOR, "target_joint_names": names}))
    q = dict(zip(retargeter.joint_names, retargeter.solve(human_hand(1.0)), strict=True))
    assert q["index_j3"] == 0.0
    assert q["middle_j2"] == 0.0
    assert q["index_j1"] > 0.1


def test_a_gripper_follows_the_vector_that_it_was_given(write: Write) -> None:
    given = {
        "type": "vector",
        "urdf_path": "robot.urdf",
        "target_origin_link_names": ["left_tip"],
        "target_task_link_names": ["right_tip"],
        "target_link_human_indices": [[4], [8]],
    }
    gripper = jaws({}, {"axis": "0 -1 0", **FOLLOWS})
    retargeter = Retargeter(write(given, gripper), rest_weight=0.0)
    assert retargeter.hand.gripper
    human = human_hand(0.5)
    human[8] = human[4] - (0.0, 0.05, 0.0)
    np.testing.assert_allclose(retargeter.solve_local(human), [0.025, 0.025], atol=1e-6)  # apart as the tips are
    assert SLIDE == 'lower="0" upper="0.04"'


def test_a_follower_whose_limits_hold_its_leader_is_released_and_named(write: Write) -> None:
    wrong = joint("index_j3b", "index_3", "index_4", "0 0 0.02", limit='lower="-1" upper="0"',
                  mimic='joint="index_j3" multiplier="1"')  # fmt: skip
    path = write(VECTOR, HAND + wrong)
    retargeter = Retargeter(path)
    assert any("limits of index_j3b are not kept" in note for note in retargeter.hand.notes)
    assert RANGE == 'lower="0" upper="1.6"'


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**VECTOR, "type": "pose"}, "type is 'pose'; choose one of: vector, dexpilot, position"),
        ({**VECTOR, "scale": 2}, "unknown field scale"),
        ({**VECTOR, "urdf_path": "nowhere.urdf"}, r"urdf_path: there is no .*nowhere.urdf .*; give its full path"),
        ({**VECTOR, "target_task_link_names": ["thumb_tip", "no", "index_tip"]}, "robot.urdf has no link 'no'"),
        ({**VECTOR, "target_link_human_indices": [[0, 0], [4, 8]]}, r"must be \[2, 3\] whole numbers from 0 to 20"),
        ({**VECTOR, "target_link_human_indices": [[0, 0, 0], [4, 8, 21]]}, r"must be \[2, 3\] whole numbers"),
        ({**VECTOR, "target_link_human_indices": [[0, 0, 0], [0, 0, 0]]}, "no link follows a finger"),
        ({**VECTOR, "target_joint_names": ["index_j1", "x"]}, "target_joint_names: no joint x"),
        ({**VECTOR, "ignore_mimic_joint": True}, "ignore_mimic_joint is not supported"),
        ({**VECTOR, "scaling_factor": "big"}, "scaling_factor is 'big'; it must be a finite number"),
        ({**VECTOR, "target_origin_link_names": ["palm"]}, "1 target_origin_link_names for 3"),
        ({**DEXPILOT, "finger_tip_link_names": ["thumb_tip"]}, "a dexpilot has 2 to 5 fingertips, not 1"),
        ({**DEXPILOT, "target_link_human_indices": [[0], [4]]}, "of a dexpilot are its own; leave them out"),
        ({**DEXPILOT, "wrist_link_name": None}, "wrist_link_name is missing or not a name"),
        ({**POSITION, "target_link_names": []}, "target_link_names is missing or not a list of names"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(write: Write, given: dict[str, Any], message: str) -> None:
    with pytest.raises(HumanrtError, match=message) as caught:
        Retargeter(write(given))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retargeting: [", "not valid YAML"),
        ("a: 1", "has no mapping `retargeting`"),
        ("a: &x [1]\nretargeting: {type: *x}", "aliases"),
        ("retargeting: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("retargeting: {? [1]: 2}", "not valid YAML"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(HumanrtError, match=message) as caught:
        Retargeter(tmp_path / "config.yaml")
    assert "\n" not in str(caught.value)


def test_without_pyyaml_the_message_says_what_to_install(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(HumanrtError, match=r"needs PyYAML; pip install 'humanrt\[dex\]'"):
        Retargeter(write(VECTOR))


def test_the_made_up_hand_is_what_these_tests_think() -> None:
    assert thumb() in HAND
    assert finger("index", "0 0.026 0.095") in HAND
    assert fixed("thumb_2", "thumb_tip", "0 0 0.03") in HAND
