"""Memory and rate of a ZeroMQ sender whose subscribers come late, sleep and die: `python bench/sending_soak.py`.

Sends the demo clip's results over and over. Meanwhile a subscriber listens all the time; others come after it, stop
reading, go on, and are killed, every few seconds. Exit status 1 if memory grows by more than 8 MB after the first tenth
of the time, or if the subscriber that stays ever falls behind by more than 5 s.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import humanrt
from humanrt.data import CLIP
from humanrt.outputs.senders import open_sender

LISTENER = """
import humanrt, sys
for topic, message in humanrt.receive(sys.argv[1], "robot.allegro_right"):
    print(message["t"], flush=True)
"""
ALLOWED_MB = 8.0


def resident_mb() -> float:
    """Return this process's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Replayed:
    """A result with another time."""

    def __init__(self, record: dict[str, object], t: float) -> None:
        self._record = {**record, "t": t}

    def record(self) -> dict[str, object]:
        return self._record


def listen(url: str, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", LISTENER, url], stdout=output)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=200.0, help="frames per second")
    parser.add_argument("--port", type=int, default=5599)
    options = parser.parse_args()
    with humanrt.track(CLIP, robots="allegro_right", max_frames=60) as results:
        records = [result.record() for result in results]
        header = results.header
    url = f"zmq://127.0.0.1:{options.port}"
    commands = humanrt.RobotCommands("allegro_right")
    stays = listen(url, subprocess.PIPE)
    assert stays.stdout is not None
    os.set_blocking(stays.stdout.fileno(), False)
    visitor: subprocess.Popen[bytes] | None = None
    start = time.monotonic()
    end, after, told = start + 60 * options.minutes, start + 6 * options.minutes, start
    base = peak = 0.0
    frames = visits = heard = 0
    latest = lag = 0.0
    with open_sender(url, commands) as sender:
        sender.start(header)
        while (now := time.monotonic()) < end:
            sender.put(Replayed(records[frames % len(records)], now - start), None)  # type: ignore[arg-type]
            frames += 1
            if text := stays.stdout.read():
                heard += text.count(b"\n")
                latest = float(text.split()[-1])
                lag = max(lag, now - start - latest) if now > after else 0.0
            step = frames % 1000
            if step == 100:
                visitor, visits = listen(url, subprocess.DEVNULL), visits + 1
            elif visitor is not None and step in (400, 600, 800):
                visitor.send_signal({400: signal.SIGSTOP, 600: signal.SIGCONT, 800: signal.SIGKILL}[step])
                if step == 800:
                    visitor.wait()
            if now > after:
                base = base or resident_mb()
                peak = max(peak, resident_mb())
            if now > told:
                told += 60.0
                print(f"{now - start:5.0f} s: {resident_mb():.1f} MB, {frames} frames, {heard} heard", flush=True)
            time.sleep(max(0.0, 1.0 / options.rate - (time.monotonic() - now)))
    for process in (stays, visitor):
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
    grown = peak - base
    print(f"{frames} frames to {visits} visitors: memory +{grown:.1f} MB, {heard} heard, the latest lag {lag:.2f} s")
    return int(grown > ALLOWED_MB or heard == 0 or lag > 5.0)


if __name__ == "__main__":
    sys.exit(main())
