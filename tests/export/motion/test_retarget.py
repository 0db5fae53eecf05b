"""Converted motion moves as the recording does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS, SMPL_REST
from humanrt_export.motion.asf_amc import CMU_UNIT, parse_amc, parse_asf
from humanrt_export.motion.body_fk import forward
from humanrt_export.motion.bvh import bvh_motion
from humanrt_export.motion.clip import Motion, MotionError
from humanrt_export.motion.load import _ArchiveFiles, amc_motion
from humanrt_export.motion.retarget import NAMINGS

# SMPL's bone (its two joints) -> the bone of CMU's skeleton that points the same way.
LIMBS = {
    ("hip", "knee"): "femur",
    ("knee", "ankle"): "tibia",
    ("shoulder", "elbow"): "humerus",
    ("elbow", "wrist"): "radius",
    ("wrist", "hand"): "hand",
}


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", ["01_08", "02_01", "02_05", "03_04"])
def test_limbs_point_as_in_the_recording(archive: Path, cmu: dict[str, Motion], name: str) -> None:
    """Against forward kinematics of the ASF itself: limbs to rounding, the trunk nearly."""
    files = _ArchiveFiles(archive)
    subject = name[:2]
    skeleton = parse_asf(files[f"cmu/{subject}/{subject}.asf"].decode())
    amc = parse_amc(files[f"cmu/{subject}/{name}.amc"].decode(), skeleton)
    ends = skeleton.joints(*skeleton.pose(amc))
    joints, _ = forward(cmu[name].rotations, translation=cmu[name].translation)
    at = {joint: joints[:, place] for place, joint in enumerate(SMPL_24)}
    for side in ("left", "right"):
        for (start, stop), bone in LIMBS.items():
            theirs = f"{side[0]}{bone}"
            own = unit(at[f"{side}_{stop}"] - at[f"{side}_{start}"])
            parent = skeleton.bones[theirs].parent
            assert parent is not None
            wanted = unit(ends[theirs] - ends[parent])
            assert (own * wanted).sum(-1).min() > 1 - 1e-9, theirs
        ours, theirs = at[f"{side}_foot"] - at[f"{side}_ankle"], ends[f"{side[0]}foot"] - ends[f"{side[0]}tibia"]
        assert (unit(ours) * unit(theirs)).sum(-1).min() > np.cos(np.radians(15))  # feet by their soles, not lines
    trunk = at["neck"] - (at["left_hip"] + at["right_hip"]) / 2
    theirs = ends["thorax"] - (ends["lhipjoint"] + ends["rhipjoint"]) / 2
    assert (unit(trunk) * unit(theirs)).sum(-1).min() > np.cos(np.radians(20))


def test_people_face_where_they_walk(cmu: dict[str, Motion]) -> None:
    """Up is y, the body's z is its front, its x its left; feet tread on one floor."""
    for name in ("02_01", "02_02", "02_03", "03_02"):
        motion = cmu[name]
        way = motion.translation[-1] - motion.translation[0]
        front, up = motion.rotations[:, 0, :, 2].mean(0), motion.rotations[:, 0, :, 1].mean(0)
        assert unit(way) @ unit(front) > 0.9, name
        assert unit(up)[1] > 0.95, name
    joints, world = forward(cmu["02_01"].rotations, translation=cmu["02_01"].translation)
    feet = joints[:, [SMPL_24.index("left_foot"), SMPL_24.index("right_foot")], 1]
    lowest = feet.min(axis=1)
    along = joints[:, 0, 2]
    floor = np.polyval(np.polyfit(along, lowest, 1), along)  # the recording's own rises by 1.5 cm a metre
    assert np.ptp(lowest - floor) < 0.04
    # Soles of standing feet are flat: within 12 degrees of level, on the median.
    standing = feet[:, 0] < floor + 0.01
    tilt = world[standing, SMPL_24.index("left_ankle"), 1, 1]
    assert np.degrees(np.arccos(np.median(tilt))) < 12


