"""Hand descriptions: against the URDF's own mathematics, and users' own URDFs, good and broken."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from hands import human_hand
from humanrt.errors import HumanrtError
from humanrt.retarget import HandDescription, Retargeter, load_hand, robots
from humanrt.retarget.load import ROBOTS

sys.path.insert(0, str(Path(__file__).parents[2] / "export"))

URDF = """<robot name="two">
  <link name="base"/><link name="palm"/><link name="f1"/><link name="f2"/><link name="f3"/><link name="ftip"/>
  <link name="t1"/><link name="t2"/><link name="ttip"/>
  <joint name="mount" type="fixed"><parent link="base"/><child link="palm"/>
    <origin xyz="0 0 0.01" rpy="0.1 -0.2 0.3"/></joint>
  <joint name="F1" type="revolute"><parent link="palm"/><child link="f1"/><origin xyz="0 0.02 0.09" rpy="0 0 0.05"/>
    <axis xyz="0 2 0"/><limit lower="-0.1" upper="1.6" effort="1" velocity="1"/></joint>
  <joint name="F2" type="revolute"><parent link="f1"/><child link="f2"/><origin xyz="0 0 0.04"/>
    <axis xyz="0 1 0"/><limit lower="0" upper="1.6" effort="1" velocity="1"/></joint>
  <joint name="F3" type="revolute"><parent link="f2"/><child link="f3"/><origin xyz="0 0 0.03"/>
    <axis xyz="0 1 0"/><limit lower="0" upper="1.6" effort="1" velocity="1"/>
    <mimic joint="F2" multiplier="0.7"/></joint>
  <joint name="Ft" type="fixed"><parent link="f3"/><child link="ftip"/><origin xyz="0 0 0.025" rpy="1 2 3"/></joint>
  <joint name="T1" type="continuous"><parent link="palm"/><child link="t1"/>
    <origin xyz="0.01 0.03 0.03" rpy="-0.7 0 0"/><axis xyz="0 0 1"/></joint>
  <joint name="T2" type="prismatic"><parent link="t1"/><child link="t2"/><origin xyz="0.01 0 0.04" rpy="0 0.4 0"/>
    <axis xyz="0 0 1"/><limit lower="0" upper="0.02" effort="1" velocity="1"/></joint>
  <joint name="Tt" type="fixed"><parent link="t2"/><child link="ttip"/><origin xyz="0 0 0.03"/></joint>
</robot>"""
HINTS = {"urdf": "two.urdf", "side": "right", "tips": {"thumb": "ttip", "index": "ftip"}}


def write(folder: Path, text: str = URDF, /, **changes: object) -> Path:
    (folder / "two.urdf").write_text(text)
    (folder / "two.json").write_text(json.dumps({**HINTS, **changes}))
    return folder / "two.json"


def urdf_pose(urdf: str, q: dict[str, float], link: str) -> np.ndarray:
    """A link's pose in the root's frame by the URDF's definition, through every joint, fixed ones included."""

    def turn(axis: np.ndarray, angle: float) -> np.ndarray:
        a, (x, y, z) = np.eye(4), axis / np.linalg.norm(axis)
        c, s = np.cos(angle), np.sin(angle)
        a[:3, :3] = [
            [c + x * x * (1 - c), x * y * (1 - c) - z * s, x * z * (1 - c) + y * s],
            [y * x * (1 - c) + z * s, c + y * y * (1 - c), y * z * (1 - c) - x * s],
            [z * x * (1 - c) - y * s, z * y * (1 - c) + x * s, c + z * z * (1 - c)],
        ]
        return a

    def vector(element: ElementTree.Element | None, key: str, default: str) -> np.ndarray:
        text = default if element is None else element.get(key, default)
        return np.array([float(v) for v in text.split()])

    joints = {j.find("child").get("link"): j for j in ElementTree.fromstring(urdf).findall("joint")}
    pose = np.eye(4)
    while link in joints:
        joint = joints[link]
        origin, axis = joint.find("origin"), vector(joint.find("axis"), "xyz", "1 0 0")
        r, p, y = vector(origin, "rpy", "0 0 0")
        step = turn(np.array([0, 0, 1.0]), y) @ turn(np.array([0, 1.0, 0]), p) @ turn(np.array([1.0, 0, 0]), r)
        step[:3, 3] = vector(origin, "xyz", "0 0 0")
        value = q.get(joint.get("name"), 0.0)
        motion = np.eye(4)
        if joint.get("type") in ("revolute", "continuous"):
            motion = turn(axis, value)
        elif joint.get("type") == "prismatic":
            motion[:3, 3] = axis * value
        pose = step @ motion @ pose
        link = joint.find("parent").get("link")
    return pose


