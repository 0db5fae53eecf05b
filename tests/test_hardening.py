"""Mistakes and mishaps around the command line: files kept, streams closed, disks full, Ctrl-C at any time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from humanrt import native
from humanrt.cli import main
from humanrt.data import CLIP
from humanrt.outputs.record import read_recording

COMMAND = [sys.executable, "-m", "humanrt"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell and its signals")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert status == 2, captured
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A frame of the demo clip, with a hand."""
    return write(tmp_path / "hand.png", cv2.VideoCapture(str(CLIP)).read()[1])


def write(path: Path, picture: np.ndarray) -> Path:
    cv2.imwrite(str(path), picture)
    return path


def shell(line: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`humanrt ARGUMENTS` in a shell: `$@` stands for it in the line."""
    command = ["sh", "-c", line, "sh", *COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT)


# --- files are kept ---


@pytest.mark.parametrize("link", ["itself", "relative", "symlink", "hardlink"])
@pytest.mark.parametrize("option", ["--video", "--record"])
def test_the_source_is_never_written_to(
    tmp_path: Path,
    image: Path,
    option: str,
    link: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = image.read_bytes()
    target = {"itself": image, "relative": Path("hand.png")}.get(link, tmp_path / "other.png")
    if link == "symlink":
        target.symlink_to(image)
    elif link == "hardlink":
        target.hardlink_to(image)
    said = refused(capsys, "run", image, "--headless", option, target)
    assert f"{option} {target}: is the source" in said
    assert image.read_bytes() == before


def test_nor_are_the_images_of_a_folder_or_one_file_written_twice(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = image.read_bytes()
    assert "is the source" in refused(capsys, "run", tmp_path, "--headless", "--video", image)
    assert "lies in the source folder" in refused(capsys, "run", tmp_path, "--headless", "--video", tmp_path / "o.png")
    both = ("--video", tmp_path / "o.png", "--record", tmp_path / "o.png")
    assert "is also the file of --record" in refused(capsys, "run", image, "--headless", *both)
    robot = tmp_path / "robot.json"
    robot.write_text("{}")
    assert "a --robot file" in refused(capsys, "run", image, "--headless", "--robot", robot, "--record", robot)
    assert image.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"hand.png", "robot.json"}


def test_a_folder_named_as_the_bundle_changes_nothing(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hands").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(image), "--headless"]) == 0


@pytest.mark.parametrize("option", ["--record", "--video", "--bundle", "--robot"])
def test_names_too_long_for_the_disk(image: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = "x" * 300 + {"--video": ".mp4"}.get(option, "")
    assert "xxx" in refused(capsys, "run", image, "--headless", option, name)
    assert "xxx" in refused(capsys, "run", name, "--headless")


# --- pictures of any size ---


def test_a_folder_of_several_sizes_becomes_one_video(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, (width, height) in enumerate([(320, 180), (100, 240), (1, 1), (500, 50)]):
        write(folder / f"{index}.png", np.full((height, width, 3), 120, np.uint8))
    out = tmp_path / "o.mp4"
    assert main(["run", str(folder), "--headless", "--video", str(out), "--robot", "allegro_right"]) == 0
    video = cv2.VideoCapture(str(out))
    sizes = []
    while (read := video.read())[0]:
        sizes.append(read[1].shape)
    assert len(sizes) == 4
    assert len(set(sizes)) == 1


@pytest.mark.parametrize("robots", [[], ["allegro_right"], ["allegro_right", "shadow_right", "leap_right"]])
def test_an_image_of_one_pixel(tmp_path: Path, robots: list[str]) -> None:
    source = write(tmp_path / "dot.png", np.zeros((1, 1, 3), np.uint8))
    out = tmp_path / "o.mp4"
    options = ["--robot", *robots] if robots else []
    assert main(["run", str(source), "--headless", "--video", str(out), *options]) == 0
    assert cv2.VideoCapture(str(out)).read()[0]


# --- Ctrl-C ---


@POSIX
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopped_at_any_time_it_says_one_line(stop: signal.Signals) -> None:
    """From when our code runs; before that it is Python's own start, which cannot be helped."""
    begin = "import sys; sys.argv[0] = 'humanrt'; from humanrt.cli import main; print(flush=True); sys.exit(main())"
    arguments = ["run", str(CLIP), "--headless", "--realtime"]
    said = set()
    for delay in (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 1.0):
        process = subprocess.Popen(
            [sys.executable, "-c", begin, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(stop)
        line = process.communicate(timeout=30)[1]
        assert process.returncode == 128 + stop, line
        assert line.count("\n") == 1, line
        said.add(line)
    assert any("before anything was begun" in line for line in said)


@pytest.mark.parametrize("made_of_it", [ImportError, SystemError, KeyboardInterrupt])
def test_an_interrupt_that_a_library_turned_into_another_error(
    made_of_it: type[BaseException], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: object) -> int:
        try:
            signal.raise_signal(signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            raise made_of_it("numpy.core.multiarray failed to import") from None
        return 0

    monkeypatch.setattr("humanrt.commands.doctor.run", run)
    before = signal.getsignal(signal.SIGINT)
    assert main(["doctor"]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err == "humanrt doctor: interrupted; what was written is complete\n"


# --- streams ---


@POSIX
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams_change_neither_status_nor_record(tmp_path: Path, image: Path, closed: str) -> None:
    if "full" in closed and not Path("/dev/full").exists():
        pytest.skip("/dev/full is a Linux device")
    record, video = tmp_path / "o.jsonl", tmp_path / "o.mp4"
    done = shell(f'"$@" {closed}', "run", image, "--headless", "--record", record, "--video", video)
    assert done.returncode == 0, done
    assert done.stdout == ""
    assert len(list(read_recording(record))) == 1
    assert cv2.VideoCapture(str(video)).read()[0]


@POSIX
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_one_line(unbuffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is a Linux device")
    done = shell(f'PYTHONUNBUFFERED={unbuffered} "$@" >/dev/full', "doctor")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "humanrt doctor: standard output cannot be written (No space left on device)" in done.stderr


@POSIX
def test_a_reader_that_leaves_is_no_error() -> None:
    done = shell('{ "$@"; echo "status $?" >&2; } | true', "doctor")
    assert done.stderr == "status 0\n"


def test_our_own_mistakes_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: object) -> int:
        raise OSError(5, "not of standard output")

    monkeypatch.setattr("humanrt.commands.doctor.run", run)
    with pytest.raises(OSError, match="not of standard output"):
        main(["doctor"])


# --- what the record says of the work ---


def test_the_slow_path_is_said_and_recorded(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "o.jsonl"
    run: Callable[[], int] = lambda: main(["run", str(image), "--headless", "--record", str(record)])  # noqa: E731
    if not native.problem():
        assert run() == 0
        assert read_recording(record).header["kernel"] == "native"
        assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "missing.so")
    assert run() == 0
    assert read_recording(record).header["kernel"] == "numpy"
    slow, summary = capsys.readouterr().err.splitlines()
    assert "slower" in slow
    assert "`humanrt doctor`" in slow
    assert "1 frames" in summary


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_a_library_that_is_refused_is_said_once_in_one_line(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    refused = tmp_path / "refused.so"
    refused.write_bytes(b"not a library")
    monkeypatch.setattr(native, "LIBRARY", refused)
    record = tmp_path / "o.jsonl"
    if command == "doctor":
        main(["doctor"])
        said = capsys.readouterr()
        assert said.err == ""
        assert f"{refused} cannot be loaded" in said.out
        return
    arguments = ["run", str(image), "--headless", "--record", str(record), "--robot", "allegro_right"]
    assert main(arguments) == 0
    assert read_recording(record).header["kernel"] == "numpy"
    refusal, *_, summary = (lines := capsys.readouterr().err.splitlines())
    assert refusal.startswith("humanrt run: the compiled library is refused")
    assert f"{refused} cannot be loaded" in refusal
    assert sum(str(refused) in line for line in lines) == 1
    assert "1 frames" in summary


@pytest.mark.parametrize("pace", [[], ["--realtime"]])
def test_capture_is_timed_and_no_part_of_the_total(tmp_path: Path, pace: list[str]) -> None:
    record = tmp_path / "o.jsonl"
    assert main(["run", str(CLIP), "--headless", "--max-frames", "8", "--record", str(record), *pace]) == 0
    for line in read_recording(record):
        ms = line["ms"]
        assert next(iter(ms)) == "capture"
        assert list(ms)[-1] == "total"
        assert ms["total"] == pytest.approx(sum(v for k, v in ms.items() if k not in ("capture", "total")), abs=1e-3)
        assert 0 <= ms["capture"] < 1000
    assert ms["capture"] > 0.01  # decoded, or aged