def test_elbows_and_knees_are_hinges(cmu: dict[str, Motion]) -> None:
    """CMU's elbows and knees turn about one axis: in SMPL's axes that is y for elbows, x for knees."""
    for name in ("02_05", "01_08"):
        rotations = cmu[name].rotations
        for joint, axis in (("left_elbow", 1), ("right_elbow", 1), ("left_knee", 0), ("right_knee", 0)):
            along = rotations[:, SMPL_24.index(joint), axis, axis]
            assert along.min() > 1 - 1e-6, joint


def test_lengths_are_inches() -> None:
    skeleton = parse_asf(ASF)
    assert np.linalg.norm(skeleton.bones["lfemur"].offset) == pytest.approx(8 / 0.45 * CMU_UNIT)
    assert pytest.approx(0.4516, abs=1e-4) == 8 / 0.45 * CMU_UNIT


def test_bvh_gives_back_what_was_written() -> None:
    """SMPL's tree under Mixamo's names, in centimetres, Euler angles in any order -> the same rotations."""
    generator = np.random.default_rng(4)
    for order in ("ZXY", "XYZ", "YXZ"):
        angles = generator.uniform(-80, 80, (5, 24, 3))
        angles[:, [22, 23]] = 0  # no bones of Mixamo
        text = write_bvh(angles, order, generator.uniform(-50, 50, (5, 3)))
        motion = bvh_motion(text, "made.bvh")
        wanted = np.stack([euler_of(order, angles[:, joint]) for joint in range(24)], axis=1)
        np.testing.assert_allclose(motion.rotations, wanted, atol=1e-6)
        assert motion.fps == pytest.approx(60, rel=1e-3)


def test_bvh_of_other_axes_and_of_an_a_pose() -> None:
    """z up and arms hanging in the rest pose: limbs point as the file's own forward kinematics."""
    generator = np.random.default_rng(5)
    angles = generator.uniform(-60, 60, (6, 24, 3))
    angles[:, [22, 23]] = 0
    lowered = SMPL_REST.copy()
    for side, sign in (("left", 1), ("right", -1)):
        shoulder = SMPL_24.index(f"{side}_shoulder")
        turn = matrices_from_vectors(np.array([0, 0, -sign * 0.9]))
        for joint in ("elbow", "wrist", "hand"):
            place = SMPL_24.index(f"{side}_{joint}")
            lowered[place] = lowered[shoulder] + turn @ (SMPL_REST[place] - SMPL_REST[shoulder])
    to_z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    text = write_bvh(angles, "ZYX", np.zeros((6, 3)), rest=lowered @ to_z_up.T)
    motion = bvh_motion(text, "made.bvh")
    joints, _ = forward(motion.rotations)
    turns = np.stack([euler_of("ZYX", angles[:, joint]) for joint in range(24)], axis=1)
    file_joints = forward(turns, lowered @ to_z_up.T)[0] @ to_z_up
    for start, stop in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
        for side in ("left", "right"):
            a, b = SMPL_24.index(f"{side}_{start}"), SMPL_24.index(f"{side}_{stop}")
            cosine = (unit(joints[:, b] - joints[:, a]) * unit(file_joints[:, b] - file_joints[:, a])).sum(-1)
            assert cosine.min() > 1 - 1e-9, (side, start)


def test_unknown_names_are_refused() -> None:
    text = write_bvh(np.zeros((1, 24, 3)), "ZXY", np.zeros((1, 3))).replace("LeftForeArm", "Tentacle")
    with pytest.raises(
        MotionError, match=r"match none of the known conventions.*Mixamo, lacks LeftForeArm: rename"
    ) as caught:
        bvh_motion(text, "made.bvh")
    assert "\n" not in str(caught.value)


