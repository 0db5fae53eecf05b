"""The ROS 2 package: its messages through CDR, the node with everything but the middleware, and its files."""

from __future__ import annotations

import importlib
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install rosbags")

import rclpy_stand_in
from rclpy_stand_in import TYPES, Node

import humanrt
from humanrt.data import CLIP
from humanrt.errors import HumanrtError
from humanrt.outputs.ros import RosNames, frame_messages, stamp_of
from humanrt.retarget import load_hand
from humanrt.sources.opening import Frame
from humanrt_ros.session import Deadman, Session, Settings, image_of

PACKAGE = Path(__file__).parents[2] / "integrations" / "ros2" / "humanrt_ros"


def frames(count: int) -> list[Frame]:
    with humanrt.open_source(CLIP) as source:
        return [frame for frame, _ in zip(source, range(count), strict=False)]


@pytest.fixture
def node_class(monkeypatch: pytest.MonkeyPatch) -> Any:
    rclpy_stand_in.install(monkeypatch)
    monkeypatch.setattr(Node, "parameters", {})
    return importlib.import_module("humanrt_ros.node")


def test_a_node_publishes_a_film_and_ends(node_class: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    from humanrt.outputs.video import open_sink

    with open_sink(clip, 30.0) as sink:
        for frame in frames(5):
            sink.write(frame.image)
    Node.parameters = {"source": str(clip), "robots": ["allegro_right"], "max_speed": 1.0}
    made: list[Any] = []
    monkeypatch.setattr(node_class, "HumanrtNode", lambda cls=node_class.HumanrtNode: made.append(cls()) or made[-1])
    node_class.main()
    (node,) = made
    sent = {topic: publisher.read() for topic, publisher in node.publishers.items()}
    assert {topic: len(found) for topic, found in sent.items() if topic != "/tf"} == {
        "~/allegro_right/joint_states": 5,
        "~/allegro_right/command": 5,
        "~/hands/right/keypoints": 5,
        "~/image_annotated/compressed": 5,
    }
    names = list(load_hand("allegro_right").joint_names)
    for state, command in zip(sent["~/allegro_right/joint_states"], sent["~/allegro_right/command"], strict=True):
        assert state.name == command.joint_names == names
        (point,) = command.points
        assert point.positions.tolist() == state.position.tolist()
        assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 33333333)
        assert command.header.stamp.sec == 0  # begin when it arrives
        assert state.header.stamp.sec == 1_700_000_000
    angles = np.array([state.position for state in sent["~/allegro_right/joint_states"]])
    assert 0 < np.abs(np.diff(angles, axis=0)).max() <= 1.0 / 30 + 1e-6  # gentle
    assert node.publishers["~/allegro_right/command"].qos == "reliable 1"
    assert node.publishers["~/allegro_right/joint_states"].qos == "sensor data"
    picture = sent["~/image_annotated/compressed"][0]
    drawn = cv2.imdecode(picture.data, cv2.IMREAD_COLOR)
    with humanrt.open_source(clip) as source:
        raw = next(iter(source)).image
    drawn = drawn[:, : raw.shape[1]]  # the robot stands beside it
    assert np.abs(drawn[..., ::-1].astype(int) - raw).max() > 60  # a hand is drawn on it
    assert np.median(np.abs(drawn[..., ::-1].astype(int) - raw)) < 8
    assert any("has ended" in line for line in node.log.lines)


def test_pictures_by_topic_with_the_camera_and_the_dead_mans_switch(node_class: Any) -> None:
    Node.parameters = {"source": "", "annotate": False, "deadman_timeout": 60.0}
    node = node_class.HumanrtNode()
    send, camera, enable = (node.subscribers[topic] for topic in ("image_raw", "camera_info", "~/enable"))
    films = frames(8)

    def picture(k: int) -> Any:
        height, width = films[k].image.shape[:2]
        stamp = SimpleNamespace(sec=50, nanosec=k * 33_000_000)
        bgr = np.zeros((height, width * 3 + 5), np.uint8)  # rows are padded
        bgr[:, : width * 3] = films[k].image[..., ::-1].reshape(height, -1)
        about = {"height": height, "width": width, "encoding": "bgr8", "step": bgr.shape[1]}
        return SimpleNamespace(header=SimpleNamespace(stamp=stamp), data=bgr.tobytes(), **about)

    assert np.array_equal(image_of(picture(3)), films[3].image)
    send(picture(0))
    assert not node.publishers  # it waits for the camera
    camera(SimpleNamespace(k=[600.0, 0, 320, 0, 600, 240, 0, 0, 1]))
    for k in (1, 2, 3):
        send(picture(k))
    states = node.publishers["~/allegro_right/joint_states"]
    held = [state.position.tolist() for state in states.read()]
    assert held[0] == held[1] == held[2]  # nobody holds the switch
    enable(SimpleNamespace(data=True))
    for k in (4, 5, 6):
        send(picture(k))
    assert states.read()[-1].position.tolist() != held[0]
    assert states.read()[-1].header.stamp.nanosec == 6 * 33_000_000
    send(SimpleNamespace(**{**vars(picture(7)), "encoding": "yuv422"}))
    assert "encoding `yuv422`" in node.failure
    node.close()


