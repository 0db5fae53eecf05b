"""Batches: many files, some of them broken, by processes that die, cut off and resumed."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import humanrt
from command_line import refused
from dying_worker import die_at_b
from humanrt.batch import BatchOptions, find_sources, plan, process
from humanrt.batch.steps import Check, Outcome
from humanrt.cli import main
from humanrt.data import CLIP
from humanrt.errors import HumanrtError
from humanrt.outputs.record import Recorder
from humanrt.outputs.video import VideoSink
from humanrt.tasks import open_hands

HANDS = BatchOptions(task="hands", workers=2, threads=1)
SPLIT = replace(HANDS, segment=1.0, max_frames=92)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 6 frames of the clip that ships."""
    path = tmp_path_factory.mktemp("clips") / "hand.mp4"
    with humanrt.open_source(CLIP) as source, VideoSink(path, 30.0, codec="mp4v") as sink:
        for frame in itertools.islice(source, 6):
            sink.write(frame.image)
    return path


@pytest.fixture
def films(clip: Path, tmp_path: Path) -> Path:
    """Four films, one of which is broken."""
    folder = tmp_path / "films"
    (folder / "more").mkdir(parents=True)
    for name in ("a.mp4", "b.mp4", "more/c.mp4"):
        (folder / name).write_bytes(clip.read_bytes())
    (folder / "broken.mp4").write_bytes(clip.read_bytes()[:500])
    return folder


def log(out: Path) -> dict[str, dict[str, Any]]:
    lines = (out / "batch.jsonl").read_text().splitlines()
    return {Path(line["file"]).name: line for line in map(json.loads, lines)}


def without_times(path: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "ms"} for record in humanrt.read_recording(path)]


