"""An archive that goes wrong: many short clips, one broken, one endless, and a batch that is killed in the middle and
goes on. Compares recordings with single runs, and times one worker against two.

    python bench/batch_clips.py --clips 200                    # processes on this machine
    python bench/batch_clips.py --clips 200 --engine ray       # Ray on this machine
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import humanrt
from humanrt.batch import BatchOptions, process
from humanrt.data import CLIP
from humanrt.outputs.record import Recorder
from humanrt.outputs.video import VideoSink


def make_clips(folder: Path, count: int, frames: int) -> None:
    """Write short clips, each of other frames of the clip that ships; one is cut off, one is a pipe without an end."""
    with humanrt.open_source(CLIP) as source:
        film = list(source)
    for index in range(count):
        start = index * (len(film) - frames) // max(count - 1, 1)
        with VideoSink(folder / f"clip{index:03}.mp4", 30.0, codec="mp4v") as sink:
            for frame in film[start : start + frames]:
                sink.write(frame.image)
    broken = folder / f"clip{count // 3:03}.mp4"
    broken.write_bytes(broken.read_bytes()[:600])
    endless = folder / f"clip{count // 2:03}.mp4"
    endless.unlink()
    os.mkfifo(endless)
    (folder / "list.txt").write_text("".join(f"{clip}\n" for clip in sorted(folder.glob("*.mp4"))))


def command(folder: Path, out: Path, engine: str, workers: int, stall: int) -> list[str]:
    own = ["--task", "hands", "--out", str(out), "--workers", str(workers), "--threads", "1", "--stall", str(stall)]
    return [sys.executable, "-m", "humanrt", "batch", f"@{folder}/list.txt", *own, "--engine", engine]


def log(out: Path) -> list[dict[str, Any]]:
    path = out / "batch.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def kill_in_the_middle(folder: Path, out: Path, engine: str, clips: int, stall: int) -> int:
    """Start a batch, kill it without warning when a third is done, and return how many files were done by then."""
    running = subprocess.Popen(
        command(folder, out, engine, 2, stall), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while len(log(out)) < clips // 3 and running.poll() is None:
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait()
    return len(log(out))


def without_times(path: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "ms"} for record in humanrt.read_recording(path)]


def differing(folder: Path, out: Path, every: int) -> tuple[int, int]:
    """Return the number of recordings compared with single runs, and of those that differ in any number."""
    done = [Path(line["file"]) for line in log(out) if line["state"] == "done"][::every]
    wrong = 0
    for clip in done:
        single = out / "single.jsonl"
        with humanrt.open_source(clip) as source, humanrt.tasks.open_hands(threads=1) as pipeline:
            humanrt.play(source, pipeline, [Recorder(single)])
        wrong += without_times(single) != without_times(out / f"{clip.stem}.jsonl")
    return len(done), wrong


def seconds_of(folder: Path, out: Path, workers: int, engine: str) -> float:
    """Return what the intact clips of a folder take."""
    names = [clip for clip in sorted(folder.glob("*.mp4")) if clip.is_file() and clip.stat().st_size > 600]
    options = BatchOptions(task="hands", workers=workers, threads=1, engine=engine)
    start = time.perf_counter()
    assert all(report.state == "done" for report in process(names, out, options))
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--frames", type=int, default=12, help="of each clip")
    parser.add_argument("--engine", default="local", choices=("local", "ray"))
    parser.add_argument("--every", type=int, default=10, help="compare every N-th recording with a single run")
    parser.add_argument("--stall", type=int, default=90, help="s without a frame until a file has failed (90)")
    parser.add_argument("--times", action="store_true", help="also time one worker against two")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="humanrt-clips-"))
    try:
        folder, out = work / "clips", work / "out"
        folder.mkdir()
        make_clips(folder, arguments.clips, arguments.frames)
        before = kill_in_the_middle(folder, out, arguments.engine, arguments.clips, arguments.stall)
        start = time.perf_counter()
        ended = subprocess.run(
            command(folder, out, arguments.engine, 2, arguments.stall), capture_output=True, text=True, check=False
        )
        took = time.perf_counter() - start
        lines = log(out)
        files = {line["file"] for line in lines}
        failed = [line for line in lines if line["state"] == "failed"]
        compared, wrong = differing(folder, out, arguments.every)
        print(f"engine {arguments.engine}: killed (SIGKILL) after {before} of {arguments.clips} files")
        print(
            f"the same command: exit status {ended.returncode}, {took:.0f} s: {(ended.stdout or ended.stderr).strip()}"
        )
        print(
            f"{len(files)} files, {len(lines)} lines in the log: {len(lines) - len(failed)} done, {len(failed)} failed"
        )
        for line in failed:
            print(f"  {Path(line['file']).name}: {line['error'].replace(str(folder) + '/', '')}")
        print(f"{wrong} of {compared} recordings differ from single runs; left over: {len(list(out.glob('.*')))} files")
        if arguments.times:
            one, two = (seconds_of(folder, work / f"times{n}", n, arguments.engine) for n in (1, 2))
            print(f"one worker {one:.1f} s, two {two:.1f} s: {one / two:.2f} times")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
