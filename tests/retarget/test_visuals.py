"""Visuals of URDFs: shapes and mesh files where they are at hand, and never in the way of a hand that moves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from humanrt.retarget.description import HandDescription
from humanrt.retarget.load import load_hand
from humanrt.retarget.robot import rotation_of_rpy

trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed: the extra `viewer`")

EXAMPLE = Path(__file__).parents[2] / "examples" / "03_your_robot"


def drawn(tmp_path: Path, **visuals: str) -> HandDescription:
    """The example's hand with visuals: link -> the content of its <visual>."""
    urdf = (EXAMPLE / "my_hand.urdf").read_text()
    for link, content in visuals.items():
        assert f'<link name="{link}"/>' in urdf
        urdf = urdf.replace(f'<link name="{link}"/>', f'<link name="{link}"><visual>{content}</visual></link>')
    folder = tmp_path / "my_hand" / "urdf"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "my_hand.urdf").write_text(urdf)
    hints = json.loads((EXAMPLE / "my_hand.json").read_text())
    (folder / "my_hand.json").write_text(json.dumps(hints))
    return load_hand(folder / "my_hand.json")


def test_shapes_are_placed_on_the_joints_that_carry_them(tmp_path: Path) -> None:
    hand = drawn(
        tmp_path,
        palm='<geometry><box size="0.02 0.08 0.1"/></geometry>',
        index_1='<origin xyz="0 0 0.02" rpy="0 1.5 0"/><geometry><cylinder radius="0.01" length="0.04"/></geometry>',
        index_tip='<geometry><sphere radius="0.008"/></geometry>',
    )
    box, cylinder, sphere = hand.visuals
    assert (box.joint, box.kind, box.size) == (None, "box", (0.02, 0.08, 0.1))
    assert (cylinder.joint, cylinder.size) == ("index_joint_1", (0.01, 0.04))
    np.testing.assert_allclose(cylinder.pose[:3, 3], (0, 0, 0.02))
    np.testing.assert_allclose(cylinder.pose[:3, :3], rotation_of_rpy((0, 1.5, 0)))
    assert (sphere.joint, sphere.size) == ("index_joint_3", (0.008,))
    np.testing.assert_allclose(sphere.pose[:3, 3], (0, 0, 0.025))  # the fixed joint of the tip is folded in
    assert "visuals" not in hand.to_json()


@pytest.mark.parametrize("name", ["part.stl", "package://my_hand/meshes/part.stl", "package://other/meshes/part.stl"])
def test_mesh_files_are_found(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "my_hand" / ("meshes" if "meshes" in name else "urdf")
    folder.mkdir(parents=True)
    trimesh.creation.box((1, 2, 3)).export(folder / "part.stl")
    hand = drawn(tmp_path, palm=f'<geometry><mesh filename="{name}" scale="0.01 0.01 0.01"/></geometry>')
    (visual,) = hand.visuals
    assert visual.file is not None
    assert visual.file.resolve() == folder / "part.stl"
    assert visual.size == (0.01, 0.01, 0.01)


@pytest.mark.parametrize(
    "content",
    [
        '<geometry><mesh filename="nowhere.stl"/></geometry>',
        '<geometry><mesh filename="/etc/passwd"/></geometry>',
        '<geometry><mesh filename="package://"/></geometry>',
        "<geometry><mesh/></geometry>",
        '<geometry><box size="1 2"/></geometry>',
        '<geometry><sphere radius="nan"/></geometry>',
        '<origin xyz="a b c"/><geometry><sphere radius="1"/></geometry>',
        "<geometry><torus/></geometry>",
        "",
    ],
)
def test_what_cannot_be_drawn_is_left_out(tmp_path: Path, content: str) -> None:
    assert drawn(tmp_path, palm=content).visuals == ()


def test_a_page_shows_the_links(tmp_path: Path) -> None:
    pytest.importorskip("viser", reason="viser is not installed: the extra `viewer`")
    from humanrt.viewing.robot_meshes import link_meshes
    from humanrt.viewing.stage import Stage

    broken = tmp_path / "my_hand" / "urdf" / "broken.stl"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no mesh")
    hand = drawn(
        tmp_path,
        palm='<geometry><box size="0.02 0.08 0.1"/></geometry>',
        index_1='<geometry><mesh filename="broken.stl"/></geometry>',
        index_2='<geometry><cylinder radius="0.01" length="0.03"/></geometry>',
    )
    meshes = link_meshes(hand)
    assert [mesh.joint for mesh in meshes] == [None, "index_joint_2"]
    np.testing.assert_allclose(np.ptp(meshes[0].vertices, axis=0), (0.02, 0.08, 0.1))
    straight, bent = np.zeros(len(hand.joints)), np.array([joint.upper / 2 for joint in hand.joints])
    with Stage(0) as stage:
        places = []
        for angles in (straight, bent):
            stage.show_robots({"my_hand": (hand, angles)})
            palm, phalanx = stage._robots["my_hand"]
            places.append((np.array(palm.position), np.array(phalanx.position), np.array(phalanx.wxyz)))
            between = np.linalg.norm(places[-1][1] - places[-1][0])
            assert between == pytest.approx(np.linalg.norm(hand.forward(angles)["index_joint_2"][:3, 3]), abs=1e-6)
    np.testing.assert_allclose(places[0][0], places[1][0])
    assert np.linalg.norm(places[0][1] - places[1][1]) > 0.01
    assert np.abs(places[0][2] - places[1][2]).max() > 0.1
