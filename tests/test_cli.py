"""The command line as a user meets it: files out, one clear line for a mistake, and status 2."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest

from command_line import refused
from humanrt import cli
from humanrt.cli import main
from humanrt.commands import doctor, run
from humanrt.data import CLIP
from humanrt.outputs.record import read_recording
from humanrt.outputs.video import open_sink
from humanrt.sources.opening import open_source
from humanrt.stats import Percentiles, table


def run_hands(*arguments: str | Path) -> int:
    return main(["run", *map(str, arguments), "--task", "hands", "--headless"])


def test_run_writes_a_record_and_a_video(tmp_path: Path) -> None:
    record, video = tmp_path / "x.jsonl", tmp_path / "x.mp4"
    options = ("--robot", "allegro_right", "--max-frames", "12", "--record", record, "--video", video)
    assert run_hands(CLIP, *options) == 0
    recording = read_recording(record)
    lines = list(recording)
    assert len(lines) == 12
    assert len(recording.header["robots"]["allegro_right"]) == 16
    assert len(lines[-1]["hands"][0]["robot"]["allegro_right"]) == 16
    opened = cv2.VideoCapture(str(video))
    assert opened.read()[0]


def test_run_on_an_image_and_a_folder(tmp_path: Path) -> None:
    video = cv2.VideoCapture(str(CLIP))
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), video.read()[1])
    assert run_hands(folder, "--record", tmp_path / "folder.jsonl") == 0
    assert len(list(read_recording(tmp_path / "folder.jsonl"))) == 3
    assert run_hands(folder / "0.png", "--record", tmp_path / "one.jsonl", "--video", tmp_path / "one.png") == 0
    (line,) = read_recording(tmp_path / "one.jsonl")
    assert len(line["hands"]) == 1
    assert cv2.imread(str(tmp_path / "one.png")) is not None


def test_demo_measures_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--headless", "--out", str(tmp_path / "new" / "out")]) == 0
    said = capsys.readouterr().out
    assert "px median" in said
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == {"demo.mp4", "demo.jsonl", "demo.png"}
    found, of = next(line for line in said.splitlines() if "hand found" in line).split()[2:5:2]
    assert int(found) >= 0.95 * int(of)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nowhere.mp4", "--headless"), "nowhere.mp4"),
        (("run", CLIP, "--headless", "--robot", "alegro"), "choose one of: allegro_left, allegro_right"),
        (("run", CLIP, "--headless", "--bundle", "feet"), "known: "),
        (("run", CLIP, "--headless", "--backend", "cuad"), "auto, cpu, cuda, tensorrt"),
        (("run", CLIP, "--headless", "--backend", "tensorrt"), "tensorrt"),
        (("run", CLIP, "--headless", "--task", "feet"), "choose one of: hands"),
        (("run", CLIP, "--headless", "--model", "huge"), "full, lite"),
        (("run", CLIP, "--headless", "--max-frames", "0"), "above 0"),
        (("run", CLIP, "--headless", "--threads", "100000"), "4 per core"),
        (("run", CLIP, "--headless", "--threads", "-1"), "from 0"),
        (("run", CLIP, "--headless", "--size", "wide"), "1280x720"),
        (("run", CLIP, "--headless", "--size", "640x480"), "from cameras only"),
        (("run", CLIP, "--headless", "--fps", "15"), "from cameras and folders only"),
        (("run", CLIP, "--headless", "--video", "x.gif"), ".mp4"),
        (("run", CLIP, "--headless", "--record", "/nowhere/x.jsonl"), "mkdir -p /nowhere"),
        (("run", "99", "--headless"), "camera"),
        (("run",), "see `humanrt run --help`"),
        (("run", "--headless", "--robot", "allegro_right", CLIP), "source, before options that take several values"),
        (("run", CLIP, "--headless", "b.mp4", "c.mp4"), "one SOURCE a run, and here are 3: "),
        (("run", CLIP, "--headless", "--colour"), "humanrt run: unrecognized arguments: --colour"),
        (
            ("run", CLIP, "--headless", "--record", "x.bvh"),
            "x.bvh: a recording has one JSON line per frame",
        ),
        (("run", CLIP, "--headless", "--record", "x.json"), "*.jsonl"),
        (("bench", "retarget", "--threshold", "0.3"), "--threshold does nothing in `bench retarget`; leave it out"),
        (("bench", "people", "--robot", "allegro_right"), "--robot does nothing in `bench people`"),
        (("bench", "posebert", "--smooth", "posebert"), "--smooth does nothing in `bench posebert`"),
        (("bench", "hands", "--max-frames", "0"), "--max-frames must be at least 1"),
        (("bench", "retarget", "--warmup", "20"), "--warmup does nothing in `bench retarget`"),
        (("fly",), "demo"),
        (("bench", "hands", "--compare", "nowhere.json"), "nowhere.json"),
        (("bench", "hands", "--source", "nowhere.mp4"), "nowhere.mp4"),
        (("demo", "--out", "/proc/humanrt", "--headless"), "/proc/humanrt"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(
    arguments: tuple[str | Path, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(capsys, *arguments)


def test_help_of_run_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    said = capsys.readouterr().out
    examples = [line for line in said.splitlines() if line.startswith("  humanrt run ")]
    assert len(examples) == 3
    parser = argparse.ArgumentParser()
    run.add_parser(parser.add_subparsers())
    for line in examples:
        parser.parse_args(shlex.split(line.partition("   ")[0])[1:])


def test_no_display_is_said_before_anything_is_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform != "linux":
        pytest.skip("a display can be absent on Linux only")
    assert "--headless" in refused(capsys, "run", CLIP)


def test_a_corrupted_bundle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from shutil import copytree

    from humanrt.bundle import load_bundle

    folder = tmp_path / "hands"
    copytree(load_bundle("hands").path, folder)
    graph = folder / "palm_detector.onnx.z"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    assert "palm_detector.onnx.z is damaged" in refused(capsys, "run", CLIP, "--headless", "--bundle", folder)


def test_a_text_file_named_mp4_and_a_bad_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    assert "text.mp4" in refused(capsys, "run", text, "--headless")
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(capsys, "run", tmp_path / "empty", "--headless")


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen seconds: on a busy machine the clip that ships is over before its first results are written."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with open_source(CLIP) as source:
        images = [frame.image for frame, _ in zip(source, range(30), strict=False)]
    with open_sink(path, 30.0) as sink:
        for k in range(480):
            sink.write(images[k % len(images)])
    return path


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_recording_is_readable(tmp_path: Path, long_clip: Path, stop: signal.Signals) -> None:
    record, video = tmp_path / "x.jsonl", tmp_path / "x.mp4"
    command = [sys.executable, "-m", "humanrt", "run", str(long_clip), "--headless", "--realtime"]
    process = subprocess.Popen(
        [*command, "--record", str(record), "--video", str(video)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (record.is_file() and record.read_bytes().count(b"\n") > 8):
        time.sleep(0.02)
    process.send_signal(stop)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + stop
    assert said.count("\n") == 1
    lines = list(read_recording(record))
    assert len(lines) >= 5
    opened = cv2.VideoCapture(str(video))
    count = 0
    while opened.read()[0]:
        count += 1
    assert count >= 5


def test_bench_reports_compares_and_measures_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "short.mp4"
    copy_clip(clip, 30)
    report = tmp_path / "a.json"
    options = ("bench", "hands", "--source", str(clip), "--repeat", "1", "--warmup", "2")
    assert main([*options, "--json", str(report)]) == 0
    data = json.loads(report.read_text())
    assert {"landmarks", "smooth", "retarget", "total", "tracked"} <= set(data["stages"])
    assert {"p50", "p95", "p99", "max"} <= set(data["stages"]["total"])
    assert data["machine"]["versions"]["onnxruntime"]
    assert 0 <= data["live"]["dropped"] < 30
    assert data["live"]["grab_to_result_ms"]["p50"] > 0
    capsys.readouterr()
    assert main([*options, "--compare", str(report)]) == 0
    assert "vs before" in capsys.readouterr().out
    assert main(["bench", "retarget", "--source", str(clip), "--repeat", "1"]) == 0
    said = capsys.readouterr().out
    assert "allegro_left" in said
    assert "joint limits violated: 0" in said
    assert "`bench hands`" in refused(capsys, "bench", "retarget", "--source", clip, "--compare", report)


def copy_clip(path: Path, frames: int) -> None:
    """The first frames of the demo clip as a video of its own."""
    source = cv2.VideoCapture(str(CLIP))
    size = (int(source.get(cv2.CAP_PROP_FRAME_WIDTH)), int(source.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, size)
    for _ in range(frames):
        writer.write(source.read()[1])
    writer.release()


def test_percentiles_and_table() -> None:
    values = Percentiles.of(np.arange(101))
    assert (values.p50, values.p95, values.p99, values.max, values.mean) == (50, 95, 99, 100, 50)
    assert "2.00x" in table({"total": values}, before={"total": {"p50": 25.0}})
    with pytest.raises(ValueError, match="no values"):
        Percentiles.of([])


def test_doctor_finds_this_machine_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "bundle hands" in said
    assert "sha256 verified" in said


@pytest.mark.parametrize(
    ("present", "words"),
    [
        ({"onnxruntime": "1.32", "onnxruntime-gpu": "1.31"}, "pip uninstall -y onnxruntime onnxruntime-gpu"),
        ({"opencv-python": "5.0", "opencv-python-headless": "5.0"}, "&& pip install opencv-python-headless"),
        ({}, "pip install onnxruntime"),
    ],
)
def test_doctor_recognises_a_broken_mix(present: dict[str, str], words: str) -> None:
    def found(names: tuple[str, ...]) -> dict[str, str]:
        return {name: present[name] for name in names if name in present}

    broken = [finding for finding in doctor.examine(found) if finding.state == "broken"]
    assert any(words in finding.fix for finding in broken)


def test_doctor_says_which_camera_is_closed_to_us(monkeypatch: pytest.MonkeyPatch) -> None:
    from humanrt.sources import opening as capture

    seen = [
        capture.Camera(0, Path("/dev/video0"), "Good"),
        capture.Camera(1, Path("/dev/video1"), "Closed", "no permission: `sudo usermod -aG video $USER`"),
    ]
    monkeypatch.setattr(capture, "list_cameras", lambda: seen)
    cameras = [finding for finding in doctor.examine() if finding.what.startswith("camera ")]
    assert [(finding.state, finding.detail) for finding in cameras] == [
        ("yes", "Good (/dev/video0)"),
        ("no", "Closed (/dev/video1)"),
    ]
    assert "usermod" in cameras[1].fix


def test_doctor_reads_the_real_installation() -> None:
    assert doctor.installed(("numpy", "no-such-package")) == {"numpy": metadata.version("numpy")}


def test_importing_humanrt_is_light() -> None:
    code = (
        "import sys; import humanrt; humanrt.HandTracker; humanrt.Retargeter; humanrt.HandPipeline;"
        "print([m for m in ('torch', 'onnx', 'matplotlib', 'scipy', 'pygame') if m in sys.modules])"
    )
    environment = {**os.environ}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.strip() == "[]"


def test_only_the_command_that_is_asked_for_is_imported() -> None:
    code = (
        "import sys; from humanrt.cli import _parse; _parse(['doctor']); "
        "print(*sorted(name for name in sys.modules if name.startswith('humanrt.commands.')))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "humanrt.commands.doctor" in found.stdout.split()
    assert "humanrt.commands.coach" not in found.stdout.split()


def test_the_help_lists_every_command_that_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).parents[1] / "runtime" / "humanrt" / "commands"
    with pytest.raises(SystemExit):
        cli._parse(["--help"])
    shown = capsys.readouterr().out
    commands = [path.stem for path in folder.glob("*.py") if "def add_parser" in path.read_text(encoding="utf-8")]
    assert len(commands) == len(cli._COMMANDS) > 8
    assert all(f"    {name} " in shown for name in commands)
