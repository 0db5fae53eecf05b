"""`humanrt convert`: every format read back by other programs' code, and every mistake answered in one line."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import bvhio
import numpy as np
import pytest
import trimesh
from glb_reader import GlbReader
from known_take import FPS, FRAMES, Known, record

import humanrt
from command_line import refused
from golden_people import SmallMultiHmr
from humanrt.animation import FORMATS, convert, take_of
from humanrt.cli import main
from humanrt.errors import MissingDependencyError
from humanrt.outputs.record import Recorder, read_recording
from humanrt.people.rig import BodyRig

CAMERA_TO_GLTF = np.diag([1.0, -1.0, -1.0])


def errors_mm(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return 1000 * np.linalg.norm(found - expected, axis=-1)


@pytest.fixture(scope="module")
def reader(known: Known, tmp_path_factory: pytest.TempPathFactory) -> GlbReader:
    return GlbReader(convert(known.path, tmp_path_factory.mktemp("glb") / "take.glb")[0])


def test_glb_shows_the_very_meshes_of_the_recording(reader: GlbReader, known: Known, rig: BodyRig) -> None:
    for person in (1, 2):
        for k in (0, 7, -1):
            t, vertices, joints = known.times[person][k], known.vertices[person][k], known.joints[person][k]
            mesh = errors_mm(reader.vertices(person, t), vertices @ CAMERA_TO_GLTF)
            assert (mesh.mean() < 0.7, np.percentile(mesh, 95) < 3.5) == (True, True)  # four bones per vertex
            heads = reader.heads(person, t)
            expected = rig.bone_heads(joints) @ CAMERA_TO_GLTF
            assert errors_mm(np.array([heads[bone] for bone in rig.bones]), expected).max() < 0.1


def test_expressions_are_morph_targets_by_name(reader: GlbReader, known: Known, rig: BodyRig) -> None:
    assert tuple(reader.gltf.meshes[0].extras["targetNames"]) == rig.expression_units
    node = reader.nodes["person-1-mesh"]
    for k in (0, 20):
        weights = reader.animated(known.times[1][k])[node]["weights"]
        np.testing.assert_allclose(weights, known.expression[1][k], atol=1e-5)
    jaw = rig.expression_units.index("jawOpen")
    target = reader.read(reader.gltf.meshes[0].primitives[0].targets[jaw]["POSITION"])
    assert 0.005 < np.abs(target).max() < 0.1
    assert (target[np.argmin(reader.read(reader.gltf.meshes[0].primitives[0].attributes.POSITION)[:, 1])] == 0).all()


def test_a_person_who_is_away_is_not_shown(reader: GlbReader) -> None:

    def size(person: int, frame: float) -> float:
        return float(np.ptp(list(reader.heads(person, frame / FPS).values()), axis=0).max())

    assert [size(2, frame) > 1 for frame in (2, 11, 14, 22, 31, FRAMES - 1)] == [False, True, True, False, True, True]
    assert all(size(1, frame) > 1 for frame in (0, 12, FRAMES - 1))


@pytest.mark.parametrize("names", ["vrm", "mixamo", "smpl"])
def test_other_skeletons_follow_the_body_from_a_t_pose(
    names: str, natural: Known, rig: BodyRig, tmp_path: Path
) -> None:
    reader = GlbReader(convert(natural.path, tmp_path / "take.glb", names=names, person=1)[0])
    wrists = {"vrm": ("leftHand", "leftLowerArm", "leftUpperArm", "rightHand", "rightLowerArm", "rightUpperArm")}
    wrists["mixamo"] = tuple(f"mixamorig:{s}{part}" for s in ("Left", "Right") for part in ("Hand", "ForeArm", "Arm"))
    wrists["smpl"] = tuple(f"{s}_{part}" for s in ("left", "right") for part in ("wrist", "elbow", "shoulder"))
    left, elbow, shoulder, right, *_ = wrists[names]
    rest = rest_positions(reader)
    for start, stop, side in ((shoulder, elbow, 1), (elbow, left, 1)):
        along = rest[stop] - rest[start]
        assert along[0] * side / np.linalg.norm(along) > 0.999  # arms straight out, to the person's left
    assert abs(rest[left][1] - rest[right][1]) < 1e-3
    t = natural.times[1][7]
    expected = dict(zip(rig.bones, rig.bone_heads(natural.joints[1][7]) @ CAMERA_TO_GLTF, strict=True))
    heads = reader.heads(1, t)
    # One joint stands for several bones, between which it cannot bend.
    for name, bone in ((left, "wrist.L"), (right, "wrist.R"), (elbow, "lowerarm01.L")):
        assert errors_mm(heads[name], expected[bone]) < 10
    mesh = errors_mm(reader.vertices(1, t), natural.vertices[1][7] @ CAMERA_TO_GLTF)
    assert np.median(mesh) < 8


def rest_positions(reader: GlbReader) -> dict[str, np.ndarray]:
    skin = reader.gltf.skins[0]
    inverse = reader.read(skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
    return {reader.gltf.nodes[joint].name: -matrix[:3, 3] for joint, matrix in zip(skin.joints, inverse, strict=True)}


def test_vrm_names_its_humanoid_bones_and_expressions(known: Known, rig: BodyRig, tmp_path: Path) -> None:
    (path,) = convert(known.path, tmp_path / "take.glb", names="vrm", person=1)
    reader = GlbReader(path)
    vrm = reader.gltf.extensions["VRMC_vrm"]
    bones = vrm["humanoid"]["humanBones"]
    needed = {"hips", "spine", "head"} | {
        f"{side}{part}"
        for side in ("left", "right")
        for part in ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
    }
    assert needed <= bones.keys()
    assert all(reader.gltf.nodes[about["node"]].name == bone for bone, about in bones.items())
    (bind,) = vrm["expressions"]["custom"]["jawOpen"]["morphTargetBinds"]
    assert bind == {"node": 1, "index": rig.expression_units.index("jawOpen"), "weight": 1.0}
    assert reader.gltf.nodes[1].mesh == 0


def test_trimesh_reads_the_glb(known: Known, rig: BodyRig, tmp_path: Path) -> None:
    scene = trimesh.load(convert(known.path, tmp_path / "take.glb")[0])
    meshes = list(scene.geometry.values())
    assert len(meshes) == 2
    assert all(len(mesh.faces) == len(rig.faces) for mesh in meshes)


@pytest.mark.parametrize("names", [None, "mixamo"])
def test_bvh_moves_the_bones_where_the_recording_has_them(
    names: str | None, natural: Known, rig: BodyRig, tmp_path: Path
) -> None:
    files = convert(natural.path, tmp_path / "take.bvh", names=names)
    assert [file.name for file in files] == ["take-1.bvh", "take-2.bvh"]
    root = bvhio.readAsHierarchy(str(files[0]))
    joints = {joint.Name: joint for joint, *_ in root.layout()}
    for k in (0, 13, FRAMES - 1):
        root.loadPose(k)
        expected = dict(zip(rig.bones, rig.bone_heads(natural.joints[1][k]) @ CAMERA_TO_GLTF, strict=True))
        pairs = [(bone, bone) for bone in rig.bones] if names is None else [("mixamorig:LeftFoot", "foot.L")]
        found = np.array([list(joints[name].PositionWorld) for name, _ in pairs]) / 100
        limit = 0.2 if names is None else 10  # mm; one joint stands for several bones
        assert errors_mm(found, np.array([expected[bone] for _, bone in pairs])).max() < limit
    assert f"Frame Time: {1 / FPS:.7f}" in files[0].read_text()


def test_bvh_takes_another_rate(known: Known, tmp_path: Path) -> None:
    (path,) = convert(known.path, tmp_path / "take.bvh", person=1, fps=60)
    text = path.read_text()
    assert f"Frames: {int((FRAMES - 1) / FPS * 60) + 1}" in text
    assert "Frame Time: 0.0166667" in text


def test_amass_is_read_by_the_projects_own_reader(natural: Known, rig: BodyRig, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs what exports")
    from humanrt.geometry.anny import smpl_from_anny
    from humanrt.geometry.rotation import matrices_from_vectors
    from humanrt_export.motion.amass import parse_amass

    (path,) = convert(natural.path, tmp_path / "take.npz", "amass", person=1)
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    assert arrays["poses"].shape == (FRAMES, 165)
    assert arrays["betas"].shape == (16,)
    assert (str(arrays["gender"]), str(arrays["surface_model_type"])) == ("neutral", "smplx")
    for part, start, stop in (("root_orient", 0, 3), ("pose_body", 3, 66), ("pose_hand", 75, 165)):
        np.testing.assert_array_equal(arrays[part], arrays["poses"][:, start:stop])
    motion = parse_amass(path.read_bytes())
    assert motion.fps == FPS
    track = read_recording(natural.path).tracks().people[1]
    expected = smpl_from_anny(matrices_from_vectors(track.rotations))
    expected[:, 0] = CAMERA_TO_GLTF @ expected[:, 0]
    for joint in range(20):  # but for the toes, which do not turn
        np.testing.assert_allclose(motion.rotations[:, joint], expected[:, joint], atol=2e-4)
    hips = rig.bone_heads(natural.joints[1])[:, 0] @ CAMERA_TO_GLTF
    np.testing.assert_allclose(motion.translation, hips, atol=1e-3)


def test_csv_has_a_named_column_for_each_number(known: Known, rig: BodyRig, tmp_path: Path) -> None:
    (path,) = convert(known.path, tmp_path / "take.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(times) for times in known.times.values())
    assert [int(row["frame"]) for row in rows] == sorted(int(row["frame"]) for row in rows)
    row = next(row for row in rows if row["id"] == "1" and row["frame"] == "7")
    found = [float(row[f"head.{axis}"]) for axis in "xyz"]
    np.testing.assert_allclose(found, known.joints[1][7][rig.joint_names.index("head")], atol=1e-4)
    assert float(row["jawOpen"]) == pytest.approx(
        known.expression[1][7][rig.expression_units.index("jawOpen")], abs=1e-4
    )
    assert {"wrist.L.rx", "shape.0", "translation.z", "head_2d.x"} <= row.keys()
    assert [one["filled"] for one in rows if one["id"] == "2"][2] == "1"


def test_npz_has_the_arrays_of_each_track(known: Known, tmp_path: Path) -> None:
    (path,) = convert(known.path, tmp_path / "take.npz")
    with np.load(path) as data:
        assert data["person_ids"].tolist() == [1, 2]
        assert data["person_1.rotations"].shape == (FRAMES, 74, 3)
        np.testing.assert_allclose(data["person_2.joints"], known.joints[2], atol=1e-5)
        assert json.loads(str(data["header"]))["fps"] == FPS
        assert data["person_2.filled"].sum() == 1


def test_hands_become_tables(tmp_path: Path) -> None:
    path = tmp_path / "hands.jsonl"
    with Recorder(path, {"humanrt": "0", "task": "hands", "robots": {"toy": ["a", "b"]}, "fps": 30.0}) as recorder:
        for k in range(3):
            hand = {
                "id": 4,
                "side": "left",
                "score": 1.0,
                "keypoints_2d": np.full((21, 2), float(k)),
                "keypoints_3d": np.full((21, 3), k / 10),
                "robot": {"toy": [0.5, k / 4]} if k else {},
            }
            recorder.write({"frame": k, "t": k / 30, "size": [4, 4], "hands": [hand], "people": [], "ms": {}})
    with convert(path, tmp_path / "hands.csv")[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["toy.b"] for row in rows] == ["", "0.25", "0.5"]
    assert rows[2]["keypoint-20_3d.z"] == "0.2"
    with np.load(convert(path, tmp_path / "hands.npz")[0]) as data:
        assert str(data["hand_4.side"]) == "left"
        np.testing.assert_array_equal(data["hand_4.robot.toy"], [[np.nan, np.nan], [0.5, 0.25], [0.5, 0.5]])


def test_one_shape_a_take_from_people_who_breathe(rig: BodyRig, tmp_path: Path) -> None:
    """The shape of each frame differs; the file has one, and its bones stay near those of each frame."""
    wobbly = record(rig, tmp_path / "wobbly.jsonl", "holistic", wobble=0.02)
    reader = GlbReader(convert(wobbly.path, tmp_path / "take.glb", person=1)[0])
    errors = []
    for k in range(0, FRAMES, 5):
        heads = reader.heads(1, wobbly.times[1][k])
        expected = rig.bone_heads(wobbly.joints[1][k]) @ CAMERA_TO_GLTF
        errors.append(errors_mm(np.array([heads[bone] for bone in rig.bones]), expected))
    assert np.mean(errors) < 6
    lengths = {
        round(float(np.linalg.norm(heads["lowerleg01.L"] - heads["lowerleg02.L"])), 4)
        for heads in (reader.heads(1, t) for t in wobbly.times[1][::7])
    }
    assert len(lengths) == 1


def test_smoothing_takes_the_trembling_and_leaves_the_motion(natural: Known, rig: BodyRig, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lines = [json.loads(line) for line in natural.path.read_text().splitlines()]
    for line in lines[1:]:
        for person in line["people"]:
            noise = rng.normal(0, 0.01, 3)
            person["joints_3d"] = (np.array(person["joints_3d"]) + noise).tolist()
            person["rotations"] = (np.array(person["rotations"]) + rng.normal(0, 0.05, (74, 3))).tolist()
    shaky = tmp_path / "shaky.jsonl"
    shaky.write_text("".join(json.dumps(line) + "\n" for line in lines))
    true = rig.bone_heads(natural.joints[1]) @ CAMERA_TO_GLTF
    worst = {}
    for smooth in (None, 0.08):
        take = take_of(read_recording(shaky).tracks().people[1], read_recording(shaky).header)
        heads = (take.smoothed(smooth) if smooth else take).heads() @ CAMERA_TO_GLTF
        acceleration = errors_mm(np.diff(heads, 2, axis=0), np.diff(true, 2, axis=0))
        worst[smooth] = errors_mm(heads, true).mean(), acceleration.mean()
    assert worst[0.08][1] < worst[None][1] / 3
    assert worst[0.08][0] < 1.1 * worst[None][0]  # of a body in wilder motion than people are
    assert convert(shaky, tmp_path / "calm.glb", person=1, smooth=0.08)


def test_smplx_people_convert_too(small_multihmr: SmallMultiHmr, tmp_path: Path) -> None:
    from humanrt.bundle import load_bundle
    from humanrt.people.rig import open_rig

    folder = small_multihmr.bundle
    with open_rig(load_bundle(folder)) as rig:
        known = record(rig, tmp_path / "take.jsonl", str(folder))
        for name in ("glb", "bvh", "amass"):
            assert convert(known.path, tmp_path, name, person=1)
        reader = GlbReader(tmp_path / "take.glb")
        heads = reader.heads(1, known.times[1][7])
        expected = rig.bone_heads(known.joints[1][7]) @ CAMERA_TO_GLTF
        assert errors_mm(np.array([heads[bone] for bone in rig.bones]), expected).max() < 0.1
        with np.load(tmp_path / "take-amass.npz") as data:
            from humanrt.geometry.skeleton import SMPLX_55

            rotations = read_recording(known.path).tracks().people[1].rotations
            body = data["poses"].reshape(FRAMES, 55, 3)
            elbow, thumb = SMPLX_55.index("left_elbow"), SMPLX_55.index("right_thumb2")
            np.testing.assert_allclose(body[:, elbow], rotations[:, rig.bones.index("left_elbow")], atol=1e-5)
            np.testing.assert_allclose(body[:, thumb], rotations[:, rig.bones.index("right_thumb2")], atol=1e-5)
            assert not body[:, 23:25].any()  # eyes


def test_a_recording_without_joints_needs_its_bundle(known: Known, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in known.path.read_text().splitlines()]
    for line in lines[1:]:
        for person in line["people"]:
            person["joints_3d"] = []
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(humanrt.HumanrtError, match="--bundle"):
        convert(bare, tmp_path / "take.bvh")
    (path,) = convert(bare, tmp_path / "take.bvh", person=1, bundle="holistic")
    whole = convert(known.path, tmp_path / "whole.bvh", person=1)[0]
    found, expected = (
        np.array([float(x) for x in file.read_text().splitlines()[-1].split()]) for file in (path, whole)
    )
    np.testing.assert_allclose(found[:3], expected[:3], atol=0.1)  # cm
    np.testing.assert_allclose(found[3:], expected[3:], atol=0.02)  # degrees


def test_what_a_kill_left_behind_is_converted(tmp_path: Path, known: Known) -> None:
    whole = known.path.read_bytes()
    code = (
        "import json, sys, time; from humanrt.outputs.record import Recorder; from pathlib import Path\n"
        "lines = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]\n"
        "recorder = Recorder(sys.argv[2], lines[0])\n"
        "for line in lines[1:20]: recorder.write(line)\n"
        "print('half', flush=True); time.sleep(60)\n"
    )
    part = tmp_path / "part.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(known.path), str(part)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert convert(part, tmp_path / "part.glb")
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(whole[: len(whole) * 2 // 3])  # in the middle of a line, as a power cut leaves it
    with np.load(convert(cut, tmp_path / "cut.npz")[0]) as data:
        assert 20 < len(data["t"]) < FRAMES


def test_command_line(known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(known.path), "--to", "bvh", "--person", "all", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"take-{id}.bvh") for id in (1, 2)]
    assert main(["convert", str(known.path), "--out", str(tmp_path / "a.csv"), "--person", "2"]) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--to", "obj", "--out", "x.obj"), "choose from"),
        (("--out", "x.usd"), "amass, bvh, csv, fbx, glb, lerobot, npz, rosbag2, rrd"),
        (("--to", "bvh", "--out", "x.glb"), "*.bvh"),
        (("--to", "csv", "--out", "x.csv", "--fps", "30"), "--fps does nothing for --to csv"),
        (("--to", "csv", "--out", "x.csv", "--smooth", "0.1"), "--smooth does nothing for --to csv"),
        (("--to", "amass", "--out", "x.npz", "--names", "vrm"), "--names does nothing"),
        (("--to", "glb", "--out", "x.glb", "--person", "7"), "in it: 1, 2"),
        (("--to", "glb", "--out", "x.glb", "--person", "me"), "identity"),
        (("--to", "glb", "--out", "x.glb", "--fps", "0"), "fps must be a number"),
        (("--to", "glb", "--out", "x.glb", "--bundle", "nobody"), "nobody"),
        (("--to", "glb", "--out", "x.glb", "--bundle", "hands"), "hands"),
    ],
)
def test_mistakes_get_one_line(
    arguments: tuple[str, ...], expected: str, known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str(tmp_path / one) if one.startswith("x.") else one for one in arguments]
    assert expected in refused(capsys, "convert", known.path, *named)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "not a recording"),
        ('{"a": 1}\n', "not a recording"),
        ("glTF\n", "not a recording"),
        ('{"humanrt": "0"}\n', "there are no people in it"),
        ('{"humanrt": "0"}\n{"frame": 0}\n', "frame 0 (line 2) is not a frame of a recording (`t` is missing)"),
        ('{"humanrt": "0"}\n{"frame": 0, "t": 0, "hands": [], "people": [{}]}\n', "`id` is missing"),
        ('{"humanrt": "0"}\n{"frame": 0, "t": 0, "hands": [], "people": [{"id": 1}]}\n', "`score` of person 1"),
        (
            '{"humanrt": "0"}\n{"frame": 0, "t": 1, "hands": [], "people": []}\n'
            '{"frame": 1, "t": 1, "hands": [], "people": []}\n',
            "do not increase",
        ),
    ],
)
def test_broken_recordings_get_one_line(
    content: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(content)
    assert expected in refused(capsys, "convert", path, "--to", "bvh", "--out", tmp_path / "x.bvh")


def test_unknown_bones_still_give_tables(known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in known.path.read_text().splitlines()]
    lines[0]["bones"][5] = "tail"
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "neither" in refused(capsys, "convert", other, "--to", "bvh", "--out", tmp_path / "x.bvh")
    assert "tail.rx" in convert(other, tmp_path / "x.csv")[0].read_text().splitlines()[0]


def test_the_recording_is_never_replaced(known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "take.csv"
    source.write_bytes(known.path.read_bytes())
    assert "would replace" in refused(capsys, "convert", source, "--to", "csv", "--out", source)
    assert source.read_bytes() == known.path.read_bytes()


def test_fbx_without_blender_says_how_to_get_it(
    known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("bpy") is not None:
        pytest.skip("bpy is installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    line = refused(capsys, "convert", known.path, "--out", tmp_path / "x.fbx", "--person", "1")
    assert "pip install bpy" in line


@pytest.mark.slow
def test_blender_shows_the_bones_where_the_recording_has_them(known: Known, rig: BodyRig, tmp_path: Path) -> None:
    """Needs `pip install bpy` (0.8 GB)."""
    if importlib.util.find_spec("bpy") is None:
        pytest.skip("bpy is not installed: `pip install bpy`")
    (glb,) = convert(known.path, tmp_path / "take.glb")
    (fbx,) = convert(known.path, tmp_path / "take.fbx")
    assert fbx.stat().st_size > 100_000
    frames = [0, 12, 30]
    code = (
        "import bpy, json, sys\n"
        "bpy.ops.wm.read_factory_settings(use_empty=True)\n"
        "bpy.ops.import_scene.gltf(filepath=sys.argv[1])\n"
        "scene, found = bpy.context.scene, {}\n"
        "arm = next(o for o in bpy.data.objects if o.type == 'ARMATURE' and o.name.startswith('person-1'))\n"
        f"for k in {frames}:\n"
        f"    frame = k / {FPS} * scene.render.fps\n"
        "    scene.frame_set(int(frame), subframe=frame - int(frame))\n"
        "    a = arm.evaluated_get(bpy.context.evaluated_depsgraph_get())\n"
        "    found[k] = {bone.name: list(a.matrix_world @ bone.head) for bone in a.pose.bones}\n"
        "print('FOUND' + json.dumps(found))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code, str(glb)], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    found = json.loads(next(line for line in output.splitlines() if line.startswith("FOUND"))[5:])
    for k in frames:
        heads = rig.bone_heads(known.joints[1][k]) @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # z up
        shown = np.array([found[str(k)][bone] for bone in rig.bones])
        assert errors_mm(shown, heads).max() < 0.2


def test_every_format_is_described() -> None:
    assert set(FORMATS) == {"glb", "bvh", "amass", "fbx", "rrd", "csv", "npz", "rosbag2", "lerobot"}
    assert all(kind.help and (kind.suffix.startswith(".") or not kind.takes) for kind in FORMATS.values())


def test_rrd_without_rerun_says_what_to_install(known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'humanrt\[rerun\]'"):
        convert(known.path, tmp_path / "take.rrd")
    assert not (tmp_path / "take.rrd").exists()


def test_rrd_holds_every_frame_of_every_person(known: Known, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk is not installed: the extra `rerun` (500 MB)")
    (path,) = convert(known.path, tmp_path / "take.rrd")
    listed = subprocess.run(
        [sys.executable, "-m", "rerun", "rrd", "print", str(path)], capture_output=True, text=True, check=True
    ).stdout
    for person in (1, 2):
        rows = [line for line in listed.splitlines() if f"/people/{person} " in line and "Points3D:positions" in line]
        assert sum(int(line.split(" with ")[1].split()[0]) for line in rows) == len(known.times[person])
