"""Recordings for robots: ROS 2 bags read back by rosbags, LeRobot data sets by lerobot."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import humanrt
from command_line import refused
from humanrt.cli import main
from humanrt.data import CLIP
from humanrt.errors import HumanrtError, MissingDependencyError, SourceError
from humanrt.outputs.record import read_recording

WRIST = [0.1, -0.2, 0.7, 0.5, 0.5, -0.5, 0.5]


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 frames of the clip with two robots; in frame 5 nobody, then 3 s without a frame, and a wrist's pose."""
    folder = tmp_path_factory.mktemp("take")
    run = ["run", str(CLIP), "--headless", "--max-frames", "12", "--record", str(folder / "raw.jsonl")]
    assert main([*run, "--robot", "allegro_right", "leap_right"]) == 0
    lines = [json.loads(line) for line in (folder / "raw.jsonl").read_text().splitlines()]
    for line in lines[1:]:
        line["hands"] = [] if line["frame"] == 5 else [{**one, "wrist": WRIST} for one in line["hands"]]
        line["t"] += 3.0 if line["frame"] > 5 else 0.0
    (folder / "take.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "take.jsonl"


def frames_with_hands(take: Path) -> list[dict[str, Any]]:
    return [line for line in read_recording(take) if line["hands"]]


def test_a_bag_is_read_back_by_rosbags(take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rosbags", reason="rosbags is not installed: pip install rosbags")
    from rosbags.rosbag2 import Reader
    from rosbags.typesys import Stores, get_typestore

    assert main(["convert", str(take), "--to", "rosbag2", "--out", str(tmp_path / "bag")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "bag")
    types = get_typestore(Stores.ROS2_JAZZY)
    found: dict[str, list[Any]] = {}
    with Reader(tmp_path / "bag") as reader:
        for connection, at, raw in reader.messages():
            message = types.deserialize_cdr(raw, connection.msgtype)
            found.setdefault(connection.topic, []).append((at, connection.msgtype, message))
    lines = frames_with_hands(take)
    robots = read_recording(take).header["robots"]
    assert found.keys() == {
        "/humanrt/allegro_right/joint_states",
        "/humanrt/leap_right/joint_states",
        "/humanrt/hands/right/keypoints",
        "/tf",
    }
    for name in ("allegro_right", "leap_right"):
        states = found[f"/humanrt/{name}/joint_states"]
        assert len(states) == len(lines) == 11
        for (at, kind, state), line in zip(states, lines, strict=True):
            assert kind == "sensor_msgs/msg/JointState"
            assert at == state.header.stamp.sec * 10**9 + state.header.stamp.nanosec == round(line["t"] * 1e9)
            assert state.name == robots[name]
            assert state.position.tolist() == line["hands"][0]["robot"][name]
    for (_, _, poses), (_, _, tf), line in zip(
        found["/humanrt/hands/right/keypoints"], found["/tf"], lines, strict=True
    ):
        points = [[pose.position.x, pose.position.y, pose.position.z] for pose in poses.poses]
        assert points == line["hands"][0]["keypoints_3d"]
        assert poses.poses[0].orientation.w == 1.0
        (stamped,) = tf.transforms
        assert (stamped.header.frame_id, stamped.child_frame_id) == (
            "humanrt_camera_optical_frame",
            poses.header.frame_id,
        )
        p, q = stamped.transform.translation, stamped.transform.rotation
        assert [p.x, p.y, p.z, q.x, q.y, q.z, q.w] == WRIST


def test_people_are_in_the_bag(tmp_path: Path) -> None:
    pytest.importorskip("rosbags", reason="rosbags is not installed: pip install rosbags")
    from rosbags.rosbag2 import Reader

    joints = [[0.1, 0.2, 3.0], [0.0, 0.0, 3.1]]
    person = {"score": 1.0, "head_2d": [1, 1], "translation": [0, 0, 3], "rotations": [[0, 0, 0]], "shape": []}
    people = [{"id": id, **person, "expression": [], "joints_3d": joints} for id in (1, 2)]
    lines: list[dict[str, Any]] = [{"humanrt": "0"}]
    lines += [
        {"frame": k, "t": k / 10, "size": [4, 4], "hands": [], "people": people[: k + 1], "ms": {}} for k in (0, 1)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (bag,) = humanrt.convert(tmp_path / "a.jsonl", tmp_path / "bag", "rosbag2", person=1)
    with Reader(bag) as reader:
        assert {one.topic: one.msgcount for one in reader.connections} == {"/humanrt/people/1/joints": 2}


def test_a_data_set_is_read_back_by_lerobot(take: Path, tmp_path: Path) -> None:
    """The real thing, where it is installed: 5 GB, and so not in CI; see docs/use/sending.md."""
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ImportError as error:
        pytest.skip(f"lerobot is not installed: {error}")
    options = {"robot": "leap_right", "video": CLIP, "task": "wave"}
    (folder,) = humanrt.convert(take, tmp_path / "waves", "lerobot", **options)
    read = LeRobotDataset("local/waves", root=folder, video_backend="pyav")
    lines = frames_with_hands(take)
    assert (len(read), read.num_episodes, read.fps) == (11, 2, 30)
    assert read.meta.info["codebase_version" if isinstance(read.meta.info, dict) else 0] == "v3.0"
    actions = np.array([np.asarray(one) for one in read.hf_dataset["action"]])
    assert np.array_equal(actions, np.array([line["hands"][0]["robot"]["leap_right"] for line in lines], np.float32))
    states = np.array([np.asarray(one) for one in read.hf_dataset["observation.state"]])
    assert np.array_equal(states, np.array([np.ravel(line["hands"][0]["keypoints_3d"]) for line in lines], np.float32))
    joints = read_recording(take).header["robots"]["leap_right"]
    assert read.features["action"]["names"] == [f"{joint}.pos" for joint in joints]
    assert [int(one) for one in read.hf_dataset["episode_index"]] == [0] * 5 + [1] * 6
    assert read.meta.tasks.index.tolist() == ["wave"]
    assert (folder / "videos" / "observation.images.front" / "chunk-000" / "file-000.mp4").stat().st_size > 1000


def test_mistakes_get_one_line(
    take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    convert = ("convert", take, "--out", out)
    assert "choose one: --robot allegro_right, leap_right" in refused(capsys, *convert, "--to", "lerobot")
    assert "does not move" in refused(capsys, *convert, "--to", "lerobot", "--robot", "x")
    assert "--task does nothing for --to rosbag2" in refused(capsys, *convert, "--to", "rosbag2", "--task", "x")
    assert "--fps does nothing" in refused(capsys, *convert, "--to", "lerobot", "--fps", "10")
    assert "exists already" in refused(capsys, "convert", take, "--out", tmp_path, "--to", "rosbag2")
    for name in ("rosbags", "lerobot"):
        monkeypatch.setitem(sys.modules, name, None)
    for module in [name for name in sys.modules if name.startswith(("rosbags.", "lerobot."))]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(MissingDependencyError, match="pip install rosbags"):
        humanrt.convert(take, out, "rosbag2")
    with pytest.raises(MissingDependencyError, match="pip install lerobot"):
        humanrt.convert(take, out, "lerobot", robot="leap_right")
    assert list(tmp_path.iterdir()) == []  # nothing half-made is left
    nobody = tmp_path / "nobody.jsonl"
    nobody.write_text('{"humanrt":"0"}\n')
    with pytest.raises(SourceError, match="nobody"):
        humanrt.convert(nobody, out, "rosbag2")
    late = json.loads(take.read_text().splitlines()[1]) | {"t": 4e9}
    (tmp_path / "late.jsonl").write_text('{"humanrt":"0"}\n' + json.dumps(late) + "\n")
    monkeypatch.undo()
    if "rosbags" not in sys.modules:
        pytest.importorskip("rosbags", reason="rosbags is not installed: pip install rosbags")
    with pytest.raises(HumanrtError, match="2147483647"):
        humanrt.convert(tmp_path / "late.jsonl", out, "rosbag2")
    assert not out.exists()