def test_skeletons_that_do_not_stand_are_refused() -> None:
    still, places = np.zeros((1, 24, 3)), np.zeros((1, 3))
    with pytest.raises(MotionError, match=r"no trunk, no legs or no sides"):
        bvh_motion(write_bvh(still, "ZXY", places, rest=0 * SMPL_REST), "made.bvh")
    lying = SMPL_REST.copy()
    for joint in ("knee", "ankle", "foot"):  # legs drawn straight up, as all bones of some files are along one axis
        for side in ("left", "right"):
            place, hip = (SMPL_24.index(f"{side}_{name}") for name in (joint, "hip"))
            lying[place] = lying[hip] - (SMPL_REST[place] - SMPL_REST[hip])
    with pytest.raises(MotionError, match=r"does not stand on its legs; export it with a T-pose"):
        bvh_motion(write_bvh(still, "ZXY", places, rest=lying), "made.bvh")
    skeleton = parse_asf(ASF, "a.asf")
    with pytest.raises(MotionError, match=r"a\.asf: its bone names match none.*CMU \(ASF\), lacks lowerback"):
        amc_motion(skeleton, ":DEGREES\n1\nroot 0 0 0 0 0 0\nlfemur 1 2 3\n", "a.amc")


def test_toes_are_found_under_either_name() -> None:
    text = write_bvh(np.full((1, 24, 3), 5.0), "ZXY", np.zeros((1, 3)))
    wanted = bvh_motion(text, "made.bvh").rotations[:, 10]
    assert not np.allclose(wanted, np.eye(3))
    for name in ("Toe", "Unknown"):
        got = bvh_motion(text.replace("ToeBase", name), "made.bvh").rotations[:, 10]
        np.testing.assert_allclose(got, wanted if name == "Toe" else [np.eye(3)], atol=1e-12)


def euler_of(order: str, degrees: np.ndarray) -> np.ndarray:
    """BVH's: the first channel's turn is outermost."""
    turn = np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    for k, axis in enumerate(order):
        turn = turn @ matrices_from_vectors(np.radians(degrees[:, k : k + 1]) * np.eye(3)["XYZ".index(axis)])
    return turn


def write_bvh(angles: np.ndarray, order: str, places: np.ndarray, rest: np.ndarray = SMPL_REST) -> str:
    """SMPL's tree with Mixamo's names; angles [T, 24, 3] in degrees, the hands' are left out."""
    naming = NAMINGS["Mixamo"]
    names = {place: naming[joint][0] for place, joint in enumerate(SMPL_24) if joint in naming}
    lines, columns = ["HIERARCHY"], []

    def joint(place: int, depth: int) -> None:
        parent = SMPL_PARENTS[place]
        offset = 100 * (rest[place] - rest[parent]) if parent >= 0 else np.zeros(3)
        turning = " ".join(f"{axis}rotation" for axis in order)
        lines.append(f"{'ROOT' if parent < 0 else 'JOINT'} mixamorig:{names[place]}")
        lines.extend(("{", "OFFSET " + " ".join(f"{value:.9f}" for value in offset)))
        channels = f"CHANNELS 6 Xposition Yposition Zposition {turning}" if parent < 0 else f"CHANNELS 3 {turning}"
        lines.append(channels)
        columns.append(place)
        children = [child for child, above in enumerate(SMPL_PARENTS) if above == place]
        for child in children:
            if child in names:
                joint(child, depth + 1)
        if not any(child in names for child in children):
            end = 100 * (rest[children[0]] - rest[place]) if children else np.zeros(3)
            lines.extend(("End Site", "{", "OFFSET " + " ".join(f"{value:.9f}" for value in end), "}"))
        lines.append("}")

    joint(0, 0)
    lines.extend(("MOTION", f"Frames: {len(angles)}", "Frame Time: 0.0166667"))
    for frame, place in zip(angles, places, strict=True):
        row = [*place, *(value for column in columns for value in frame[column])]
        lines.append(" ".join(f"{value:.9f}" for value in row))
    return "\n".join(lines)


ASF = """# made by hand
:version 1.10
:name TEST
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name lfemur
     direction 0 -2 0
     length 8
     axis 0 0 20 XYZ
     dof rx ry rz
  end
:hierarchy
  begin
    root lfemur
  end
"""
