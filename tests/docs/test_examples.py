"""The numbered examples run as they are, on a few frames of the clips that ship."""

from __future__ import annotations

import json
import runpy
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

import humanrt
from humanrt.data import CLIP, PEOPLE_CLIP, TRUTH
from humanrt.outputs.video import open_sink

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("**/*.py"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The first 6 frames of each clip."""
    folder = tmp_path_factory.mktemp("clips")
    for name, clip in (("hand", CLIP), ("people", PEOPLE_CLIP)):
        with humanrt.open_source(clip) as source, open_sink(folder / f"{name}.mp4", 30.0) as sink:
            for frame, _ in zip(source, range(6), strict=False):
                sink.write(frame.image)
    return {name: folder / f"{name}.mp4" for name in ("hand", "people")}


def run(script: str, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")


def test_hand_to_robot(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("00_hand_to_robot.py", clips["hand"], monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    assert printed.startswith("joint_")
    assert printed.count("hand 1 (right): [") == 6


def test_people_mesh(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("01_people_mesh.py", clips["people"], tmp_path / "people.glb", monkeypatch=monkeypatch)
    people = capsys.readouterr().out.count("score ")
    written = (tmp_path / "people.glb").read_bytes()
    assert people >= 1
    assert written[:4] == b"glTF"
    assert written.count(b'"person-') >= people


def test_animate(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("06_animate.py", clips["people"], "people.glb", monkeypatch=monkeypatch)
    assert "person 1: 6 frames" in capsys.readouterr().out
    assert b"inverseBindMatrices" in (tmp_path / "people.glb").read_bytes()


def test_record_and_read(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("02_record_and_read.py", clips["hand"], tmp_path / "hands.jsonl", monkeypatch=monkeypatch)
    assert capsys.readouterr().out.count("index fingertip at [") == 6
    assert len(list(humanrt.read_recording(tmp_path / "hands.jsonl"))) == 6


def test_your_robot(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("03_your_robot/run.py", clips["hand"], monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    assert "thumb_joint_3" in printed
    assert printed.count(" s: [") == 6


def test_your_output(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        try:
            receiver.bind(("127.0.0.1", 9870))
        except OSError as error:
            pytest.skip(f"the example's port is taken: {error}")
        receiver.settimeout(5)
        run("04_your_output.py", clips["hand"], monkeypatch=monkeypatch)
        packets = [json.loads(receiver.recv(65536)) for _ in range(6)]
    assert "a hand in 6 of 6 frames" in capsys.readouterr().out
    lines = list(humanrt.read_recording(tmp_path / "hands.jsonl"))
    for packet, line in zip(packets, lines, strict=True):
        assert packet["angles"]["1"] == pytest.approx(line["hands"][0]["robot"]["allegro_right"], abs=1e-4)


def test_avatar(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        run("07_avatar.py", clips["people"], f"127.0.0.1:{receiver.getsockname()[1]}", monkeypatch=monkeypatch)
        packets = b"".join(receiver.recv(65536) for _ in range(6))
    assert "people in 6 of 6 frames" in capsys.readouterr().out
    assert b"/VMC/Ext/Bone/Pos" in packets
    assert b"LeftUpperArm" in packets


def test_in_the_browser(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("viser", reason="viser is not installed: the extra `viewer`")
    run("08_in_the_browser.py", clips["people"], 0, monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    assert "open http://127.0.0.1:" in printed
    assert "people in 6 of 6 frames" in printed


@pytest.mark.parametrize("robot", ["leap_right", "allegro_right", "shadow_right"])
def test_grasp_in_mujoco(robot: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mujoco", reason="mujoco is not installed: pip install mujoco")
    run("09_grasp_in_mujoco.py", robot, monkeypatch=monkeypatch)
    assert float(capsys.readouterr().out.split("cube is ")[1].split()[0]) < 30  # dropped it would be 20 m below


def test_train_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="torch is not installed: training asks for it")
    monkeypatch.chdir(tmp_path)
    run("05_train_a_method.py", monkeypatch=monkeypatch)
    error = float(capsys.readouterr().out.split("mm ")[-1].split()[0])
    assert error < 20  # 100 before training
    assert (tmp_path / "run" / "log.jsonl").is_file()


def test_a_fist_closes_your_robot() -> None:
    """The example's URDF is a hand that works: a curled finger bends its joints, a straight one does not."""
    retargeter = humanrt.Retargeter(str(EXAMPLES / "03_your_robot" / "my_hand.json"))
    with np.load(TRUTH) as truth:
        keypoints = truth["keypoints_3d"][:, 0]  # m
    reach = np.linalg.norm(keypoints[:, 8] - keypoints[:, 5], axis=-1)
    index = [name for name in retargeter.joint_names if name.startswith("index")]
    places = [retargeter.joint_names.index(name) for name in index]
    straight = retargeter.solve(keypoints[int(reach.argmax())])[places].sum()
    retargeter.reset()
    curled = retargeter.solve(keypoints[int(reach.argmin())])[places].sum()
    assert curled > straight + 1.0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(EXAMPLES).as_posix())
def test_examples_are_short_and_listed(script: Path) -> None:
    assert len(script.read_text(encoding="utf-8").splitlines()) < 40
    name = script.relative_to(EXAMPLES).parts[0]
    assert f"`{name}" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert name[:2].isdigit()
