"""``humanrt-export robot``: MJCF becomes a URDF with the same kinematics, and a description that solves."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from humanrt import Retargeter
from humanrt.errors import HumanrtError
from humanrt.retarget import load_hand, load_robot
from humanrt.retarget.gentle import open_hand
from humanrt.retarget.mjcf import hand_mjcf
from humanrt_export.cli import main
from humanrt_export.robots.mjcf_tree import urdf_from_mjcf

mujoco = pytest.importorskip("mujoco")

FINGER = """
<body name="{n}_proximal" pos="{x} 0 0.09"><joint name="{n}J3" class="hinge"/><geom class="bone"/>
 <body name="{n}_middle" pos="0 0 0.04"><joint name="{n}J2" class="hinge" pos="0 0.002 0"/><geom class="bone"/>
  <body name="{n}_distal" pos="0 0 0.03" quat="0.996195 0.087156 0 0">
   <joint name="{n}J1" class="hinge"/><geom class="bone"/>
</body></body></body>
"""
HAND = """
<mujoco model="mine"><compiler angle="degree" autolimits="true" meshdir="assets"/>
<default><default class="hinge"><joint axis="1 0 0" range="0 90"/></default>
 <default class="bone"><geom type="capsule" fromto="0 0 0 0 0 0.025" size="0.008"/></default></default>
<asset><mesh name="palm" file="palm.stl"/></asset>
<worldbody><body name="palm" euler="10 20 30"><geom type="mesh" mesh="palm"/><geom type="box" size="0.03 0.01 0.04"/>
 <include file="fingers.xml"/>
 <body name="th_base" pos="0.03 0 0.03" euler="0 60 0"><joint name="THJ4" axis="0 0 1" range="-60 60"/>
  <body name="th_proximal"><joint name="THJ3" class="hinge"/><geom class="bone"/>
   <body name="th_distal" pos="0 0 0.04">
    <joint name="THJ1" class="hinge" ref="10"/><geom class="bone"/>
</body></body></body>
</body></worldbody>
<tendon><fixed name="FFJ0"><joint joint="FFJ2" coef="1"/><joint joint="FFJ1" coef="1"/></fixed></tendon>
<equality><joint joint1="MFJ1" joint2="MFJ2" polycoef="0.1 0.5 0 0 0"/></equality>
</mujoco>"""


def anchors(path: Path, values: dict[str, float]) -> dict[str, np.ndarray]:
    """Where MuJoCo has the joints, the meshes left out."""
    spec = mujoco.MjSpec.from_file(str(path))
    for geom in [one for one in spec.geoms if one.type == mujoco.mjtGeom.mjGEOM_MESH]:
        spec.delete(geom)
    for mesh in list(spec.meshes):
        spec.delete(mesh)
    spec.compiler.boundmass, spec.compiler.boundinertia = 1e-6, 1e-9
    model = spec.compile()
    data = mujoco.MjData(model)
    rows = {name: mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in values}
    for name, row in rows.items():
        data.qpos[model.jnt_qposadr[row]] = values[name]
    mujoco.mj_kinematics(model, data)
    return {name: data.xanchor[row].copy() for name, row in rows.items()}


def test_a_hand_with_menageries_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "mine.xml"
    source.write_text(HAND)
    fingers = "".join(FINGER.format(n=name, x=x) for name, x in (("FF", 0.025), ("MF", 0.0), ("RF", -0.025)))
    (tmp_path / "fingers.xml").write_text(f"<mujoco>{fingers}</mujoco>")
    assert main(["robot", str(source)]) == 0
    said = capsys.readouterr().out
    assert "1 shapes are left out, whose mesh files are missing" in said
    assert "FFJ1 follows FFJ2: one tendon pulls both" in said
    hand = load_hand(tmp_path / "mine.json")
    assert list(hand.fingers) == ["thumb", "index", "middle", "ring"]
    mimics = {joint.name: joint.mimic for joint in hand.joints if joint.mimic}
    assert mimics["FFJ1"] == ("FFJ2", 1.0, 0.0)
    assert mimics["MFJ1"] == pytest.approx(("MFJ2", 0.5, 0.1))  # type: ignore[comparison-overlap]
    # The same kinematics, class by class, in degrees, with anchors and reference positions.
    rng = np.random.default_rng(0)
    values = dict(zip(hand.joint_names, rng.uniform(*hand.limits.T), strict=True))
    frames = hand.forward(list(values.values()))
    for name, place in anchors(source, values).items():
        np.testing.assert_allclose(frames[name][:3, 3], place, atol=1e-9)
    # Tips are at the shapes' ends.
    tips = json.loads((tmp_path / "mine.json").read_text())["tips"]
    assert tips["index"] == {"link": "FF_distal", "xyz": pytest.approx([0.0, 0.0, 0.033], abs=1e-4)}
    q = Retargeter(hand).solve(open_hand(hand.side))
    assert np.isfinite(q).all()
    picture = cv2.imread(str(tmp_path / "mine.png"))
    assert picture.shape == (480, 960, 3)
    assert picture.std() > 10


@pytest.mark.parametrize("robot", ["allegro_right", "shadow_left"])
def test_our_own_hands_come_back(robot: str, tmp_path: Path) -> None:
    own = load_hand(robot)
    source = tmp_path / f"{robot}.xml"
    source.write_text(hand_mjcf(robot))
    assert main(["robot", str(source)]) == 0
    hand = load_hand(tmp_path / f"{robot}.json")
    assert hand.side == own.side
    for finger, points in own.fingers.items():
        assert hand.fingers[finger][3].joint == points[3].joint  # each finger is found, also without names
        there, here = (each.positions(each.rest_pose, [each.fingers[finger][3]])[0] for each in (own, hand))
        assert np.linalg.norm(there - here) < 0.02


def test_an_arm_and_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    links = "".join(
        f'<joint name="a{k}" type="revolute"><parent link="l{k}"/><child link="l{k + 1}"/><origin xyz="0 0 0.2"/>'
        f'<axis xyz="0 {k % 2} {1 - k % 2}"/><limit lower="-2" upper="2"/></joint>'
        for k in range(6)
    )
    urdf = tmp_path / "mine.urdf"
    urdf.write_text(f'<robot name="r">{links}</robot>')
    assert main(["robot", str(urdf)]) == 0
    assert load_robot(tmp_path / "mine.json").kind == "arm"
    capsys.readouterr()
    assert main(["robot", str(urdf)]) == 2
    assert "is there already; remove it" in capsys.readouterr().err
    (tmp_path / "still.urdf").write_text('<robot name="r"><link name="a"/></robot>')
    assert main(["robot", str(tmp_path / "still.urdf")]) == 2
    assert "no joint moves; give a robot that does" in capsys.readouterr().err
    (tmp_path / "rigid.xml").write_text('<mujoco><worldbody><body><geom size="1"/></body></worldbody></mujoco>')
    assert main(["robot", str(tmp_path / "rigid.xml")]) == 2
    assert "no joint moves" in capsys.readouterr().err
    assert not any((tmp_path / name).exists() for name in ("still.json", "rigid.json", "rigid.urdf"))
    broken = tmp_path / "broken.xml"
    broken.write_text("<mujoco><worldbody><body><joint/></body>")
    with pytest.raises(HumanrtError, match="MuJoCo cannot read it"):
        urdf_from_mjcf(broken)