def test_a_broken_file_costs_only_itself_and_the_rest_equals_single_runs(
    films: Path, clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    reports = list(process([films], out, HANDS))
    assert len(reports) == 4
    found = log(out)
    assert {name: line["state"] for name, line in found.items()} == {
        "a.mp4": "done",
        "b.mp4": "done",
        "c.mp4": "done",
        "broken.mp4": "failed",
    }
    assert "broken.mp4" in found["broken.mp4"]["error"]
    assert (found["a.mp4"]["frames"], found["a.mp4"]["identities"]) == (6, 1)
    with humanrt.open_source(clip) as source, open_hands() as pipeline:
        humanrt.play(source, pipeline, [Recorder(tmp_path / "single.jsonl")])
    for name in ("a.jsonl", "b.jsonl", "more/c.jsonl"):
        assert without_times(out / name) == without_times(tmp_path / "single.jsonl")
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == sorted(
        ["a.jsonl", "b.jsonl", "batch.jsonl", "c.jsonl"]
    )


def test_the_same_call_does_only_what_is_left(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert len(list(process([films / "a.mp4", films / "broken.mp4"], out, HANDS))) == 2
    assert sorted(Path(report.file).name for report in process([films], out, HANDS)) == ["b.mp4", "c.mp4"]
    assert list(process([films], out, HANDS)) == []
    again = BatchOptions(task="hands", workers=1, threads=1, retry_failed=True)
    assert [report.state for report in process([films], out, again)] == ["failed"]
    (out / "b.jsonl").unlink()
    assert [Path(report.file).name for report in process([films], out, HANDS)] == ["b.mp4"]
    changed = films / "a.mp4"
    os.utime(changed, (1, 1))
    assert [Path(report.file).name for report in process([films], out, HANDS)] == ["a.mp4"]
    shorter = BatchOptions(task="hands", workers=2, threads=1, max_frames=2)
    assert sorted(report.frames for report in process([films], out, shorter)) == [0, 2, 2, 2]


def test_a_log_cut_off_in_a_line_is_gone_on_with(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(process([films / "a.mp4", films / "b.mp4"], out, HANDS))
    content = (out / "batch.jsonl").read_bytes()
    (out / "batch.jsonl").write_bytes(content[:-20])
    assert len(list(process([films / "a.mp4", films / "b.mp4"], out, HANDS))) == 1
    lines = (out / "batch.jsonl").read_text().splitlines()
    assert [json.loads(line)["state"] for line in (lines[0], lines[-1])] == ["done", "done"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_an_endless_file_is_given_up(films: Path, tmp_path: Path) -> None:
    os.mkfifo(films / "endless.mp4")
    options = BatchOptions(task="hands", workers=2, threads=1, stall=8.0)
    reports = {
        Path(report.file).name: report
        for report in process([films / "endless.mp4", films / "a.mp4"], tmp_path / "out", options)
    }
    assert reports["a.mp4"].state == "done"
    assert "no frame came for 8 s" in str(reports["endless.mp4"].error)


def test_a_file_that_takes_too_long_is_given_up(films: Path, tmp_path: Path) -> None:
    options = BatchOptions(task="hands", workers=1, threads=1, timeout=1e-3)
    (report,) = process([films / "a.mp4"], tmp_path / "out", options)
    assert "a.mp4: not done after 0.001 s; given up (--timeout)" in str(report.error)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the clip that ships, in one recording."""
    out = tmp_path_factory.mktemp("whole")
    list(process([CLIP], out, replace(SPLIT, segment=None)))
    return out / f"{CLIP.stem}.jsonl"


def test_segments_of_a_long_video_are_joined(whole: Path, tmp_path: Path) -> None:
    told: list[int] = []
    (report,) = process([CLIP], tmp_path, SPLIT, progress=lambda done, total, frames: told.append(frames))
    assert told == sorted(told)
    assert told[-1] == 92, "neither overlaps nor the joining count twice"
    expected = list(humanrt.read_recording(whole))
    found = list(humanrt.read_recording(tmp_path / whole.name))
    assert len(expected) == 92
    assert (report.frames, report.identities) == (len(expected), 1)
    assert [(record["frame"], record["t"]) for record in found] == [(r["frame"], r["t"]) for r in expected]
    for one, other in zip(found, expected, strict=True):
        assert [hand["id"] for hand in one["hands"]] == [hand["id"] for hand in other["hands"]]
        for a, b in zip(one["hands"], other["hands"], strict=True):
            assert np.abs(np.subtract(a["keypoints_2d"], b["keypoints_2d"])).max() < 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["batch.jsonl", whole.name])


def test_segments_that_were_made_before_a_kill_are_not_made_again(tmp_path: Path) -> None:
    options = replace(SPLIT, workers=1)
    interrupted = process([CLIP], tmp_path, options, progress=stop_after(31))
    with pytest.raises(KeyboardInterrupt):
        list(interrupted)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob(".*.0")}
    assert len(kept) == 1
    (report,) = process([CLIP], tmp_path, options)
    assert (report.state, report.frames) == ("done", 92)
    assert not list(tmp_path.glob(".*"))


def stop_after(count: int) -> Any:
    def progress(done: int, total: int, frames: int) -> None:
        if frames >= count:
            raise KeyboardInterrupt

    return progress


def test_ray_does_what_processes_do(films: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    for engine in ("local", "ray"):
        list(process([films], tmp_path / engine, replace(HANDS, engine=engine)))
    ours, theirs = log(tmp_path / "local"), log(tmp_path / "ray")
    assert {name: line["state"] for name, line in theirs.items()} == {n: line["state"] for n, line in ours.items()}
    for name in ("a.jsonl", "b.jsonl", "more/c.jsonl"):
        assert without_times(tmp_path / "ray" / name) == without_times(tmp_path / "local" / name)


def test_a_worker_that_dies_costs_its_file(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["humanrt.batch.crew"], "run_steps", die_at_b)
    reports = {
        Path(report.file).name: report
        for report in process([films / "a.mp4", films / "b.mp4"], tmp_path / "out", HANDS)
    }
    assert reports["a.mp4"].state == "done"
    assert "its process died (exit status -9)" in str(reports["b.mp4"].error)


def test_a_batch_that_was_killed_goes_on(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "humanrt",
        "batch",
        str(films),
        "--task",
        "hands",
        "--out",
        str(out),
        "--workers",
        "1",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    end = time.monotonic() + 60
    while not (out / "batch.jsonl").exists() and time.monotonic() < end:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    done = len(log(out))
    assert 1 <= done <= 4
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert finished.returncode == (0 if "broken.mp4" in finished.stdout else finished.returncode)
    assert len(log(out)) == 4
    assert all((out / name).exists() for name in ("a.jsonl", "b.jsonl", "more/c.jsonl"))


def test_arrays_instead_of_recordings(films: Path, tmp_path: Path) -> None:
    options = BatchOptions(task="hands", workers=1, threads=1, format="npz", options={"robots": ["allegro_right"]})
    (report,) = process([films / "a.mp4"], tmp_path / "out", options)
    assert report.output == str(tmp_path / "out" / "a.npz")
    with np.load(report.output) as data:
        assert data["hand_1.robot.allegro_right"].shape == (6, 16)


def test_sources_by_folder_glob_list_and_name(films: Path, tmp_path: Path) -> None:
    def names(*patterns: Path | str) -> list[str]:
        return [path.name for path in find_sources(patterns)]

    assert names(films) == ["a.mp4", "b.mp4", "broken.mp4", "c.mp4"]
    assert names(f"{films}/**/c*") == ["c.mp4"]
    assert names(films / "b.mp4", films) == ["b.mp4", "a.mp4", "broken.mp4", "c.mp4"]
    listed = tmp_path / "list.txt"
    listed.write_text(f"# films\n{films}/a.mp4\n\n{films}/more\n")
    assert names(f"@{listed}") == ["a.mp4", "c.mp4"]
    for wrong, expected in (
        (films / "x.mp4", "no such file"),
        ("rtsp://a/b", "humanrt run"),
        ("@no", "cannot be read"),
    ):
        with pytest.raises(HumanrtError, match=expected):
            find_sources([wrong])


def test_outputs_never_collide(tmp_path: Path) -> None:
    sources = [Path("/x/a/clip.mp4"), Path("/x/a/clip.avi"), Path("/x/b/clip.mp4")]
    outputs = [job.output.relative_to(tmp_path).as_posix() for job in plan(sources, tmp_path)]
    assert outputs == ["a/clip.mp4.jsonl", "a/clip.avi.jsonl", "b/clip.jsonl"]
    assert plan([], tmp_path) == []


def test_command_line(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    run = [
        "batch",
        str(films / "a.mp4"),
        str(films / "broken.mp4"),
        "--task",
        "hands",
        "--out",
        str(out),
        "--workers",
        "1",
    ]
    assert main(run) == 1
    captured = capsys.readouterr()
    assert "2 files processed, 1 of them failed, 6 frames" in captured.out
    assert "broken.mp4" in captured.err
    assert main(run) == 1, "the failed one is left alone, and still failed"
    assert (
        "0 files processed, 0 of them failed, 0 frames, 2 were before (1 of them failed: --retry-failed)"
        in capsys.readouterr().out
    )
    run.remove(str(films / "broken.mp4"))
    assert main(run) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--task", "feet"), "unknown task `feet`"),
        (("--task", "hands", "--quality", "fast"), "--quality is not for --task hands"),
        (("--task", "hands", "--robot", "nobody"), "nobody"),
        (("--task", "hands", "--workers", "0"), "--workers must be at least 1"),
        (("--task", "hands", "--stall", "-1"), "--stall must be a number above 0"),
        (("--task", "hands", "--bundle", "nothing"), "nothing"),
        (("--task", "hands", "--address", "auto"), "add --engine ray"),
        (("--task", "hands", "--segment", "0"), "--segment must be a number above 0"),
    ],
)
def test_mistakes_are_told_once(
    options: tuple[str, ...], expected: str, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(capsys, "batch", films, "--out", tmp_path / "out", *options)


def test_run_with_several_files_names_batch(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "run", films / "a.mp4", films / "b.mp4", "--task", "people")
    assert f"humanrt batch {films}/a.mp4 {films}/b.mp4 --task people --out DIR" in line


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="of POSIX")
def test_an_interrupt_is_for_the_batch_and_not_for_its_workers(capfd: pytest.CaptureFixture[str]) -> None:
    crew = BatchOptions(task="hands", workers=1, threads=1).crew(1)
    sent = set()

    def interrupt(frames: int) -> None:  # first while the worker imports
        for worker in multiprocessing.active_children():
            sent.add(worker.pid)
            os.kill(worker.pid or 0, signal.SIGINT)

    try:
        said = [message for _, message in crew.run(deque([Check()]), interrupt)]
    finally:
        crew.close()
    assert len(sent) == 1
    assert [message.error for message in said if isinstance(message, Outcome)] == [None]
    assert "KeyboardInterrupt" not in capfd.readouterr().err