def test_users_own_urdf_end_to_end(tmp_path: Path, kernel: str) -> None:
    retargeter = Retargeter(write(tmp_path, wrist="palm"), kernel=kernel)
    hand = retargeter.hand
    assert hand.name == "two"
    assert hand.joint_names == ("F1", "F2", "F3", "T1", "T2")
    q = retargeter.solve(human_hand(0.5))
    low, high = retargeter.limits.T
    assert (q >= low).all()
    assert (q <= high).all()
    assert q[2] == pytest.approx(0.7 * q[1])
    assert q[1] > 0.3
    named = dict(zip(hand.joint_names, q, strict=True))
    for finger, link in HINTS["tips"].items():  # type: ignore[attr-defined]
        expected = urdf_pose(URDF, named, link)[:3, 3]
        np.testing.assert_allclose(hand.positions(q, [hand.fingers[finger][3]])[0], expected, atol=1e-12)
    for joint, link in (("F1", "f1"), ("F3", "f3"), ("T1", "t1"), ("T2", "t2")):
        np.testing.assert_allclose(hand.forward(q)[joint], urdf_pose(URDF, named, link), atol=1e-12)
    # and the same again from the compact file
    again = HandDescription.from_json(json.loads(json.dumps(hand.to_json())))
    np.testing.assert_allclose(Retargeter(again, kernel=kernel).solve(human_hand(0.5)), q, atol=1e-8)