def test_whole_numbers_are_taken_where_ros_makes_them_of_what_is_written(node_class: Any) -> None:
    Node.parameters = {"source": "", "max_speed": 2, "rate": 25, "deadman_timeout": 0, "robots": "leap_right"}
    settings = node_class.HumanrtNode().settings
    assert (settings.max_speed, settings.rate, settings.deadman_timeout) == (2.0, 25.0, 0.0)
    assert settings.robots == ("leap_right",)
    Node.parameters = {"source": 7, "robots": ["no_hand"]}
    with pytest.raises(HumanrtError, match="no_hand"):  # source was taken
        node_class.HumanrtNode()


def test_a_picture_of_too_few_bytes_is_refused() -> None:
    for step, data in ((30, bytes(10)), (9, bytes(90)), (0, b"")):
        with pytest.raises(HumanrtError, match=r"image_raw: .* bytes are not 10 rows"):
            image_of(SimpleNamespace(height=10, width=10, step=step, data=data, encoding="rgb8"))


def test_wrong_parameters_end_the_node_with_a_line(node_class: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for parameters, words in (
        ({"robots": ["no_hand"]}, "no_hand"),
        ({"on_lost": "drop"}, "hold, open"),
        ({"max_speed": "fast"}, "parameter max_speed is 'fast'; give a float"),
        ({"deadman_timeout": -1.0}, "deadman_timeout (s) must be"),
        ({"arm": "left"}, "parameter arm: task hands moves no arms; set task:=people"),
        ({"rate": float("inf")}, "rate (frames per second of the camera) must be"),
    ):
        Node.parameters = parameters
        with pytest.raises(SystemExit) as ended:
            node_class.main()
        assert ended.value.code == 2
        assert words in capsys.readouterr().err
    Node.parameters = {"source": "/nowhere/at/all.mp4"}
    with pytest.raises(SystemExit):
        node_class.main()


def test_messages_survive_cdr() -> None:
    """Every kind of message, as rclpy's and rosbags' classes, and the names of topics."""
    wrist = [0.1, 0.2, 0.7, 0.0, 0.6, 0.0, 0.8]
    points = np.arange(63.0).reshape(21, 3) / 7
    hands = [{"side": "right", "score": score, "keypoints_3d": points * score, "wrist": wrist} for score in (0.5, 1.0)]
    record = {"hands": hands, "people": [{"id": 3, "joints_3d": points[:4]}]}
    robots = {"my-hand 2": {"joints": ["a", "b"], "angles": [0.5, -1.0]}}
    names = RosNames("~", "cam", "SIDE_palm")
    found = dict(frame_messages(record, robots, stamp_of(12.25), names, 0.02))
    assert found.keys() == {
        "~/my_hand_2/joint_states",
        "~/my_hand_2/command",
        "~/hands/right/keypoints",
        "/tf",
        "~/people/3/joints",
    }
    make = lambda kind, fields: TYPES.types[kind](**fields)  # noqa: E731
    read = {}
    for topic, message in found.items():
        from humanrt.outputs.ros import build

        raw = TYPES.serialize_cdr(build(message, make), message.type)
        read[topic] = TYPES.deserialize_cdr(raw, message.type)
    poses = read["~/hands/right/keypoints"]
    assert [[p.position.x, p.position.y, p.position.z] for p in poses.poses] == points.tolist()  # the surer hand
    assert poses.header.frame_id == "right_palm"
    transform = read["/tf"].transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ("cam", "right_palm")
    assert (transform.header.stamp.sec, transform.header.stamp.nanosec) == (12, 250_000_000)
    assert transform.transform.rotation.w == 0.8
    with pytest.raises(HumanrtError, match="ROS has times"):
        stamp_of(-1.0)


def test_the_dead_mans_switch() -> None:
    always, switch = Deadman(0.0), Deadman(0.5)
    assert always.enabled(0.0)
    always(False, 1.0)
    assert not always.enabled(1.0)
    assert not switch.enabled(0.0)
    switch(True, 1.0)
    assert switch.enabled(1.4)
    assert not switch.enabled(1.6)


@pytest.mark.slow
def test_people_are_published(tmp_path: Path) -> None:
    from humanrt.data import PEOPLE_CLIP

    robots = ("ur5e_left", "ur5e_right", "panda")
    with Session(Settings(task="people", robots=robots, arm="left", annotate=False)) as session:
        with humanrt.open_source(PEOPLE_CLIP) as source:
            frame = next(iter(source))
        messages = dict(session.messages(frame, 10.0))
    assert "~/people/1/joints" in messages
    for robot in robots:  # each is told, and both sides go their own way
        assert len(messages[f"~/{robot}/command"].fields["points"][0].fields["positions"]) in (6, 7)
    assert session.pipeline.robots["panda"].side == "left"


def test_the_package_is_whole() -> None:
    package = ET.parse(PACKAGE / "package.xml").getroot()
    assert package.findtext("name") == "humanrt_ros" == PACKAGE.name
    assert package.findtext("export/build_type") == "ament_python"
    needed = {one.text for one in package.findall("exec_depend")}
    used = {kind.split("/")[0] for kind in ("sensor_msgs/", "trajectory_msgs/", "tf2_msgs/", "geometry_msgs/")}
    assert used | {"rclpy", "rcl_interfaces", "launch_ros"} <= needed
    setup = (PACKAGE / "setup.py").read_text()
    for line in ("package.xml", "launch/hands.launch.py", "resource/{NAME}"):
        assert line in setup
        assert (PACKAGE / line.replace("{NAME}", "humanrt_ros")).exists()