def test_export_writes_the_description(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    robot_hand = pytest.importorskip("humanrt_export.commands.robot_hand")
    assert robot_hand.main([str(write(tmp_path)), "-o", str(tmp_path / "out.json")]) == 0
    q = Retargeter(tmp_path / "out.json").solve(human_hand(0.5))
    np.testing.assert_allclose(q, Retargeter(tmp_path / "two.json").solve(human_hand(0.5)), atol=1e-8)
    assert robot_hand.main([str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_axes_are_found_or_given(tmp_path: Path) -> None:
    for name in robots():
        hand = load_hand(name)
        np.testing.assert_allclose(hand.rotation, np.eye(3), atol=1e-12)
    straight = URDF.replace("0.1 -0.2 0.3", "0 0 0").replace('rpy="0 0 0.05"', "")
    found = load_hand(write(tmp_path, straight, wrist="palm")).rotation
    assert found[2, 2] > 0.8
    assert found[0, 0] > 0.8
    assert np.linalg.det(found) == pytest.approx(1.0)
    given = load_hand(write(tmp_path, axes={"fingers": "-y", "palm": "+z"})).rotation
    np.testing.assert_allclose(given[:, 2], [0, -1, 0])
    np.testing.assert_allclose(given[:, 0], [0, 0, 1])
    assert np.linalg.det(given) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tips": {"thumb": "ttop"}}, "no link 'ttop'; it has .*ttip"),
        ({"tips": {}}, "name the fingertip links"),
        ({"tips": {"toe": "ttip"}}, "unknown finger toe; choose one of: index"),
        ({"urdf": "none.urdf"}, r"none\.urdf: cannot read the URDF"),
        ({"wrist": "elbow"}, "wrist: two.urdf has no link 'elbow'"),
        ({"side": "top"}, "left or right"),
        ({"joints": {"index": ["F1", "F2"]}}, "knuckle, middle and last"),
        ({"joints": {"index": ["F1", "F2", "X"]}}, "not X"),
        ({"axes": {"fingers": "up"}}, "axes: give such as"),
        ({"axes": {"fingers": "+z", "palm": "-z"}}, "right angles"),
        ({"locked": {"nothing": 0.0}}, "names joint 'nothing'"),
        ({"locked": [1]}, "locked: expected an object such as"),
        ({"fingertips": {}}, "unknown field fingertips; choose one of: axes"),
        ({"tips": {"thumb": "base"}}, "no joint moves"),
    ],
)
def test_wrong_hints(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(HumanrtError, match=message) as caught:
        load_hand(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</robot>", "", "not valid XML"),
        ("robot", "sdf", "not a URDF"),
        ("0 0.02 0.09", "0 0.02", "malformed number"),
        ("0 0.02 0.09", "0 nan 0.09", "malformed number"),
        ("0 2 0", "0 0 0", "no axis"),
        ('<child link="f1"/>', "", "no parent or child"),
        ('<parent link="base"/>', '<parent link="ftip"/>', "one root link"),
        ('multiplier="0.7"', 'multiplier="0.7" offset="9"', "mimic joints within their limits"),
        ('<mimic joint="F2"', '<mimic joint="F9"', "F3: mimic names joint 'F9'"),
        ('upper="0.02"', 'upper="-0.02"', "has limits"),
    ],
)
def test_broken_urdf(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in URDF
    path = write(tmp_path, URDF.replace(old, new))
    with pytest.raises(HumanrtError, match=message) as caught:
        Retargeter(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "field 'format' is missing"),
        ('{"format": 9}', "reads format 1"),
        ('{"format": 1, "joints": 3}', "not a hand description"),
    ],
)
def test_broken_description(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "hand.json"
    path.write_text(text)
    with pytest.raises(HumanrtError, match=message):
        load_hand(path)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(HumanrtError, match="cannot read the robot's description"):
        load_hand(tmp_path / "no.json")
    with pytest.raises(HumanrtError, match="which links are fingertips"):
        load_hand(tmp_path / "hand.urdf")


def test_shipped_hands_carry_licence_and_provenance() -> None:
    assert robots() == [
        f"{name}_{side}" for name in ("allegro", "f5d6", "leap", "shadow") for side in ("left", "right")
    ]
    for path in ROBOTS.glob("*.json"):
        hand = load_hand(path)
        assert hand.name == path.stem
        assert hand.licence.split(",")[0] in ("BSD-2-Clause", "Apache-2.0", "MIT")
        assert len(hand.source["sha256"]) == 64
        assert hand.side in hand.name


def urdf_folders() -> list[Path]:
    inside = ("dexi_rs/resources/assets/robots/hands", "dexmate_urdf/robots/hands")
    return [folder for root in sys.path for name in inside if (folder := Path(root) / name).is_dir()]


def test_shipped_hands_are_what_the_script_makes() -> None:
    from humanrt_export.commands.robot_hand import SHIPPED, shipped_hand

    folders = urdf_folders()
    here = [name for name in robots() if any((folder / SHIPPED[name]["urdf"]).is_file() for folder in folders)]
    if not here:
        pytest.skip("none of the URDFs is installed: pip install --no-deps dexi-rs==0.4.1 dexmate-urdf==0.8.4")
    for name in here:
        assert shipped_hand(name, *folders).to_json() == load_hand(name).to_json()


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_f5d6_opens_closes_and_pinches(side: str) -> None:
    """Six motors and five followers; the thumb swings by one motor and bends by another."""
    retargeter = Retargeter(f"f5d6_{side}", collisions=True)
    assert len(retargeter.joint_names) == 11
    assert len(retargeter._problem.x) == 6
    hand = retargeter.hand
    fingers = list(hand.fingers.values())[1:]

    def bent(q: np.ndarray) -> np.ndarray:
        """Degrees between each finger, from its knuckle to its tip, and the palm's plane."""
        ways = hand.positions(q, [f[3] for f in fingers]) - hand.positions(q, [f[0] for f in fingers])
        return np.degrees(np.arctan2(ways @ hand.rotation[:, 0], ways @ hand.rotation[:, 2]))

    low, high = retargeter.limits.T
    for which in (None, 0, 1, 2, 3):
        bends = [1.0 if finger == which else 0.0 for finger in range(4)]
        q = retargeter.solve(human_hand(bends, side=side))
        assert ((q >= low - 1e-9) & (q <= high + 1e-9)).all()
        for finger, angle in enumerate(bent(q)):
            assert angle > 60 if finger == which else angle < 20

    keypoints = human_hand([0.75, 0.0, 0.0, 0.0], side=side)
    keypoints[4] = keypoints[8] + 0.008 * np.array([0.0, 0.0, -1.0])
    thumb = keypoints[4] - keypoints[1]
    keypoints[2], keypoints[3] = keypoints[1] + thumb * 0.4, keypoints[1] + thumb * 0.72
    tips = hand.positions(retargeter.solve(keypoints), [hand.fingers["thumb"][3], hand.fingers["index"][3]])
    assert np.linalg.norm(tips[0] - tips[1]) - 2 * hand.radius < 0.01
